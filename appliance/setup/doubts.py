"""Answers that may be given, and that few people at a door mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.config import Settings

_FIRE = "inputs.fire is NO: a cut wire releases nothing; wire it NC"
_REX = "inputs.rex is NC: a cut wire unlocks the door once; wire it NO"
_HANDLE = "inputs.contact without inputs.rex: whoever leaves by the handle is told of as a forced door"
_MADE_UP = "camera.source is simulated: made-up visitors before a real lock"


def doubts(settings: Settings) -> tuple[str, ...]:
    """Return what is allowed in these settings and seldom meant, a line each; () for nothing."""
    door, lines = settings.door, settings.inputs.lines
    fire, rex = lines.get("fire"), lines.get("rex")
    found = {
        _FIRE: fire is not None and not fire.normally_closed,
        _REX: rex is not None and rex.normally_closed and door.rex == "push",
        _HANDLE: "contact" in lines and rex is None,
        _MADE_UP: settings.camera.source.startswith("simulated") and door.driver != "simulated",
    }
    return tuple(line for line, is_so in found.items() if is_so)
