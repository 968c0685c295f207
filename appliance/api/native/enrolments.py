"""Enrolment at the door: whoever stands there is guided, and the program that asked hears how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002 - FastAPI reads it
from starlette.responses import StreamingResponse

from appliance.api.native.common import METHOD
from appliance.api.native.routes import EVENT_STREAM, answers_with, for_roles, router
from appliance.api.native.shapes import Answer
from appliance.contract import VERB_ROLES, Hint
from appliance.errors import ApplianceError, RefusedError
from appliance.verbs import EnrolStart  # noqa: TC001 - FastAPI reads it
from appliance.web.guard import who_is
from appliance.web.rooms import rooms_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from typing import Any

api = router("enrolment")

SILENT_S = 60.0  # a guided enrolment has ended by then, one way or the other
_HUNG_UP = {"error": "the reader has hung up", "done": True}


class EnrolmentStep(Answer):
    """How far an enrolment at the door has come."""

    hint: Hint | None = None
    views: int = 0
    person_id: str = ""
    references: int = 0
    look_alike: str = ""
    error: str = ""


class Stopped(Answer):
    """Whether there was an enrolment to be stopped."""

    stopped: bool


@api.post(
    "/enrolments",
    response_class=StreamingResponse,
    responses=answers_with(EVENT_STREAM, "EnrolmentStep in each data line"),
)
@for_roles(VERB_ROLES["enrol.start"])
async def start(request: Request, args: EnrolStart) -> StreamingResponse:
    """Enrol whoever stands before the door, guided; needs a record of consent.

    The answer is a stream of server-sent events, `progress` as it goes, at the end `enrolled` or `refused`. Closing it
    does not end the enrolment; DELETE does.
    """
    who = who_is(request)
    asked = {"verb": "do", "by": who.voice, "role": who.role, "method": METHOD, "command": "enrol.start"}
    hearing = rooms_of(request).reader.hear(asked | {"args": args.model_dump(mode="json")}, SILENT_S)
    first = await anext(hearing, _HUNG_UP)  # what is refused at once is no stream but a problem
    if first.get("error") and first.get("done"):
        await hearing.aclose()
        raise RefusedError(str(first["error"]))
    return StreamingResponse(_told(first, hearing), media_type=EVENT_STREAM)


@api.delete("/enrolments")
@for_roles(VERB_ROLES["enrol.stop"])
async def stop(request: Request) -> Stopped:
    """End the enrolment that is going on at the door."""
    return Stopped.model_validate(await rooms_of(request).reader.do(who_is(request), "enrol.stop", METHOD))


async def _told(first: dict[str, Any], hearing: AsyncGenerator[dict[str, Any]]) -> AsyncIterator[str]:
    yield _event(first)
    try:
        async for said in hearing:
            yield _event(said)
    except ApplianceError as fault:
        yield _event({"error": str(fault), "done": True})


def _event(said: dict[str, Any]) -> str:
    step = EnrolmentStep.model_validate({**said.get("result", {}), "error": said.get("error", "")})
    name = "refused" if step.error else "enrolled" if said["done"] else "progress"
    return f"event: {name}\ndata: {step.model_dump_json()}\n\n"
