"""Liveness: a score that falls to the shut side, and the cue that a still picture cannot avoid."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import manifest
from appliance.config import CameraSettings, Settings
from appliance.drivers.opencv import Recording
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.tflite import load_model
from appliance.pipeline import Pipeline, near
from appliance.pipeline.liveness import (
    BONA_FIDE_CLASS,
    STATIC_FRAMES,
    STATIC_WINDOW_S,
    PresentationAttackDetection,
    context,
    softmax,
    static_cues,
    wander,
)
from appliance.pipeline.policy import Rules
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages
from appliance.records import (
    Cue,
    Deny,
    Embedding,
    Evidence,
    Frame,
    GallerySnapshot,
    Grade,
    Grant,
    Liveness,
    OperatingPoint,
)
from tests.pipeline.faces import RATE, direction, frame, live_walk, noisy, placed, portrait, seen_face, still_print

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.drivers.camera import Camera
    from appliance.manifest import ModelEntry
    from appliance.pipeline import Stages
    from appliance.records import FaceDetection, Geometry, Quality

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
PRINTS = 300  # presentations of a still print
PRINT_FRAMES = 60  # each the whole reading time long


class StubLiveness:
    """A liveness model whose logits a test sets."""

    side_px = 128

    def __init__(self, logits: tuple[float, float, float]) -> None:
        self.entry: ModelEntry = manifest.read().entry("liveness")
        self.logits = np.array([logits], np.float32)
        self.seen: list[NDArray[np.uint8]] = []

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return what was set."""
        self.seen.append(pixels)
        return (self.logits,)


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


def evidence_of(walk: list[tuple[float, Embedding]]) -> list[Evidence]:
    """Return what a presentation keeps of these times and templates."""
    nothing = np.zeros((468, 2), np.float32)
    return [
        Evidence(at_s, Grade.HIGH, (), seen_face().box, nothing, 1.0, embedding, others=0) for at_s, embedding in walk
    ]


BOX = st.tuples(st.floats(-900, 2200), st.floats(-900, 2200), st.floats(0, 3000), st.floats(0, 3000))


@given(box=BOX, width=st.integers(32, 4096), height=st.integers(32, 4096))
def test_context_lies_inside_the_frame(box: tuple[float, float, float, float], width: int, height: int) -> None:
    """Whatever the detector says and how small the frame is, the model's crop lies inside it (A15)."""
    x, y, wide, high = box
    left, top, across, down = context(seen_face((x, y, x + wide, y + high)), width, height)
    assert left >= 0
    assert top >= 0
    assert across >= 1
    assert down >= 1
    assert left + across <= width
    assert top + down <= height


def test_context_is_the_trained_scale_around_a_face_in_the_middle() -> None:
    """With room around it, the crop is 2.7 times the box about the box's own centre."""
    left, top, across, down = context(seen_face((300, 200, 400, 320)), 1000, 800)
    assert (across, down) == (270, 324)
    assert abs(left + across / 2 - 350) <= 1
    assert abs(top + down / 2 - 260) <= 1


def test_context_at_a_border_is_shifted_and_not_shrunk() -> None:
    """A face at a border keeps its scale: the crop is moved inside the frame."""
    assert context(seen_face((0, 0, 100, 100)), 1000, 800) == (0, 0, 270, 270)
    assert context(seen_face((900, 700, 1000, 800)), 1000, 800)[2:] == (270, 270)


@given(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3))
def test_softmax_shares_add_up(logits: list[float]) -> None:
    """The shares lie in 0..1, add up to 1, and the largest logit has the largest."""
    shares = softmax(np.array(logits, np.float32))
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[int(np.argmax(logits))] == max(shares)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("logits", [(math.nan, 0, 0), (0, math.nan, 0), (9, math.inf, 0), (math.inf, 0, 0)])
def test_score_of_a_mad_model_is_not_live(logits: tuple[float, float, float]) -> None:
    """NaN or infinity in any logit gives NaN, never a bona fide score (B20)."""
    score = PresentationAttackDetection(StubLiveness(logits), 40).score(frame(portrait()), seen_face())
    assert math.isnan(score.bona_fide)


def test_face_too_small_for_the_model_is_never_live() -> None:
    """A face narrower than the bound scores 0 and the model is not asked."""
    model = StubLiveness((9, 0, 0))
    detection = PresentationAttackDetection(model, 100)
    assert detection.score(frame(portrait()), seen_face((100, 100, 199, 260))).bona_fide == 0
    assert detection.score(frame(portrait()), seen_face((100, 100, math.nan, 260))).bona_fide == 0
    assert model.seen == []
    assert detection.score(frame(portrait()), seen_face((100, 100, 200, 260))).bona_fide > 0.99


def test_golden_logits_pin_channel_order_and_scale() -> None:
    """The model sees blue, green, red from 0 to 255: swapped colours and another scale give clearly other logits."""
    model = load_model(manifest.read().entry("liveness"), manifest.SHIPPED)
    # Every fourth pixel of the whole portrait: no interpolation, so that only the model's own input can differ.
    view = np.ascontiguousarray(portrait("official")[::4, ::4])
    (logits,) = model.run(view)
    (swapped,) = model.run(np.ascontiguousarray(view[:, :, ::-1]))
    (scaled,) = model.run(view // 255)
    golden = np.array(GOLDEN["liveness"])
    assert np.abs(logits - golden).max() < 0.25
    assert np.abs(swapped - golden).max() > 2
    assert np.abs(scaled - golden).max() > 5


def test_bona_fide_is_the_first_class() -> None:
    """A portrait that fills the camera, as a live scene would, scores near 1: the right class is read."""
    assert BONA_FIDE_CLASS == 0
    model = load_model(manifest.read().entry("liveness"), manifest.SHIPPED)
    whole = frame(portrait("official"))
    assert PresentationAttackDetection(model, 100).score(whole, seen_face((169, 90, 348, 269))).bona_fide > 0.9


def test_wander_tells_noise_from_going_somewhere() -> None:
    """Noise around one point gives about 1 however strong it is; a straight path of n points gives 6 / (n (n + 1))."""
    random = np.random.default_rng(3)
    for strength in (1e-4, 1.0, 50.0):
        assert wander(strength * random.normal(size=(15, 200))) == pytest.approx(1, abs=0.1)
    assert wander(np.arange(5.0)[:, np.newaxis] * np.ones(4)) == pytest.approx(1 / 5)
    assert math.isnan(wander(np.ones((4, 3))))


def test_same_picture_again_and_again_is_static() -> None:
    """Templates that are all alike raise the cue from the third on, not before (A3)."""
    same = [(number / RATE, direction(1.0)) for number in range(20)]
    assert static_cues(evidence_of(same[: STATIC_FRAMES - 1])) == ()
    for count in range(STATIC_FRAMES, 20):
        assert static_cues(evidence_of(same[:count])) == (Cue.STATIC_INPUT,)


def test_still_person_is_only_delayed() -> None:
    """Somebody who holds still is flagged until they move, and free of it within the window afterwards (B9)."""
    still = [(number / RATE, direction(1.0, 1e-3 * (number % 2))) for number in range(30)]
    moving = live_walk(30, start_s=30 / RATE)
    flagged = [bool(static_cues(evidence_of((still + moving)[: count + 1]))) for count in range(60)]
    assert all(flagged[STATIC_FRAMES - 1 : 30])
    assert not any(flagged[30 + round(RATE * STATIC_WINDOW_S) :])


def test_no_evidence_raises_no_cue() -> None:
    """An empty visit, and one in which nothing was read, say nothing: other rules keep the door shut."""
    assert static_cues([]) == ()


@cache
def noisy_templates(face: str, sigma: float) -> tuple[Embedding, ...]:
    """Return templates of one still print under sensor noise, a whole camera frame cut by one fixed alignment."""
    stages = _stages()
    random = np.random.default_rng(int(10 * sigma))
    picture = still_print(face)
    (found,) = stages.detect(frame(picture))
    box = [int(v) for v in (*found.box[:2] - 40, *found.box[2:] + 40)]
    part = picture[box[1] : box[3], box[0] : box[2]]
    templates = []
    for _ in range(2 * PRINT_FRAMES):
        view = picture.copy()
        view[box[1] : box[3], box[0] : box[2]] = noisy(part, sigma, random)
        embedding = stages.embed(stages.align(frame(view), found).crop)
        assert embedding is not None
        templates.append(embedding)
    return tuple(templates)


@cache
def _stages() -> ModelStages:
    return ModelStages(Settings())


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0, 4.0, 5.0])
def test_still_print_is_static_at_every_moment(sigma: float) -> None:
    """A still print under sensor noise bears the cue in every frame of its reading time, 60 visits for each sigma (B1).

    Noise has no memory, so that visits of 60 frames are drawn from 120 templates of one print, in any order.
    """
    random = np.random.default_rng(7)
    escaped = []
    for visit in range(PRINTS // 5):
        pool = noisy_templates(("astronaut", "official")[visit % 2], sigma)
        order = random.permutation(len(pool))[:PRINT_FRAMES]
        evidence = evidence_of([(place / RATE, pool[drawn]) for place, drawn in enumerate(order)])
        escaped += [
            count
            for count in range(STATIC_FRAMES, PRINT_FRAMES + 1)
            if not static_cues(evidence[max(0, count - 18) : count])
        ]
    assert escaped == []


@pytest.mark.parametrize("sigma", [1.0, 5.0])
def test_still_print_is_denied_whatever_the_model_says(stages: ModelStages, sigma: float) -> None:
    """A still print in whole camera frames, enrolled and scored live by a fooled model, ends in a refusal (B1)."""
    random = np.random.default_rng(11)
    picture = still_print()
    gallery = gallery_of(stages, picture)
    pipeline = fooled(stages)
    decisions = [
        pipeline.step(frame(noisy(picture, sigma, random), number / RATE), gallery, POINT).decision
        for number in range(62)
    ]
    assert not any(isinstance(one, Grant) for one in decisions)
    assert [type(one) for one in decisions[-2:]] == [Deny, Deny]


@pytest.mark.parametrize("face", ["astronaut", "official"])
def test_simulated_person_is_never_long_static(stages: ModelStages, face: str) -> None:
    """A moving person is granted within 0.7 s of first being readable: the cue only ever delays (B9)."""
    camera = SimulatedCamera(
        Script(Scene(visits=(Visit.model_validate({"face": face, "for_s": 4.0, "pause_s": 0.0}),))),
        CameraSettings(),
        paced=False,
    )
    assert granted_after_s(stages, camera, gallery_of(stages, placed_portrait(face))) <= 0.7


@pytest.mark.skipif(not VIDEOS.is_dir(), reason=f"the recordings are not at {VIDEOS}")
@pytest.mark.parametrize(("name", "within_s"), [("tran", 0.7), ("lestari", 0.7), ("krz", 1.2)])
def test_living_people_are_never_long_static(stages: ModelStages, name: str, within_s: float) -> None:
    """On real recordings, somebody before the camera loses the cue soon after it can be told at all (B9)."""
    recording = Recording(VIDEOS / f"{name}_live.mp4")
    first = recording.read()
    assert first is not None
    while not stages.detect(first):
        first = recording.read()
        assert first is not None
    waits = static_waits_s(stages, recording, frames=150)
    assert waits
    assert max(waits) <= within_s


POINT = OperatingPoint(0.5, 0.08, 1e-3, 1, "a test")


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
    return Pipeline(always, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5))


def granted_after_s(stages: ModelStages, camera: Camera, gallery: GallerySnapshot) -> float:
    """Return seconds from the first frame that was read to the grant; infinity for no grant."""
    pipeline, first_s = fooled(stages), math.inf
    while (seen := camera.read()) is not None:
        step = pipeline.step(seen, gallery, POINT)
        if step.presentation is not None and step.presentation.frames_read:
            first_s = min(first_s, seen.captured_at_s)
        if isinstance(step.decision, Grant):
            return seen.captured_at_s - first_s
    return math.inf


def static_waits_s(stages: ModelStages, camera: Camera, frames: int) -> list[float]:
    """Return, for each stretch of frames at 15 a second in which the cue stood, how long it stood."""
    evidence: list[tuple[float, Embedding]] = []
    waits, since_s, next_s = [0.0], None, 0.0
    for _ in range(frames):
        seen = camera.read()
        if seen is None:
            break
        faces = stages.detect(seen) if seen.captured_at_s >= next_s - 1e-3 else ()
        if not faces or sum(near(one, faces[0]) for one in faces[1:]):
            continue
        next_s = seen.captured_at_s + 1 / RATE
        geometry = stages.align(seen, faces[0])
        embedding = stages.embed(geometry.crop)
        if embedding is None or stages.assess(seen, faces[0], geometry).grade is Grade.LOW:
            continue
        evidence.append((seen.captured_at_s, embedding))
        flagged = bool(static_cues(evidence_of(evidence[-40:])))
        if flagged and since_s is None:
            since_s = seen.captured_at_s
        if since_s is not None:
            waits.append(seen.captured_at_s - since_s)
        since_s = since_s if flagged else None
    return waits
