"""The audit page: every entry, whether the chain holds, and the log to take away."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from appliance.audit import Head, Sought, as_payload
from appliance.contract import EventType, Role
from appliance.drivers import qr
from appliance.errors import UsageError
from appliance.web.admin.entries import Shown, day_bounds, shown
from appliance.web.guard import allowed
from appliance.web.pages import page
from appliance.web.rooms import rooms_of
from appliance.web.wording import EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.audit import Verdict
    from appliance.commands.options import Installation
    from appliance.web.books import Books

router = APIRouter()

_READERS = (Role.AUDITOR, Role.ADMIN)
_SHOWN = 50
_LOOKED_AT = 20_000  # entries at once, about 70 ms; a link looks further back
_PAGE = 500

Word = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Found:
    """Some entries, and where to go on."""

    rows: list[Shown]
    head: Head
    before: int  # of the next page; 0 where everything was looked at
    searched: bool  # whether that page is a search on, not one of more that were found


@router.get("/audit")
@allowed(*_READERS)
async def audit(
    request: Request,
    kind: Word = "",
    text: Word = "",
    day: Word = "",
    before: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """Show entries, newest first."""
    sought, until = _sought(kind, text.strip()), day_bounds(day, "the day", ends=True)
    found = await rooms_of(request).books.run(lambda books: _find(books, sought, until, before))
    return page(
        request,
        "audit.html",
        found=found,
        asked={"kind": kind, "text": text.strip(), "day": day},
        query=urlencode({"kind": kind, "text": text.strip(), "day": day}),
        kinds={one.value: EVENTS[one] for one in EventType},
    )


@router.post("/audit/verify")
@allowed(*_READERS)
async def verify(request: Request) -> Response:
    """Read the whole chain, and say whether it holds."""
    began_s = time.monotonic()
    verdict = await asyncio.to_thread(_verify, rooms_of(request).installation)
    head = f"{verdict.head.seq}:{verdict.head.hash}"
    return page(
        request,
        "audit_verdict.html",
        verdict=verdict,
        took_s=time.monotonic() - began_s,
        head=head,
        code=_drawn(head),
    )


@router.get("/audit.jsonl")
@allowed(*_READERS)
async def export(request: Request, after: Annotated[int, Query(ge=0, le=2**53)] = 0) -> Response:
    """Hand out the log, one JSON object a line, oldest first, as `ostiary audit show --json` does."""
    day = datetime.now(UTC).date()
    name = f"audit-{rooms_of(request).installation.settings.device.id}-{day}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(request, after), 200, headers, "application/jsonl")


def _sought(kind: str, text: str) -> Sought:
    try:
        return Sought((EventType(kind),) if kind else (), text=text)
    except ValueError as fault:
        raise UsageError(f"there is no {str(fault)[:80]}") from fault


def _find(books: Books, sought: Sought, until: datetime | None, before: int) -> Found:
    log, head = books.audit, books.audit.head()
    below = head.seq + 1 if until is None else log.first_since(until)
    below = min(below, before) if before else below
    above = max(0, below - 1 - _LOOKED_AT)
    entries = log.newest(sought, _SHOWN + 1, above=above, below=below)
    rows = [shown(entry) for entry in entries[:_SHOWN]]
    more = len(entries) > _SHOWN
    return Found(rows, head, rows[-1].seq if more else above + 1 if above else 0, searched=not more)


def _verify(installation: Installation) -> Verdict:
    with installation.open_audit() as log:  # a connection of its own: the others need not wait
        return log.verify()


async def _lines(request: Request, after: int) -> AsyncIterator[str]:
    books = rooms_of(request).books
    while page_ := await books.run(partial(_read, after)):
        yield "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in page_)
        after = page_[-1]["seq"]


def _read(after: int, books: Books) -> list[dict[str, Any]]:
    return [as_payload(entry) for entry in books.audit.read(after, _PAGE)]


def _drawn(text: str) -> tuple[int, str]:
    """Return the side of a QR code of the text, in modules, and the path that draws its dark ones."""
    dark = qr.modules(text)
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(dark.tolist()) for x, one in enumerate(row) if one)
    return int(dark.shape[0]), path
