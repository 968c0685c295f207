"""Following: the detector rests for a moment, and nobody gains by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import CameraSettings, Settings
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.pipeline.following import FOLLOW_S, IDLE_AFTER_S, FollowingStages, move
from appliance.pipeline.presentation import overlap
from appliance.pipeline.reading import ModelStages
from appliance.records import FaceDetection, Frame


class CountingStages(ModelStages):
    """The shipped stages, which note the frames that the detector saw."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.detected_at_s: list[float] = []
        self._really_detect = self.detect
        self.detect = self._noted

    def _noted(self, frame: Frame) -> tuple[FaceDetection, ...]:
        self.detected_at_s.append(frame.captured_at_s)
        return self._really_detect(frame)


@pytest.fixture(scope="module")
def stages() -> CountingStages:
    """Give the shipped stages, loaded once."""
    return CountingStages()


def frames(rate: float, *visits: Visit) -> list[Frame]:
    """Return what a camera of this rate sees of the visits."""
    camera = SimulatedCamera(Script(Scene(visits=visits)), CameraSettings(frame_rate=rate), paced=False)
    seen = []
    while (frame := camera.read()) is not None:
        seen.append(frame)
    return seen


@given(
    shift=st.tuples(st.floats(-200, 200), st.floats(-200, 200)),
    scale=st.floats(0.5, 2),
    angle=st.floats(-1, 1),
)
def test_box_goes_where_its_points_go(shift: tuple[float, float], scale: float, angle: float) -> None:
    """Points that are turned, scaled and shifted take the box's centre and size with them."""
    points = np.array([(110, 120), (150, 120), (130, 140), (115, 160), (145, 160)], np.float32)
    face = FaceDetection(np.array([80, 90, 180, 190], np.float32), np.vstack([points, points[:1]]), 0.9)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    after = (points @ turn.T + shift).astype(np.float32)
    moved = move(face, points, after)
    assert moved.width_px == pytest.approx(100 * scale, rel=1e-2)
    assert (moved.box[:2] + moved.box[2:]) / 2 == pytest.approx(turn @ (130, 140) + shift, abs=0.5)
    assert np.allclose(moved.keypoints[:5], after, atol=0.5)


def test_detector_rests_between_detections(stages: CountingStages) -> None:
    """While a face is followed, the detector sees one frame in `FOLLOW_S`; the boxes stay with those of every frame."""
    following = FollowingStages(stages)
    seen = frames(15, Visit(for_s=3))
    stages.detected_at_s.clear()
    followed = []
    for frame in seen:
        faces = following.detect(frame)
        if faces:
            following.align(frame, faces[0])
        followed.append(faces)
    busy = [at_s for at_s in stages.detected_at_s if 1.7 < at_s < 3.8]
    assert min(np.diff(busy)) >= FOLLOW_S - 1e-6
    assert len(busy) <= 2.1 / FOLLOW_S + 1
    for frame, faces in zip(seen, followed, strict=True):
        if faces and 2.5 < frame.captured_at_s < 3.8:
            assert overlap(faces[0].box, stages.detect(frame)[0].box) > 0.8


def test_slow_camera_is_detected_every_frame(stages: CountingStages) -> None:
    """Following is bounded in time: at five frames a second every frame is looked at anew (H9)."""
    following = FollowingStages(stages)
    seen = frames(5, Visit(for_s=3))
    stages.detected_at_s.clear()
    for frame in seen:
        for face in following.detect(frame)[:1]:
            following.align(frame, face)
    assert stages.detected_at_s == [frame.captured_at_s for frame in seen]


def test_empty_room_is_looked_at_less_often(stages: CountingStages) -> None:
    """Where nobody was for `IDLE_AFTER_S` the detector sees a frame in `IDLE_EVERY_S`; who comes is found within it."""
    following = FollowingStages(stages)
    person = next(frame for frame in frames(15, Visit(for_s=3)) if frame.captured_at_s > 3).pixels
    empty = np.full_like(person, 120)
    stages.detected_at_s.clear()
    for number in range(90):
        assert following.detect(Frame(empty, number / 15, number)) == ()
    busy = [at_s for at_s in stages.detected_at_s if at_s <= IDLE_AFTER_S]
    idle = [at_s for at_s in stages.detected_at_s if at_s > IDLE_AFTER_S]
    assert len(busy) == 31
    assert 0.3 * 60 <= len(idle) <= 0.6 * 60
    found = [bool(following.detect(Frame(person, 6 + number / 15, number))) for number in range(4)]
    assert any(found[:2])
    assert found[2:] == [True, True]


def test_face_that_goes_is_detected_anew(stages: CountingStages) -> None:
    """Where the landmark model finds no face, the next frame is the detector's."""
    following = FollowingStages(stages)
    person = next(frame for frame in frames(15, Visit(for_s=3)) if frame.captured_at_s > 3)
    empty = np.full_like(person.pixels, 120)
    start = Frame(person.pixels, 10.0, 1)
    following.align(start, following.detect(start)[0])
    gone = Frame(empty, 10.05, 2)
    predicted = following.detect(gone)
    assert predicted
    assert following.align(gone, predicted[0]).presence < 0.5
    assert following.detect(Frame(empty, 10.1, 3)) == ()


@pytest.mark.parametrize("later_s", [0.0, -1.0, FOLLOW_S, float("nan"), float("inf")])
def test_time_that_makes_no_sense_is_detected_anew(stages: CountingStages, later_s: float) -> None:
    """A frame that is not a moment after the detection is looked at by the detector."""
    following = FollowingStages(stages)
    person = next(frame for frame in frames(15, Visit(for_s=3)) if frame.captured_at_s > 3)
    start = Frame(person.pixels, 10.0, 1)
    following.align(start, following.detect(start)[0])
    stages.detected_at_s.clear()
    following.detect(Frame(person.pixels, 10.0 + later_s, 2))
    assert len(stages.detected_at_s) == 1
