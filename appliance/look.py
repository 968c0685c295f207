"""A look: whoever comes before the door's camera next is alive or not, for somebody who asked; nobody is let in by it.

The door's work goes on beside it, undisturbed.
"""

from __future__ import annotations

import base64
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.errors import RefusedError
from appliance.faces.detect import rectangle
from appliance.faces.life import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.enrolment.requests import Look
    from appliance.faces.life import Witnessed
    from appliance.local_socket import Caller
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Course:
    """The look that is going on."""

    caller: Caller
    asked: Look
    witness: Witness
    until_s: float


class LookDesk:
    """Belongs to the loop's thread, and never waits. One look at a time.

    `picture` makes the JPEG of a visitor, every other face covered.
    """

    def __init__(
        self, rules: Rules, picture: Callable[[Step], bytes], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._picture = picture
        self._clock = clock
        self._course: _Course | None = None

    def begin(self, caller: Caller, asked: Look) -> None:
        """Look from now on, and tell the caller so. Raises RefusedError where somebody else looks."""
        self.tend()
        if self._course is not None:
            raise RefusedError("the door's camera is looked through by another session; try again when it is over")
        self._course = _Course(caller, asked, Witness(self._rules), self._clock() + asked.for_s)
        caller.say({"looking": True})
        _log.info("%s looks for %g s at whoever comes", asked.by, asked.for_s)

    def see(self, step: Step) -> None:
        """Take in what one frame came to."""
        course = self._course
        told = None if course is None else course.witness.see(step)
        if course is None or told is None:
            return
        course.caller.say(_message(told, self._picture if course.asked.picture else None))
        self._end(course, told.life.value)

    def tend(self) -> None:
        """End what is over, or what nobody waits for any more."""
        course = self._course
        if course is None:
            return
        if course.caller.gone:
            self._end(course, "whoever asked has gone")
        elif not self._clock() < course.until_s:  # this way round, NaN ends it
            course.caller.say({"error": f"nobody could be judged before the camera within {course.asked.for_s:g} s"})
            self._end(course, "nobody came")

    def _end(self, course: _Course, why: str) -> None:
        self._course = None
        course.caller.end()
        _log.info("the look of %s is over: %s", course.asked.by, why)


def _message(told: Witnessed, picture: Callable[[Step], bytes] | None) -> dict[str, Any]:
    """Return the answer, ready for JSON; it stays on this device."""
    message: dict[str, Any] = {"life": told.life.value}
    if told.probe is not None:
        vector = base64.b64encode(told.probe.vector.astype("<f4").tobytes()).decode()
        message |= {"vector": vector, "model_id": told.probe.model_id}
    visit = None if told.best is None else told.best.presentation
    if told.best is not None and visit is not None:
        seen = visit.latest
        height, width = seen.frame.pixels.shape[:2]
        at = rectangle(seen.detection.box, width, height)
        message["box"] = [at.left_px, at.top_px, at.width_px, at.height_px]
        message["judged_by"] = "" if seen.liveness is None else seen.liveness.model_id
        if picture is not None:
            message["picture"] = base64.b64encode(picture(told.best)).decode()
    return message
