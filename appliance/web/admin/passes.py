"""Codes that people show to the camera: passes of somebody enrolled, and invitations to enrol oneself; shown once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.drivers.qr import modules
from appliance.enrolment.desk import Newcomer
from appliance.enrolment.invitations import MAX_TRIES, Invitation, InvitationBook, invite, revoke
from appliance.errors import RefusedError
from appliance.people.enrolment import checked_name
from appliance.people.factors import issue_pass, revoke_pass
from appliance.people.passes import PassBook
from appliance.signing import own_key
from appliance.web.admin.consenting import BLANK, ConsentForm, Sheet, consent_of, particulars_of, sheet_of
from appliance.web.admin.person_acts import changed
from appliance.web.admin.persons import ENROLLERS, METHOD, actor_of, changeable
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other, stamp
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.access.passes import Pass
    from appliance.web.accounts import Who
    from appliance.web.books import Books

router = APIRouter()

Hours = Annotated[int, Form(ge=1, le=744)]


class InvitationForm(ConsentForm):
    """Who is invited."""

    hours: int = 48
    at_once: str = ""


@router.post("/people/{person_id}/passes")
@allowed(*ENROLLERS)
async def issue(
    request: Request, person_id: str, hours: Hours, uses: Annotated[int, Form(ge=1, le=20)] = 1
) -> Response:
    """Issue a pass, and show its code this once."""
    who = who_is(request)

    def make(books: Books) -> tuple[str, tuple[Pass, str]]:
        person, device = changeable(books, who, person_id), books.installation.settings.device
        with PassBook(books.installation.gallery_file) as book:
            made = issue_pass(
                book,
                books.audit,
                person,
                own_key(books.installation.device_key_file),
                device_id=device.id,
                door=device.door,
                not_before=datetime.now(UTC),
                lifetime=timedelta(hours=hours),
                uses=uses,
                actor=actor_of(who),
                method=METHOD,
            )
        return person.name, made

    name, made = await rooms_of(request).books.run(make)
    return _code(request, "A pass", name, made, f"/people/{person_id}")


@router.post("/people/{person_id}/passes/{pass_id}/revoke")
@allowed(*ENROLLERS)
async def take_back_pass(request: Request, person_id: str, pass_id: str) -> Response:
    """Take a pass back."""
    who = who_is(request)

    def take_back(books: Books) -> None:
        changeable(books, who, person_id)
        with PassBook(books.installation.gallery_file) as book:
            if pass_id not in {one.pass_id for one in book.passes() if one.person_id == person_id}:
                raise RefusedError("this person has no such pass")
            revoke_pass(book, books.audit, pass_id, actor=actor_of(who), method=METHOD)

    return await changed(request, person_id, take_back, "passes", {}, done="revoked")


@router.get("/invitations")
@allowed(*ENROLLERS)
async def invitations(request: Request, language: str = "en") -> Response:
    """List the invitations that are open, and offer to make one."""
    return await _invitations(request, language)


@router.post("/invitations")
@allowed(*ENROLLERS)
async def make_invitation(request: Request, form: Annotated[InvitationForm, Form()]) -> Response:
    """Invite somebody to enrol themselves at the door, and show the code this once."""
    who = who_is(request)

    def make(books: Books) -> tuple[str, tuple[Pass, str]] | str:
        try:
            return _invite(books, who, form)
        except RefusedError as refusal:
            return str(refusal)

    made = await rooms_of(request).books.run(make)
    if isinstance(made, str):
        return await _invitations(request, form.language, status=409, problem=made, typed=form.model_dump())
    return _code(request, "An invitation", *made, "/invitations")


@router.post("/invitations/{invitation_id}/revoke")
@allowed(*ENROLLERS)
async def take_back_invitation(request: Request, invitation_id: str) -> Response:
    """Take an invitation back."""
    who = who_is(request)

    def take_back(books: Books) -> None:
        with _book(books) as book:
            revoke(book, books.audit, invitation_id, actor=actor_of(who), method=METHOD)

    await rooms_of(request).books.run(take_back)
    return see_other("/invitations")


def _invite(books: Books, who: Who, form: InvitationForm) -> tuple[str, tuple[Pass, str]]:
    device = books.installation.settings.device
    particulars = replace(particulars_of(form), held=form.at_once != "yes")
    newcomer = Newcomer(checked_name(form.name, "name"), consent_of(books, who, form), particulars)
    with _book(books) as book:
        made = invite(
            book,
            books.audit,
            newcomer,
            own_key(books.installation.device_key_file),
            device_id=device.id,
            door=device.door,
            lifetime=timedelta(hours=form.hours),
            actor=actor_of(who),
            method=METHOD,
        )
    return newcomer.name, made


async def _invitations(
    request: Request, language: str, *, status: int = 200, problem: str = "", typed: dict[str, Any] | None = None
) -> Response:
    def read(books: Books) -> tuple[tuple[Invitation, ...], Sheet]:
        with _book(books) as book:
            return book.open_ones(datetime.now(UTC).timestamp()), sheet_of(books, language)

    listed, sheet = await rooms_of(request).books.run(read)
    return page(
        request,
        "invitations.html",
        status=status,
        listed=listed,
        sheet=sheet,
        most=MAX_TRIES,
        problem=problem,
        typed=typed or BLANK,
    )


def _code(request: Request, what: str, name: str, made: tuple[Pass, str], back: str) -> Response:
    """Return a page with a code, which no other page shows again."""
    code, text = made
    rows = modules(text).tolist()
    squares = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark)
    return page(
        request, "code.html", what=what, name=name, squares=squares, side=len(rows), until=stamp(code.until), back=back
    )


@contextmanager
def _book(books: Books) -> Iterator[InvitationBook]:
    key = books.gallery.keyring.secret("invitations")
    with InvitationBook(books.installation.enrolment_file, key) as book:
        yield book
