"""What is done to one person from their page: changed, given a PIN, and erased; each by what the commands call."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from appliance.access.ledger import Ledger
from appliance.access.schedule import instant
from appliance.access.subject import FactorPolicy, Status
from appliance.contract import EventType, Role
from appliance.errors import RefusedError
from appliance.people.changes import Change, forget_reference, revise
from appliance.people.changes import withdraw as withdraw_consent
from appliance.people.enrolment import remove
from appliance.people.factors import remove_pin, set_pin
from appliance.people.passes import PassBook
from appliance.privacy.export import Sources, packed
from appliance.web.admin.people import shown
from appliance.web.admin.persons import (
    ENROLLERS,
    METHOD,
    actor_of,
    changeable,
    demand_unchanged,
    known,
    static_groups,
    tried,
    words_of,
    zone_of,
)
from appliance.web.guard import NotAllowedError, allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from appliance.access.subject import Subject
    from appliance.web.accounts import Who
    from appliance.web.books import Books

router = APIRouter()

Line = Annotated[str, Form()]


class DetailsForm(BaseModel):
    """What is known of a person, as it was typed; `seen` is when the person that it was typed over was changed last."""

    seen: str
    name: str = ""
    external_id: str = ""
    tags: str = ""
    cards: str = ""
    notes: str = ""


class AccessForm(BaseModel):
    """What a person may do, as it was chosen; `seen` as above."""

    seen: str
    status: str
    factor: str
    valid_from: str = ""
    valid_until: str = ""
    groups: tuple[str, ...] = ()
    always: str = ""
    extended: str = ""


class PinForm(BaseModel):
    """A PIN, twice, or that it is to go."""

    pin: str = ""
    again: str = ""
    duress: str = ""
    remove: str = ""


@router.post("/people/{person_id}/details")
@allowed(*ENROLLERS)
async def details(request: Request, person_id: str, form: Annotated[DetailsForm, Form()]) -> Response:
    """Change what is known of a person."""
    who = who_is(request)

    def change(books: Books) -> None:
        notes = form.notes.replace("\r\n", "\n")
        wanted = Change(form.name, form.external_id, notes, words_of(form.tags), words_of(form.cards))
        _revise(books, who, person_id, form.seen, wanted=wanted)

    return await changed(request, person_id, change, "details", form.model_dump())


@router.post("/people/{person_id}/access")
@allowed(*ENROLLERS)
async def access(request: Request, person_id: str, form: Annotated[AccessForm, Form()]) -> Response:
    """Change what a person may do."""
    who = who_is(request)

    def change(books: Books) -> None:
        zone, there = zone_of(books), set(static_groups(books))

        def wanted(subject: Subject) -> Subject:
            return replace(
                subject,
                status=_status(who, form.status),
                factor=_factor(form.factor),
                valid_from=_bound(form.valid_from, "valid from", zone, ends=False),
                valid_until=_bound(form.valid_until, "valid until", zone, ends=True),
                groups=frozenset(form.groups) & there,
                always=form.always == "yes",
                extended=form.extended == "yes",
            )

        _revise(books, who, person_id, form.seen, wanted=Change(), access=wanted)

    return await changed(request, person_id, change, "access", form.model_dump())


@router.post("/people/{person_id}/pin")
@allowed(*ENROLLERS)
async def pin(request: Request, person_id: str, form: Annotated[PinForm, Form()]) -> Response:
    """Give a person a PIN or a duress PIN, or take it away."""
    who, duress, removed = who_is(request), form.duress == "yes", form.remove == "yes"

    def change(books: Books) -> None:
        changeable(books, who, person_id)
        if not removed and form.pin != form.again:
            raise RefusedError("the two PINs are not the same; nothing was changed")
        acting, log, people = actor_of(who), books.audit, books.gallery
        if removed:
            remove_pin(people, log, person_id, duress=duress, actor=acting, method=METHOD)
        else:
            set_pin(people, log, person_id, form.pin, duress=duress, actor=acting, method=METHOD)

    return await changed(request, person_id, change, "pin", {}, done="nopin" if removed else "pin")


@router.post("/people/{person_id}/references/{reference_id}/forget")
@allowed(*ENROLLERS)
async def forget(request: Request, person_id: str, reference_id: str) -> Response:
    """Erase one view of a person."""
    who = who_is(request)

    def change(books: Books) -> None:
        changeable(books, who, person_id)
        if reference_id not in {one.reference_id for one in books.gallery.references(person_id)}:
            raise RefusedError(f"this person has no view {reference_id!r:.40}")
        forget_reference(books.gallery, books.audit, reference_id, actor=actor_of(who), method=METHOD)

    return await changed(request, person_id, change, "references", {}, done="forgotten")


@router.get("/people/{person_id}/erase")
@allowed(*ENROLLERS)
async def ask(request: Request, person_id: str) -> Response:
    """Ask whether somebody is to be erased, or their consent withdrawn."""
    who = who_is(request)
    one = await rooms_of(request).books.run(lambda books: changeable(books, who, person_id))
    return page(request, "erase.html", one=one)


@router.post("/people/{person_id}/withdraw")
@allowed(*ENROLLERS)
async def withdraw(request: Request, person_id: str, sure: Line = "") -> Response:
    """Erase a person's face, once it was said twice; they stay enrolled."""
    who = who_is(request)

    def change(books: Books) -> None:
        changeable(books, who, person_id)
        _demand_sure(sure)
        withdraw_consent(books.gallery, books.audit, person_id, actor=actor_of(who), method=METHOD)

    return await changed(request, person_id, change, "consent", {}, done="withdrawn")


@router.post("/people/{person_id}/erase")
@allowed(*ENROLLERS)
async def erase(request: Request, person_id: str, sure: Line = "") -> Response:
    """Erase a person, once it was said twice, and show the receipt."""
    who = who_is(request)

    def change(books: Books) -> None:
        changeable(books, who, person_id)
        _demand_sure(sure)
        remove(books.gallery, books.audit, person_id, actor=actor_of(who), method=METHOD)
        with Ledger(books.installation.ledger_file) as ledger:
            ledger.forget(person_id)

    refused = await rooms_of(request).books.run(lambda books: tried(books, change, person_id))
    if refused:
        return await shown(request, person_id, status=HTTPStatus.CONFLICT, problem=refused, of="consent")
    return see_other(f"/receipts/{person_id}")


@router.get("/receipts/{person_id}")
@allowed(*ENROLLERS)
async def receipt(request: Request, person_id: str) -> Response:
    """Show that somebody was erased, for them to keep: it names nobody."""

    def read(books: Books) -> tuple[list[datetime], list[str]]:
        graves = [one.erased_at for one in books.gallery.tombstones() if one.person_id == person_id]
        entries = books.audit.naming(person_id) if graves else iter(())
        return graves, [one.event.detail for one in entries if one.event.event_type is EventType.ERASED]

    graves, entries = await rooms_of(request).books.run(read)
    if not graves:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return page(request, "receipt.html", person_id=person_id, at=graves[-1], entries=entries)


@router.post("/people/{person_id}/export")
@allowed(Role.ADMIN)
async def export(request: Request, person_id: str) -> Response:
    """Hand out everything that is held of a person, as a ZIP file."""
    who = who_is(request)

    def pack(books: Books) -> bytes:
        known(books, person_id)
        file = books.installation
        with PassBook(file.gallery_file) as passes, Ledger(file.ledger_file) as ledger:
            sources = Sources(books.gallery, passes, ledger, books.audit)
            return packed(sources, person_id, actor=actor_of(who), method=METHOD)

    made = await rooms_of(request).books.run(pack)
    named = {"Content-Disposition": f'attachment; filename="person-{person_id}.zip"'}
    return Response(made, media_type="application/zip", headers=named)


async def changed(
    request: Request,
    person_id: str,
    change: Callable[[Books], None],
    of: str,
    typed: dict[str, Any],
    *,
    done: str = "saved",
) -> Response:
    """Carry out a change, and show the person; where it was refused, with what was typed and why."""
    refused = await rooms_of(request).books.run(lambda books: tried(books, change, person_id))
    if not refused:
        return see_other(f"/people/{person_id}?done={done}")
    return await shown(request, person_id, status=HTTPStatus.CONFLICT, problem=refused, of=of, typed=typed)


def _revise(
    books: Books,
    who: Who,
    person_id: str,
    seen: str,
    *,
    wanted: Change,
    access: Callable[[Subject], Subject] = lambda subject: subject,
) -> None:
    """Change a person who is as they were at the time `seen`. Raises RefusedError, and ChangedMeanwhileError."""

    def check() -> None:
        changeable(books, who, person_id)
        demand_unchanged(books.gallery, person_id, seen)

    revise(books.gallery, books.audit, person_id, wanted, access, check=check, actor=actor_of(who), method=METHOD)


def _demand_sure(sure: str) -> None:
    if sure != "yes":
        raise RefusedError("this cannot be undone; tick that you want it")


def _status(who: Who, text: str) -> Status:
    if text not in set(Status):
        raise RefusedError(f"status {text!r:.40} is none")
    if text == Status.DENY_LISTED and who.role is not Role.ADMIN:
        raise NotAllowedError("the deny list is for administrators")
    return Status(text)


def _factor(text: str) -> FactorPolicy:
    if text not in set(FactorPolicy):
        raise RefusedError(f"factor {text!r:.40} is none")
    return FactorPolicy(text)


def _bound(text: str, name: str, zone: ZoneInfo | None, *, ends: bool) -> datetime | None:
    if not text.strip():
        return None
    try:
        return instant(text.strip(), zone, ends=ends)
    except ValueError as fault:
        raise RefusedError(f"{name} is {text!r:.40}; {fault}") from fault
