"""Whether somebody before a camera is alive, asked for its own sake: by the rules of the door, and nobody is let in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from appliance.contract import Reason
from appliance.errors import UsageError
from appliance.pipeline import Pipeline, Step
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.policy import in_doubt
from appliance.pipeline.presentation import Presentations
from appliance.records import Frame, GallerySnapshot, Wait, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from appliance.pipeline import Stages
    from appliance.pipeline.policy import Rules
    from appliance.records import Embedding, OperatingPoint, Presentation


class Life(StrEnum):
    """What the frames of a visit came to."""

    REAL = "real"  # one living person, alone
    SPOOF = "spoof"  # a picture of one, or something else that is shown
    UNCERTAIN = "uncertain"  # neither could be told


@dataclass(frozen=True, slots=True, eq=False)
class Witnessed:
    """What was seen of somebody until it could be told."""

    life: Life
    probe: Embedding | None  # fused over the frames that were judged; None where none was read
    best: Step | None  # the frame with the best view of them; None where nobody was there


class Witness:
    """Watches frame by frame, and says what it came to as soon as it can be told.

    The first word is the last: what comes after it is not looked at, so that whoever was called alive is whose face
    was read.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._visit = ""
        self._frames = 0  # of this visit, since we look
        self._since_s = 0.0  # when the first of them was captured
        self._best: tuple[tuple[int, float], Step] | None = None  # how clear the clearest view was
        self._latest: Presentation | None = None

    def see(self, step: Step) -> Witnessed | None:
        """Take in what one more frame came to; return what can be told by now, None for nothing yet."""
        visit = step.presentation
        if visit is None:
            return None
        seen_s = visit.latest.frame.captured_at_s
        if visit.presentation_id != self._visit:  # somebody else, or come back: nothing is carried over
            self._visit, self._frames, self._since_s, self._best = visit.presentation_id, 0, seen_s, None
        self._frames += 1
        self._latest = visit
        clear = visit.latest.quality.grade, visit.latest.quality.sharpness
        if self._best is None or clear > self._best[0]:
            self._best = clear, step
        # Whoever stood there before has the whole reading time from now on: they may have been standing still.
        doubt = in_doubt(replace(visit, started_at_s=self._since_s), self._rules)
        if isinstance(doubt, Wait) or self._frames < self._rules.min_frames:
            return None
        return self._told(Life.REAL if doubt is None else _life(doubt.reason))

    def end(self) -> Witnessed:
        """Return what it came to where no more frames come, and nothing could be told so far."""
        return self._told(Life.UNCERTAIN)

    def _told(self, life: Life) -> Witnessed:
        probe = None if self._latest is None else self._latest.probe
        return Witnessed(life, probe, None if self._best is None else self._best[1])


def witnessed(
    frames: Iterable[Frame], stages: Stages, rules: Rules, gallery: GallerySnapshot, point: OperatingPoint
) -> Witnessed:
    """Return what these frames of one camera came to, read as the door reads its own.

    `gallery` is `nobody` of the stages' model, and `point` any of it.
    """
    pipeline = Pipeline(FollowingStages(stages), Presentations(rules.reading_s), rules)
    witness = Witness(rules)
    for frame in frames:
        told = witness.see(pipeline.step(frame, gallery, point))
        if told is not None:
            return told
    return witness.end()


def nobody(model_id: str, dimension: int) -> GallerySnapshot:
    """Return a gallery of nobody, of an embedder whose templates have so many numbers."""
    return GallerySnapshot(frozen(np.zeros((0, dimension), np.float32)), (), (), model_id, 0)


def filmed(pictures: Sequence[NDArray[np.uint8]], captured_at_s: Sequence[float]) -> tuple[Frame, ...]:
    """Return (H, W, 3) RGB pictures as the frames of one camera. `captured_at_s` are seconds on any clock.

    Raises UsageError for pictures of several sizes, and as `check_times`.
    """
    check_times(len(pictures), captured_at_s)
    if len({one.shape for one in pictures}) > 1:
        raise UsageError("the frames are not all of one size; one camera's are")
    both = zip(pictures, captured_at_s, strict=True)
    return tuple(Frame(one, at_s, number) for number, (one, at_s) in enumerate(both, start=1))


def check_times(count: int, captured_at_s: Sequence[float]) -> None:
    """Raise UsageError for times of so many frames that are not one each, rising."""
    rising = all(later > earlier for earlier, later in pairwise(captured_at_s))  # this way round, NaN does not rise
    if len(captured_at_s) != count or not rising:
        raise UsageError(f"{len(captured_at_s)} times for {count} frames; one each is needed, rising")


def _life(reason: Reason) -> Life:
    return Life.SPOOF if reason is Reason.LIVENESS_FAILED else Life.UNCERTAIN
