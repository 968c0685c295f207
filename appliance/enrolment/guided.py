"""Guided enrolment: which views of a face are still wanted, and what to tell the person. Pure: frames in, state out.

One person, alone and alive throughout, looks straight ahead and then a little to each side, up and down. What is taken
may enrol as it is, so a head is never turned beyond what counts as high quality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import Hint
from appliance.pipeline.policy import not_live
from appliance.pipeline.presentation import MIN_CONTINUITY
from appliance.pipeline.quality import hint_for
from appliance.records import Deny, Flaw, Grade

if TYPE_CHECKING:
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules
    from appliance.records import Embedding, Presentation

LIMIT_S = 60.0
LEAST_VIEWS = 3  # with which the limit still ends well: not everybody can turn the head every way
# Up and down count from one's own straight view: one face's mesh looks 10 degrees further down than another's, and so
# does every face from a camera that hangs high. To the sides a face is its own measure.
STRAIGHT_YAW_DEG = 5.0
STRAIGHT_PITCH_DEG = 16.0  # leaves room for up and down within what is of high quality
TURNED_DEG = 7.0
NODDED_DEG = 4.0
STEADY_S = 1.0  # a frame that is older than this says nothing of the next one


class Pose(StrEnum):
    """How the head is held; left and right are the person's own."""

    STRAIGHT = "straight"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"


class Life(StrEnum):
    """What liveness says of a visit so far."""

    LIVE = "live"
    DOUBT = "doubt"
    ATTACK = "attack"


class Why(StrEnum):
    """Why a guided enrolment ended without a person."""

    ATTACK = "attack_suspected"
    TIME = "time_is_up"
    STOPPED = "stopped"


_HINTS = {
    Pose.STRAIGHT: Hint.LOOK_STRAIGHT,
    Pose.LEFT: Hint.TURN_LEFT,
    Pose.RIGHT: Hint.TURN_RIGHT,
    Pose.UP: Hint.LOOK_UP,
    Pose.DOWN: Hint.LOOK_DOWN,
}
_TURNED_TOO_FAR = {Flaw.YAW, Flaw.PITCH, Flaw.ROLL, Flaw.LANDMARKS_DISAGREE, Flaw.NO_LANDMARKS}


@dataclass(frozen=True, slots=True, eq=False)
class Glimpse:
    """What one frame showed of whoever stands before the camera."""

    at_s: float  # the frames' clock
    visit: str = ""  # the track's id; "" for nobody
    others: int = 0  # further faces near enough to matter
    near: bool = False  # wide enough for liveness to be judged
    flaws: tuple[Flaw, ...] = ()  # worst first
    grade: Grade = Grade.LOW
    yaw_deg: float = math.nan  # as in Geometry
    pitch_deg: float = math.nan
    embedding: Embedding | None = None
    life: Life = Life.DOUBT


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view that was taken; always of high quality."""

    pose: Pose
    embedding: Embedding
    yaw_deg: float
    pitch_deg: float
    at_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """How far a guided enrolment has come."""

    began_s: float
    visit: str = ""  # whose views these are; "" before the first
    views: tuple[View, ...] = ()  # the straight one first; one a pose
    aimed: tuple[Pose, float] | None = None  # the pose of the frame before, and when that was: it takes two in a row
    hint: Hint = Hint.ENROLMENT
    complete: bool = False
    refused: Why | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is taken in."""
        return self.complete or self.refused is not None

    @property
    def wanted(self) -> tuple[Pose, ...]:
        """The poses that are missing, the next one first."""
        have = {view.pose for view in self.views}
        return tuple(pose for pose in Pose if pose not in have)


def advance(session: Session, seen: Glimpse) -> Session:
    """Return the session after one more frame; one that has ended stays as it is.

    It is complete only in a frame in which the same living person as in every view stands there alone.
    """
    if session.ended or seen.at_s < session.began_s:  # captured a moment before it began
        return session
    if seen.visit and session.visit not in {"", seen.visit}:  # somebody else, or come back: nothing is carried over
        session = Session(session.began_s)
    if not seen.at_s - session.began_s < LIMIT_S:  # this way round, NaN ends it too
        return _at_the_limit(session, seen)
    if seen.life is Life.ATTACK:
        return replace(session, views=(), refused=Why.ATTACK)
    hint = _in_the_way(seen)
    if hint is not None:
        return replace(session, hint=hint, aimed=None)
    return _aim(replace(session, visit=seen.visit), seen)


def stop(session: Session) -> Session:
    """Return the session ended from outside; one that has ended stays as it is."""
    return session if session.ended else replace(session, views=(), refused=Why.STOPPED)


def glimpse(step: Step, at_s: float, rules: Rules, near_px: float) -> Glimpse:
    """Return what one frame of the door's pipeline shows; `near_px` is the width from which liveness is judged."""
    visit = step.presentation
    if visit is None:
        return Glimpse(at_s)
    seen = visit.latest
    return Glimpse(
        at_s=at_s,
        visit=visit.presentation_id,
        others=seen.others,
        near=seen.detection.width_px >= near_px,
        flaws=seen.quality.flaws,
        grade=seen.quality.grade,
        yaw_deg=seen.quality.yaw_deg,
        pitch_deg=seen.quality.pitch_deg,
        embedding=seen.embedding,
        life=_life(visit, rules, near_px),
    )


def _life(visit: Presentation, rules: Rules, near_px: float) -> Life:
    """Judge as the policy does, but by near views alone: whoever walks up slowly is no attack."""
    scores = sorted(
        one.bona_fide
        for one in visit.evidence
        if one.bona_fide is not None and float(one.box[2] - one.box[0]) >= near_px
    )
    median = scores[len(scores) // 2] if scores and not math.isnan(sum(scores)) else math.nan
    doubt = not_live(replace(visit, bona_fide=median, frames_read=len(scores)), rules, over=False)
    if isinstance(doubt, Deny):
        return Life.ATTACK
    return Life.LIVE if doubt is None and len(scores) >= rules.min_frames else Life.DOUBT


def _at_the_limit(session: Session, seen: Glimpse) -> Session:
    """End: well where enough was taken and the same living person still stands there alone."""
    still_there = seen.visit == session.visit and seen.life is Life.LIVE and seen.others == 0
    if len(session.views) >= LEAST_VIEWS and still_there:
        return replace(session, complete=True, hint=Hint.ENROLLED)
    return replace(session, views=(), refused=Why.TIME)


def _in_the_way(seen: Glimpse) -> Hint | None:
    """Return what keeps this frame from being looked at more closely, as the person is told of it; None for nothing."""
    if not seen.visit:
        return Hint.ENROLMENT
    if seen.others:
        return Hint.ONE_AT_A_TIME
    if not seen.near:
        return Hint.TOO_FAR
    if seen.grade is Grade.HIGH and seen.embedding is not None:
        return None
    if seen.flaws and seen.flaws[0] in _TURNED_TOO_FAR:
        return Hint.LOOK_STRAIGHT
    return hint_for(seen.flaws) or Hint.HOLD_STILL


def _aim(session: Session, seen: Glimpse) -> Session:
    """Take this view where its pose is wanted, was held for two frames, and the face is alive."""
    pose = _pose(session, seen)
    if pose is None or pose not in session.wanted or seen.life is not Life.LIVE or seen.embedding is None:
        return replace(session, aimed=None, hint=_HINTS[session.wanted[0]])
    if session.aimed is None or session.aimed[0] is not pose or seen.at_s - session.aimed[1] > STEADY_S:
        return replace(session, aimed=(pose, seen.at_s), hint=_HINTS[session.wanted[0]])
    view = View(pose, seen.embedding, seen.yaw_deg, seen.pitch_deg, seen.at_s)
    if session.views and not _alike(session.views[0], view):  # what the track let pass is somebody else all the same
        return Session(session.began_s)
    session = replace(session, views=(*session.views, view), aimed=None)
    if not session.wanted:
        return replace(session, complete=True, hint=Hint.ENROLLED)
    return replace(session, hint=_HINTS[session.wanted[0]])


def _pose(session: Session, seen: Glimpse) -> Pose | None:
    """Return how the head is held, seen from the person's own straight view once there is one; None in between."""
    if not session.views:
        straight = abs(seen.yaw_deg) <= STRAIGHT_YAW_DEG and abs(seen.pitch_deg) <= STRAIGHT_PITCH_DEG
        return Pose.STRAIGHT if straight else None
    across = seen.yaw_deg / TURNED_DEG
    along = (seen.pitch_deg - session.views[0].pitch_deg) / NODDED_DEG
    if max(abs(across), abs(along)) < 1:
        return None
    if abs(across) >= abs(along):
        return Pose.LEFT if across >= 1 else Pose.RIGHT if across <= -1 else None  # None for NaN
    return Pose.UP if along >= 1 else Pose.DOWN if along <= -1 else None


def _alike(one: View, other: View) -> bool:
    return float(one.embedding.vector @ other.embedding.vector) >= MIN_CONTINUITY
