"""Redacting a picture: nothing of a face is left, and whoever is not known for sure is covered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance import manifest, pixels
from appliance.config import Settings
from appliance.faces.comparing import Thresholds, verify_faces
from appliance.faces.covering import cover
from appliance.faces.redact import Keep, redact_picture
from appliance.pipeline.alignment import TEMPLATE, similarity
from tests.faces.made import facing, head, two_heads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.faces.reader import PictureReader, SeenFace

RECOGNITION = Settings().recognition
THRESHOLDS = Thresholds.of(RECOGNITION, manifest.embedder(RECOGNITION))
BOX = np.array([40, 30, 80, 70], np.float32)


def textured(seed: int, height: int = 120, width: int = 160) -> NDArray[np.uint8]:
    """Return a picture with detail everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def hidden(box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which pixels of a textured picture the cover of a box changes, whatever they were."""
    changed = np.zeros((120, 160), np.bool_)
    for seed in range(6):
        changed |= (cover(textured(seed), [box]) != textured(seed)).any(axis=2)
    return changed


def test_nothing_under_a_cover_is_left() -> None:
    """Pictures that differ under the covers alone give the very same: nothing is left to sharpen or to match."""
    one, other = textured(1), textured(1)
    under = hidden(BOX)
    other[under] = textured(2)[under]
    assert (one != other).any()
    assert np.array_equal(cover(one, [BOX]), cover(other, [BOX]))


def test_cover_holds_the_box_and_leaves_the_rest() -> None:
    """The whole detection box is covered, with its corners; a face's width away not a pixel is changed."""
    under = hidden(BOX)
    assert under[30:70, 40:80].all()
    assert not under[:, 105:].any()
    assert not under[95:].any()
    assert np.array_equal(cover(textured(1), []), textured(1))


@given(st.lists(st.lists(st.floats(-400, 400), min_size=4, max_size=4), max_size=5))
@trials(max_examples=60, deadline=None)
def test_box_anywhere_is_no_error(boxes: list[list[float]]) -> None:
    """A15: boxes at a border, outside, without an area or over one another give a picture of the same size."""
    done = cover(textured(1), [np.array(box, np.float32) for box in boxes])
    assert done.shape == (120, 160, 3)
    assert not done.flags.writeable


def test_face_that_fills_the_picture_is_covered() -> None:
    """With no surroundings to take a colour from, the picture is covered all the same."""
    done = cover(textured(1), [np.array([-200, -200, 360, 320], np.float32)])
    assert (done != textured(1)).any(axis=2).mean() > 0.99


def test_covers_that_overlap_hide_both() -> None:
    """Where two covers meet, neither takes its colour from under the other."""
    near = BOX + np.array([25, 0, 25, 0], np.float32)
    under = hidden(BOX) | hidden(near)
    one, other = textured(1), textured(1)
    other[under] = textured(2)[under]
    assert np.array_equal(cover(one, [BOX, near]), cover(other, [BOX, near]))


@pytest.mark.parametrize("side_px", [200, 320])
def test_redacted_face_is_not_recognised(reader: PictureReader, side_px: int) -> None:
    """Neither a detector finds the face again, nor is it recognised by somebody who knows where it was."""
    import cv2  # noqa: PLC0415  only to bring the portraits to a size

    for name in ("astronaut", "official"):
        picture = np.asarray(cv2.resize(head(name), (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
        (seen,) = reader.read(picture)
        done = redact_picture(picture, reader, THRESHOLDS)
        assert done.covered >= 1
        again = [one for one in reader.read(done.pixels) if one.embedding is not None]
        for embedding in [*(one.embedding for one in again), reader.stages.embed(_where_it_was(done.pixels, seen))]:
            assert embedding is not None
            assert seen.embedding is not None
            assert not verify_faces(seen.embedding, embedding, THRESHOLDS).identical


def _where_it_was(picture: NDArray[np.uint8], seen: SeenFace) -> NDArray[np.uint8]:
    """Return the crop at the landmarks of before."""
    return pixels.warp(picture, similarity(seen.geometry.five_points.astype(np.float64), TEMPLATE), 112)


def test_all_but_one_is_covered(reader: PictureReader) -> None:
    """The largest, or whoever the given templates are of, stays as they are, pixel by pixel; the other is covered."""
    picture = two_heads()
    official, astronaut = reader.read(picture)
    assert official.embedding is not None
    assert astronaut.embedding is not None
    # The left half is the astronaut, the right one the official, whose face is larger.
    for keep, half in (
        (Keep(largest=True), slice(256, 512)),
        (Keep((official.embedding,)), slice(256, 512)),
        (Keep((facing(1.0, dimension=512), astronaut.embedding)), slice(0, 256)),
    ):
        done = redact_picture(picture, reader, THRESHOLDS, keep)
        kept, other = (official, astronaut) if half.start else (astronaut, official)
        assert done.kept
        assert _changed(done.pixels, picture, other) > 0.99
        assert _changed(done.pixels, picture, kept) == 0


def test_whoever_is_not_known_for_sure_is_covered(reader: PictureReader) -> None:
    """Where nobody in the picture is the one to be kept, everybody is covered, and it is told."""
    picture = two_heads()
    faces = reader.read(picture, templates=False)
    done = redact_picture(picture, reader, THRESHOLDS, Keep((facing(1.0, dimension=512),)))
    assert not done.kept
    assert all(_changed(done.pixels, picture, one) > 0.99 for one in faces)


def test_picture_of_nobody_stays_as_it_is(reader: PictureReader) -> None:
    """Without a face nothing is covered."""
    empty = np.full((200, 300, 3), 128, np.uint8)
    done = redact_picture(empty, reader, THRESHOLDS, Keep(largest=True))
    assert (done.covered, done.kept) == (0, False)
    assert np.array_equal(done.pixels, empty)


def _changed(done: NDArray[np.uint8], picture: NDArray[np.uint8], seen: SeenFace) -> float:
    """Return the share of eyes, nose and mouth that is another than before."""
    (left, top), (right, bottom) = (f(seen.geometry.five_points, axis=0).astype(int) for f in (np.min, np.max))
    part = slice(top, bottom), slice(left, right)
    return float((done[part] != picture[part]).any(axis=2).mean())
