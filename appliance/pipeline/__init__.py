"""One frame's way from camera to decision: the stages in order, and the sentence that joins them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from appliance.pipeline.matching import Rivals, search
from appliance.pipeline.policy import Rules, decide
from appliance.records import Grade, Grant, Observation, Wait

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import numpy as np
    from numpy.typing import NDArray

    from appliance.pipeline.presentation import Presentations
    from appliance.records import (
        Candidate,
        Decision,
        Embedding,
        FaceDetection,
        Frame,
        GallerySnapshot,
        Geometry,
        Liveness,
        OperatingPoint,
        Presentation,
        Quality,
    )


class Stages(Protocol):
    """What happens to one frame, in this order; a stage is one call, so that it can be timed or replaced."""

    def detect(self, frame: Frame, /) -> tuple[FaceDetection, ...]:
        """Return the faces, largest first."""
        ...

    def align(self, frame: Frame, face: FaceDetection, /) -> Geometry:
        """Return one face's landmarks, pose and crop."""
        ...

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry, /) -> Quality:
        """Return how far this view can be relied on."""
        ...

    def score(self, frame: Frame, face: FaceDetection, /) -> Liveness:
        """Return how surely the face is live."""
        ...

    def embed(self, crop: NDArray[np.uint8], /) -> Embedding | None:
        """Return the face's template."""
        ...


class PictureStages(Stages, Protocol):
    """The stages of a picture that stands alone, and is read better than one of many in passing."""

    def template(self, frame: Frame, face: FaceDetection, /) -> Embedding | None:
        """Return the template of a photograph's face, which may take five frames' time."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What one frame came to."""

    faces: tuple[FaceDetection, ...]  # largest first
    presentation: Presentation | None  # None when nobody is there
    candidates: tuple[Candidate, ...]
    decision: Decision | Wait


class Pipeline:
    """Camera frames in, decisions out. Belongs to the loop's thread."""

    def __init__(
        self, stages: Stages, presentations: Presentations, rules: Rules, beside: Executor | None = None
    ) -> None:
        """Take what it works with; `beside` is one further thread, for what need not wait for the embedding."""
        self._stages = stages
        self._beside = beside
        self._presentations = presentations
        self._rules = rules
        self._rivals = Rivals()

    def step(self, frame: Frame, gallery: GallerySnapshot, point: OperatingPoint) -> Step:
        """Return what this frame adds: nobody, a visit that needs more frames, or a decision."""
        faces = self._stages.detect(frame)
        if not faces:
            self._presentations.nobody(frame.captured_at_s)
            return Step((), None, (), Wait())
        presentation = self._presentations.observe(self._observe(frame, faces))
        candidates = self._rivals.named(search(presentation.probe, gallery), gallery, point.threshold)
        return Step(faces, presentation, candidates, decide(presentation, candidates, point, self._rules))

    def conclude(self, last: Step, point: OperatingPoint) -> Step:
        """Return what a visit came to whose recording ends here: as if its reading time were over, never a grant."""
        if last.presentation is None or not isinstance(last.decision, Wait):
            return last
        decision = decide(last.presentation, last.candidates, point, replace(self._rules, reading_s=0.0))
        return last if isinstance(decision, Grant) else replace(last, decision=decision)

    def _observe(self, frame: Frame, faces: tuple[FaceDetection, ...]) -> Observation:
        """Read the nearest face as far as its quality allows; the others are counted and kept out."""
        face, others = faces[0], sum(near(other, faces[0]) for other in faces[1:])
        geometry = self._stages.align(frame, face)
        quality = self._stages.assess(frame, face, geometry)
        if quality.grade is Grade.LOW:
            return Observation(frame, face, geometry, quality, others=others)
        if self._beside is None:
            liveness = self._score(frame, face, geometry)
            embedding = self._stages.embed(geometry.crop)
        else:  # neither needs the other, and together they are most of a frame's time
            scoring = self._beside.submit(self._score, frame, face, geometry)
            try:
                embedding = self._stages.embed(geometry.crop)
            finally:  # never two frames in one model
                liveness = scoring.result()
        return Observation(frame, face, geometry, quality, liveness, embedding, others)

    def _score(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Liveness:
        """Read all that tells a living face from a picture of one: in this frame, and since earlier ones."""
        liveness = self._stages.score(frame, face)
        self._presentations.follow(frame, face, geometry)
        return liveness


def near(other: FaceDetection, face: FaceDetection) -> bool:
    """Tell whether another face is close enough that it is not clear who is asking."""
    return other.width_px >= 0.6 * face.width_px
