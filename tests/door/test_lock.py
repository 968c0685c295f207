"""The pure core against a model: what no sequence of events and delays may do."""

from __future__ import annotations

import math
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.contract import LockState
from appliance.door.lock import (
    DEADLINE_AHEAD_S,
    MAX_UNLOCKED_S,
    MIN_PULSE_S,
    REST_S,
    SILENCE_S,
    Answer,
    Cause,
    DoorChange,
    Lock,
    Refusal,
)
from appliance.records import DoorState, Pulse

NOW_S = 1000.0


def a_pulse(for_s: float = 5.0, deadline_s: float = NOW_S + 1, by: str = "p1") -> Pulse:
    """Return a pulse that is accepted at NOW_S."""
    return Pulse(for_s, by, deadline_s)


def test_a_pulse_unlocks_and_time_locks() -> None:
    """A pulse unlocks for its time and not a moment longer; both changes name who was behind it."""
    lock = Lock()
    answer = lock.pulse("r1", a_pulse(for_s=0.8), NOW_S)
    assert answer == Answer(None, (DoorChange(LockState.UNLOCKED, "p1", NOW_S + 0.8, NOW_S, Cause.PULSE),))
    assert lock.state == DoorState(LockState.UNLOCKED, NOW_S + 0.8, "p1")
    assert lock.tick(NOW_S + 0.79) is None
    assert lock.tick(NOW_S + 0.8) == DoorChange(LockState.LOCKED, "p1", None, NOW_S + 0.8, Cause.TIMEOUT)
    assert lock.state == DoorState(LockState.LOCKED, None, "")
    assert lock.tick(NOW_S + 99) is None


@pytest.mark.parametrize(
    ("pulse", "refusal"),
    [
        (a_pulse(deadline_s=NOW_S - 0.001), Refusal.STALE),
        (a_pulse(deadline_s=math.nan), Refusal.STALE),
        (a_pulse(deadline_s=math.inf), Refusal.DEADLINE_TOO_FAR),
        (a_pulse(deadline_s=NOW_S + DEADLINE_AHEAD_S + 1), Refusal.DEADLINE_TOO_FAR),
        (a_pulse(for_s=math.nan), Refusal.NOT_A_TIME),
        (a_pulse(for_s=math.inf), Refusal.NOT_A_TIME),
        (a_pulse(for_s=0.0), Refusal.NOT_A_TIME),
        (a_pulse(for_s=-1.0), Refusal.NOT_A_TIME),
    ],
)
def test_a_doubtful_pulse_keeps_the_door_shut(pulse: Pulse, refusal: Refusal) -> None:
    """A stale pulse, one without an honest deadline and one without an honest time unlock nothing."""
    lock = Lock()
    assert lock.pulse("r1", pulse, NOW_S) == Answer(refusal)
    assert not lock.unlocked


@pytest.mark.parametrize(("asked_s", "given_s"), [(0.01, MIN_PULSE_S), (7.0, 7.0), (1e9, MAX_UNLOCKED_S)])
def test_a_pulse_is_clamped(asked_s: float, given_s: float) -> None:
    """A pulse lasts at least 0.5 s and at most 30 s, whatever was asked."""
    lock = Lock()
    lock.pulse("r1", a_pulse(for_s=asked_s), NOW_S)
    assert lock.state.until_s == NOW_S + given_s


def test_a_repeated_request_changes_nothing() -> None:
    """The same request id gets the same answer and moves nothing, even after the door has locked again."""
    lock = Lock()
    lock.pulse("r1", a_pulse(for_s=0.5), NOW_S)
    assert lock.pulse("r1", a_pulse(for_s=9.0), NOW_S + 0.4) == Answer(None)
    assert lock.state.until_s == NOW_S + 0.5
    lock.tick(NOW_S + 0.5)
    assert lock.pulse("r1", a_pulse(), NOW_S + 0.9) == Answer(None)
    assert not lock.unlocked


def test_silence_locks() -> None:
    """Without a word from the reader for 1.0 s the door locks; each word starts the second anew."""
    lock = Lock()
    lock.pulse("r1", a_pulse(for_s=20), NOW_S)
    lock.hear(NOW_S + 0.9)
    assert lock.tick(NOW_S + 1.89) is None
    ended = lock.tick(NOW_S + 0.9 + SILENCE_S)
    assert ended is not None
    assert ended.cause is Cause.READER_SILENT


def test_a_fault_takes_the_unlocking_back() -> None:
    """A pulse whose line did not follow counts as refused, also when it is asked again."""
    lock = Lock()
    lock.pulse("r1", a_pulse(), NOW_S)
    assert lock.retract("r1", NOW_S).refusal is Refusal.LOCK_FAULT
    assert not lock.unlocked
    assert lock.pulse("r1", a_pulse(), NOW_S + 1).refusal is Refusal.LOCK_FAULT


def test_storm_is_one_pulse_with_a_cap() -> None:
    """G5: 1,000 pulses a second for 65 s unlock in pieces of at most 30 s with a rest between: duty is limited."""
    lock = Lock()
    changes: list[DoorChange] = []
    for beat in range(65_000):
        now_s = NOW_S + beat / 1000
        changes += lock.pulse(f"r{beat}", Pulse(5.0, "p1", now_s), now_s).changes
    spans = [(first.at_s, last.at_s) for first, last in zip(changes[::2], changes[1::2], strict=False)]
    assert [change.lock for change in changes] == [LockState.UNLOCKED, LockState.LOCKED] * 2 + [LockState.UNLOCKED]
    assert all(last_s - first_s == pytest.approx(MAX_UNLOCKED_S) for first_s, last_s in spans)
    assert spans[1][0] - spans[0][1] >= REST_S - 1e-6


class LockMachine(RuleBasedStateMachine):
    """Drives a Lock by any events and delays, and keeps a model of what may be unlocked by right."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()
        self.now_s = NOW_S
        self.names = count()
        self.used: list[str] = []
        self.rightful_until_s = -math.inf  # the latest moment any accepted pulse allows
        self.opened_s = math.inf
        self.heard_s = -math.inf
        self.level = False  # the line, driven by nothing but the changes

    def follow(self, change: DoorChange | None) -> None:
        """Drive the model's line."""
        if change is None:
            return
        assert (change.lock is LockState.UNLOCKED) is not self.level, "a change that changes nothing"
        self.level = change.lock is LockState.UNLOCKED
        self.opened_s = self.now_s if self.level else math.inf
        if not self.level:
            self.rightful_until_s = -math.inf

    @rule(for_s=st.floats(), ahead_s=st.one_of(st.floats(-2, 12), st.floats()), by=st.sampled_from(["p1", "p2"]))
    def ask(self, for_s: float, ahead_s: float, by: str) -> None:
        """Ask for any pulse whatever."""
        request_id = f"r{next(self.names)}"
        self.used.append(request_id)
        pulse = Pulse(for_s, by, self.now_s + ahead_s)
        answer = self.lock.pulse(request_id, pulse, self.now_s)
        for change in answer.changes:
            self.follow(change)
        if answer.refusal is None:
            assert math.isfinite(for_s)
            assert pulse.deadline_s >= self.now_s
            self.heard_s = self.now_s
            granted_s = min(max(for_s, MIN_PULSE_S), MAX_UNLOCKED_S)
            self.rightful_until_s = max(self.rightful_until_s, self.now_s + granted_s)

    @precondition(lambda self: bool(self.used))
    @rule(pick=st.integers(min_value=0))
    def ask_again(self, pick: int) -> None:
        """Repeat an old request id with a fine pulse."""
        before = self.lock.state
        answer = self.lock.pulse(self.used[pick % len(self.used)], Pulse(30, "p3", self.now_s + 1), self.now_s)
        assert answer.changes == ()
        assert self.lock.state == before

    @rule()
    def hear(self) -> None:
        """Let the reader say something."""
        self.lock.hear(self.now_s)
        self.heard_s = self.now_s

    @rule(cause=st.sampled_from([Cause.COMMAND, Cause.GARBAGE, Cause.READER_GONE, Cause.SHUTDOWN]))
    def relock(self, cause: Cause) -> None:
        """Lock for any other cause."""
        self.follow(self.lock.relock(cause, self.now_s))
        assert not self.level

    @rule(wait_s=st.floats(0, 40))
    def wait(self, wait_s: float) -> None:
        """Let time pass, with the clock ticking when the lock asked for it."""
        end_s = self.now_s + wait_s
        wake_s = self.lock.wake_s
        if wake_s is not None and wake_s <= end_s:
            self.now_s = max(self.now_s, wake_s)
            self.follow(self.lock.tick(self.now_s))
            assert not self.level
        self.now_s = end_s

    @rule(late_s=st.floats(0, 40))
    def oversleep(self, late_s: float) -> None:
        """Let time pass unseen, as after a stop, then tick."""
        self.now_s += late_s
        self.follow(self.lock.tick(self.now_s))

    @invariant()
    def line_agrees(self) -> None:
        """Hold the line to what the lock says; locked means no time and nobody."""
        assert self.level is self.lock.unlocked
        if not self.level:
            assert self.lock.state == DoorState(LockState.LOCKED, None, "")

    @invariant()
    def unlocked_only_by_right(self) -> None:
        """Hold unlocked to its grounds: an accepted pulse, 30 s not over, a word within 1 s."""
        if self.level:
            until_s = self.lock.state.until_s
            assert until_s is not None
            assert until_s <= min(self.rightful_until_s, self.opened_s + MAX_UNLOCKED_S)
            wake_s = self.lock.wake_s
            assert wake_s is not None
            assert self.now_s <= wake_s <= self.heard_s + SILENCE_S


TestLockMachine = LockMachine.TestCase
TestLockMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
