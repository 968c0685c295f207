"""The overview: who waits before the door, how the appliance is, and what has happened last; live where scripts run."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response, StreamingResponse

from appliance.broker_trust import WORDS, Trust
from appliance.commands.ticket_words import REFUSALS
from appliance.contract import TOPIC_ROLES, VERB_ROLES, EventType, Reason, Role, Topic
from appliance.errors import RefusedError
from appliance.records import Flaw
from appliance.web.admin.door import in_words
from appliance.web.admin.entries import Shown, shown
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.reader import ReaderAwayError
from appliance.web.rooms import rooms_of, stopping_of
from appliance.web.wording import FLAWS, REASONS, begun, voice_in_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.web.accounts import Who
    from appliance.web.books import Books

router = APIRouter()

EVERY_S = 1.0  # so often the reader is asked, however many look at the page
STREAM_S = 60.0  # then the browser asks anew, and is let in anew
_EVENTS = 10
_ASKED = VERB_ROLES["approve"]
_TOLD = TOPIC_ROLES[Topic.APPROVAL_REQUEST]
_HEARS = TOPIC_ROLES[Topic.EVENT]
_NAMES = frozenset({Role.ENROLLER, Role.ADMIN})  # who may know who came in


@dataclass(frozen=True, slots=True)
class Asked:
    """One open ticket, in words."""

    ticket_id: str
    reason: str
    candidates: tuple[tuple[str, str], ...]  # person id and name of whoever it may be, most alike first
    liveness: str
    quality: str
    flaws: tuple[str, ...]
    round: int
    waits_for: str  # what is still needed; "" for one approval
    expires_at: datetime
    picture: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows."""

    away: str  # why nothing live is known; "" where it is
    status: dict[str, Any]  # of the verb `status`; {} where the reader is away
    health: tuple[tuple[str, str, str], ...]  # what, how it is, and the tone of that
    tickets: tuple[Asked, ...]
    events: tuple[Shown, ...]  # newest first

    @property
    def blind(self) -> str:
        """What is wrong with the camera; "" for nothing, or where that is not known."""
        camera = str(self.status.get("camera", "ok"))
        return "" if camera == "ok" else camera

    @property
    def mark(self) -> str:
        """What differs where the page does, but for time that goes by."""
        door = {**self.status.get("door", {}), "for_s": None}
        told = (self.away, door, self.health, self.tickets, self.events)
        return hashlib.sha256(repr(told).encode()).hexdigest()


@router.get("/")
@allowed(*Role)
async def overview(request: Request) -> Response:
    """Show the overview."""
    now, role = await _now(request), who_is(request).role
    return page(
        request,
        "home.html",
        now=now,
        door=in_words(now.status.get("door", {})),
        answers=role in _ASKED,
        told=role in _TOLD,
        hears=role in _HEARS,
        names=role in _NAMES,
        at=datetime.now(UTC),
    )


@router.get("/overview/changes")
@allowed(*Role)
async def changes(request: Request) -> Response:
    """Tell, as server-sent events, that the overview is no longer what it was; what it is now the page itself says."""
    return StreamingResponse(_changes(request), media_type="text/event-stream")


@router.get("/tickets/{ticket_id}/picture")
@allowed(*TOPIC_ROLES[Topic.APPROVAL_IMAGE])
async def picture(request: Request, ticket_id: str) -> Response:
    """Show the visitor of an open ticket, every other face covered."""
    asked = {"verb": "ticket.image", "role": who_is(request).role, "ticket_id": ticket_id[:63]}
    said = await rooms_of(request).reader.ask(asked)
    return Response(base64.b64decode(said["image"]), media_type="image/jpeg")


@router.post("/tickets/{ticket_id}/{verb}")
@allowed(*_ASKED)
async def answer(request: Request, ticket_id: str, verb: str, text: Annotated[str, Form()] = "") -> Response:
    """Approve, deny, have the visitor look again, or say something to them."""
    if verb not in {"approve", "deny", "again", "say"}:
        return page(request, "fault.html", status=HTTPStatus.NOT_FOUND, title="Not found", line="")
    args = {"ticket_id": ticket_id} | ({"text": text} if verb == "say" else {})
    try:
        await rooms_of(request).reader.do(who_is(request), verb, **args)
    except RefusedError as refusal:
        words = {**REFUSALS, "already_answered": "somebody else has answered already"}
        raise RefusedError(words.get(str(refusal), str(refusal))) from refusal
    finally:
        _live_of(request).forget()
    return see_other("/")


async def _changes(request: Request) -> AsyncIterator[str]:
    began, mark, who = time.monotonic(), "", who_is(request)
    stopping, rooms = stopping_of(request), rooms_of(request)
    while time.monotonic() < began + STREAM_S and not stopping():
        if not await rooms.accounts.run(lambda accounts: accounts.holds(who)):
            return  # whoever has signed out, or was put out, hears no more
        now = (await _now(request)).mark
        yield f"event: mark\ndata: {now}\n\n" if now != mark else ": unchanged\n\n"
        mark = now
        await asyncio.sleep(EVERY_S)


async def _now(request: Request) -> Overview:
    who, rooms = who_is(request), rooms_of(request)
    live = await _live_of(request).of(request, who)
    ids = {one for ticket in live.tickets for one in ticket["candidates"]}

    def read(books: Books) -> Overview:
        found = {one: books.gallery.person(one) for one in ids}
        names = {one: person.name for one, person in found.items() if person is not None}
        tickets = tuple(_in_words(ticket, names) for ticket in live.tickets)
        health = _health(live.status, mqtt=books.installation.settings.mqtt.enabled)
        return Overview(live.away, live.status, health, tickets, _lately(books, who))

    return await rooms.books.run(read)


def _health(status: dict[str, Any], *, mqtt: bool) -> tuple[tuple[str, str, str], ...]:
    if not status:
        return ()
    camera, joined, trust = status["camera"] == "ok", status["controller"] == "ok", Trust(status["broker"])
    broker = ("Connected", "good") if trust is Trust.GOOD else (f"The broker {WORDS[trust]}", "warn")
    return (
        ("Camera", "Sees" if camera else "Not relied on", "good" if camera else "bad"),
        ("Door controller", "Connected" if joined else "Not connected", "good" if joined else "bad"),
        ("Broker", *(broker if mqtt else ("Not used", ""))),
        ("Face alone", begun(str(status["face_only"])), ""),
        ("Faces in use", f"{status['references']:,}", ""),
    )


def _lately(books: Books, who: Who) -> tuple[Shown, ...]:
    if who.role not in _HEARS:
        return ()
    head = books.audit.head().seq
    entries = list(books.audit.read(max(0, head - 2 * _EVENTS)))[::-1]
    # Whoever forces somebody to come in may see this page: an entry under duress is told to no screen.
    listed = [shown(entry) for entry in entries if entry.event.event_type is not EventType.DURESS][:_EVENTS]
    return tuple(_named(books, one) if who.role in _NAMES else one for one in listed)


def _named(books: Books, one: Shown) -> Shown:
    if not one.person_id:
        return one
    person = books.gallery.person(one.person_id)
    return replace(one, who="Somebody erased", person_id="") if person is None else replace(one, who=person.name)


def _in_words(ticket: dict[str, Any], names: dict[str, str]) -> Asked:
    approved = [voice_in_words(one) for one in ticket["approved_by"]]
    two = "two must approve" + (f"; {', '.join(approved)} did" if approved else "")
    return Asked(
        ticket["ticket_id"],
        REASONS[Reason(ticket["reason"])],
        tuple((one, names.get(one, "")) for one in ticket["candidates"]),
        {"live": "Living", "uncertain": "Not certain", "attack": "A picture or mask is suspected"}[ticket["liveness"]],
        {"low": "Poor view", "medium": "Fair view", "high": "Good view"}[ticket["quality"]],
        tuple(FLAWS[Flaw(one)] for one in ticket["flaws"]),
        ticket["round"],
        two if ticket["approvals"] > 1 else "",
        datetime.fromisoformat(ticket["expires_at"]),
        ticket["image"] is not None,
    )


@dataclass(frozen=True, slots=True)
class _Live:
    away: str
    status: dict[str, Any]
    tickets: tuple[dict[str, Any], ...]


class _Lives:
    """What the reader says, by role, asked at most once in `EVERY_S` seconds. Belongs to the event loop."""

    def __init__(self) -> None:
        self._said: dict[Role | None, tuple[float, _Live]] = {}
        self._turn = asyncio.Lock()

    def forget(self) -> None:
        """Ask anew the next time."""
        self._said.clear()

    async def of(self, request: Request, who: Who) -> _Live:
        async with self._turn:
            at, live = self._said.get(who.role, (0.0, None))
            if live is None or time.monotonic() >= at + EVERY_S:
                live = await _ask(request, who)
                self._said[who.role] = (time.monotonic(), live)
            return live


def _live_of(request: Request) -> _Lives:
    state = request.app.state
    if not hasattr(state, "lives"):
        state.lives = _Lives()
    lives: _Lives = state.lives
    return lives


async def _ask(request: Request, who: Who) -> _Live:
    reader = rooms_of(request).reader
    try:
        status = await reader.do(who, "status")
        told = who.role in _TOLD
        listed = (await reader.ask({"verb": "ticket.list", "role": who.role}))["tickets"] if told else []
    except ReaderAwayError as fault:
        return _Live(str(fault), {}, ())
    return _Live("", status, tuple(listed))
