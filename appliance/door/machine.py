"""The door's state machine: requests, inputs and times come in, events and the wanted state of the lines go out.

Pure: nothing here reads a clock, a socket or a pin. `Lock` knows what releases the lock, `Leaf` what the contact
tells; here they are put together, with fire, tamper and the lock's own bond. docs/door.md draws it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.door.bond import Bond
from appliance.door.hardware import Input
from appliance.door.leaf import Happened, Leaf, Patience
from appliance.door.lock import DEADLINE_AHEAD_S, MAX_FIRE_TEST_S, REST_S, Cause, Ended, Hold, Lock, Refusal
from appliance.door.state import state_of
from appliance.records import DoorEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from appliance.config import DoorSettings
    from appliance.records import DoorState, Pulse

RINGS_EVERY_S = 3.0  # the bell is told so often at most


@dataclass(frozen=True, slots=True)
class Latches:
    """What a door remembers while its controller is away."""

    forced: bool = False
    fire: bool = False
    lockdown_by: str = ""


class Machine:
    """One door. The caller drives the line as `released` says after every verb, and calls `tick` at `wake_s`.

    What happened is collected until `take`.
    """

    def __init__(self, settings: DoorSettings, latches: Latches = Latches()) -> None:
        self._settings = settings
        self._lock = Lock(release_on_fire=settings.on_fire == "release")
        self._leaf = Leaf(Patience(settings.held_open_s, settings.warning_s, settings.extended_s))
        self._leaf.forced = latches.forced
        self._lock.fire, self._lock.lockdown_by = latches.fire, latches.lockdown_by
        self._active: dict[Input, bool] = {}
        self._test_until_s = -math.inf
        self._rang_s = -math.inf
        self._was_released = False
        self._was_standing = False
        self._locked_s = -math.inf
        self._jammed = False  # the line did not follow, and is wanted released all the same
        self._bond = Bond()
        self._events: list[DoorEvent] = []

    # What is

    @property
    def released(self) -> bool:
        """Whether the line should be energised."""
        return self._lock.released

    @property
    def rests_on_reader(self) -> bool:
        """Whether the door would lock if the reader fell silent."""
        return self._lock.rests_on_reader

    @property
    def latches(self) -> Latches:
        """What must outlive this process."""
        testing = self._test_until_s > -math.inf
        return Latches(self._leaf.forced, self._lock.fire and not testing, self._lock.lockdown_by)

    @property
    def limit_s(self) -> float:
        """When the line falls low by itself if nothing more is said; inf for a fire, -inf when locked."""
        return self._lock.until_s

    @property
    def wake_s(self) -> float:
        """When `tick` must be called next; inf for never."""
        test_s = self._test_until_s if self._test_until_s > -math.inf else math.inf
        return min(self._lock.wake_s, self._leaf.wake_s, self._bond.wake_s, test_s)

    @property
    def state(self) -> DoorState:
        """The door in the words of the trade."""
        tampered = bool(self._active.get(Input.TAMPER))
        return state_of(self._lock, self._leaf, tampered=tampered, contradicted=self._bond.fault, jammed=self._jammed)

    def take(self) -> tuple[DoorEvent, ...]:
        """Return what happened since the last call, oldest first, each once."""
        events = tuple(self._events)
        self._events.clear()
        return events

    # Time and inputs

    def start(self, levels: Mapping[Input, bool], now_s: float) -> None:
        """Take in how the inputs are, once, before anything else."""
        if Input.CONTACT in levels:
            self._note(self._leaf.sense(is_open=levels[Input.CONTACT], now_s=now_s), Cause.START, now_s)
        self._active.update(levels)
        for input_ in (Input.TAMPER, Input.FIRE):
            if levels.get(input_):
                self._sensors[input_](True, now_s)  # noqa: FBT003 - active
        self._settle(Cause.FIRE, now_s)

    def hear(self, now_s: float) -> None:
        """Note that the reader is alive."""
        self._lock.hear(now_s)

    def lose_reader(self, cause: Cause, now_s: float) -> None:
        """End all that rests on the reader's word."""
        self._end(self._lock.drop(cause), now_s)

    def sense(self, input_: Input, *, active: bool, now_s: float) -> None:
        """Take in a debounced change of an input."""
        self.tick(now_s)
        if self._active.get(input_) == active:
            return
        self._active[input_] = active
        self._sensors[input_](active, now_s)
        self._watch_bond(now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        self._end(self._lock.tick(now_s), now_s)
        if self._test_until_s > -math.inf and not now_s < self._test_until_s:
            self._end_fire(Cause.FIRE_TEST, "", now_s)
        self._note(self._leaf.tick(now_s), Cause.TIMEOUT, now_s)
        self._watch_bond(now_s)

    # Requests; the caller has called `tick` just before. Each returns None when it was carried out.

    def enter(self, pulse: Pulse, now_s: float, cause: Cause = Cause.PULSE) -> Refusal | None:
        """Let somebody in, on the reader's word or an operator's."""
        refusal = _out_of_time(pulse, now_s) or self._overruled(bypass=pulse.bypass) or self._resting(now_s)
        if refusal is not None:
            return refusal
        self._lock.enter(pulse, now_s)
        self._settle(cause, now_s, pulse.presentation_id)
        if not self._lock.standing:
            more_s = self._settings.extended_s if pulse.extended else 0.0
            self._note(self._leaf.expect(pulse.presentation_id, now_s, more_s=more_s), Cause.NONE, now_s)
        return None

    def hold(self, hold: Hold, by: str, for_s: float, now_s: float) -> Refusal | None:
        """Set how the door stands on an operator's word, for 1..86,400 s."""
        if not 0 < for_s < math.inf:
            return Refusal.NOT_A_TIME
        refusal = self._overruled() or (self._resting(now_s) if hold is Hold.UNLOCKED else None)
        if refusal is None:
            self._lock.set_hold(hold, by, for_s, now_s)
            self._settle(Cause.OPERATOR, now_s, by)
        return refusal

    def lease(self, for_s: float, now_s: float) -> Refusal | None:
        """Have the schedule hold the door unlocked for the next 0..60 s; the reader renews it, 0 ends it."""
        if not 0 <= for_s < math.inf:
            return Refusal.NOT_A_TIME
        refusal = self._resting(now_s) if for_s > 0 else None
        if refusal is None:
            self._lock.lease(for_s, now_s)
            self._settle(Cause.SCHEDULE, now_s)
        return refusal

    def lock(self, now_s: float, cause: Cause = Cause.COMMAND) -> None:
        """End what was released for a moment."""
        self._end(self._lock.drop_moments(cause), now_s)

    def lockdown(self, by: str, now_s: float) -> None:
        """Refuse entry until somebody ends it; the way out stays."""
        before, self._lock.lockdown_by = self._lock.lockdown_by, by
        if not before:
            self._lock.begin_emergency()
            self._say(EventType.LOCKDOWN, Cause.OPERATOR, by, now_s)
            self._settle(Cause.LOCKDOWN, now_s, by)

    def end_hold(self, by: str, now_s: float) -> Refusal | None:
        """End the operator's hold."""
        # The schedule may unlock then, so this has to wait for a lock that rests.
        refusal = self._overruled() or self._resting(now_s) or (None if self._lock.end_hold() else Refusal.NOT_HELD)
        self._settle(Cause.OPERATOR, now_s, by)
        return refusal

    def end_lockdown(self, by: str, now_s: float) -> Refusal | None:
        """Allow entry again."""
        if self._lock.fire:
            return Refusal.FIRE
        refusal = self._resting(now_s) if self._lock.lockdown_by else Refusal.NOT_HELD
        if refusal is not None:
            return refusal
        self._lock.lockdown_by = ""
        self._say(EventType.LOCKDOWN_CLEARED, Cause.OPERATOR, by, now_s)
        self._settle(Cause.OPERATOR, now_s, by)
        return None

    def end_fire(self, by: str, now_s: float) -> Refusal | None:
        """Lock again after a fire; refused while its input is active."""
        if not self._lock.fire:
            return Refusal.NOT_HELD
        if self._active.get(Input.FIRE):
            return Refusal.FIRE
        self._end_fire(Cause.OPERATOR, by, now_s)
        return None

    def acknowledge(self, by: str, now_s: float) -> Refusal | None:
        """Note that somebody has looked at a forced opening; the alarm ends when the leaf is closed."""
        if not self._leaf.forced:
            return Refusal.NOT_HELD
        self._note(self._leaf.acknowledge(now_s), Cause.OPERATOR, now_s, by)
        return None

    def test_fire(self, by: str, for_s: float, now_s: float) -> Refusal | None:
        """Do for up to 60 s what a fire would do, then lock again."""
        if not 0 < for_s < math.inf:
            return Refusal.NOT_A_TIME
        refusal = self._overruled() or self._resting(now_s)
        if refusal is not None:
            return refusal
        self._test_until_s = now_s + min(for_s, MAX_FIRE_TEST_S)
        self._begin_fire(Cause.FIRE_TEST, by, now_s)
        return None

    def retract(self, now_s: float) -> None:
        """Return to locked because the line did not follow. A fire stays: the line is to be tried again."""
        self._end([*self._lock.drop(Cause.NOT_FOLLOWED), *self._lock.drop_moments(Cause.NOT_FOLLOWED)], now_s)
        before, self._jammed = self._jammed, self.released
        if not before:
            self._say(EventType.FAULT, Cause.NOT_FOLLOWED, "", now_s)

    def follow(self) -> None:
        """Note that the line followed."""
        self._jammed = False

    def _overruled(self, *, bypass: bool = False) -> Refusal | None:
        if self._lock.fire:
            return Refusal.FIRE
        return Refusal.LOCKDOWN if self._lock.lockdown_by and not bypass else None

    def _resting(self, now_s: float) -> Refusal | None:
        return Refusal.RESTING if not self.released and not now_s >= self._locked_s + REST_S else None

    # How inputs are taken in

    @property
    def _sensors(self) -> dict[Input, Callable[[bool, float], None]]:
        return {
            Input.CONTACT: self._sense_contact,
            Input.REX: self._sense_rex,
            Input.TAMPER: self._sense_tamper,
            Input.FIRE: self._sense_fire,
            Input.BELL: self._sense_bell,
            Input.BOND: lambda _active, _now_s: None,
        }

    def _sense_contact(self, active: bool, now_s: float) -> None:
        forced = self._leaf.forced
        self._note(self._leaf.sense(is_open=active, now_s=now_s), Cause.NONE, now_s)
        passed = not self._leaf.forced or forced
        if passed and self._settings.relock == ("on_open" if active else "on_close"):
            self._end(self._lock.drop_moments(Cause.DOOR_OPENED if active else Cause.DOOR_CLOSED), now_s)

    def _sense_rex(self, active: bool, now_s: float) -> None:
        # A request that never ends, such as a button stuck, does not hide a break-in for ever.
        self._leaf.excuse(now_s + (self._settings.held_open_s if active else self._settings.unlock_s))
        if not active:
            return
        self._say(EventType.REX, Cause.NONE, "", now_s)
        if self._settings.rex == "push":
            self._lock.leave(self._settings.unlock_s, now_s)
            self._settle(Cause.REX, now_s)

    def _sense_tamper(self, active: bool, now_s: float) -> None:
        self._say(EventType.TAMPER if active else EventType.TAMPER_CLEARED, Cause.NONE, "", now_s)

    def _sense_bell(self, active: bool, now_s: float) -> None:
        # It hangs outside, within anybody's reach, and each ring is an entry of a log that is never cut.
        if active and now_s >= self._rang_s + RINGS_EVERY_S:
            self._rang_s = now_s
            self._say(EventType.BELL, Cause.NONE, "", now_s)

    def _sense_fire(self, active: bool, now_s: float) -> None:
        testing, latched = self._test_until_s > -math.inf, self._lock.fire
        if active:
            self._test_until_s = -math.inf  # this is no test
            if testing or not latched:
                self._begin_fire(Cause.FIRE, "", now_s)

    def _begin_fire(self, cause: Cause, by: str, now_s: float) -> None:
        self._lock.begin_emergency()
        self._lock.fire, self._lock.fire_by = True, by
        self._say(EventType.FIRE_RELEASE, cause, by, now_s)
        self._settle(cause, now_s, by)

    def _end_fire(self, cause: Cause, by: str, now_s: float) -> None:
        self._test_until_s = -math.inf
        self._lock.fire, self._lock.fire_by = False, ""
        self._say(EventType.FIRE_CLEARED, cause, by, now_s)
        self._settle(cause, now_s, by)

    def _watch_bond(self, now_s: float) -> None:
        bonded = self._active.get(Input.BOND)
        expected = not self.released
        amiss = bonded is not None and bonded is not expected and not (expected and self._leaf.open)
        if self._bond.watch(amiss=amiss, now_s=now_s):
            self._say(EventType.FAULT, Cause.NOT_SECURED if expected else Cause.NOT_RELEASED, "", now_s)

    # Bookkeeping

    def _end(self, ended: Iterable[Ended], now_s: float) -> None:
        for one in ended:
            self._settle(one.cause, now_s, one.by)

    def _settle(self, cause: Cause, now_s: float, by: str = "") -> None:
        """Tell the leaf and the world where the lock has changed."""
        standing, released = self._lock.standing, self._lock.released
        if released and (not self._was_released or standing != self._was_standing):
            self._leaf.released(now_s, standing=standing)
        if released != self._was_released:
            self._bond, self._jammed = Bond(), False
            if not released:
                self._locked_s = now_s
                self._leaf.locked(now_s)
            self._say(EventType.DOOR_UNLOCKED if released else EventType.DOOR_LOCKED, cause, by, now_s)
        self._was_released, self._was_standing = released, standing
        self._watch_bond(now_s)

    def _note(self, happened: Iterable[Happened], cause: Cause, now_s: float, by: str = "") -> None:
        for one in happened:
            self._say(one.event_type, cause, one.by or by, now_s)

    def _say(self, event_type: EventType, cause: Cause, by: str, now_s: float) -> None:
        self._events.append(DoorEvent(event_type, cause.value, by, now_s))


def _out_of_time(pulse: Pulse, now_s: float) -> Refusal | None:
    if not 0 < pulse.for_s < math.inf:  # NaN lands here too
        return Refusal.NOT_A_TIME
    if not now_s <= pulse.deadline_s:
        return Refusal.STALE
    return None if pulse.deadline_s <= now_s + DEADLINE_AHEAD_S else Refusal.DEADLINE_TOO_FAR
