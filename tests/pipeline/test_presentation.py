"""Presentation: one person's visit, and nothing of anybody else's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.pipeline.embedding import ALIKE_COSINE, fuse
from appliance.pipeline.presentation import (
    MAX_EVIDENCE,
    MAX_GAP_S,
    Presentations,
    best_references,
    overlap,
)
from appliance.records import Cue, Grade
from tests.pipeline.faces import RATE, direction, live_walk, observation

BOX = st.tuples(*[st.floats(-100, 100)] * 4)
HERE, NEAR_BY, ELSEWHERE = (200, 100, 350, 250), (240, 120, 390, 270), (420, 100, 570, 250)


@given(one=BOX, other=BOX)
def test_overlap_is_a_share(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    """The overlap of any two boxes does not depend on their order, and is 0..1 for real ones."""
    boxes = np.array(one, np.float32), np.array(other, np.float32)
    assert overlap(*boxes) == pytest.approx(overlap(*boxes[::-1]), abs=1e-4)
    if (boxes[0][2:] >= boxes[0][:2]).all() and (boxes[1][2:] >= boxes[1][:2]).all():
        assert 0 <= overlap(*boxes) <= 1.0001


def test_overlap_of_known_boxes() -> None:
    """The same box covers itself, a half covers a half, a far one nothing; boxes without area nothing either."""
    box = np.array([0, 0, 10, 10], np.float32)
    assert overlap(box, box) == 1
    assert overlap(box, np.array([0, 0, 5, 10], np.float32)) == 0.5
    assert overlap(box, np.array([20, 20, 30, 30], np.float32)) == 0
    assert overlap(np.zeros(4, np.float32), np.zeros(4, np.float32)) == 0


def test_frames_of_one_person_are_one_visit() -> None:
    """Somebody who stays, and moves within reach, keeps their visit; its evidence is all there in order."""
    presentations = Presentations(4.0)
    visits = [
        presentations.observe(observation(at_s, embedding, 0.8, box=HERE if number % 2 else NEAR_BY))
        for number, (at_s, embedding) in enumerate(live_walk(20))
    ]
    assert len({one.presentation_id for one in visits}) == 1
    assert [one.frames_read for one in visits] == list(range(1, 21))
    assert [one.captured_at_s for one in visits[-1].evidence] == [number / RATE for number in range(20)]
    assert visits[-1].read_span_s == pytest.approx(19 / RATE)
    assert presentations.current is not None
    assert presentations.current.presentation_id == visits[0].presentation_id


def test_probe_is_fused_by_grade() -> None:
    """The probe is the mean of what was read, high grade twice as heavy, low grade not at all."""
    presentations = Presentations(4.0)
    one, other, third = direction(1, 0.1), direction(1, 0.4), direction(0.9, -0.5)
    presentations.observe(observation(0.0, one, grade=Grade.HIGH))
    presentations.observe(observation(0.1, other, grade=Grade.MEDIUM))
    seen = presentations.observe(observation(0.2, third, None, grade=Grade.LOW))
    expected = fuse([one, other], [2.0, 1.0])
    assert seen.probe is not None
    assert expected is not None
    assert np.allclose(seen.probe.vector, expected.vector)
    assert seen.frames_read == 2


def test_liveness_is_a_median() -> None:
    """One lucky frame lifts nothing: the visit's score is the median of what was read."""
    presentations = Presentations(4.0)
    for (at_s, embedding), score in zip(live_walk(5), (0.1, 0.2, 0.1, 0.99, 0.2), strict=True):
        seen = presentations.observe(observation(at_s, embedding, score))
    assert seen.bona_fide == pytest.approx(0.2)


@pytest.mark.parametrize("place", range(5))
def test_one_nan_score_makes_the_visit_nan(place: int) -> None:
    """NaN from the liveness model in one frame is not averaged away (B20)."""
    presentations = Presentations(4.0)
    for number, (at_s, embedding) in enumerate(live_walk(5)):
        seen = presentations.observe(observation(at_s, embedding, math.nan if number == place else 0.9))
    assert math.isnan(seen.bona_fide)


def test_visit_in_which_nothing_was_read_has_no_score() -> None:
    """Before anything was read there is no probe and the score is NaN, never a number."""
    seen = Presentations(4.0).observe(observation(0.0, None, None))
    assert seen.probe is None
    assert math.isnan(seen.bona_fide)
    assert (seen.frames_read, seen.read_span_s, seen.cues) == (0, 0.0, ())


def test_other_face_in_the_same_place_starts_anew() -> None:
    """A live stranger who is replaced by another face in the same place lends it nothing (B7)."""
    presentations = Presentations(4.0)
    for at_s, embedding in live_walk(10, about=0):
        stranger = presentations.observe(observation(at_s, embedding, 0.99))
    for at_s, embedding in live_walk(4, start_s=10 / RATE, about=4):
        owner = presentations.observe(observation(at_s, embedding, 0.01))
        assert owner.presentation_id != stranger.presentation_id
        assert owner.bona_fide == pytest.approx(0.01)
        assert owner.started_at_s == pytest.approx(10 / RATE)
    assert owner.frames_read == 4


def test_other_face_after_an_unread_moment_starts_anew() -> None:
    """Frames that cannot be read between two faces do not join them (B7)."""
    presentations = Presentations(4.0)
    for at_s, embedding in live_walk(6, about=0):
        first = presentations.observe(observation(at_s, embedding, 0.99))
    for number in range(6, 10):
        assert presentations.observe(observation(number / RATE, None, None)).presentation_id == first.presentation_id
    second = presentations.observe(observation(10 / RATE, direction(0, 0, 0, 1), 0.01))
    assert second.presentation_id != first.presentation_id
    assert second.frames_read == 1


def test_first_face_to_be_read_ends_an_unread_visit_of_nobody() -> None:
    """Frames before the first that was read lend neither score nor probe to it (B7)."""
    presentations = Presentations(4.0)
    presentations.observe(observation(0.0, None, 0.99))  # scored live, and never read
    seen = presentations.observe(observation(0.1, direction(1), 0.01))
    assert seen.bona_fide == pytest.approx(0.01)
    assert seen.frames_read == 1


def test_face_elsewhere_starts_anew() -> None:
    """A face that jumps to another place is another visit, even if it looks the same (B8)."""
    presentations = Presentations(4.0)
    one = presentations.observe(observation(0.0, direction(1), box=HERE))
    other = presentations.observe(observation(0.1, direction(1), box=ELSEWHERE))
    assert one.presentation_id != other.presentation_id
    assert other.frames_read == 1


@pytest.mark.parametrize(("gap_s", "same"), [(0.0, True), (MAX_GAP_S - 0.01, True), (MAX_GAP_S + 0.01, False)])
def test_gap_ends_a_visit(gap_s: float, same: bool) -> None:
    """Who is away for longer than the gap has left, whether or not frames without them were seen."""
    for tell in (False, True):
        presentations = Presentations(4.0)
        one = presentations.observe(observation(1.0, direction(1)))
        if tell:
            presentations.nobody(1.0 + gap_s)
            assert (presentations.current is not None) is same
        other = presentations.observe(observation(1.0 + gap_s, direction(1)))
        assert (one.presentation_id == other.presentation_id) is same


def test_time_that_goes_back_starts_anew() -> None:
    """A frame from before the newest one belongs to no visit that went on since (A4)."""
    presentations = Presentations(4.0)
    one = presentations.observe(observation(5.0, direction(1)))
    other = presentations.observe(observation(4.9, direction(1)))
    assert one.presentation_id != other.presentation_id
    assert math.isclose(other.started_at_s, 4.9)


def test_evidence_stays_within_the_window() -> None:
    """Evidence older than the window is gone, however long the visit; its number is bounded at any frame rate."""
    presentations = Presentations(2.01)
    for at_s, embedding in live_walk(90):
        seen = presentations.observe(observation(at_s, embedding))
        assert seen.evidence[0].captured_at_s >= at_s - 2.01
    assert seen.started_at_s == 0
    assert seen.read_for_s == pytest.approx(89 / RATE)
    assert len(seen.evidence) == 31
    fast = Presentations(30.0)
    for number in range(MAX_EVIDENCE + 50):
        seen = fast.observe(observation(number / 1000, direction(1)))
    assert len(seen.evidence) == MAX_EVIDENCE


def test_forgotten_visit_is_not_continued() -> None:
    """After `forget` the same face starts anew."""
    presentations = Presentations(4.0)
    one = presentations.observe(observation(0.0, direction(1)))
    presentations.forget()
    assert presentations.current is None
    assert presentations.observe(observation(0.1, direction(1))).presentation_id != one.presentation_id


def test_still_picture_bears_the_cue() -> None:
    """A visit of one picture again and again says so, from the third frame on (A3, B1)."""
    presentations = Presentations(4.0)
    cues = [presentations.observe(observation(number / RATE, direction(1))).cues for number in range(6)]
    assert cues == [(), (), *[(Cue.STATIC_INPUT,)] * 4]


def test_best_references_are_the_best_and_unlike() -> None:
    """What is offered for enrolment is best graded first, bounded, and no two nearly the same."""
    presentations = Presentations(4.0)
    grades = [Grade.MEDIUM, Grade.HIGH]
    for number, (at_s, embedding) in enumerate(live_walk(24)):
        seen = presentations.observe(observation(at_s, embedding, grade=grades[number % 2]))
    offered = best_references(seen, limit=3)
    assert 1 <= len(offered) <= 3
    assert [grade for _, grade in offered] == sorted((grade for _, grade in offered), reverse=True)
    for number, (one, _) in enumerate(offered):
        assert all(float(one.vector @ other.vector) < ALIKE_COSINE for other, _ in offered[number + 1 :])
    assert best_references(Presentations(4.0).observe(observation(0.0, None, None))) == []
