"""What the controller remembers of what it said: each event until it is written, each answer for a while."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.contract import EventType, LockState
from appliance.door.lock import Refusal
from appliance.door.memory import WINDOW, Answers, Untold
from appliance.records import DoorEvent, DoorState

STATE = DoorState(LockState.LOCKED, None, "")


class Telling(RuleBasedStateMachine):
    """A controller's events, and readers that come, write some of what they hear, and go."""

    def __init__(self) -> None:
        super().__init__()
        self.untold = Untold()
        self.happened = 0
        self.told = 0  # to the present reader
        self.written: list[int] = []

    @rule(count=st.integers(1, 80))
    def happen(self, count: int) -> None:
        """Let something happen."""
        for _ in range(count):
            self.happened += 1
            self.untold.add(DoorEvent(EventType.REX, "", str(self.happened), 1.0), STATE)

    @rule(share=st.floats(0, 1))
    def tell(self, share: float) -> None:
        """Tell the reader what may be told, and let it write some of that."""
        heard = list(self.untold.after(self.told))
        assert [one.seq for one in heard] == list(range(self.told + 1, self.told + 1 + len(heard)))
        assert all(one.by == str(one.seq) for one in heard)
        if heard:
            self.told = heard[-1].seq
        assert self.told - len(self.written) <= WINDOW
        upto = len(self.written) + round(share * (self.told - len(self.written)))
        self.written += range(len(self.written) + 1, upto + 1)
        self.untold.written(self.untold.run, upto)

    @rule()
    def come_anew(self) -> None:
        """Let another reader come, which was told nothing yet."""
        self.told = len(self.written)

    @rule(seq=st.integers(0, 10_000))
    def write_of_another_run(self, seq: int) -> None:
        """Let a reader speak of a controller that is no more."""
        self.untold.written("00000000", seq)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Whoever comes and writes everything has everything, each once and in order."""
        oldest = next(self.untold.after(0), None)
        assert (oldest.seq if oldest else None) == (
            len(self.written) + 1 if len(self.written) < self.happened else None
        )


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_memory_of_events_is_bounded() -> None:
    """H12: with nobody to write them down, the newest 4,096 events are kept and the oldest are lost."""
    untold = Untold()
    for number in range(4100):
        untold.add(DoorEvent(EventType.REX, "", str(number + 1), 1.0), STATE)
    assert next(untold.after(0)).seq == 5


def test_answers_are_kept_for_a_while() -> None:
    """D12: an answer is given again for the last 1,024 requests, and memory is bounded."""
    answers = Answers()
    answers.remember("first", Refusal.STALE)
    for number in range(1023):
        answers.remember(f"r{number}", None)
    assert "first" in answers
    assert answers["first"] is Refusal.STALE
    answers.remember("one more", None)
    assert "first" not in answers
    assert answers["r0"] is None
