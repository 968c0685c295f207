"""The door: its health, its state, and what an operator does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Request  # noqa: TC002 - FastAPI reads it
from pydantic import Field

from appliance.api.native.common import METHOD
from appliance.api.native.problems import NotThereError
from appliance.api.native.routes import for_roles, router
from appliance.api.native.shapes import Answer
from appliance.contract import TOPIC_ROLES, VERB_ROLES, Topic
from appliance.messages import DoorStateMessage
from appliance.verbs import Lock, Lockdown, Open, Release, Unlock
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from appliance.verbs import Args

api = router("door")

_OPEN, _LOCK, _RELEASE, _LOCKDOWN = Open(), Lock(), Release(), Lockdown()


class Health(Answer):
    """The state of health, in words and counts."""

    camera: str
    camera_integrity: Annotated[str, Field(description="whether it is the camera of this door, in its place")]
    controller: str
    door: Annotated[DoorStateMessage | None, Field(description="none while no controller is there")]
    broker: str
    face_only: Annotated[str, Field(description="whether a face alone opens this door")]
    references: int
    frames_dropped: int


@api.get("/status")
@for_roles(VERB_ROLES["status"])
async def status(request: Request) -> Health:
    """Tell the state of health."""
    told = await rooms_of(request).reader.do(who_is(request), "status", METHOD)
    return Health.model_validate(told | {"door": told["door"] or None})


@api.get("/door")
@for_roles(TOPIC_ROLES[Topic.DOOR_STATE])
async def state(request: Request) -> DoorStateMessage:
    """Tell how the door stands."""
    told = await rooms_of(request).reader.do(who_is(request), "status", METHOD)
    if not told["door"]:
        raise NotThereError("no controller is there, so nothing is known of the door")
    return DoorStateMessage.model_validate(told["door"])


@api.post("/door/open")
@for_roles(VERB_ROLES["open"])
async def open_door(request: Request, args: Open = _OPEN) -> DoorStateMessage:
    """Let somebody in now."""
    return await _carried_out(request, "open", args)


@api.post("/door/unlock")
@for_roles(VERB_ROLES["unlock"])
async def unlock(request: Request, args: Unlock) -> DoorStateMessage:
    """Hold the door unlocked, for anybody to pass."""
    return await _carried_out(request, "unlock", args)


@api.post("/door/lock")
@for_roles(VERB_ROLES["lock"])
async def lock(request: Request, args: Lock = _LOCK) -> DoorStateMessage:
    """Hold the door locked, whatever its schedule says."""
    return await _carried_out(request, "lock", args)


@api.post("/door/release")
@for_roles(VERB_ROLES["release"])
async def release(request: Request, args: Release = _RELEASE) -> DoorStateMessage:
    """End a hold, a lockdown, a fire that is over, or acknowledge a forced opening."""
    return await _carried_out(request, "release", args)


@api.post("/door/lockdown")
@for_roles(VERB_ROLES["lockdown"])
async def lockdown(request: Request, args: Lockdown = _LOCKDOWN) -> DoorStateMessage:
    """Refuse entry to all but the bypass group."""
    return await _carried_out(request, "lockdown", args)


async def _carried_out(request: Request, verb: str, args: Args) -> DoorStateMessage:
    told = await rooms_of(request).reader.do(who_is(request), verb, METHOD, **args.model_dump(mode="json"))
    return DoorStateMessage.model_validate(told)
