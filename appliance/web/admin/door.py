"""The door page: how it stands and what that means, what an operator may do to it, and what it did lately."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import Response  # noqa: TC002 - FastAPI reads it

from appliance.audit import Sought
from appliance.contract import VERB_ROLES, Alarm, EventType, LockState, Mode, Phase, Role
from appliance.errors import UsageError
from appliance.web.admin.entries import Shown, shown
from appliance.web.guard import allowed, who_is
from appliance.web.pages import page, see_other
from appliance.web.reader import ReaderAwayError
from appliance.web.rooms import rooms_of
from appliance.web.wording import ALARMS, LOCKS, MODES, PHASE_TONES, PHASES, voice_in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.web.books import Books

router = APIRouter()

_OPERATORS = VERB_ROLES["open"]
_SHOWN = 12
_LOOKED_AT = 10_000  # entries of the log, so that a quiet door is no long search
HOLDS = MappingProxyType(
    {600: "10 minutes", 3600: "1 hour", 4 * 3600: "4 hours", 8 * 3600: "8 hours", 24 * 3600: "24 hours"}
)
_KINDS = (
    *(EventType.REX, EventType.REMOTE_UNLOCK, EventType.DOOR_OPENED, EventType.DOOR_CLOSED, EventType.DOOR_LOCKED),
    *(EventType.DOOR_UNLOCKED, EventType.GRANTED_NOT_ENTERED, EventType.FORCED_OPEN, EventType.FORCED_OPEN_CLEARED),
    *(EventType.HELD_OPEN_WARNING, EventType.HELD_OPEN, EventType.HELD_OPEN_CLEARED, EventType.TAMPER),
    *(EventType.TAMPER_CLEARED, EventType.FIRE_RELEASE, EventType.FIRE_CLEARED, EventType.LOCKDOWN),
    *(EventType.LOCKDOWN_CLEARED, EventType.TAILGATING_SUSPECTED, EventType.BELL),
)
_MEANING: Mapping[Phase, str] = MappingProxyType(
    {
        Phase.SECURE: "Whoever is recognised and has a right is let in.",
        Phase.UNLOCKED: "Anybody can open it now.",
        Phase.OPEN: "Somebody is going through.",
        Phase.OPEN_WARNING: "It warns, and an alarm follows if it is not closed.",
        Phase.HELD_OPEN: "It stands open for too long. The alarm ends when it is closed.",
        Phase.FORCED: "It was opened although nobody was let in. Look there; then close it and acknowledge.",
        Phase.RELEASED: "The fire alarm has released it. It stays so until an operator locks it again.",
        Phase.LOCKDOWN: "Nobody is let in but the group that may pass a lockdown. The way out works.",
    }
)
_RELEASES: Mapping[str, str] = MappingProxyType(
    {
        "operator": "End the hold",
        "lockdown": "End the lockdown",
        "fire": "Lock again after the fire alarm",
        "forced": "Acknowledge the forced opening",
    }
)


@router.get("/door")
@allowed(Role.OPERATOR, Role.AUDITOR, Role.ADMIN)
async def door(request: Request) -> Response:
    """Show the door."""
    who = who_is(request)
    try:
        status = await rooms_of(request).reader.do(who, "status")
        told, away = in_words(status["door"]), ""
    except ReaderAwayError as fault:
        told, away = {}, str(fault)
    return page(
        request,
        "door.html",
        told=told,
        away=away,
        operates=who.role in _OPERATORS,
        holds=HOLDS,
        events=await rooms_of(request).books.run(_lately),
    )


@router.post("/door/open")
@allowed(*_OPERATORS)
async def open_door(request: Request) -> Response:
    """Let somebody in now."""
    return await _carry_out(request, "open")


@router.post("/door/unlock")
@allowed(*_OPERATORS)
async def unlock(request: Request, for_s: Annotated[int, Form()]) -> Response:
    """Hold the door unlocked."""
    return await _carry_out(request, "unlock", for_s=for_s)


@router.post("/door/lock")
@allowed(*_OPERATORS)
async def lock(request: Request, for_s: Annotated[int, Form()]) -> Response:
    """Hold the door locked."""
    return await _carry_out(request, "lock", for_s=for_s)


@router.post("/door/release")
@allowed(*_OPERATORS)
async def release(request: Request, of: Annotated[str, Form()]) -> Response:
    """End what rules the door."""
    return await _carry_out(request, "release", of=of)


@router.post("/door/lockdown")
@allowed(*_OPERATORS)
async def lockdown(request: Request, sure: Annotated[str, Form()] = "") -> Response:
    """Keep everybody out, once it was said twice."""
    if sure != "yes":
        raise UsageError("a lockdown keeps everybody out; tick that you want it")
    return await _carry_out(request, "lockdown")


def in_words(state: dict[str, Any]) -> dict[str, Any]:
    """Return the door's state as pages say it; {} where no controller is there."""
    if not state:
        return {}
    phase, alarms = Phase(state["phase"]), [Alarm(one) for one in state["alarms"]]
    return {
        "phase": PHASES[phase],
        "tone": PHASE_TONES[phase],
        "meaning": _MEANING[phase],
        "lock": LOCKS[LockState(state["lock"])],
        "mode": MODES[Mode(state["mode"])],
        "contact": {"open": "Open", "closed": "Closed", "unmonitored": "No contact is fitted"}[state["contact"]],
        "by": voice_in_words(state["by"].removeprefix("operator:")),
        "for_s": state["for_s"],
        "alarms": [ALARMS[one] for one in alarms],
        "releases": {one: _RELEASES[one] for one in _to_release(phase, Mode(state["mode"]), alarms)},
    }


def _to_release(phase: Phase, mode: Mode, alarms: list[Alarm]) -> list[str]:
    """Return what an operator could end as things stand."""
    fire = phase is Phase.RELEASED
    asked = {
        "operator": mode is Mode.OPERATOR,
        "lockdown": mode is Mode.EMERGENCY and not fire and Alarm.FIRE not in alarms,
        "fire": fire,
        "forced": Alarm.FORCED_OPEN in alarms,
    }
    return [name for name, so in asked.items() if so]


def _lately(books: Books) -> list[Shown]:
    above = max(0, books.audit.head().seq - _LOOKED_AT)
    return [shown(entry) for entry in books.audit.newest(Sought(_KINDS), _SHOWN, above=above)]


async def _carry_out(request: Request, verb: str, **args: object) -> Response:
    await rooms_of(request).reader.do(who_is(request), verb, "web", **args)
    return see_other("/door")
