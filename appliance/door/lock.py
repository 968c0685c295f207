"""When the lock output is energised: a pure core. Events and times come in, answers and changes go out.

Nothing here reads a clock, a socket or a pin. All times are seconds of CLOCK_MONOTONIC, which reader and
controller share and which no step of the wall clock moves.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import LockState
from appliance.records import DoorState

if TYPE_CHECKING:
    from appliance.records import Pulse

MIN_PULSE_S = 0.5
MAX_UNLOCKED_S = 30.0  # a pulse, and any chain of pulses, lasts at most so long
REST_S = 0.25  # locked at least so long between two unlockings: spares the relay, lets a magnet bond
SILENCE_S = 1.0  # an unlocked door falls shut when its reader says nothing for so long
DEADLINE_AHEAD_S = 10.0  # a deadline further ahead than this bounds nothing and is refused
_REMEMBERED = 1024  # answers kept, so that a repeated request is answered and not acted on


class Cause(StrEnum):
    """Why the lock changed; the closed list of `cause` in a notice."""

    PULSE = "pulse"
    TIMEOUT = "timeout"
    READER_SILENT = "reader_silent"
    READER_GONE = "reader_gone"
    GARBAGE = "garbage"
    COMMAND = "command"
    SHUTDOWN = "shutdown"


class Refusal(StrEnum):
    """Why a pulse was refused; the closed list of `reason` in a reply."""

    STALE = "stale"
    DEADLINE_TOO_FAR = "deadline_too_far"
    NOT_A_TIME = "not_a_time"
    RESTING = "resting"
    OTHER_READER = "other_reader"
    LOCK_FAULT = "lock_fault"


@dataclass(frozen=True, slots=True)
class DoorChange:
    """The lock changed from locked to unlocked or back."""

    lock: LockState
    by: str  # presentation id behind the unlocking, also when it ends
    until_s: float | None  # CLOCK_MONOTONIC at which it falls shut by itself; None when locked
    at_s: float  # CLOCK_MONOTONIC
    cause: Cause


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a pulse."""

    refusal: Refusal | None  # None when accepted
    changes: tuple[DoorChange, ...] = ()  # in order; the shell drives the line after the last


class Lock:
    """One lock. It is unlocked only by an accepted pulse, and each way back leads to locked.

    The caller must call `tick` at `wake_s` or soon after; `pulse` does so itself.
    """

    def __init__(self) -> None:
        self._opened_s: float | None = None  # None is locked
        self._until_s = -math.inf
        self._heard_s = -math.inf
        self._locked_s = -math.inf
        self._by = ""
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    @property
    def unlocked(self) -> bool:
        """Whether the line should be energised."""
        return self._opened_s is not None

    @property
    def state(self) -> DoorState:
        """The lock as the core wants it."""
        if not self.unlocked:
            return DoorState(LockState.LOCKED, None, "")
        return DoorState(LockState.UNLOCKED, self._until_s, self._by)

    @property
    def wake_s(self) -> float | None:
        """When `tick` must be called next; None while locked."""
        return min(self._until_s, self._heard_s + SILENCE_S) if self.unlocked else None

    def hear(self, now_s: float) -> None:
        """Note that the reader is alive."""
        self._heard_s = now_s

    def tick(self, now_s: float) -> DoorChange | None:
        """Lock when the time is over or the reader has been silent too long."""
        if not now_s < self._until_s:  # this way round, NaN locks
            return self.relock(Cause.TIMEOUT, now_s)
        if not now_s < self._heard_s + SILENCE_S:
            return self.relock(Cause.READER_SILENT, now_s)
        return None

    def relock(self, cause: Cause, now_s: float) -> DoorChange | None:
        """Lock at once; None when it was locked already."""
        if not self.unlocked:
            return None
        change = DoorChange(LockState.LOCKED, self._by, None, now_s, cause)
        self._opened_s, self._until_s, self._locked_s, self._by = None, -math.inf, now_s, ""
        return change

    def pulse(self, request_id: str, pulse: Pulse, now_s: float) -> Answer:
        """Unlock or extend for `pulse.for_s`, clamped to 0.5..30 s; a known `request_id` only gets its answer again.

        Unlocked time in one piece never passes 30 s; after that the lock rests before it unlocks again.
        """
        if request_id in self._answers:
            return replace(self._answers[request_id], changes=())
        ended = self.tick(now_s)
        refusal = self._refusal(pulse, now_s)
        changes = [] if ended is None else [ended]
        if refusal is None:
            self.hear(now_s)
            changes += self._open(pulse, now_s)
        return self._remember(request_id, Answer(refusal, tuple(changes)))

    def retract(self, request_id: str, now_s: float) -> Answer:
        """Return to locked because the line did not follow; the pulse counts as refused."""
        self.relock(Cause.COMMAND, now_s)
        return self._remember(request_id, Answer(Refusal.LOCK_FAULT))

    def _refusal(self, pulse: Pulse, now_s: float) -> Refusal | None:
        if not 0 < pulse.for_s < math.inf:  # NaN lands here too
            return Refusal.NOT_A_TIME
        if not now_s <= pulse.deadline_s:
            return Refusal.STALE
        if not pulse.deadline_s <= now_s + DEADLINE_AHEAD_S:
            return Refusal.DEADLINE_TOO_FAR
        if not self.unlocked and not now_s >= self._locked_s + REST_S:
            return Refusal.RESTING
        return None

    def _open(self, pulse: Pulse, now_s: float) -> list[DoorChange]:
        opened_s = now_s if self._opened_s is None else self._opened_s
        wanted_s = now_s + min(max(pulse.for_s, MIN_PULSE_S), MAX_UNLOCKED_S)
        until_s = min(max(self._until_s, wanted_s), opened_s + MAX_UNLOCKED_S)
        extends = self.unlocked
        self._opened_s, self._until_s, self._by = opened_s, until_s, pulse.presentation_id
        if extends:
            return []
        return [DoorChange(LockState.UNLOCKED, self._by, until_s, now_s, Cause.PULSE)]

    def _remember(self, request_id: str, answer: Answer) -> Answer:
        self._answers[request_id] = answer
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer
