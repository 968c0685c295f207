"""Chattering contacts: what is believed, and that nothing long enough is lost."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.door.debounce import Debounce
from appliance.door.hardware import Edge, Input

SETTLE_S = 0.02
# Milliseconds between changes of one contact, which starts at rest.
CHATTER = st.lists(st.integers(1, 120), max_size=30)


def edges_of(gaps_ms: list[int]) -> list[Edge]:
    """Return the edges of a contact that changes after each of these times."""
    at_ms, edges = 0, []
    for number, gap_ms in enumerate(gaps_ms):
        at_ms += gap_ms
        edges.append(Edge(Input.REX, number % 2 == 0, at_ms / 1000))
    return edges


def believed(edges: list[Edge], settle_s: float, end_s: float) -> list[tuple[bool, float]]:
    """Return each change that was followed by no other for long enough and differs from what was believed before."""
    believed_, now = [], False
    for edge, following in pairwise([*edges, Edge(Input.REX, active=False, at_s=end_s)]):
        if following.at_s - edge.at_s >= settle_s - 1e-9 and edge.active is not now:
            now = edge.active
            believed_.append((now, edge.at_s))
    return believed_


@given(gaps_ms=CHATTER, reads_ms=st.lists(st.integers(0, 200), max_size=30))
def test_what_is_believed_does_not_depend_on_when_it_is_read(gaps_ms: list[int], reads_ms: list[int]) -> None:
    """G8: however late and in whatever portions edges are read, each change that lasted comes out once, in order."""
    edges = edges_of(gaps_ms)
    end_s = (edges[-1].at_s if edges else 0.0) + 1.0
    debounce = Debounce(SETTLE_S - 1e-6)
    debounce.begin(Input.REX, active=False)
    found, left, now_s = [], list(edges), 0.0
    for step_ms in [*reads_ms, math.ceil(end_s * 1000)]:
        now_s += step_ms / 1000
        debounce.feed([edge for edge in left if edge.at_s <= now_s], now_s)
        left = [edge for edge in left if edge.at_s > now_s]
        found += [(edge.active, edge.at_s) for edge in debounce.settled(now_s)]
    assert found == believed(edges, SETTLE_S, now_s)


@given(gaps_ms=st.lists(st.integers(1, 19), min_size=1, max_size=40))
def test_bounce_shorter_than_the_time_is_not_believed(gaps_ms: list[int]) -> None:
    """G8: a contact that bounces for as long as it likes, each time shorter than 20 ms, is taken for where it ends."""
    edges = edges_of(gaps_ms)
    debounce = Debounce(SETTLE_S)
    debounce.begin(Input.REX, active=False)
    found: list[Edge] = []
    for edge in edges:
        debounce.feed([edge], edge.at_s)
        found += debounce.settled(edge.at_s)
    assert found == []
    found += debounce.settled(edges[-1].at_s + SETTLE_S)
    assert [edge.active for edge in found] == ([True] if edges[-1].active else [])


@given(for_ms=st.integers(20, 5000), late_ms=st.integers(0, 5000))
def test_press_long_enough_is_never_lost(for_ms: int, late_ms: int) -> None:
    """G6: a press of 20 ms or more counts though both its edges are read at once, seconds later."""
    debounce = Debounce(SETTLE_S - 1e-6)
    debounce.begin(Input.REX, active=False)
    now_s = (100 + for_ms + late_ms) / 1000
    debounce.feed([Edge(Input.REX, True, 0.1), Edge(Input.REX, False, (100 + for_ms) / 1000)], now_s)  # noqa: FBT003
    found = [edge.active for edge in debounce.settled(now_s + SETTLE_S)]
    assert found == [True, False]


@given(gaps_ms=CHATTER)
def test_it_asks_to_be_woken_when_something_lasts(gaps_ms: list[int]) -> None:
    """Woken at `wake_s` it has something to return, and before that it has not."""
    debounce = Debounce(SETTLE_S)
    debounce.begin(Input.REX, active=False)
    for edge, following in pairwise([*edges_of(gaps_ms), Edge(Input.REX, active=False, at_s=math.inf)]):
        debounce.feed([edge], edge.at_s)
        debounce.settled(edge.at_s)
        while debounce.wake_s < following.at_s:
            assert debounce.settled(math.nextafter(debounce.wake_s, 0)) == ()
            assert debounce.settled(debounce.wake_s) != ()


def test_clock_ahead_of_ours_holds_nothing_back() -> None:
    """An edge from the future counts from now on, and inputs do not hold one another back."""
    debounce = Debounce(SETTLE_S)
    debounce.feed([Edge(Input.REX, True, 99.0), Edge(Input.BELL, True, 1.0)], 1.0)  # noqa: FBT003
    assert {edge.input for edge in debounce.settled(1.0 + SETTLE_S)} == {Input.REX, Input.BELL}


def test_no_time_to_settle_believes_everything() -> None:
    """With inputs.debounce_s of 0 each change comes out as it is."""
    debounce = Debounce(0.0)
    debounce.begin(Input.REX, active=False)
    edges = edges_of([1, 1, 1])
    debounce.feed(edges, 1.0)
    assert list(debounce.settled(1.0)) == edges
