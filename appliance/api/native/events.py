"""Events: what happened, page by page and as it happens, and whether the record of it is whole."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from appliance.api.native.routes import EVENT_STREAM, answers_with, for_roles, router
from appliance.api.native.shapes import Answer
from appliance.audit import Sought, as_payload
from appliance.contract import TOPIC_ROLES, VERB_ROLES, EventType, Reason, Topic
from appliance.messages import EventMessage
from appliance.web.desk import BusyError
from appliance.web.guard import who_is
from appliance.web.places import Places
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from appliance.commands.options import Installation
    from appliance.records import AuditEvent
    from appliance.web.accounts import Who
    from appliance.web.books import Books
    from appliance.web.rooms import Rooms

api = router("events")

LOOK_S = 0.25  # how long an event waits for whoever listens
BEAT_S = 15.0  # so often a stream says that it is there: proxies end what is silent
LOOKED_AT = 20_000  # entries for one answer, so that a search holds up nobody else for long
AT_ONCE = 100  # entries read at a time
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_listening = Places(8)
_verifying = Places(1)


class Asked(BaseModel):
    """Which events are asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    after: Annotated[int | None, Field(ge=0, le=2**53, description="only above this number, oldest first")] = None
    before: Annotated[int | None, Field(ge=1, le=2**53, description="only below this number, newest first")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    type: Annotated[tuple[EventType, ...], Field(max_length=50, description="any of these")] = ()
    reason: Reason | None = None
    person: Annotated[str, Field(max_length=63, description="id that stands in the entry")] = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class Events(Answer):
    """Some of what happened: oldest first with `after`, newest first without.

    One answer looks at 20,000 entries: it may hold fewer than were asked for, or none, and `next` where to go on.
    """

    events: tuple[EventMessage, ...]
    next: Annotated[int | None, Field(description="`after`, or `before`, of the next page; none at the end")]


class AuditHead(Answer):
    """The newest entry of the audit log, to be remembered elsewhere."""

    seq: int
    hash: str


class AuditVerdict(Answer):
    """What a reading of the whole chain showed."""

    ok: bool
    count: Annotated[int, Field(description="entries that hold, from the first")]
    head: AuditHead
    first_bad: int | None
    why: str
    clock_set_back: Annotated[tuple[int, ...], Field(description="entries before which the clock was set back")]


class Listening(StreamingResponse):
    """A stream, which has one of a few places for as long as it lasts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Raises BusyError, before anything is sent, where all places are taken."""
        with _listening.one():
            await super().__call__(scope, receive, send)


@api.get("/events")
@for_roles(VERB_ROLES["feed"])
async def events(request: Request, asked: Annotated[Asked, Query()]) -> Events:
    """Tell events: above `after` oldest first, else the newest first."""

    def look(books: Books) -> Events:
        found, following = _oldest(books, asked) if asked.after is not None else _newest(books, asked)
        return Events(events=tuple(EventMessage.model_validate(as_payload(one)) for one in found), next=following)

    return await rooms_of(request).books.run(look)


@api.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses=answers_with(EVENT_STREAM, "EventMessage in each data line"),
)
@for_roles(TOPIC_ROLES[Topic.EVENT])
async def stream(
    request: Request,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,15}$", description="go on above this number; for auditors")
    ] = None,
) -> StreamingResponse:
    """Tell events as they happen, one server-sent event each: `id` is its number, `event` its type, `data` its JSON.

    Who may read the record can go on where a stream broke off; all others hear what happens from now on.
    """
    rooms, who = rooms_of(request), who_is(request)
    reads = who.role in VERB_ROLES["feed"]
    after = await rooms.books.run(lambda books: books.audit.head().seq)
    if last_event_id is not None and reads:
        after = min(after, int(last_event_id))
    return Listening(_told(rooms, who, after), media_type=EVENT_STREAM)


@api.get("/audit/head")
@for_roles(VERB_ROLES["audit.head"])
async def head(request: Request) -> AuditHead:
    """Tell the head of the audit log, to be remembered elsewhere."""
    found = await rooms_of(request).books.run(lambda books: books.audit.head())
    return AuditHead(seq=found.seq, hash=found.hash)


@api.get("/audit/verify")
@for_roles(VERB_ROLES["audit.head"])
async def verify(request: Request) -> AuditVerdict:
    """Read the whole chain, and name the first entry that does not hold; one reading at a time."""
    with _verifying.one():
        return await asyncio.to_thread(_verified, rooms_of(request).installation)


def _verified(installation: Installation) -> AuditVerdict:
    with installation.open_audit() as audit:  # in a thread of its own: the books are not held up meanwhile
        found = audit.verify()
    return AuditVerdict(
        ok=found.ok,
        count=found.count,
        head=AuditHead(seq=found.head.seq, hash=found.head.hash),
        first_bad=found.first_bad,
        why=found.why,
        clock_set_back=found.steps_back,
    )


def _oldest(books: Books, asked: Asked) -> tuple[tuple[AuditEvent, ...], int | None]:
    """Return events above a number, oldest first, and after which to go on; None at the end."""
    above, below = _bounds(books, asked)
    start = max(above, asked.after or 0)
    end = min(below, start + LOOKED_AT + 1)
    found = books.audit.oldest(_sought(asked), asked.limit, above=start, below=end)
    if len(found) == asked.limit:
        return found, found[-1].seq
    return found, end - 1 if end < below else None


def _newest(books: Books, asked: Asked) -> tuple[tuple[AuditEvent, ...], int | None]:
    """Return events, newest first, and below which number to go on; None at the end."""
    above, below = _bounds(books, asked)
    floor = max(above, below - 1 - LOOKED_AT)
    found = books.audit.newest(_sought(asked), asked.limit, above=floor, below=below)
    if len(found) == asked.limit:
        return found, found[-1].seq
    return found, floor + 1 if floor > above else None


def _bounds(books: Books, asked: Asked) -> tuple[int, int]:
    """Return between which two numbers, both exclusive, everything that is asked for lies."""
    audit, ends = books.audit, [books.audit.head().seq + 1]
    above = 0 if asked.since is None else audit.first_since(_within(asked.since)) - 1
    if asked.until is not None:
        ends.append(audit.first_since(_within(asked.until)))
    if asked.before is not None:
        ends.append(asked.before)
    return above, min(ends)


def _within(at: datetime) -> datetime:
    """Return the time, or the nearest in which there can be entries: the first and last years have no UTC."""
    return min(max(at, _FIRST), _LAST)


def _sought(asked: Asked) -> Sought:
    return Sought(asked.type, asked.reason, asked.person)


async def _told(rooms: Rooms, who: Who, after: int) -> AsyncIterator[str]:
    yield ": here\n\n"
    beat_s = time.monotonic() + BEAT_S
    while await rooms.accounts.run(lambda accounts: accounts.holds(who)):  # from then on nobody listens
        for entry in await _next(rooms, after):
            after = entry.seq
            said = EventMessage.model_validate(as_payload(entry)).model_dump_json()
            yield f"id: {entry.seq}\nevent: {entry.event.event_type}\ndata: {said}\n\n"
        if time.monotonic() >= beat_s:
            yield ": still here\n\n"
            beat_s = time.monotonic() + BEAT_S
        await asyncio.sleep(LOOK_S)


async def _next(rooms: Rooms, after: int) -> list[AuditEvent]:
    try:
        return await rooms.books.run(lambda books: list(books.audit.read(after, AT_ONCE)))
    except BusyError:  # the next look tells
        return []
