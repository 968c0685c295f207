"""Guided enrolment: one living person, alone, seen from every side, or nobody."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract import Hint
from appliance.enrolment.guided import (
    LEAST_VIEWS,
    LIMIT_S,
    Glimpse,
    Life,
    Pose,
    Session,
    Why,
    advance,
    glimpse,
    stop,
)
from appliance.pipeline import Step
from appliance.pipeline.policy import Rules
from appliance.records import Cue, Embedding, Evidence, Flaw, Grade, Presentation, Wait
from tests.stand import presentation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

RULES = Rules(min_frames=3, intent_s=0.3, reading_s=4.0, min_bona_fide=0.5)
FRAME_S = 1 / 15
TURNS = {
    Pose.STRAIGHT: (0.0, -6.0),
    Pose.LEFT: (12.0, -6.0),
    Pose.RIGHT: (-12.0, -6.0),
    Pose.UP: (0.0, 0.0),
    Pose.DOWN: (0.0, -12.0),
}


def face(seed: int, spread: float = 0.0) -> Embedding:
    """Return a template of person `seed`, as far from their usual one as `spread` says."""
    numbers = np.random.default_rng(seed).normal(size=64)
    numbers += spread * np.random.default_rng(seed + 1000).normal(size=64)
    return Embedding((numbers / np.linalg.norm(numbers)).astype(np.float32), "m")


ADA, BOB = face(1), face(2)


def seen(at_s: float, pose: Pose = Pose.STRAIGHT, embedding: Embedding | None = ADA, visit: str = "v1") -> Glimpse:
    """Return a frame in which somebody alive stands there alone and holds this pose."""
    yaw, pitch = TURNS[pose]
    return Glimpse(
        at_s=at_s,
        visit=visit,
        near=True,
        grade=Grade.HIGH,
        yaw_deg=yaw,
        pitch_deg=pitch,
        embedding=embedding,
        life=Life.LIVE,
    )


def through(glimpses: Iterable[Glimpse], session: Session | None = None) -> Session:
    """Return the session after these frames."""
    session = session or Session(0.0)
    for one in glimpses:
        session = advance(session, one)
    return session


def held(*poses: Pose, start_s: float = 0.0) -> list[Glimpse]:
    """Return three frames of each pose."""
    return [seen(start_s + FRAME_S * n, pose) for n, pose in enumerate(pose for pose in poses for _ in range(3))]


def test_five_views_are_asked_for_and_taken() -> None:
    """Who looks straight, left, right, up and down is told each in turn, and then that it is done."""
    session = Session(0.0)
    hints: list[Hint] = []
    for one in held(*Pose):
        session = advance(session, one)
        if not hints or hints[-1] is not session.hint:
            hints.append(session.hint)
    assert hints == [
        Hint.LOOK_STRAIGHT,
        Hint.TURN_LEFT,
        Hint.TURN_RIGHT,
        Hint.LOOK_UP,
        Hint.LOOK_DOWN,
        Hint.ENROLLED,
    ]
    assert session.complete
    assert [view.pose for view in session.views] == list(Pose)


def test_poses_may_come_in_any_order_after_the_straight_one() -> None:
    """A view from the side counts only beside a straight one of the same person; then each counts once."""
    session = through(held(Pose.LEFT, Pose.RIGHT))
    assert session.views == ()
    session = through(held(Pose.STRAIGHT, Pose.DOWN, Pose.DOWN, Pose.LEFT, start_s=1.0), session)
    assert [view.pose for view in session.views] == [Pose.STRAIGHT, Pose.DOWN, Pose.LEFT]


def test_one_frame_is_not_held() -> None:
    """A pose that is passed through is not taken: it takes two frames in a row."""
    crossing = [seen(FRAME_S * n, pose) for n, pose in enumerate([Pose.STRAIGHT, Pose.LEFT] * 10)]
    assert through(crossing).views == ()
    late = [seen(0.0), seen(5.0), seen(10.0)]  # frames that say nothing of each other
    assert through(late).views == ()


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"visit": ""}, Hint.ENROLMENT),
        ({"others": 1}, Hint.ONE_AT_A_TIME),
        ({"near": False}, Hint.TOO_FAR),
        ({"grade": Grade.MEDIUM, "flaws": (Flaw.TOO_DARK,)}, Hint.TOO_DARK),
        ({"grade": Grade.MEDIUM, "flaws": (Flaw.TOO_LARGE,)}, Hint.TOO_NEAR),
        ({"grade": Grade.LOW, "flaws": (Flaw.BLUR, Flaw.YAW)}, Hint.HOLD_STILL),
        ({"grade": Grade.LOW, "flaws": (Flaw.YAW, Flaw.BLUR)}, Hint.LOOK_STRAIGHT),
        ({"grade": Grade.MEDIUM, "flaws": (Flaw.COVERED,)}, Hint.REMOVE_MASK),
        ({"embedding": None}, Hint.HOLD_STILL),
        ({"life": Life.DOUBT}, Hint.LOOK_STRAIGHT),
        ({"yaw_deg": math.nan}, Hint.LOOK_STRAIGHT),
        ({"pitch_deg": math.nan}, Hint.LOOK_STRAIGHT),
    ],
)
def test_what_is_in_the_way_is_told_and_nothing_is_taken(changes: dict[str, object], hint: Hint) -> None:
    """B14: two faces, a poor view, a doubtful or an unread one: a hint, no view, and at the limit nobody."""
    session = through(replace(seen(FRAME_S * n), **changes) for n in range(30))  # type: ignore[arg-type]
    assert (session.hint, session.views, session.ended) == (hint, (), False)
    assert advance(session, seen(LIMIT_S)).refused is Why.TIME


def test_an_attack_ends_it_at_once() -> None:
    """B14: one frame that is called an attack, at whatever moment, ends it with no view left."""
    for done in range(len(Pose)):
        session = through(held(*list(Pose)[:done]))
        attack = replace(seen(10.0), life=Life.ATTACK)
        ended = advance(session, attack)
        assert (ended.refused, ended.views, ended.complete) == (Why.ATTACK, (), False)
        assert through(held(*Pose, start_s=11.0), ended) is ended


def test_somebody_else_begins_anew() -> None:
    """B7, B14: a new track, or another face in the same one, loses every view that was taken before."""
    three = through(held(Pose.STRAIGHT, Pose.LEFT, Pose.RIGHT))
    assert len(three.views) == 3
    assert advance(three, seen(1.0, Pose.UP, BOB, "v2")).views == ()
    swapped = through([seen(1.0 + FRAME_S * n, Pose.UP, BOB) for n in range(2)], three)
    assert swapped.views == ()
    assert not through([seen(2.0 + FRAME_S * n, Pose.DOWN, ADA) for n in range(3)], swapped).complete


def test_limit_is_kept_by_those_who_cannot_turn() -> None:
    """At the limit three views are enough where the same living person still stands there; else nobody is taken."""
    assert LEAST_VIEWS == 3
    enough = through(held(Pose.STRAIGHT, Pose.LEFT, Pose.UP))
    too_few = through(held(Pose.STRAIGHT, Pose.LEFT))
    assert advance(enough, seen(LIMIT_S)).complete
    assert advance(too_few, seen(LIMIT_S)).refused is Why.TIME
    for gone in (
        Glimpse(LIMIT_S),
        seen(LIMIT_S, visit="v2"),
        replace(seen(LIMIT_S), life=Life.DOUBT),
        replace(seen(LIMIT_S), others=1),
    ):
        ended = advance(enough, gone)
        assert (ended.refused, ended.views) == (Why.TIME, ())
    assert advance(enough, seen(math.nan)).ended
    assert advance(too_few, seen(-0.01)) is too_few  # captured just before it began
    assert stop(enough).refused is Why.STOPPED
    done = advance(enough, seen(LIMIT_S))
    assert stop(done) is done


@st.composite
def glimpses(draw: st.DrawFn) -> list[Glimpse]:
    """Draw frames that show anything at all, mostly somebody who does as told."""
    found, at_s = [], 0.0
    for _ in range(draw(st.integers(0, 60))):
        at_s += draw(st.floats(0.01, 0.4))
        one = seen(at_s, draw(st.sampled_from(Pose)))
        if draw(st.integers(0, 5)) == 0:
            angle = st.one_of(st.floats(-90, 90), st.just(math.nan))
            one = Glimpse(
                at_s=draw(st.one_of(st.just(at_s), st.floats())),
                visit=draw(st.sampled_from(["v1", "v2", ""])),
                others=draw(st.integers(0, 2)),
                near=draw(st.booleans()),
                flaws=tuple(draw(st.lists(st.sampled_from(Flaw), max_size=2))),
                grade=draw(st.sampled_from(Grade)),
                yaw_deg=draw(angle),
                pitch_deg=draw(angle),
                embedding=draw(st.sampled_from([ADA, BOB, None])),
                life=draw(st.sampled_from([Life.LIVE, Life.LIVE, Life.DOUBT, Life.ATTACK])),
            )
        found.append(one)
    return found


def fit(one: Glimpse) -> bool:
    """Tell whether a frame may give a view at all, in one place beside the code that is tested."""
    sound = one.visit != "" and one.others == 0 and one.near and one.embedding is not None
    return sound and one.grade is Grade.HIGH and one.life is Life.LIVE


@settings(max_examples=50)
@given(glimpses())
def test_whatever_is_shown_only_one_living_person_is_enrolled(shown: list[Glimpse]) -> None:
    """B14: each view of a session comes from a fit frame of one visit and one face; each pose once, straight first."""
    session = Session(0.0)
    for one in shown:
        before, session = session, advance(session, one)
        if before.ended:
            assert session is before
        new = [view for view in session.views if view not in before.views]
        assert len(new) <= 1
        assert all(fit(one) and view.embedding is one.embedding and one.visit == session.visit for view in new)
        poses = [view.pose for view in session.views]
        assert len(set(poses)) == len(poses)
        assert poses[:1] in ([], [Pose.STRAIGHT])
        assert len({view.embedding.vector.tobytes() for view in session.views}) <= 1
        assert not (session.complete and session.refused)
        if session.refused:
            assert session.views == ()
        if session.complete:
            assert one.life is Life.LIVE
            assert one.others == 0
            assert one.visit == session.visit
            assert len(session.views) >= LEAST_VIEWS


@settings(max_examples=50)
@given(glimpses(), st.floats(min_value=LIMIT_S, allow_infinity=False))
def test_every_session_ends(shown: list[Glimpse], later_s: float) -> None:
    """Whatever was shown, the first frame at or after the limit ends it."""
    assert advance(through(shown), Glimpse(later_s)).ended


def visit(*scores: float | None, width_px: float = 150.0, cues: tuple[Cue, ...] = ()) -> Presentation:
    """Return a visit with these bona fide scores, one a frame."""
    plain = presentation("v1", ADA, 10.0)
    box: NDArray[np.float32] = np.array([100, 100, 100 + width_px, 100 + width_px], np.float32)
    evidence = tuple(
        Evidence(9.0 + 0.05 * n, Grade.HIGH, (), box, plain.latest.geometry.landmarks, score, ADA, 0)
        for n, score in enumerate(scores)
    )
    return replace(plain, evidence=evidence, cues=cues)


def life_of(one: Presentation) -> Life:
    """Return what liveness says of a visit."""
    return glimpse(Step((one.latest.detection,), one, (), Wait()), 10.0, RULES, 100.0).life


@pytest.mark.parametrize(
    ("one", "life"),
    [
        (visit(*[0.9] * 8), Life.LIVE),
        (visit(*[0.9] * 2), Life.DOUBT),
        (visit(*[0.3] * 8), Life.DOUBT),
        (visit(*[0.01] * 8), Life.ATTACK),
        (visit(*[0.01] * 8, width_px=90), Life.DOUBT),
        (visit(*[0.9] * 8, width_px=90), Life.DOUBT),
        (visit(0.9, math.nan, *[0.9] * 8), Life.DOUBT),
        (visit(*[None] * 8), Life.DOUBT),
        (visit(*[0.9] * 8, cues=(Cue.FLAT_INPUT,)), Life.DOUBT),
        (visit(*[0.9] * 8, cues=(Cue.CARRIED_BACKGROUND,)), Life.ATTACK),
        (visit(*[0.9] * 8, cues=(Cue.REPEATED_INPUT,)), Life.ATTACK),
    ],
)
def test_life_is_judged_as_the_door_does(one: Presentation, life: Life) -> None:
    """B14: the door's own liveness rules hold, over near views alone; NaN and silence are no life."""
    assert life_of(one) is life


def test_nobody_is_a_glimpse_of_nobody() -> None:
    """A frame without a face gives a glimpse in which nothing is fit."""
    empty = glimpse(Step((), None, (), Wait()), 3.0, RULES, 100.0)
    assert (empty.at_s, empty.visit, empty.life) == (3.0, "", Life.DOUBT)
    assert not fit(empty)
