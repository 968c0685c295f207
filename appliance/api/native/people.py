"""People: who is enrolled, enrolled from photos, changed, erased, handed out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import File, Form, Path, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from appliance.access.ledger import Ledger
from appliance.access.subject import FactorPolicy, Status
from appliance.api.native.common import METHOD, actor_of, changeable, known
from appliance.api.native.pictures import image_of
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import answers_with, for_roles, router
from appliance.api.native.shapes import (
    ErasureReceipt,
    Id,
    PeoplePage,
    PersonBrief,
    PersonEnrolled,
    PersonFacts,
    PersonPatch,
    PhotoTaken,
    Reference,
    References,
)
from appliance.api.native.versions import demand, expected, tag, tag_of, unchanged, versioned
from appliance.commands.consent import given
from appliance.contract import VERB_ROLES, Role
from appliance.errors import UsageError
from appliance.people.changes import forget_reference, revise, withdraw
from appliance.people.enrolment import MAX_PHOTOS, Particulars, remove
from appliance.people.passes import PassBook
from appliance.people_acts import revision
from appliance.privacy.export import Sources, packed
from appliance.web.guard import NotAllowedError, who_is
from appliance.web.photos import enrol_photos
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from typing import Any

    from appliance.web.accounts import Who
    from appliance.web.books import Books

api = router("people")

PersonId = Annotated[Id, Path(description="of somebody enrolled")]


class Wanted(BaseModel):
    """Whom a list is to hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Annotated[int, Field(ge=0, le=10_000_000, description="past so many")] = 0
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    search: Annotated[str, Field(max_length=200, description="id, external id, or beginnings of a name's words")] = ""
    status: Annotated[Literal["", "active", "suspended", "deny_listed"], Field(description="empty for any")] = ""
    group: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62})?$", description="empty for any")] = ""


@api.get("/people", response_model=PeoplePage)
@for_roles(VERB_ROLES["person.list"])
async def people(request: Request, wanted: Annotated[Wanted, Query()]) -> Response:
    """Tell who is enrolled, a page at a time in order of enrolment, or whom a search finds."""

    def look(books: Books) -> Response:
        version = tag(f"{books.gallery.revision()} {wanted.model_dump_json()}")
        return unchanged(request, version) or versioned(request, _page(books, wanted), version)

    return await rooms_of(request).books.run(look)


@api.post("/people", response_model=PersonEnrolled, status_code=201)
@for_roles(VERB_ROLES["enrol.photo"])
async def enrol(
    request: Request,
    *,
    name: Annotated[str, Form(min_length=1, max_length=200)],
    consent_by: Annotated[str, Form(min_length=1, max_length=200, description="the person, or who may consent")],
    photos: Annotated[list[UploadFile], File(min_length=1, max_length=MAX_PHOTOS, description="JPEG or PNG")],
    language: Annotated[str, Form(max_length=35, description="in which they were asked")] = "en",
    consent_text: Annotated[str, Form(max_length=63, description="version of the text, if it was ours")] = "",
    keep_photos: Annotated[bool, Form(description="they also agreed to pictures being kept")] = False,
    external_id: Annotated[str, Form(max_length=200)] = "",
    groups: Annotated[list[str], Form(max_length=32)] = [],  # noqa: B006 - FastAPI makes a new one each time
    tags: Annotated[list[str], Form(max_length=32)] = [],  # noqa: B006 - likewise
    accept_medium: Annotated[bool, Form(description="views of medium quality will do; an admin's to say")] = False,
    accept_alike: Annotated[bool, Form(description="they look like somebody enrolled; an admin's to say")] = False,
) -> Response:
    """Enrol a person from photos of them alone, each one JPEG or PNG; needs a record of consent."""
    rooms = rooms_of(request)
    images = [await image_of(photo) for photo in photos]
    consent = given(rooms.installation, consent_by, language, consent_text or None, photos=keep_photos)
    done = await enrol_photos(
        rooms,
        who_is(request),
        images,
        name=name,
        consent=consent,
        particulars=Particulars(external_id.strip(), tags=frozenset(tags), groups=frozenset(groups)),
        accept_medium=accept_medium,
        accept_alike=accept_alike,
        method=METHOD,
    )
    told = PersonEnrolled(
        person_id=done.person_id,
        references=done.references,
        look_alike=done.look_alike,
        photos=tuple(PhotoTaken.model_validate(asdict(one)) for one in done.photos),
    )
    place = str(request.url_for("person", person_id=done.person_id).path)
    return JSONResponse(told.model_dump(mode="json"), 201, {"Location": place})


@api.get("/people/{person_id}", response_model=PersonFacts)
@for_roles(VERB_ROLES["person.list"])
async def person(request: Request, person_id: PersonId) -> Response:
    """Tell what is known of a person. The ETag is what a change of them must name."""
    return versioned(request, await rooms_of(request).books.run(lambda books: _facts(books, person_id)))


@api.patch("/people/{person_id}", response_model=PersonFacts)
@for_roles(VERB_ROLES["person.update"])
async def change(request: Request, person_id: PersonId, said: PersonPatch) -> Response:
    """Say something anew of a person. Needs If-Match with the ETag that the person was read with."""
    who, version = who_is(request), expected(request)

    def make(books: Books) -> PersonFacts:
        changeable(books, who, person_id)
        details, by_verb = revision(said)
        more = _more(said, who)
        revise(
            books.gallery,
            books.audit,
            person_id,
            details,
            lambda subject: replace(by_verb(subject), **more),
            check=lambda: demand(version, tag_of(_facts(books, person_id))),
            actor=actor_of(who),
            method=METHOD,
        )
        return _facts(books, person_id)

    return versioned(request, await rooms_of(request).books.run(make))


@api.delete("/people/{person_id}")
@for_roles(VERB_ROLES["person.remove"])
async def erase(request: Request, person_id: PersonId) -> ErasureReceipt:
    """Erase a person: everything of them, and the key under which any copy could be read."""
    who, version = who_is(request), request.headers.get("if-match", "*").strip()

    def make(books: Books) -> ErasureReceipt:
        changeable(books, who, person_id)
        demand(version, tag_of(_facts(books, person_id)))
        receipt = remove(books.gallery, books.audit, person_id, actor=actor_of(who), method=METHOD)
        with Ledger(books.installation.ledger_file) as ledger:
            ledger.forget(person_id)
        return ErasureReceipt.of(receipt)

    return await rooms_of(request).books.run(make)


@api.get("/people/{person_id}/export", response_class=Response, responses=answers_with("application/zip", "the file"))
@for_roles((Role.ADMIN,))
async def export(request: Request, person_id: PersonId) -> Response:
    """Hand out everything that is held of a person: a ZIP of JSON, a page to read, and photos that were kept."""
    who = who_is(request)

    def make(books: Books) -> bytes:
        known(books, person_id)
        with ExitStack() as opening:
            passes = opening.enter_context(PassBook(books.installation.gallery_file))
            ledger = opening.enter_context(Ledger(books.installation.ledger_file))
            sources = Sources(books.gallery, passes, ledger, books.audit)
            return packed(sources, person_id, actor=actor_of(who), method=METHOD)

    file = {"Content-Disposition": f'attachment; filename="{person_id}.zip"'}
    return Response(await rooms_of(request).books.run(make), media_type="application/zip", headers=file)


@api.post("/people/{person_id}/withdraw")
@for_roles(VERB_ROLES["person.update"])
async def withdraw_consent(request: Request, person_id: PersonId) -> PersonFacts:
    """Take down that a person no longer consents: their face is erased; name, rights, PIN and passes stay."""
    who = who_is(request)

    def make(books: Books) -> PersonFacts:
        changeable(books, who, person_id)
        withdraw(books.gallery, books.audit, person_id, actor=actor_of(who), method=METHOD)
        return _facts(books, person_id)

    return await rooms_of(request).books.run(make)


@api.get("/people/{person_id}/references")
@for_roles(VERB_ROLES["person.list"])
async def references(request: Request, person_id: PersonId) -> References:
    """Tell the templates of a person: their quality and age, and never the template."""

    def look(books: Books) -> References:
        known(books, person_id)
        return References(references=tuple(map(Reference.of, books.gallery.references(person_id))))

    return await rooms_of(request).books.run(look)


@api.delete("/people/{person_id}/references/{reference_id}", status_code=204)
@for_roles(VERB_ROLES["person.update"])
async def forget(request: Request, person_id: PersonId, reference_id: Annotated[Id, Path()]) -> None:
    """Erase one template of a person who has others."""
    who = who_is(request)

    def make(books: Books) -> None:
        changeable(books, who, person_id)
        if reference_id not in {one.reference_id for one in books.gallery.references(person_id)}:
            raise NotThereError(f"person {person_id} has no reference {reference_id}")
        forget_reference(books.gallery, books.audit, reference_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(make)


def _facts(books: Books, person_id: str) -> PersonFacts:
    known(books, person_id)
    return PersonFacts.of(books.gallery, person_id)


def _page(books: Books, wanted: Wanted) -> PeoplePage:
    if wanted.search.strip():
        within = set(books.gallery.members(wanted.group)) if wanted.group else None
        found = tuple(
            one
            for one in books.gallery.search(wanted.search.strip(), wanted.limit)
            if wanted.status in {"", one.status} and (within is None or one.person_id in within)
        )
        return PeoplePage(people=tuple(map(PersonBrief.of, found)), total=len(found), next=None)
    page, total = books.gallery.page(wanted.after, wanted.limit, status=wanted.status, group=wanted.group)
    following = wanted.after + len(page)
    upcoming = following if page and following < total else None
    return PeoplePage(people=tuple(map(PersonBrief.of, page)), total=total, next=upcoming)


def _more(said: PersonPatch, who: Who) -> dict[str, Any]:
    """Return what is said of access besides what the verb can say. Raises NotAllowedError, UsageError."""
    told: dict[str, Any] = {
        "always": said.always,
        "extended": said.extended,
        "factor": None if said.factor is None else FactorPolicy(said.factor),
    }
    if said.deny_listed is not None:
        if who.role is not Role.ADMIN:
            raise NotAllowedError("who is deny-listed is for an admin to say")
        if said.status is not None:
            raise UsageError("status and deny_listed are both given; one of the two is wanted")
        told["status"] = Status.DENY_LISTED if said.deny_listed else Status.ACTIVE
    return {name: value for name, value in told.items() if value is not None}
