"""A stage that falls silent or slow: whatever it no longer says, nobody is let in for it."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import Settings
from appliance.drivers.scene import Renderer, Visit
from appliance.pipeline import Pipeline
from appliance.pipeline.policy import Rules
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages
from appliance.records import Embedding, Frame, Grant, Liveness
from tests.pipeline.fooled import POINT, gallery_of, placed_portrait

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from appliance.pipeline import Step
    from appliance.records import FaceDetection, Geometry, Quality

RATE, FOR_S = 5.0, 2.0
NAN = np.float32(math.nan)


class Failing:
    """The shipped stages, of which one answers something else from the frame `since` on."""

    def __init__(self, stages: ModelStages, how: str = "", since: int = 0) -> None:
        self._stages = stages
        self._how = how
        self._since = since
        self._frame = -1

    def _now(self, how: str) -> bool:
        return how == self._how and self._frame >= self._since

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Find faces, or none, or such as are nowhere."""
        self._frame += 1
        found = self._stages.detect(frame)
        if self._now("no box is a number"):
            return tuple(replace(one, box=np.full(4, NAN)) for one in found)
        return () if self._now("detector finds nothing") else found

    def align(self, frame: Frame, face: FaceDetection) -> Geometry:
        """Align a face, or lose it."""
        geometry = self._stages.align(frame, face)
        if self._now("landmarks are no numbers"):
            return replace(geometry, landmarks=geometry.landmarks * NAN, five_points=geometry.five_points * NAN)
        if self._now("pose is no number"):
            return replace(geometry, yaw_deg=math.nan, pitch_deg=math.nan, roll_deg=math.nan, presence=math.nan)
        return geometry

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """As shipped."""
        return self._stages.assess(frame, face, geometry)

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Score liveness, or give no number."""
        seen = self._stages.score(frame, face)
        return Liveness(math.nan, seen.model_id) if self._now("liveness is no number") else seen

    def embed(self, crop: NDArray[np.uint8]) -> Embedding | None:
        """Embed, or give nothing, or no numbers."""
        found = self._stages.embed(crop)
        if found is not None and self._now("template is no number"):
            return Embedding(found.vector * NAN, found.model_id)
        return None if self._now("embedder gives nothing") else found


SILENT = (
    "detector finds nothing",
    "no box is a number",
    "landmarks are no numbers",
    "pose is no number",
    "liveness is no number",
    "template is no number",
    "embedder gives nothing",
)


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Give every stage over the shipped model files."""
    return ModelStages(Settings())


@pytest.fixture(scope="module")
def visit() -> Callable[[float], list[Frame]]:
    """Give what makes the frames of an enrolled person's visit, at so many a second."""
    renderer = Renderer(640, 480)

    @functools.cache
    def frames(rate: float) -> list[Frame]:
        visit = Visit(for_s=60.0)
        return [Frame(renderer.draw(visit, 1.0 + at / rate), at / rate, at) for at in range(round(FOR_S * rate))]

    return frames


def read(stages: ModelStages, failing: Failing, frames: list[Frame]) -> list[Step]:
    """Return what each frame came to, in a pipeline in which a face alone may open."""
    gallery = gallery_of(stages, placed_portrait("astronaut"))
    pipeline = Pipeline(failing, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5, face_only=True))
    steps: list[Step] = []
    for frame in frames:
        try:
            steps.append(pipeline.step(frame, gallery, POINT))
        except (ValueError, ArithmeticError, IndexError, RuntimeError):
            # What a bug raises costs the turn: service.py. Here it must only not be a grant.
            continue
    return steps


def granted(steps: list[Step]) -> bool:
    """Tell whether any frame led to a grant."""
    return any(isinstance(one.decision, Grant) for one in steps)


def test_sound_stages_let_the_person_in(stages: ModelStages, visit: Callable[[float], list[Frame]]) -> None:
    """What follows is refused for the stage's silence: the same visit with sound stages is granted."""
    assert granted(read(stages, Failing(stages), visit(RATE)))


@pytest.mark.parametrize("how", SILENT)
def test_silent_stage_lets_nobody_in(stages: ModelStages, visit: Callable[[float], list[Frame]], how: str) -> None:
    """One stage silent, B20, C1: a stage that answers nothing, or no numbers, grants nobody."""
    assert not granted(read(stages, Failing(stages, how), visit(RATE)))


@pytest.mark.parametrize("how", SILENT[-3:])
def test_stage_that_falls_silent_in_a_visit_ends_it(
    stages: ModelStages, visit: Callable[[float], list[Frame]], how: str
) -> None:
    """One stage silent: what was read before it fell silent, two frames, is not enough for a grant."""
    assert not granted(read(stages, Failing(stages, how, since=2), visit(RATE)))


@pytest.mark.parametrize("slower", [2, 4])
def test_slow_stages_read_fewer_frames_and_no_less_time(
    stages: ModelStages, visit: Callable[[float], list[Frame]], slower: int
) -> None:
    """One stage slow, CPU hot, H9: at half and a quarter of the frames the person is let in, after as many seconds."""
    steps = read(stages, Failing(stages), visit(15.0 / slower))
    (first, *_) = [number for number, one in enumerate(steps) if isinstance(one.decision, Grant)]
    assert first >= 2
    assert first / (15.0 / slower) >= 0.3
