"""Finding: small faces too, each once, in bounded work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import RefusedError
from appliance.faces.finding import MAX_FACES, Finder, parts
from appliance.pipeline.detection import Detection
from appliance.records import FaceDetection, Frame
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from appliance.faces.reader import PictureReader


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), finest=st.sampled_from([1, 2, 4, 8]))
def test_parts_cover_the_picture(width: int, height: int, finest: int) -> None:
    """A14: parts lie inside, together reach every side at every scale, and are at most a few hundred."""
    found = list(parts(width, height, finest))
    assert found[0] == (0, 0, width, height)
    assert len(found) <= 1 + 16 + 64 + 256
    by_size: dict[int, list[tuple[int, int, int, int]]] = {}
    for left, top, right, bottom in found:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        by_size.setdefault(max(right - left, bottom - top), []).append((left, top, right, bottom))
    for same in by_size.values():
        assert min(one[0] for one in same) == min(one[1] for one in same) == 0
        assert max(one[2] for one in same) == width
        assert max(one[3] for one in same) == height


@given(at=st.floats(0, 1), width=st.integers(800, 4000), share=st.sampled_from([2, 4, 8]))
def test_face_of_half_a_part_lies_whole_in_one(at: float, width: int, share: int) -> None:
    """A face at most half as wide as a part is whole in one of that size, wherever it lies: none is cut at a seam."""
    face = width // share // 2 - 2
    left = at * (width - face)
    same = [one for one in parts(width, width // 2, share) if one[2] - one[0] == width // share]
    if width // share >= 192:
        assert any(one[0] <= left + 1 and left + face - 1 <= one[2] for one in same)


def crowd(face_px: int, columns: int, rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture of 1920x1080 with so many portraits whose faces are so wide."""
    side = round(512 * face_px / 104)
    small = cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA)[: 1080 // rows]
    picture = np.full((1080, 1920, 3), 230, np.uint8)
    for column in range(columns):
        for row in range(rows):
            left, top = 1920 * column // columns, 1080 * row // rows
            part = small[:, : 1920 // columns]
            picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture


def test_small_faces_of_a_large_picture_are_found(reader: PictureReader) -> None:
    """A14: 12 faces 40 px wide in 1920x1080, of which the door's detector sees none, are found, each once."""
    picture = crowd(40, 6, 2)
    found = reader.finder.find(picture)
    assert len(found) == 12
    assert reader.finder._near.detect(Frame(picture, 0.0, 0)) == ()


class EveryWhere(Detection):
    """A detector that sees so many faces all over whatever it is shown."""

    def __init__(self, count: int = 20) -> None:
        self.looks, self._count = 0, count

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Return them in a row, each of another size."""
        self.looks += 1
        width = frame.pixels.shape[1]
        lefts = np.linspace(2, width - 20, self._count)
        return tuple(
            FaceDetection(np.array([x, 5, x + 8 + n / 9, 15], np.float32), np.zeros((6, 2), np.float32), 0.9)
            for n, x in enumerate(lefts)
        )


class AtTheEdge(Detection):
    """A detector that sees a face half outside the right edge of whatever it is shown."""

    def __init__(self) -> None:
        pass

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Return it."""
        right = frame.pixels.shape[1]
        return (
            FaceDetection(np.array([right - 20, 50, right + 20, 90], np.float32), np.zeros((6, 2), np.float32), 0.9),
        )


def test_face_that_a_seam_cuts_is_left_to_the_next_part() -> None:
    """A15: what reaches past a part is half a face, and not told of; what reaches past the picture is."""
    found = Finder(AtTheEdge(), AtTheEdge(), 4).find(np.zeros((400, 1600, 3), np.uint8))
    assert {float(one.box[2]) for one in found} == {1620.0}


@pytest.mark.parametrize("finest", [1, 4, 8])
def test_crowd_costs_no_more_than_the_bound(finest: int) -> None:
    """A14: however many faces a picture has, 100 are kept, the largest, after a bounded number of looks."""
    near, far = EveryWhere(8), EveryWhere(8)
    found = Finder(near, far, finest).find(np.zeros((1080, 1920, 3), np.uint8))
    assert len(found) <= MAX_FACES
    assert (near.looks, far.looks) == (1, {1: 1, 4: 1 + 6 + 28, 8: 1 + 6 + 28 + 120}[finest])
    widths = [one.width_px for one in found]
    assert widths == sorted(widths, reverse=True)


def test_crowd_that_is_to_be_covered_is_covered_whole_or_refused() -> None:
    """A14: where every face counts none is left out for its number: all are told, or the picture is refused."""
    few = Finder(EveryWhere(), EveryWhere(), 4, most=None).find(np.zeros((1080, 1920, 3), np.uint8))
    assert len(few) > MAX_FACES
    crowded = EveryWhere(320)
    with pytest.raises(RefusedError, match="cut it into parts"):
        Finder(crowded, crowded, 4, most=None).find(np.zeros((1080, 1920, 3), np.uint8))


@pytest.mark.parametrize("turns", [1, 2])
def test_head_that_is_turned_over_is_found_where_it_lies(reader: PictureReader, turns: int) -> None:
    """A15: whoever lies on their side, or in a picture that is upside down, is found in their place to be covered."""
    picture = np.full((240, 320, 3), 230, np.uint8)
    picture[20:148, 30:158] = cv2.resize(portrait(), (128, 128), interpolation=cv2.INTER_AREA)
    upright = max(reader.finder.find(picture), key=lambda face: face.score)
    found = reader.faint.find(np.ascontiguousarray(np.rot90(picture, turns)))
    at = (upright.box[:2] + upright.box[2:]) / 2
    height, width = picture.shape[:2]
    for _ in range(turns):  # a quarter turn counter-clockwise: the right edge becomes the upper one
        at = np.array([at[1], width - 1 - at[0]])
        height, width = width, height
    apart = [float(np.abs((one.box[:2] + one.box[2:]) / 2 - at).max()) for one in found]
    assert min(apart) < 5
