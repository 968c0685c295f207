"""The explain page: whether and why somebody would get in, check by check."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.access.subject import Factor
from appliance.access.verdict import Allowed, Refused
from appliance.contract import VERB_ROLES, Role
from appliance.errors import RefusedError, UsageError
from appliance.explaining import explained
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.explaining import Explained

router = APIRouter()

_READERS = (Role.OPERATOR, Role.ENROLLER, Role.AUDITOR, Role.ADMIN)
_TONES = {"yes": "good", "no": "bad", "asks": "warn"}

Line = Annotated[str, Form(max_length=200)]


@router.get("/explain")
@allowed(*_READERS)
async def ask(request: Request) -> Response:
    """Ask about whom."""
    return _page(request, dict.fromkeys(("person", "at", "pin", "lockdown"), ""))


@router.post("/explain")  # a name does not stand in an address
@allowed(*_READERS)
async def answer(request: Request, person: Line, at: Line = "", pin: Line = "", lockdown: Line = "") -> Response:
    """Say whether they would get in."""
    asked = {"person": person, "at": at, "pin": pin, "lockdown": lockdown}
    shown = frozenset({Factor.PIN}) if pin else frozenset[Factor]()
    try:
        found = await asyncio.to_thread(
            explained,
            rooms_of(request).installation,
            person.strip(),
            at.strip() or None,
            shown,
            in_lockdown=bool(lockdown),
            named=_sees_names(request),
        )
    except (RefusedError, UsageError) as fault:
        return _page(request, asked, line=str(fault))
    return _page(request, asked, found)


def _page(request: Request, asked: dict[str, str], found: Explained | None = None, line: str = "") -> Response:
    head, checks, tone = "", [], ""
    if found is not None:
        head = found.lines[0]
        checks = [(_mark(one), _TONES[_mark(one)], one[6:].strip()) for one in found.lines[1:]]
        tone = "good" if isinstance(found.verdict, Allowed) else "bad" if isinstance(found.verdict, Refused) else "warn"
    return page(
        request,
        "explain.html",
        status=422 if line else 200,
        asked=asked,
        line=line,
        head=head,
        tone=tone,
        checks=checks,
        names=_sees_names(request),
    )


def _mark(line: str) -> str:
    """Return the mark at the beginning of a check: yes, no or asks."""
    return line.split(maxsplit=1)[0]


def _sees_names(request: Request) -> bool:
    return who_is(request).role in VERB_ROLES["person.list"]
