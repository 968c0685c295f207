"""A pipeline whose liveness model has been fooled: only what is seen over frames is left to refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.pipeline import Pipeline
from appliance.pipeline.policy import Rules
from appliance.pipeline.presentation import Presentations
from appliance.records import Embedding, Frame, GallerySnapshot, Liveness, OperatingPoint
from tests.pipeline.faces import frame, placed, portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline import Stages
    from appliance.pipeline.reading import ModelStages
    from appliance.records import FaceDetection, Geometry, Quality

POINT = OperatingPoint(0.5, 0.08, 1e-3, 1, "a test")


class AlwaysLive:
    """The shipped stages with the liveness score forced to 1: only cues over time are left."""

    def __init__(self, stages: ModelStages) -> None:
        self._stages = stages

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """As shipped."""
        return self._stages.detect(frame)

    def align(self, frame: Frame, face: FaceDetection) -> Geometry:
        """As shipped."""
        return self._stages.align(frame, face)

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """As shipped."""
        return self._stages.assess(frame, face, geometry)

    def score(self, _frame: Frame, _face: FaceDetection) -> Liveness:
        """Return 1, as a model would that has been fooled."""
        return Liveness(1.0, "fooled")

    def embed(self, crop: NDArray[np.uint8]) -> Embedding | None:
        """As shipped."""
        return self._stages.embed(crop)


def placed_portrait(face: str) -> NDArray[np.uint8]:
    """Return a picture in which the portrait can be read."""
    return portrait(face) if face == "official" else placed(150, (320, 240))


def gallery_of(stages: ModelStages, picture: NDArray[np.uint8]) -> GallerySnapshot:
    """Return a gallery that holds the one face in the picture."""
    (face,) = stages.detect(frame(picture))
    embedding = stages.embed(stages.align(frame(picture), face).crop)
    assert embedding is not None
    return GallerySnapshot(embedding.vector[np.newaxis], ("ada",), ("r1",), embedding.model_id, 1)


def fooled(stages: ModelStages) -> Pipeline:
    """Return the pipeline with a liveness model that calls everything live."""
    always: Stages = AlwaysLive(stages)
    return Pipeline(always, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5, face_only=True))
