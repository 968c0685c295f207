"""Policy: whatever is put in, a grant means that everything was there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.contract import Hint, Reason
from appliance.pipeline.policy import Rules, decide, out_of_reach
from appliance.pipeline.presentation import Presentations
from appliance.records import (
    Candidate,
    Cue,
    Deny,
    Embedding,
    Flaw,
    Grade,
    Grant,
    OperatingPoint,
    Presentation,
    Refer,
    Wait,
)
from tests.pipeline.faces import RATE, live_walk, observation

if TYPE_CHECKING:
    from appliance.records import Decision

RULES = Rules(min_frames=3, intent_s=0.3, reading_s=4.0, min_bona_fide=0.5, face_only=True)
POINT = OperatingPoint(0.5, 0.1, 1e-3, 2, "a test")
ADA, BO = Candidate("ada", "r1", 0.8, rival=0.3), Candidate("bo", "r2", 0.2)

NUMBER = st.one_of(
    st.floats(-1.5, 1.5), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 0.5, 0.499999, 1.0, 1e9, -1e9])
)
CANDIDATE = st.builds(Candidate, st.sampled_from(["ada", "bo", "cy"]), st.just("r"), NUMBER, NUMBER)


def visit(frames: int = 10, bona_fide: float = 0.9, others: int = 0) -> Presentation:
    """Return the presentation of somebody who moves and was read in every frame."""
    presentations = Presentations(RULES.reading_s)
    for at_s, embedding in live_walk(frames):
        seen = presentations.observe(observation(at_s, embedding, bona_fide, others=others))
    return seen


@st.composite
def visits(draw: st.DrawFn) -> Presentation:
    """Draw a visit as the pipeline makes them, and then anything at all in its sums."""
    presentations = Presentations(RULES.reading_s)
    at_s = 0.0
    seen = presentations.observe(observation(0.0, None, None))
    for _, embedding in live_walk(draw(st.integers(1, 14)), seed=draw(st.integers(0, 3))):
        at_s += draw(st.sampled_from([1 / RATE, 0.2, 0.6]))
        read: Embedding | None = embedding if draw(st.integers(0, 4)) else None
        score = draw(st.one_of(st.none(), NUMBER))
        seen = presentations.observe(observation(at_s, read, score, others=draw(st.sampled_from([0, 0, 0, 1]))))
    if draw(st.booleans()):
        seen = replace(seen, bona_fide=draw(NUMBER), cues=draw(st.sampled_from([(), (Cue.STATIC_INPUT,)])))
    if draw(st.booleans()):
        seen = replace(seen, frames_read=draw(st.integers(-1, 20)), read_span_s=draw(NUMBER))
    return seen


@pytest.mark.filterwarnings("ignore:invalid value")
@given(
    seen=visits(),
    candidates=st.lists(CANDIDATE, max_size=3),
    point=st.builds(OperatingPoint, NUMBER, NUMBER, st.just(1e-3), st.just(3), st.just("drawn")),
    likely=st.booleans(),
)
@trials(max_examples=600, deadline=None)
def test_grant_means_that_everything_was_there(
    seen: Presentation, candidates: list[Candidate], point: OperatingPoint, likely: bool
) -> None:
    """With NaN, None and infinity mixed in anywhere, a grant implies every single condition (C1, B20)."""
    if likely:  # so that grants are among what is drawn
        seen, point = replace(seen, bona_fide=0.9, cues=()), POINT
    decision = decide(seen, candidates, point, RULES)
    if not isinstance(decision, Grant):
        return
    assert seen.frames_read >= RULES.min_frames
    assert seen.read_span_s >= RULES.intent_s
    assert seen.cues == ()
    assert math.isfinite(seen.bona_fide)
    assert seen.bona_fide >= RULES.min_bona_fide
    assert candidates[0].person_id == decision.person_id
    assert candidates[0].similarity >= point.threshold
    assert math.isfinite(candidates[0].similarity)
    assert all(candidates[0].similarity - other.similarity >= point.margin for other in candidates[1:2])
    assert all(candidates[0].similarity > other.similarity for other in candidates[1:2])
    assert all(other.similarity < point.threshold - point.margin for other in candidates[1:2])
    assert candidates[0].rival < point.threshold - point.margin
    assert seen.latest.embedding is not None
    assert seen.latest.liveness is not None
    assert not any(one.others for one in seen.evidence[-RULES.min_frames :])


def test_everything_there_is_granted() -> None:
    """Somebody live, read long enough, alike enough and alone is granted: the rules can be met."""
    assert decide(visit(), [ADA, BO], POINT, RULES) == Grant("ada")
    assert decide(visit(), [ADA], POINT, RULES) == Grant("ada")


def test_face_alone_opens_only_where_it_may() -> None:
    """Before the liveness was tried at this door, a face is never enough: a human is asked, and nobody waits (B20)."""
    shut = replace(RULES, face_only=False)
    assert Rules(3, 0.3, 4.0, 0.5) == shut
    assert decide(visit(), [ADA, BO], POINT, shut) == Refer(Reason.SECOND_FACTOR_REQUIRED)
    assert decide(visit(62, bona_fide=0.4), [ADA], POINT, shut) == Refer(Reason.LIVENESS_UNCERTAIN)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_number_that_is_none_is_refused_everywhere(bad: float) -> None:
    """NaN or infinity in any one number that a grant rests on is no grant (C1, B20)."""
    sound = visit()
    for seen, candidates, point in [
        (replace(sound, bona_fide=bad), [ADA, BO], POINT),
        (replace(sound, read_span_s=math.nan), [ADA, BO], POINT),
        (sound, [replace(ADA, similarity=bad), BO], POINT),
        (sound, [ADA, replace(BO, similarity=math.nan)], POINT),
        (sound, [replace(ADA, rival=abs(bad)), BO], POINT),
        (sound, [ADA, BO], replace(POINT, threshold=abs(bad))),
        (sound, [ADA, BO], replace(POINT, margin=abs(bad))),
    ]:
        assert not isinstance(decide(seen, candidates, point, RULES), Grant)


@pytest.mark.parametrize(("frames", "span"), [(0, 0.0), (2, 1.0), (3, 0.29), (1, 9.0)])
def test_passer_by_is_not_read(frames: int, span: float) -> None:
    """Too few frames, or over too short a time, is a wait and leaves no trace."""
    seen = replace(visit(), frames_read=frames, read_span_s=span)
    assert isinstance(decide(seen, [ADA], POINT, RULES), Wait)


def test_face_that_cannot_be_read_is_refused_in_the_end() -> None:
    """A face that stays for the reading time without being readable is refused, with a hint until then (A17)."""
    presentations = Presentations(RULES.reading_s)
    decisions: list[Decision | Wait] = []
    for number in range(62):
        seen = presentations.observe(
            observation(number / RATE, None, None, grade=Grade.LOW, flaws=(Flaw.TOO_DARK, Flaw.BLUR))
        )
        decisions.append(decide(seen, [], POINT, RULES))
    assert decisions[:60] == [Wait(Hint.TOO_DARK)] * 60
    assert decisions[60:] == [Deny(Reason.LOW_QUALITY)] * 2


def test_grant_needs_the_newest_frame() -> None:
    """However good the visit, a frame that was not read grants nothing: the door opens for who is there now."""
    presentations = Presentations(RULES.reading_s)
    for at_s, embedding in live_walk(10):
        presentations.observe(observation(at_s, embedding, 0.9))
    seen = presentations.observe(observation(10 / RATE, None, None))
    assert isinstance(decide(seen, [ADA], POINT, RULES), Wait)


def test_stranger_is_referred_and_never_named() -> None:
    """Nobody alike enough is unknown: in the end, or sooner where it is hopeless (C6)."""
    near = [replace(ADA, similarity=POINT.threshold - 0.01)]
    assert isinstance(decide(visit(), near, POINT, RULES), Wait)
    assert decide(visit(62), near, POINT, RULES) == Refer(Reason.UNKNOWN_FACE)
    assert decide(visit(), [replace(ADA, similarity=0.1)], POINT, RULES) == Refer(Reason.UNKNOWN_FACE)
    assert decide(visit(), [], POINT, RULES) == Refer(Reason.UNKNOWN_FACE)


@given(
    similarity=st.floats(-1, 1),
    threshold=st.floats(0, 1),
    spans=st.tuples(st.floats(0, 30), st.floats(0, 30)),
)
def test_more_time_never_makes_a_stranger_more_promising(
    similarity: float, threshold: float, spans: tuple[float, float]
) -> None:
    """What is given up early stays given up later, and nobody at or over the threshold ever is."""
    early, late = sorted(spans)
    if out_of_reach(similarity, threshold, early):
        assert out_of_reach(similarity, threshold, late)
        assert similarity < threshold


def test_plain_stranger_is_given_up_sooner_than_a_near_one() -> None:
    """A sequential test: the further a face is from the threshold, the sooner more frames are not worth waiting for."""
    given_up = [
        next(tenths for tenths in range(400) if out_of_reach(similarity, 0.5, tenths / 10))
        for similarity in (0.0, 0.2, 0.35, 0.45)
    ]
    assert given_up == sorted(given_up)
    assert given_up[0] == 1
    assert given_up[-1] > 40
    assert out_of_reach(math.nan, 0.5, 0.0)


def test_two_alike_people_are_referred() -> None:
    """A rival within the margin is a wait, then a human's question; a tie as well (B10, C13)."""
    for rival in (ADA.similarity, ADA.similarity - 0.099):
        both = [ADA, replace(BO, similarity=rival)]
        assert isinstance(decide(visit(), both, POINT, RULES), Wait)
        assert decide(visit(62), both, POINT, RULES) == Refer(Reason.AMBIGUOUS_MATCH)


@pytest.mark.parametrize("rival", [0.4, 0.401, 0.8, 1.0, math.nan])
def test_person_with_a_look_alike_is_referred_at_once(rival: float) -> None:
    """B10: a face alone never opens for somebody whose rival comes within the margin of the threshold."""
    twin = replace(ADA, similarity=0.99, rival=rival)
    assert decide(visit(), [twin, BO], POINT, RULES) == Refer(Reason.AMBIGUOUS_MATCH)
    assert decide(visit(), [replace(twin, rival=0.399), BO], POINT, RULES) == Grant("ada")


@pytest.mark.parametrize("under", [0.0, 0.05, 0.0999])
def test_runner_up_just_under_the_threshold_is_referred(under: float) -> None:
    """B10: however sure the match, a second person a little under the threshold is a wait, then a human's question."""
    both = [replace(ADA, similarity=0.99), replace(BO, similarity=POINT.threshold - under)]
    assert isinstance(decide(visit(), both, POINT, RULES), Wait)
    assert decide(visit(62), both, POINT, RULES) == Refer(Reason.AMBIGUOUS_MATCH)


def test_tie_is_referred_even_without_a_margin() -> None:
    """C13: where the installer asks for no margin, two who are exactly as alike are still a human's question."""
    tie = [ADA, replace(BO, similarity=ADA.similarity)]
    assert decide(visit(62), tie, replace(POINT, margin=0.0), RULES) == Refer(Reason.AMBIGUOUS_MATCH)


def test_second_face_is_asked_to_wait() -> None:
    """With somebody else near in the newest frames, one is asked to come alone, then a human is asked (B8, B18)."""
    assert decide(visit(others=1), [ADA], POINT, RULES) == Wait(Hint.ONE_AT_A_TIME)
    assert decide(visit(62, others=1), [ADA], POINT, RULES) == Refer(Reason.MULTIPLE_FACES)


def test_cue_is_never_outvoted() -> None:
    """One cue of an attack beside perfect scores keeps the door shut, and is a refusal in the end (B1, B3)."""
    assert isinstance(decide(replace(visit(), cues=(Cue.STATIC_INPUT,)), [ADA], POINT, RULES), Wait)
    seen = replace(visit(62), cues=(Cue.STATIC_INPUT,))
    assert decide(seen, [ADA], POINT, RULES) == Deny(Reason.LIVENESS_FAILED)


def test_attack_is_called_one_without_waiting() -> None:
    """A score near nothing over six frames is refused at once; an uncertain one is a wait, then a human's question."""
    assert decide(visit(bona_fide=0.01), [ADA], POINT, RULES) == Deny(Reason.LIVENESS_FAILED)
    assert isinstance(decide(visit(bona_fide=0.4), [ADA], POINT, RULES), Wait)
    assert decide(visit(62, bona_fide=0.4), [ADA], POINT, RULES) == Refer(Reason.LIVENESS_UNCERTAIN)


def test_silent_liveness_model_grants_nobody() -> None:
    """A model that gives NaN, or the same middling number for everybody, leaves only a human's question (B20)."""
    assert decide(visit(62, bona_fide=0.3333), [ADA], POINT, RULES) == Refer(Reason.LIVENESS_UNCERTAIN)
    nothing = replace(visit(62), bona_fide=math.nan)
    assert decide(nothing, [ADA], POINT, RULES) == Refer(Reason.LIVENESS_UNCERTAIN)
