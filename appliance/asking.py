"""Asking at the door: a visitor whose face is not enough is asked for a PIN or a pass, for a while; then a human is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.contract import Hint, Reason
from appliance.records import Deny, Grant, OperatingPoint, Presentation, Refer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.access.subject import Factor
    from appliance.admission import Admission
    from appliance.pipeline import Step
    from appliance.second_factor import FactorDesk, Shown

MAX_ASKED = 2  # people whom one face may be, and whose PIN one entry is compared with: each takes a tenth of a second
CODES_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """The visit that is asked for a second factor, as it was seen last."""

    step: Step
    visit: Presentation
    refer: Refer  # to a human, when nothing is shown
    point: OperatingPoint
    shown: Shown | None = None  # and now to be seen once more


class Asking:
    """One question at a time. Belongs to the loop's thread; `clock` is the frames' own.

    `codes` reads what QR codes in view say; `refer` asks a human, and is set by whoever asks humans, as is `proved`,
    which hears of whoever was let in by what they have shown.
    """

    refer: Callable[[Step, Presentation, Refer, OperatingPoint], None]
    proved: Callable[[Asked, str], None]

    def __init__(
        self,
        admission: Admission,
        factors: FactorDesk,
        codes: Callable[[Step], tuple[str, ...]],
        clock: Callable[[], float],
    ) -> None:
        self._admission = admission
        self._factors = factors
        self._codes = codes
        self._clock = clock
        self._asked: Asked | None = None
        self._codes_s = -math.inf  # when codes were last looked for

    def of(self, visit: Presentation) -> bool:
        """Tell whether this is the visitor who is asked."""
        return self._asked is not None and self._asked.visit.presentation_id == visit.presentation_id

    def could_ask(self, person_ids: Sequence[str]) -> bool:
        """Tell whether one of these people has a PIN or a pass to show."""
        return self._factors.any_of(person_ids)

    def ask(self, asked: Asked, kinds: frozenset[Factor]) -> None:
        """Ask for something besides the face where one of these people has it; else a human is asked."""
        found = [one.person_id for one in asked.step.candidates if one.similarity >= asked.point.threshold]
        if not self._factors.ask(asked.visit.presentation_id, found[:MAX_ASKED], kinds, self._clock()):
            self.refer(asked.step, asked.visit, asked.refer, asked.point)
            return
        self._asked = asked
        self._admission.ask(Hint.SECOND_FACTOR)

    def see(self, step: Step, visit: Presentation) -> None:
        """Keep the newest of who is asked; what is seen of them still counts, and so does a pass they show."""
        if self._asked is None:
            return
        asked = self._asked = replace(self._asked, step=step, visit=visit)
        self._admission.hint = Hint.SECOND_FACTOR
        if isinstance(step.decision, Deny):
            self._end()
            self._admission.deny(visit, step.decision.reason, asked.point)
        else:
            self._prove(asked if asked.shown is not None else replace(asked, shown=self._pass_in_view(step)))

    def enter_pin(self, text: str, present: str | None) -> str:
        """Take a PIN, with the visit before the camera now; return "" or why it had no effect."""
        asked = self._asked
        if asked is None or asked.shown is not None or present != asked.visit.presentation_id:
            return "nobody_asked"
        paused = self._admission.paused(asked.visit, recognised=True)
        if paused is not None:
            return paused.value
        shown = self._factors.pin(text)
        if shown is None:
            self._admission.deny(asked.visit, Reason.WRONG_PIN, asked.point)
            return Reason.WRONG_PIN.value
        self._prove(replace(asked, shown=shown))
        return ""

    def tick(self, present: str | None) -> None:
        """Ask a human about a visitor who has shown nothing in time, if they are still there."""
        asked = self._asked
        if asked is None or (self._factors.awaited is not None and self._clock() < self._factors.awaited.until_s):
            return
        self._end()
        if present == asked.visit.presentation_id:
            self.refer(asked.step, asked.visit, asked.refer, asked.point)
        else:
            self._admission.deny(asked.visit, Reason.SECOND_FACTOR_REQUIRED, asked.point)

    def _prove(self, asked: Asked) -> None:
        """Let in whoever has shown a factor, once they are seen to be that person and alive in this very moment.

        Who looks down at the keys is waited for: until then nothing opens.
        """
        self._asked = asked
        if asked.shown is None or not _may_be(asked.step, asked.shown.person_id, asked.point):
            return
        self._end()
        needed = self._admission.admit(asked.visit, asked.shown.person_id, asked.point, asked.shown)
        if needed is not None:  # of another kind
            self.refer(asked.step, asked.visit, asked.refer, asked.point)
        elif self._admission.opened_for == asked.visit.presentation_id:
            self.proved(asked, asked.shown.person_id)

    def _pass_in_view(self, step: Step) -> Shown | None:
        now_s = self._clock()
        if now_s < self._codes_s + CODES_EVERY_S:
            return None
        self._codes_s = now_s
        return next((found for found in map(self._factors.code, self._codes(step)) if found is not None), None)

    def _end(self) -> None:
        self._asked = None
        self._factors.forget()


def recognised(step: Step) -> str | None:
    """Return whom the policy takes this visitor for, alive and sure of it; None for nobody."""
    match step.decision:
        case Grant(person_id=person_id):
            return person_id
        case Refer(reason=Reason.SECOND_FACTOR_REQUIRED):
            return step.candidates[0].person_id
    return None


def _may_be(step: Step, person_id: str, point: OperatingPoint) -> bool:
    """Tell whether this frame, too, leaves nothing against it that this person stands there, alive."""
    if step.decision == Refer(Reason.AMBIGUOUS_MATCH):
        return any(one.person_id == person_id and one.similarity >= point.threshold for one in step.candidates)
    return recognised(step) == person_id
