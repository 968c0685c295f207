"""Admission: what is done about a visitor once it is known who they are, or that they are not to be let in.

Everything is written down before it is done. One line asks for the pulse.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from appliance.access.verdict import Allowed, CompanionNeeded, FactorNeeded, Refused
from appliance.contract import EventType, Hint, Reason
from appliance.door.signals import Signal
from appliance.errors import DoorError
from appliance.pipeline.cues import species_guess
from appliance.records import Actor, ActorKind, DoorState, Presentation, Pulse
from appliance.tailgating import Tailgating

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.control import AccessControl
    from appliance.clerk import Clerk
    from appliance.config import Settings
    from appliance.records import OperatingPoint
    from appliance.second_factor import Shown

MAX_ON_THE_WAY = 16
SHOWN_EVERY_S = 0.5  # the same lamp is not asked for more often
COUNTED = {Reason.LIVENESS_FAILED, Reason.UNKNOWN_FACE, Reason.WRONG_PIN}  # as failed attempts


class Door(Protocol):
    """The reader's view of the controller: it can only ask for a pulse, and for a lamp."""

    @property
    def connected(self) -> bool:
        """Whether a controller is there."""
        ...

    def show(self, signal: Signal, /) -> None:
        """Show this for a moment; never raises."""
        ...

    def pulse(self, pulse: Pulse, /) -> DoorState:
        """Have the door unlocked. Raises DoorError where it was not."""
        ...


class Admission:
    """Lets in and keeps out. Belongs to the loop's thread; `clock` is the frames' own."""

    def __init__(
        self, settings: Settings, clerk: Clerk, door: Door, access: AccessControl, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._clerk = clerk
        self._door = door
        self._access = access
        self._clock = clock
        self._on_the_way: OrderedDict[str, str] = OrderedDict()  # person by presentation
        self.tailgating = Tailgating(settings.recognition.min_frames)
        self._shown: Signal | None = None
        self._shown_s = 0.0
        self.lockdown = False  # as the door says
        self.monitored = False  # whether the door tells when somebody goes through
        self.hint: Hint | None = None  # what the visitor is told now
        self.opened_for = ""  # the visit that the door was unlocked for last
        self.unhurried = ""  # the visit that asked for more time

    @property
    def connected(self) -> bool:
        """Whether there is a door to open."""
        return self._door.connected

    def paused(self, visit: Presentation, *, recognised: bool) -> Reason | None:
        """Return why this visitor is not to be tried now, after too many attempts; None where they may be."""
        return self._access.pause(visit.probe, recognised=recognised)

    def admit(
        self, visit: Presentation, person_id: str, point: OperatingPoint, shown: Shown | None = None, doubt: str = ""
    ) -> FactorNeeded | None:
        """Let a recognised person in where the rules of access allow it, now that everything else does.

        Where only a second factor is missing, nothing is done and that is returned. `doubt` says why a face alone
        will not do.
        """
        if not self.is_fresh(visit):
            self.deny(visit, Reason.STALE, point)
            return None
        factors = frozenset() if shown is None else frozenset({shown.factor})
        verdict = self._access.judge(person_id, factors, lockdown=self.lockdown, probe=visit.probe, doubt=doubt)
        match verdict:
            case Allowed():
                self._grant(visit, person_id, point, verdict, shown)
            case Refused(reason=reason):
                self.deny(visit, reason, point)
            case FactorNeeded():
                return verdict
            case CompanionNeeded():
                self.deny(visit, Reason.SECOND_FACTOR_REQUIRED, point, "waiting for a second person")
                self.hint = Hint.NEXT_PERSON
        return None

    def deny(self, visit: Presentation, reason: Reason, point: OperatingPoint, detail: str = "") -> None:
        """Keep the visitor out."""
        self.count(visit, reason)
        if reason is Reason.LIVENESS_FAILED:
            signs = f"{', '.join(visit.cues) or 'the model alone'}; species: {species_guess(visit.cues)}"
            self._clerk.visit(EventType.SPOOF_SUSPECTED, reason, visit, point, detail=signs)
        self._clerk.visit(EventType.ACCESS_DENIED, reason, visit, point, detail=detail)
        self._show(Signal.DENIED)

    def count(self, visit: Presentation, reason: Reason) -> None:
        """Count a failed attempt, where this reason is one."""
        if reason in COUNTED:
            self._access.failed(visit.probe)

    def approve(self, visit: Presentation) -> bool:
        """Let in whom a human vouches for; tell whether the door was unlocked."""
        self._access.succeeded(visit.probe, by_factor=True)
        return self._open(visit)

    def ask(self, hint: Hint) -> None:
        """Have the visitor wait for somebody, or do something more."""
        self.hint = hint
        self._show(Signal.ASKING)

    def read(self, hint: Hint | None) -> None:
        """Tell the visitor how to be read better."""
        self.hint = hint
        self._show(Signal.READING)

    def more_time(self, presentation_id: str, door: DoorState | None) -> None:
        """Give this visit the extended time, once: of the grant that it may get, or of one that unlocks `door` now.

        It opens nothing. Raises DoorError where the controller refuses.
        """
        if self.unhurried == presentation_id:
            return
        self.unhurried = presentation_id
        if door is not None and door.until_s is not None and presentation_id == self.opened_for == door.by:
            for_s = door.until_s - time.monotonic() + self._settings.door.extended_s
            # What comes after the end is refused, a door that has just locked rests, and a lockdown is not passed.
            self._door.pulse(Pulse(for_s, presentation_id, door.until_s, extended=True))

    def passed(self, presentation_id: str) -> None:
        """Note that the door was opened by whoever this visit let in. Raises StorageError."""
        person_id = self._on_the_way.pop(presentation_id, None)
        if person_id is not None:
            self._access.went_in(person_id)

    def is_fresh(self, visit: Presentation) -> bool:
        """Tell whether the visitor was seen within the freshness deadline; a time that is none is not."""
        age_s = self._clock() - visit.latest.frame.captured_at_s
        return 0 <= age_s <= self._settings.recognition.freshness_s

    def _show(self, signal: Signal) -> None:
        now_s = self._clock()
        if signal is not self._shown or not now_s < self._shown_s + SHOWN_EVERY_S:
            self._door.show(signal)
            self._shown, self._shown_s = signal, now_s

    def _grant(
        self, visit: Presentation, person_id: str, point: OperatingPoint, allowed: Allowed, shown: Shown | None
    ) -> None:
        if not self._door.connected:
            self.deny(visit, Reason.DEGRADED_MODE, point)
            return
        actor = Actor(ActorKind.PERSON, person_id)
        method = "face" if shown is None else f"face+{shown.factor}"
        if shown is not None and shown.duress:
            self._clerk.visit(EventType.DURESS, Reason.OK, visit, point, actor=actor, method=method)
        detail = "anti-passback was broken" if allowed.passback_broken else ""
        self._clerk.visit(EventType.ACCESS_GRANTED, Reason.OK, visit, point, actor=actor, method=method, detail=detail)
        self._access.succeeded(visit.probe, by_factor=shown is not None)
        if self._open(visit, extended=allowed.extended, bypass=self.lockdown):
            self._is_let_in(visit.presentation_id, person_id)
            self._access.seen((person_id, *allowed.companions))

    def _is_let_in(self, presentation_id: str, person_id: str) -> None:
        self._on_the_way[presentation_id] = person_id
        if len(self._on_the_way) > MAX_ON_THE_WAY:
            self._on_the_way.popitem(last=False)
        if not self.monitored:  # nobody will say that the door was opened
            self.passed(presentation_id)

    def _open(self, visit: Presentation, *, extended: bool = False, bypass: bool = False) -> bool:
        """Ask for the pulse, once the grant is written down; tell whether the door was unlocked."""
        age_s = self._clock() - visit.latest.frame.captured_at_s
        deadline_s = time.monotonic() + self._settings.recognition.freshness_s - age_s
        extended = extended or self.unhurried == visit.presentation_id
        for_s = self._settings.door.unlock_s + (self._settings.door.extended_s if extended else 0.0)
        try:
            self._door.pulse(Pulse(for_s, visit.presentation_id, deadline_s, extended, bypass))
        except DoorError as fault:
            self._clerk.fault(str(fault), visit.presentation_id)
            return False
        self.opened_for = visit.presentation_id
        self.tailgating.opened(visit, self._clock() + for_s)
        self.hint = Hint.WELCOME
        return True
