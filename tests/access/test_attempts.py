"""Attempt limits: who fails has to wait, nobody else does, and nothing is remembered for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from appliance.access.attempts import FORGOTTEN_S, MAX_FACES, PAUSE_S, Attempts
from appliance.manifest import Impostors
from appliance.records import Embedding

if TYPE_CHECKING:
    from numpy.typing import NDArray

D = 256
IMPOSTORS = Impostors(
    data="made up", comparisons=1, tail_start=0.4, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)


def face(number: int, model_id: str = "m") -> Embedding:
    """Return a face that has nothing in common with those of other numbers."""
    return Embedding(np.eye(1, D, number, dtype=np.float32)[0], model_id)


def near(number: int, cosine: float) -> Embedding:
    """Return a view whose cosine with the face of this number is as given."""
    vector: NDArray[np.float32] = np.zeros(D, np.float32)
    vector[number], vector[D - 1] = cosine, np.sqrt(1 - cosine**2)
    return Embedding(vector, "m")


def fail(attempts: Attempts, probe: Embedding | None, times: int, at_s: float = 0.0) -> None:
    """Let an attempt fail so many times at one moment."""
    for _ in range(times):
        attempts.failed(probe, at_s)


@pytest.mark.parametrize(("liveness", "few", "many"), [(False, 5, 50), (True, 10, 100)])
def test_limits_of_one_face(liveness: bool, few: int, many: int) -> None:
    """B12, B19: after 5 failures (10 with liveness) each means 30 s of waiting; after 50 (100) a face is not enough."""
    attempts = Attempts(liveness=liveness)
    now_s = 0.0
    for count in range(1, many + 1):
        attempts.failed(face(1), now_s)
        assert attempts.waits(face(1), now_s) is (count >= few)
        assert attempts.waits(face(1), now_s + PAUSE_S - 0.001) is (count >= few)
        assert not attempts.waits(face(1), now_s + PAUSE_S)
        assert attempts.stopped(face(1), now_s) is (count >= many)
        assert attempts.strained is (count >= many)
        now_s += PAUSE_S
    assert PAUSE_S == 30


def test_nobody_else_waits() -> None:
    """B19: whatever somebody else does, and as often as they like, a face that has not failed is tried at once."""
    attempts = Attempts(liveness=False)
    fail(attempts, face(1), 1000)
    assert attempts.waits(face(1), 0)
    assert not attempts.waits(face(2), 0)
    assert not attempts.stopped(face(2), 0)


def test_same_face_seen_otherwise_is_the_same() -> None:
    """B12: a patch or a turned head does not begin anew, where it leaves the face as alike as one in a thousand is."""
    attempts = Attempts(liveness=False, impostors=IMPOSTORS)
    fail(attempts, face(1), 4)
    attempts.failed(near(1, 0.41), 0)
    assert attempts.waits(face(1), 0)
    assert attempts.waits(near(1, 0.41), 0)
    assert not attempts.waits(near(1, 0.39), 0)


def test_templates_of_other_models_are_not_compared() -> None:
    """C9: a face read by another model is another face here."""
    attempts = Attempts(liveness=False)
    fail(attempts, face(1), 5)
    assert not attempts.waits(face(1, "other"), 0)


def test_vector_that_is_none_is_nobody() -> None:
    """C1: a probe of NaN is nobody: it neither raises, nor holds anybody up, nor hides who has failed."""
    attempts = Attempts(liveness=False)
    broken = Embedding(np.full(D, np.nan, np.float32), "m")
    fail(attempts, broken, 60)
    assert not attempts.waits(broken, 0)
    assert not attempts.waits(face(1), 0)
    assert attempts.strained
    fail(attempts, face(1), 5)
    assert attempts.waits(face(1), 0)


def test_faces_that_change_strain_the_door() -> None:
    """B12, B19: fifty failures in a row of fifty faces, or of none that could be read, and no face alone is enough."""
    for probes in ([face(number) for number in range(50)], [None] * 50):
        attempts = Attempts(liveness=False)
        for at_s, probe in enumerate(probes):
            assert not attempts.strained
            attempts.failed(probe, at_s * 3600.0)
        assert attempts.strained
        attempts.succeeded(face(99), 0, by_factor=False)
        assert attempts.strained
        attempts.succeeded(face(99), 0, by_factor=True)
        assert not attempts.strained


def test_success_begins_anew() -> None:
    """A success in between ends the row at the door and that face's own count; another's count stays."""
    attempts = Attempts(liveness=False)
    fail(attempts, face(1), 4)
    fail(attempts, face(2), 5)
    fail(attempts, None, 40)
    attempts.succeeded(face(1), 0, by_factor=False)
    attempts.failed(face(1), 0)
    assert not attempts.waits(face(1), 0)
    assert attempts.waits(face(2), 0)
    fail(attempts, None, 48)
    assert not attempts.strained
    attempts.failed(None, 0)
    assert attempts.strained


def test_most_alike_face_is_meant() -> None:
    """Where a probe is near to two faces that failed, the attempts of the nearer one count."""
    attempts = Attempts(liveness=False)
    fail(attempts, face(1), 5)
    fail(attempts, face(2), 1)
    vector: NDArray[np.float32] = np.zeros(D, np.float32)
    vector[1], vector[2] = 0.6, 0.8
    assert not attempts.waits(Embedding(vector, "m"), 0)
    vector[1], vector[2] = 0.8, 0.6
    assert attempts.waits(Embedding(vector, "m"), 0)


def test_used_up_attempts_come_back_by_a_factor_or_an_operator() -> None:
    """A face that has used up its attempts is freed by a factor that is right, or by an operator, not by itself."""
    for by_operator in (False, True):
        attempts = Attempts(liveness=False)
        fail(attempts, face(1), 50)
        attempts.succeeded(face(1), 0, by_factor=False)
        assert attempts.stopped(face(1), 0)
        if by_operator:
            attempts.reset()
        else:
            attempts.succeeded(face(1), 0, by_factor=True)
        assert not attempts.stopped(face(1), 0)
        assert not attempts.waits(face(1), 0)
        assert not attempts.strained


def test_few_templates_and_not_for_long() -> None:
    """J3: of strangers at most 64 templates are held, the worst of them, and each for ten minutes after it was seen."""
    attempts = Attempts(liveness=False)
    fail(attempts, face(0), 50)
    for number in range(1, 200):
        attempts.failed(face(number), float(number))
        assert len(attempts._faces) <= MAX_FACES
    assert attempts.stopped(face(0), 200)
    attempts.forget(200 + FORGOTTEN_S)
    assert [one.probe.vector.argmax() for one in attempts._faces] == [0]
    attempts.forget(200.001 + FORGOTTEN_S)
    assert attempts._faces == []


class Model(RuleBasedStateMachine):
    """Five strangers fail and succeed at a door as they like; a plain count of each says what must follow."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = Attempts(liveness=False)
        self.now_s = 0.0
        self.failures = dict.fromkeys(range(5), 0)
        self.failed_s = dict.fromkeys(range(5), -np.inf)
        self.seen_s = dict.fromkeys(range(5), -np.inf)
        self.in_a_row = 0

    def see(self, who: int) -> None:
        """Forget a face that was away for long; else it is here now."""
        for one, seen_s in self.seen_s.items():
            if self.now_s - seen_s > FORGOTTEN_S:
                self.failures[one] = 0
        if self.failures[who]:
            self.seen_s[who] = self.now_s

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0, 31.0, 300.0, 600.0, 601.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    @rule(who=st.integers(0, 4), times=st.sampled_from([1, 4, 5, 45, 50]))
    def fails(self, who: int, times: int) -> None:
        """Let somebody fail."""
        for _ in range(times):
            self.see(who)
            self.attempts.failed(face(who), self.now_s)
            self.failures[who] += 1
            self.failed_s[who] = self.seen_s[who] = self.now_s
            self.in_a_row += 1

    @rule(who=st.integers(0, 4), by_factor=st.booleans())
    def succeeds(self, who: int, by_factor: bool) -> None:
        """Let somebody succeed."""
        self.see(who)
        self.attempts.succeeded(face(who), self.now_s, by_factor=by_factor)
        if by_factor or self.failures[who] < 50:
            self.failures[who] = 0
        if by_factor or self.in_a_row < 50:
            self.in_a_row = 0

    @rule(who=st.integers(0, 4))
    def comes(self, who: int) -> None:
        """Ask about somebody: only their own failures count."""
        self.see(who)
        due = self.failures[who] >= 5 and self.now_s < self.failed_s[who] + PAUSE_S
        assert self.attempts.waits(face(who), self.now_s) is due
        assert self.attempts.stopped(face(who), self.now_s) is (self.failures[who] >= 50)
        assert not self.attempts.waits(face(9), self.now_s)

    @invariant()
    def door_is_strained_by_a_row(self) -> None:
        """Hold the door to the row: it asks for more than a face after fifty failures, whosever they are."""
        assert self.attempts.strained is (self.in_a_row >= 50)


def test_no_sequence_of_attempts_misleads() -> None:
    """B12, B19: whatever the order of attempts and times, no face goes on for ever and nobody else is held up."""
    run_state_machine_as_test(Model, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
