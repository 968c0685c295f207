"""The pages about people: who is enrolled, and everything of one person that may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.access.subject import FactorPolicy, Status
from appliance.contract import Role
from appliance.people.calibration import door_point, own_tail
from appliance.people.passes import PassBook
from appliance.people.references import look_alike
from appliance.pipeline.matching import Rivals
from appliance.web.admin.persons import ENROLLERS, known, static_groups, zone_of
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from http import HTTPStatus
    from zoneinfo import ZoneInfo

    from appliance.access.passes import Pass
    from appliance.people.person import Details, Group, Person, ReferenceFacts
    from appliance.people.references import LookAlike
    from appliance.web.books import Books
    from appliance.web.faceroom import FaceRoom

router = APIRouter()

PAGE = 50
FOUND = 100  # of a search; whoever finds more types more letters
LONGEST = 200  # letters of what is sought
DONE = {
    "saved": "Saved.",
    "enrolled": "Enrolled.",
    "pin": "The PIN was changed.",
    "nopin": "The PIN was taken away.",
    "forgotten": "The picture's template was erased.",
    "withdrawn": "The consent was withdrawn, and the face erased.",
    "revoked": "The pass was revoked.",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list."""

    people: tuple[Person, ...]
    total: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One person, as their page has them."""

    details: Details
    references: tuple[ReferenceFacts, ...]
    passes: tuple[Pass, ...]
    groups: tuple[str, ...]  # that people can be put into
    dynamic: frozenset[str]  # groups that they are in by a rule
    zone: ZoneInfo | None
    changeable: bool

    def local(self, at: datetime | None) -> str:
        """Return a bound as its field takes it, by the clock on the door's wall; "" for none."""
        return "" if at is None else f"{at.astimezone(self.zone):%Y-%m-%dT%H:%M}"


@router.get("/people")
@allowed(*ENROLLERS)
async def people(
    request: Request,
    q: Annotated[str, Query(max_length=LONGEST)] = "",
    status: Annotated[str, Query(max_length=63)] = "",
    group: Annotated[str, Query(max_length=63)] = "",
    after: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """List who is enrolled, or whom a search finds."""
    q = q.strip()
    listed = await rooms_of(request).books.run(lambda books: _listed(books, q, status, group, after))
    asked = urlencode({name: text for name, text in (("status", status), ("group", group)) if text})
    link = f"/people?{asked}&" if asked else "/people?"
    return page(
        request,
        "people.html",
        listed=listed,
        q=q,
        standing=status,
        group=group,
        after=after,
        limit=PAGE,
        link=link,
        most=FOUND,
    )


@router.get("/people/{person_id}")
@allowed(*ENROLLERS)
async def person(request: Request, person_id: str, done: Annotated[str, Query(max_length=20)] = "") -> Response:
    """Show one person."""
    return await shown(request, person_id, done=DONE.get(done, ""))


@router.get("/people/{person_id}/alike")
@allowed(*ENROLLERS)
async def alike(request: Request, person_id: str) -> Response:
    """Show who else is most alike to a person; how much so is for an admin to know."""
    name = (await rooms_of(request).books.run(lambda books: known(books, person_id))).name
    found = await rooms_of(request).faces.run(lambda room: _most_alike(room, person_id))
    other = await rooms_of(request).books.run(lambda books: books.gallery.person(found.person_id)) if found else None
    return page(
        request,
        "alike.html",
        name=name,
        person_id=person_id,
        found=found,
        other=other,
        told=who_is(request).role is Role.ADMIN,
    )


async def shown(
    request: Request,
    person_id: str,
    *,
    done: str = "",
    status: HTTPStatus | int = 200,
    problem: str = "",
    of: str = "",
    typed: Mapping[str, Any] | None = None,
) -> Response:
    """Return a person's page; with a `problem` of the form `of`, which then holds what was `typed`."""
    who = who_is(request)
    found = await rooms_of(request).books.run(lambda books: _shown(books, person_id, admin=who.role is Role.ADMIN))
    return page(
        request,
        "person.html",
        status=int(status),
        shown=found,
        known=found.details,
        done=done,
        problem=problem,
        of=of,
        typed=typed or {},
        statuses=[one for one in Status if one is not Status.DENY_LISTED or who.role is Role.ADMIN],
        factors=list(FactorPolicy),
    )


def _listed(books: Books, q: str, status: str, group: str, after: int) -> Listed:
    gallery = books.gallery
    groups = gallery.groups()
    if not q:
        found, total = gallery.page(after, PAGE, status=status, group=group)
        return Listed(found, total, groups)
    found = gallery.search(q, FOUND)
    members = set(gallery.members(group)) if group else set()
    chosen = [one for one in found if status in {"", one.status} and (not group or one.person_id in members)]
    return Listed(tuple(chosen), len(chosen), groups)


def _shown(books: Books, person_id: str, *, admin: bool) -> Shown:
    known(books, person_id)
    gallery = books.gallery
    details = gallery.details(person_id)
    with PassBook(books.installation.gallery_file) as book:
        passes = tuple(one for one in book.passes() if one.person_id == person_id)
    dynamic = {one.name for one in gallery.groups() if one.dynamic}
    return Shown(
        details,
        gallery.references(person_id),
        passes,
        tuple(static_groups(books)),
        details.groups & dynamic,
        zone_of(books),
        admin or details.status is not Status.DENY_LISTED,
    )


def _most_alike(room: FaceRoom, person_id: str) -> LookAlike | None:
    pictures = room.pictures
    snapshot, entry = pictures.snapshot(), pictures.entry
    rival = Rivals().of(person_id, snapshot)
    tail = own_tail(pictures.gallery, entry.model_id)
    point = door_point(entry.measured, tail, pictures.installation.settings.recognition, snapshot.size)
    return look_alike(rival, entry.measured.impostors, point)
