"""The attempts page: who came to the door and what became of it, visit by visit, with ids and never a picture."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from appliance.audit import Sought
from appliance.contract import VERB_ROLES, EventType, Reason, Role
from appliance.errors import UsageError
from appliance.web.admin.entries import Shown, day_bounds, shown
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.rooms import rooms_of
from appliance.web.wording import EVENTS, REASONS, tone_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.commands.options import Installation
    from appliance.records import AuditEvent
    from appliance.web.books import Books

router = APIRouter()

_READERS = (Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
_KINDS = (
    *(EventType.ACCESS_GRANTED, EventType.ACCESS_DENIED, EventType.SPOOF_SUSPECTED, EventType.TAILGATING_SUSPECTED),
    *(EventType.GRANTED_NOT_ENTERED, EventType.APPROVAL_REQUESTED, EventType.APPROVAL_GRANTED),
    *(EventType.APPROVAL_DENIED, EventType.APPROVAL_EXPIRED, EventType.BELL),
)
_SHOWN = 60
_DAYS = 7  # that are shown where nothing else is asked for
_LOOKED_AT = 30_000  # entries of the log, a month at a busy door
_PAGE = 500
_COLUMNS = ("seq", "at", "event_type", "reason", "presentation_id", "ticket_id", "person_id")

Word = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for; "" does not matter."""

    kind: str = ""
    reason: str = ""
    person: str = ""
    first: str = ""  # day
    last: str = ""

    def sought(self) -> Sought:
        """Return it as the log is asked. Raises UsageError for a word that is none of the contract."""
        try:
            kinds = (EventType(self.kind),) if self.kind else _KINDS
            reason = Reason(self.reason) if self.reason else None
        except ValueError as fault:
            raise UsageError(f"there is no {str(fault)[:80]}") from fault
        if self.kind and kinds[0] not in _KINDS:
            raise UsageError(f"{self.kind} is nothing that a visitor does; the audit log has it")
        return Sought(kinds, reason, self.person)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    visits: list[list[Shown]]
    names: dict[str, str]  # of people by id; {} where whoever asks may see none
    before: int  # of the next page; 0 for none
    above: int  # what was looked at lies between these two entries
    below: int
    cut: bool  # whether there is more in these days than was looked at


@router.get("/attempts")
@allowed(*_READERS)
async def attempts(
    request: Request,
    *,
    kind: Word = "",
    reason: Word = "",
    person: Word = "",
    first: Word = "",
    last: Word = "",
    before: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """Show visits, newest first."""
    asked = Asked(kind, reason, person.strip(), first, last)
    sought, since, until = asked.sought(), *_days(asked)
    sees_names = who_is(request).role in VERB_ROLES["person.list"]
    rooms = rooms_of(request)
    found = await rooms.books.run(lambda books: _find(books, sought, since, until, before, names=sees_names))
    counted = await asyncio.to_thread(_counted, rooms.installation, sought, found)
    words = {name: getattr(asked, name) for name in Asked.__slots__}
    return page(
        request,
        "attempts.html",
        asked=asked,
        found=found,
        counts=counted,
        since=since.astimezone(),
        kinds={one.value: EVENTS[one] for one in _KINDS},
        reasons={one.value: REASONS[one] for one in Reason},
        query=urlencode(words),
        days=_DAYS,
    )


@router.get("/attempts.csv")
@allowed(*_READERS)
async def table(
    request: Request, *, kind: Word = "", reason: Word = "", person: Word = "", first: Word = "", last: Word = ""
) -> Response:
    """Hand out what was found as a table, oldest last, with ids alone."""
    asked = Asked(kind, reason, person.strip(), first, last)
    sought, since, until = asked.sought(), *_days(asked)
    headers = {"Content-Disposition": 'attachment; filename="attempts.csv"'}
    return StreamingResponse(_rows(request, sought, since, until), 200, headers, "text/csv; charset=utf-8")


def _days(asked: Asked) -> tuple[datetime, datetime | None]:
    until = day_bounds(asked.last, "the last day", ends=True)
    since = day_bounds(asked.first, "the first day") or (until or datetime.now(UTC)) - timedelta(days=_DAYS)
    return since, until


def _bounds(books: Books, since: datetime, until: datetime | None, before: int) -> tuple[int, int, bool]:
    """Return between which entries to look, and whether that leaves out older ones of these days."""
    log = books.audit
    below = log.head().seq + 1 if until is None else log.first_since(until)
    below = min(below, before) if before else below
    above = log.first_since(since) - 1
    return max(above, below - _LOOKED_AT), below, above < below - _LOOKED_AT


def _find(books: Books, sought: Sought, since: datetime, until: datetime | None, before: int, *, names: bool) -> Found:
    above, below, cut = _bounds(books, since, until, before)
    entries = books.audit.newest(sought, _SHOWN + 1, above=above, below=below)
    rows = [shown(entry) for entry in entries[:_SHOWN]]
    visits = [list(group) for _, group in groupby(rows, lambda row: row.visit or row.seq)]
    people = {row.person_id for row in rows if row.person_id} if names else set[str]()
    known = {person_id: books.gallery.person(person_id) for person_id in people}
    return Found(
        visits,
        {person_id: person.name for person_id, person in known.items() if person is not None},
        rows[-1].seq if len(entries) > _SHOWN else 0,
        above,
        below,
        cut,
    )


def _counted(installation: Installation, sought: Sought, found: Found) -> list[dict[str, Any]]:
    """Return how often each thing happened, on a connection of its own: whoever wants the books need not wait."""
    with installation.open_audit() as log:
        counted = log.counts(sought, above=found.above, below=found.below)
    most = max(counted.values(), default=1)
    return [
        {
            "event": EVENTS[EventType(kind)],
            "tone": tone_of(EventType(kind)),
            "reason": REASONS[Reason(reason)] if reason else "",
            "count": count,
            "share": round(100 * count / most, 1),
        }
        for (kind, reason), count in sorted(counted.items(), key=lambda one: -one[1])
    ]


async def _rows(request: Request, sought: Sought, since: datetime, until: datetime | None) -> AsyncIterator[str]:
    books = rooms_of(request).books
    above, below, _ = await books.run(lambda books: _bounds(books, since, until, 0))
    yield _line(_COLUMNS)
    while True:
        entries = await books.run(partial(_some, sought, above, below))
        if not entries:
            return
        for entry in entries:
            row, event = shown(entry), entry.event
            at = event.at.astimezone(UTC).isoformat(timespec="seconds")
            yield _line((str(row.seq), at, row.kind, event.reason or "", row.visit, row.ticket, row.person_id))
        below = entries[-1].seq


def _some(sought: Sought, above: int, below: int, books: Books) -> tuple[AuditEvent, ...]:
    return books.audit.newest(sought, _PAGE, above=above, below=below)


def _line(cells: tuple[str, ...]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()
