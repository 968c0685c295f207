"""Cues over the frames of a track: a still picture cannot avoid them, and somebody alive is not kept by them."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import CameraSettings, Settings
from appliance.drivers.opencv import Recording
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.pipeline import Pipeline, near
from appliance.pipeline.cues import STATIC_FRAMES, STATIC_WINDOW_S, static_cues, wander
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
    from appliance.pipeline import Stages
    from appliance.records import FaceDetection, Geometry, Quality

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
PRINTS = 300  # presentations of a still print
PRINT_FRAMES = 60  # each the whole reading time long


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
    return Pipeline(always, Presentations(4.0), Rules(3, 0.3, 4.0, 0.5, face_only=True))


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
