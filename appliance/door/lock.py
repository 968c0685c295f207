"""When the lock output is energised: a pure core. Requests and times come in, what the line should be goes out.

Nothing here reads a clock, a socket or a pin. All times are seconds of CLOCK_MONOTONIC, which reader and
controller share and which no step of the wall clock moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import Mode

if TYPE_CHECKING:
    from appliance.records import Pulse

MIN_PULSE_S = 0.5
MAX_UNLOCKED_S = 30.0  # a pulse, and any chain of pulses and exits, lasts at most so long
MIN_HOLD_S, MAX_HOLD_S = 1.0, 86_400.0  # an operator's word on the door
MAX_LEASE_S = 60.0  # how far ahead the reader may say that the schedule holds the door unlocked
MAX_FIRE_TEST_S = 60.0
REST_S = 0.25  # locked at least so long between two unlockings: spares the relay, lets a magnet bond
SILENCE_S = 1.0  # a door unlocked on the reader's word falls shut when that says nothing for so long
DEADLINE_AHEAD_S = 10.0  # a deadline further ahead than this bounds nothing and is refused


class Cause(StrEnum):
    """Why something happened at the door; the closed list of `cause` in a notice."""

    NONE = ""
    PULSE = "pulse"
    OPERATOR = "operator"
    SCHEDULE = "schedule"
    REX = "rex"
    FIRE = "fire"
    FIRE_TEST = "fire_test"
    TIMEOUT = "timeout"
    DOOR_OPENED = "door_opened"
    DOOR_CLOSED = "door_closed"
    READER_SILENT = "reader_silent"
    READER_GONE = "reader_gone"
    GARBAGE = "garbage"
    COMMAND = "command"
    LOCKDOWN = "lockdown"
    NOT_FOLLOWED = "not_followed"
    NOT_SECURED = "not_secured"
    NOT_RELEASED = "not_released"
    START = "start"
    SHUTDOWN = "shutdown"


class Refusal(StrEnum):
    """Why a request was refused; the closed list of `reason` in a reply."""

    STALE = "stale"
    DEADLINE_TOO_FAR = "deadline_too_far"
    NOT_A_TIME = "not_a_time"
    RESTING = "resting"
    OTHER_READER = "other_reader"
    LOCK_FAULT = "lock_fault"
    FIRE = "fire"
    LOCKDOWN = "lockdown"
    NOT_HELD = "not_held"


class Hold(StrEnum):
    """How an operator wants the door to stand."""

    UNLOCKED = "unlocked"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class _Opening:
    """The lock is released for a moment: by a grant, by an operator, or from inside."""

    by: str
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class _Holding:
    """How an operator has set the door, and until when."""

    hold: Hold
    by: str
    until_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A release that is over."""

    by: str
    cause: Cause


class Lock:
    """What releases one lock, and until when. Each release has an end, but for fire, and each end leads to locked.

    The caller asks `released` after every verb, and calls `tick` at `wake_s` or soon after.
    """

    def __init__(self, *, release_on_fire: bool) -> None:
        self._release_on_fire = release_on_fire
        self._entry: _Opening | None = None
        self._exit: _Opening | None = None  # needs no reader
        self._holding: _Holding | None = None
        self._schedule_s = -math.inf  # the schedule holds the door unlocked until then
        self._heard_s = -math.inf
        self.lockdown_by = ""  # "" is no lockdown
        self.fire = False  # latched
        self.fire_by = ""

    @property
    def mode(self) -> Mode:
        """Who rules."""
        if self.fire or self.lockdown_by:
            return Mode.EMERGENCY
        if self._holding is not None:
            return Mode.OPERATOR
        return Mode.SCHEDULED if self._scheduled else Mode.NORMAL

    @property
    def standing(self) -> bool:
        """Whether the door stands released, for anybody to pass, and not for a moment only."""
        if self.fire:
            return self._release_on_fire
        if self.lockdown_by:
            return False
        return self._scheduled if self._holding is None else self._holding.hold is Hold.UNLOCKED

    @property
    def released(self) -> bool:
        """Whether the line should be energised."""
        return self.standing or self._entry is not None or self._exit is not None

    @property
    def by(self) -> str:
        """Who is behind the present release or lockdown; "" for nobody."""
        if self.fire:
            return self.fire_by
        if self.lockdown_by:
            return self.lockdown_by
        return next((one.by for one in (self._holding, self._entry, self._exit) if one is not None), "")

    @property
    def until_s(self) -> float:
        """When the line falls low by itself if nothing more is said; -inf when locked, inf for a fire."""
        if self.standing and self.fire:
            return math.inf
        ends = [one.until_s for one in (self._entry, self._exit) if one is not None]
        if self.standing:
            ends.append(self._schedule_s if self._holding is None else self._holding.until_s)
        return max(ends, default=-math.inf)

    @property
    def rests_on_reader(self) -> bool:
        """Whether anything here is released on the reader's word."""
        unlocking = self._holding is not None and self._holding.hold is Hold.UNLOCKED
        return self._entry is not None or unlocking or self._scheduled

    @property
    def wake_s(self) -> float:
        """When `tick` must be called next; inf for never."""
        times = [one.until_s for one in (self._entry, self._exit, self._holding) if one is not None]
        if self._scheduled:
            times.append(self._schedule_s)
        if self.rests_on_reader:
            times.append(self._heard_s + SILENCE_S)
        return min(times, default=math.inf)

    def hear(self, now_s: float) -> None:
        """Note that the reader is alive."""
        self._heard_s = now_s

    def tick(self, now_s: float) -> list[Ended]:
        """End what is over; this way round everywhere, NaN ends it."""
        ended = []
        if self._entry is not None and not now_s < self._entry.until_s:
            ended.append(Ended(self._entry.by, Cause.TIMEOUT))
            self._entry = None
        if self._exit is not None and not now_s < self._exit.until_s:
            ended.append(Ended(self._exit.by, Cause.TIMEOUT))
            self._exit = None
        if self._holding is not None and not now_s < self._holding.until_s:
            ended.append(Ended(self._holding.by, Cause.TIMEOUT))
            self._holding = None
        if self._scheduled and not now_s < self._schedule_s:
            ended.append(Ended("", Cause.SCHEDULE))
            self._schedule_s = -math.inf
        if self.rests_on_reader and not now_s < self._heard_s + SILENCE_S:
            ended += self.drop(Cause.READER_SILENT)
        return ended

    def drop(self, cause: Cause) -> list[Ended]:
        """End all that rests on the reader's word: a grant, an unlocking hold, the schedule."""
        ended = []
        if self._entry is not None:
            ended.append(Ended(self._entry.by, cause))
        elif self.rests_on_reader:
            ended.append(Ended(self.by, cause))
        self._entry, self._schedule_s = None, -math.inf
        if self._holding is not None and self._holding.hold is Hold.UNLOCKED:
            self._holding = None
        return ended

    def drop_moments(self, cause: Cause) -> list[Ended]:
        """End what was released for a moment: a grant, an operator's opening, an exit."""
        ended = [Ended(one.by, cause) for one in (self._entry, self._exit) if one is not None]
        self._entry = self._exit = None
        return ended

    def enter(self, pulse: Pulse, now_s: float) -> None:
        """Release or extend for `pulse.for_s`, clamped to 0.5..30 s; 30 s in one piece at most."""
        self.hear(now_s)
        self._entry = self._moment(self._entry, pulse.presentation_id, pulse.for_s, now_s)

    def leave(self, for_s: float, now_s: float) -> None:
        """Release for somebody inside, as `enter` does, on nobody's word."""
        self._exit = self._moment(self._exit, "", for_s, now_s)

    def set_hold(self, hold: Hold, by: str, for_s: float, now_s: float) -> None:
        """Let an operator set how the door stands, for 1..86,400 s; an entry under way ends when it is to be locked."""
        self.hear(now_s)
        self._holding = _Holding(hold, by, now_s + min(max(for_s, MIN_HOLD_S), MAX_HOLD_S))
        if hold is Hold.LOCKED:
            self._entry = None

    def end_hold(self) -> bool:
        """End what the operator set; tell whether there was anything."""
        had, self._holding = self._holding is not None, None
        return had

    def lease(self, for_s: float, now_s: float) -> None:
        """Have the schedule hold the door unlocked for the next 0..60 s; 0 ends it."""
        self.hear(now_s)
        self._schedule_s = now_s + min(for_s, MAX_LEASE_S) if for_s > 0 else -math.inf

    def begin_emergency(self) -> None:
        """End whatever an entry rests on; the way out and the schedule stay."""
        self._entry = self._holding = None

    @property
    def _scheduled(self) -> bool:
        return self._schedule_s > -math.inf

    def _moment(self, present: _Opening | None, by: str, for_s: float, now_s: float) -> _Opening:
        # One piece over both ways: whoever leaves while somebody enters does not start it anew.
        since_s = min((one.since_s for one in (self._entry, self._exit) if one is not None), default=now_s)
        wanted_s = now_s + min(max(for_s, MIN_PULSE_S), MAX_UNLOCKED_S)
        until_s = wanted_s if present is None else max(present.until_s, wanted_s)
        return _Opening(by, since_s, min(until_s, since_s + MAX_UNLOCKED_S))
