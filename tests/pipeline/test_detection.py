"""Detection: where faces are, each once, and never more of them than the loop can bear."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance import pixels
from appliance.config import RecognitionSettings, Settings
from appliance.pipeline.detection import MAX_FACES, Detection, anchors, decode, merge
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame
from tests.pipeline.faces import frame, placed, portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StubDetector:
    """A detector whose 896 boxes and logits a test sets."""

    side_px = 128

    def __init__(self) -> None:
        self.boxes = np.zeros((896, 16), np.float32)
        self.logits = np.full((896, 1), -9.0, np.float32)
        self.seen: list[tuple[int, ...]] = []

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return what was set."""
        self.seen.append(pixels.shape)
        return self.boxes, self.logits


def rows_of(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return (8, 2) points with this box and every keypoint in its middle."""
    corners = np.array(box, np.float64).reshape(2, 2)
    return np.concatenate([corners, np.repeat(corners.mean(axis=0, keepdims=True), 6, axis=0)])


@pytest.mark.parametrize(("side_px", "count", "first"), [(128, 896, 0.5 / 16), (192, 2304, 0.5 / 48)])
def test_anchors_are_cell_centres(side_px: int, count: int, first: float) -> None:
    """Both detectors have as many anchors as the model has rows, at the centres of their cells, row by row."""
    centres = anchors(side_px)
    assert centres.shape == (count, 2)
    assert tuple(centres[0]) == (first, first)
    assert centres.min() > 0
    assert centres.max() < 1
    assert (np.diff(centres[: count // 2, 1]) >= 0).all()  # a grid's rows follow one another


def test_short_range_anchors_stand_two_and_six_to_a_cell() -> None:
    """The 16x16 grid stands twice, the 8x8 grid six times, as BlazeFace was trained."""
    centres = anchors(128)
    assert np.unique(centres[:512], axis=0, return_counts=True)[1].tolist() == [2] * 256
    assert np.unique(centres[512:], axis=0, return_counts=True)[1].tolist() == [6] * 64


def test_decode_adds_the_anchor_and_halves_the_size() -> None:
    """Raw values are offsets from the anchor in input pixels: centre, size, then keypoints."""
    raw = np.zeros((1, 16), np.float32)
    raw[0, :4] = (4, -6, 20, 30)
    raw[0, 4:6] = (1, 2)
    points = decode(raw, np.array([[0.5, 0.25]]), 128)
    assert points[0, :3].tolist() == [[58, 11], [78, 41], [65, 34]]
    assert (points[0, 3:] == (64, 32)).all()


def test_overlapping_boxes_become_their_weighted_mean() -> None:
    """Boxes of one face merge into the mean by score, and keep the best score."""
    points = np.stack([rows_of((10, 10, 50, 50)), rows_of((14, 10, 54, 50)), rows_of((200, 200, 240, 240))])
    merged = merge(points, np.array([0.75, 0.25, 0.6]))
    assert [score for _, score in merged] == [0.75, 0.6]
    assert merged[0][0][0].tolist() == [11, 10]
    assert merged[1][0][1].tolist() == [240, 240]


@pytest.mark.parametrize("box", [(10, 10, 10, 10), (30, 30, 10, 10), (5, 5, 5, 90)])
def test_degenerate_boxes_end_the_loop(box: tuple[float, float, float, float]) -> None:
    """Boxes without area or turned inside out each come out once; the merging always ends."""
    merged = merge(np.stack([rows_of(box)] * 4), np.full(4, 0.5))
    assert 1 <= len(merged) <= 4


BOX = st.tuples(*[st.floats(-50, 200)] * 2, st.floats(-5, 120), st.floats(-5, 120))


@given(boxes=st.lists(BOX, max_size=24), seed=st.integers(0, 9))
@trials(max_examples=120, deadline=None)
def test_every_box_ends_up_in_exactly_one_face(boxes: list[tuple[float, ...]], seed: int) -> None:
    """Merging neither loses a box nor counts one twice: each face is a mean, and the parts add up to the whole."""
    count = len(boxes)
    points = np.zeros((count, 2 + count, 2))
    for number, (x, y, wide, high) in enumerate(boxes):
        points[number, :2] = (x, y), (x + wide, y + high)
        points[number, 2 + number, 0] = 1  # a mark: which boxes went into a mean is read back from it
    order = np.random.default_rng(seed).permutation(count)
    merged = merge(points[order], np.full(count, 0.5))
    members: list[int] = []
    for rows, score in merged:
        assert score == 0.5
        own = np.flatnonzero(rows[2:, 0])
        assert rows[2 + own, 0] == pytest.approx(1 / own.size)
        members += own.tolist()
    assert sorted(members) == list(range(count))


def test_forty_faces_cost_no_more_than_a_group() -> None:
    """Of forty faces the largest eight are kept, largest first, in bounded work (A14)."""
    model = StubDetector()
    cells = np.flatnonzero((np.arange(512) % 2 == 0) & (np.arange(512) % 32 < 16))[:40]
    model.logits[cells] = 4.0
    model.boxes[cells, 2:4] = np.linspace(2, 6, 40, dtype=np.float32)[:, None]
    detection = Detection(model)
    began = time.thread_time()
    faces = detection.detect(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0))
    took_s = time.thread_time() - began
    assert len(faces) == MAX_FACES
    assert [face.width_px for face in faces] == sorted((face.width_px for face in faces), reverse=True)
    assert faces[0].width_px == pytest.approx(30, abs=0.1)  # 6 of 128, in a picture 640 wide
    assert took_s < 0.1


def test_every_anchor_firing_is_still_bounded() -> None:
    """A picture that sets off every anchor gives at most eight faces for a fifth of a second's work (A14)."""
    model = StubDetector()
    model.logits[:] = 3.0
    model.boxes[:, 2:4] = 3.0
    began = time.thread_time()
    assert len(Detection(model).detect(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0))) == MAX_FACES
    assert time.thread_time() - began < 0.2


def test_nan_from_the_model_is_no_face() -> None:
    """NaN logits are no faces: doubt keeps the door shut."""
    model = StubDetector()
    model.logits[:] = np.nan
    assert Detection(model).detect(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0)) == ()


@pytest.mark.parametrize("height", [33, 128, 480, 1080])
@pytest.mark.parametrize("width", [33, 128, 640, 1920])
def test_letterbox_says_where_a_point_went(width: int, height: int) -> None:
    """Any size of picture fits into the square, and scale and offset take a point there and back."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[height // 2 :, width // 2 :] = 255
    square, scale, offset = pixels.letterbox(picture, 128)
    assert square.shape == (128, 128, 3)
    corner = scale * np.array([width // 2, height // 2]) + offset
    lit = np.argwhere(square[:, :, 0] > 127)
    assert abs(lit[:, 1].min() - corner[0]) <= 1.5
    assert abs(lit[:, 0].min() - corner[1]) <= 1.5


@pytest.mark.parametrize("centre", [(160, 160), (320, 240), (480, 320)])
def test_face_is_found_where_it_is(stages: ModelStages, centre: tuple[float, float]) -> None:
    """The shipped detector finds the one face of a portrait within a tenth of its width of where it was put."""
    faces = stages.detect(frame(placed(150, centre)))
    assert len(faces) == 1
    middle = (faces[0].box[:2] + faces[0].box[2:]) / 2
    assert np.hypot(*(middle - centre)) < 25
    assert 110 < faces[0].width_px < 200
    right_eye, left_eye = faces[0].keypoints[:2]
    assert right_eye[0] < left_eye[0]  # the subject's right eye is on the picture's left


def test_small_picture_gives_the_boxes_of_the_full_one(stages: ModelStages) -> None:
    """A camera's own small picture finds the same boxes, in pixels of the full one, within two pixels."""
    full = placed(150, (300, 240))
    small = pixels.shrunk(full, 320)
    (alone,) = stages.detect(frame(full))
    (along,) = stages.detect(Frame(full, 0.0, 0, small))
    assert np.abs(alone.box - along.box).max() < 2
    assert np.abs(alone.keypoints - along.keypoints).max() < 2


def test_small_picture_of_another_shape_is_stretched_back(stages: ModelStages) -> None:
    """A small picture whose sides were rounded differently still gives boxes in pixels of the full one."""
    full = placed(150, (300, 240))
    small = pixels.shrunk(full, 320)[:, :310]
    (alone,) = stages.detect(frame(full))
    (along,) = stages.detect(Frame(full, 0.0, 0, small))
    assert along.box[0] == pytest.approx(alone.box[0] * 320 / 310, abs=4)
    assert along.box[1] == pytest.approx(alone.box[1], abs=4)


def test_both_shipped_detectors_agree(stages: ModelStages) -> None:
    """The detector for two metres and the one for five find the same face."""
    far = ModelStages(Settings(recognition=RecognitionSettings(detector="full")))
    (one,), (other,) = stages.detect(frame(portrait())), far.detect(frame(portrait()))
    assert np.abs((one.box[:2] + one.box[2:]) - (other.box[:2] + other.box[2:])).max() / 2 < 15


def test_empty_scene_has_no_face(stages: ModelStages) -> None:
    """Grey, black, white and noise hold no face."""
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    for picture in (np.full_like(noise, 128), np.zeros_like(noise), np.full_like(noise, 255), noise):
        assert stages.detect(frame(picture)) == ()
