"""The sentence: stages in the order of the design, each asked once, and about one face only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.pipeline import Pipeline, near
from appliance.pipeline.policy import Rules
from appliance.pipeline.presentation import Presentations
from appliance.records import (
    Embedding,
    FaceDetection,
    Frame,
    GallerySnapshot,
    Geometry,
    Grade,
    Grant,
    Liveness,
    OperatingPoint,
    Quality,
    Wait,
    frozen,
)
from tests.pipeline.faces import MODEL, RATE, direction, frame, level_geometry, live_walk, placed, seen_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages

POINT = OperatingPoint(0.5, 0.1, 1e-3, 1, "a test")
NEAREST, BESIDE = (150.0, 100.0, 350.0, 300.0), (400.0, 100.0, 580.0, 280.0)
GALLERY = GallerySnapshot(frozen(direction(1).vector[np.newaxis].copy()), ("ada",), ("r1",), MODEL, 1)
EMPTY = np.zeros((480, 640, 3), np.uint8)


class RecordingStages:
    """Stages that write down what they are asked, and answer as a test wants for each face."""

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.faces = tuple(seen_face(box) for box in boxes)
        self.asked: list[tuple[str, FaceDetection | None]] = []
        self.bona_fide = dict.fromkeys(self.faces, 0.9)
        self.identity: Embedding | None = direction(1)
        self.grade = Grade.HIGH
        self._aligned: FaceDetection | None = None

    def detect(self, _frame: Frame) -> tuple[FaceDetection, ...]:
        """Answer with the faces."""
        self.asked.append(("detection", None))
        return self.faces

    def align(self, _frame: Frame, face: FaceDetection) -> Geometry:
        """Answer with a level face."""
        self.asked.append(("alignment", face))
        self._aligned = face
        return level_geometry()

    def assess(self, _frame: Frame, face: FaceDetection, _geometry: Geometry) -> Quality:
        """Answer with the grade."""
        self.asked.append(("quality", face))
        return Quality(self.grade, (), face.width_px, 60, 0.1, 120, 2)

    def score(self, _frame: Frame, face: FaceDetection) -> Liveness:
        """Answer with that face's score."""
        self.asked.append(("liveness", face))
        return Liveness(self.bona_fide[face], "liveness")

    def embed(self, _crop: NDArray[np.uint8]) -> Embedding | None:
        """Answer with the identity, of the face that was aligned."""
        self.asked.append(("embedding", self._aligned))
        return self.identity


def pipeline_of(stages: RecordingStages) -> Pipeline:
    """Return a pipeline with the usual rules."""
    return Pipeline(stages, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5, face_only=True))


def test_stages_are_asked_in_the_order_of_the_design() -> None:
    """Detection, alignment, quality, liveness, embedding: each once a frame, all about the nearest face."""
    stages = RecordingStages(NEAREST, BESIDE)
    pipeline_of(stages).step(frame(EMPTY), GALLERY, POINT)
    assert [stage for stage, _ in stages.asked] == ["detection", "alignment", "quality", "liveness", "embedding"]
    assert {face for _, face in stages.asked[1:]} == {stages.faces[0]}


def test_order_in_the_code_is_that_of_the_sentence() -> None:
    """The rest of the way stands in `step` in the design's order: presentation, matching, policy."""
    text = (Path(__file__).parents[2] / "appliance" / "pipeline" / "__init__.py").read_text(encoding="utf-8")
    body = text[text.index("    def step(") :]
    places = [body.index(word) for word in (".detect(", ".observe(", "search(", "decide(")]
    assert places == sorted(places)


def test_nobody_there_asks_no_further() -> None:
    """An empty frame costs the detection and nothing else."""
    stages = RecordingStages()
    step = pipeline_of(stages).step(frame(EMPTY), GALLERY, POINT)
    assert stages.asked == [("detection", None)]
    assert (step.faces, step.presentation, step.candidates, step.decision) == ((), None, (), Wait())


def test_face_that_cannot_be_relied_on_is_not_read() -> None:
    """A face of low grade is neither scored nor embedded (A17)."""
    stages = RecordingStages(NEAREST)
    stages.grade = Grade.LOW
    step = pipeline_of(stages).step(frame(EMPTY), GALLERY, POINT)
    assert [stage for stage, _ in stages.asked] == ["detection", "alignment", "quality"]
    assert step.presentation is not None
    assert step.presentation.frames_read == 0


def test_one_live_face_that_is_enrolled_is_granted() -> None:
    """The sentence ends in a grant where every stage says yes for long enough, and not before."""
    stages = RecordingStages(NEAREST)
    pipeline = pipeline_of(stages)
    decisions = []
    for at_s, stages.identity in live_walk(12):
        decisions.append(pipeline.step(frame(EMPTY, at_s), GALLERY, POINT).decision)
    kinds = [type(one) for one in decisions]
    assert Grant in kinds
    first = kinds.index(Grant)
    assert first >= 5  # 0.3 s of intent at 15 frames a second
    assert set(kinds[:first]) == {Wait}


def test_two_threads_come_to_the_same_as_one(stages: ModelStages) -> None:
    """Scoring liveness beside the embedding changes no number of any frame."""
    seen = [frame(placed(150 + 5 * number, (300, 220)), number / RATE) for number in range(6)]
    nobody = GallerySnapshot(frozen(np.empty((0, 512), np.float32)), (), (), stages.embedder.model_id, 1)
    rules = Rules(3, 0.2, 4.0, 0.5)
    with ThreadPoolExecutor(1) as beside:
        pipelines = [Pipeline(stages, Presentations(4.0), rules, thread) for thread in (None, beside)]
        for one in seen:
            alone, together = (pipeline.step(one, nobody, POINT).presentation for pipeline in pipelines)
            assert alone is not None
            assert together is not None
            assert (alone.bona_fide, alone.frames_read) == (together.bona_fide, together.frames_read)
            assert alone.probe is not None
            assert together.probe is not None
            assert np.array_equal(alone.probe.vector, together.probe.vector)


@pytest.mark.parametrize("silent", ["score", "embed"])
def test_stage_that_fails_beside_another_grants_nothing(silent: str) -> None:
    """A fault in either of two threads ends the frame, after both have come to rest (B20)."""
    stages = RecordingStages(NEAREST)

    def fail(*_: object) -> None:
        raise RuntimeError(silent)

    setattr(stages, silent, fail)
    with ThreadPoolExecutor(1) as beside:
        pipeline = Pipeline(stages, Presentations(4.0), Rules(3, 0.2, 4.0, 0.5), beside)
        for number in range(5):
            with pytest.raises(RuntimeError, match=silent):
                pipeline.step(frame(EMPTY, number / RATE), GALLERY, POINT)


def test_two_faces_are_never_combined() -> None:
    """A live stranger beside a picture of somebody enrolled: both are the nearest face's, and no grant (B8)."""
    for nearest, beside in ((0.01, 0.99), (0.99, 0.01)):
        stages = RecordingStages(NEAREST, BESIDE)
        stages.bona_fide = dict(zip(stages.faces, (nearest, beside), strict=True))
        pipeline = pipeline_of(stages)
        for at_s, stages.identity in live_walk(70):
            step = pipeline.step(frame(EMPTY, at_s), GALLERY, POINT)
            assert step.presentation is not None
            assert step.presentation.bona_fide == nearest
            assert step.presentation.evidence[-1].others == 1
            assert not isinstance(step.decision, Grant)
        assert {face for _, face in stages.asked if face is not None} == {stages.faces[0]}


def test_faces_that_take_turns_at_being_nearest_lend_nothing() -> None:
    """Two faces that are nearest by turns never make one visit: neither's score reaches the other (B8)."""
    stages = RecordingStages(NEAREST, BESIDE)
    live, picture = stages.faces
    stages.bona_fide = {live: 0.99, picture: 0.01}
    pipeline = pipeline_of(stages)
    for number, (at_s, identity) in enumerate(live_walk(40)):
        stages.faces = (live, picture) if number % 2 else (picture, live)
        stages.identity = identity
        step = pipeline.step(frame(EMPTY, at_s), GALLERY, POINT)
        assert step.presentation is not None
        assert step.presentation.frames_read == 1
        assert not isinstance(step.decision, Grant)


@pytest.mark.parametrize(("width", "expected"), [(119.0, False), (120.0, True), (300.0, True)])
def test_near_is_six_tenths(width: float, expected: bool) -> None:
    """A second face counts where it is at least six tenths as wide: someone far behind does not stop the queue."""
    assert near(seen_face((0, 0, width, 100)), seen_face((0, 0, 200, 200))) is expected


def test_shipped_stages_read_a_portrait(stages: ModelStages) -> None:
    """With the shipped models one frame of a portrait gives one face, scored and embedded, and waits for more."""
    step = Pipeline(stages, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5, face_only=True)).step(
        frame(placed(150, (320, 240)), 1 / RATE), GallerySnapshot(np.zeros((0, 512), np.float32), (), (), "", 0), POINT
    )
    assert len(step.faces) == 1
    assert step.presentation is not None
    assert step.presentation.frames_read == 1
    assert 0 <= step.presentation.bona_fide <= 1
    assert isinstance(step.decision, Wait)
