"""Pictures for people: the visitor whole, and nobody else to be recognised."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.picture import MAX_SIDE_PX, visitor
from appliance.pipeline import Step
from appliance.pipeline.presentation import Presentations
from appliance.records import FaceDetection, Frame, Observation, Wait
from tests.pipeline.faces import direction, observation, seen_face

HERE, BESIDE = (200.0, 100.0, 350.0, 250.0), (360.0, 120.0, 480.0, 240.0)


def textured(width: int = 640, height: int = 480) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture with detail everywhere."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def step_of(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    box: tuple[float, float, float, float],
    *others: tuple[float, float, float, float],
) -> Step:
    """Return a step with a visitor in this box and others elsewhere."""
    pixels.flags.writeable = False
    made = observation(0.0, direction(1), box=box)
    seen = Observation(
        Frame(pixels, 0.0, 0), made.detection, made.geometry, made.quality, made.liveness, made.embedding
    )
    faces: tuple[FaceDetection, ...] = (seen.detection, *(seen_face(other) for other in others))
    return Step(faces, Presentations(4.0).observe(seen), (), Wait())


def test_visitor_is_shown_with_shoulders() -> None:
    """The picture is 2.2 times the face about its centre, small enough for a telephone, and read-only."""
    picture = visitor(step_of(textured(), HERE))
    assert picture.shape == (MAX_SIDE_PX, MAX_SIDE_PX, 3)
    assert not picture.flags.writeable


def test_small_face_is_not_blown_up() -> None:
    """A small face is shown in its own pixels, exactly."""
    pixels = textured()
    picture = visitor(step_of(pixels, (300.0, 200.0, 350.0, 250.0)))
    assert np.array_equal(picture, pixels[170:280, 270:380])


def test_others_are_covered_past_recognition() -> None:
    """J2: of every other face in the picture nothing is left; the visitor's is, and the frame itself is untouched."""
    pixels = textured()
    before = pixels.copy()
    small_visitor, small_other = (200.0, 150.0, 260.0, 210.0), (262.0, 160.0, 292.0, 190.0)
    alone, beside = visitor(step_of(pixels, small_visitor)), visitor(step_of(pixels, small_visitor, small_other))
    assert alone.shape == beside.shape
    changed = np.abs(alone.astype(int) - beside).max(axis=2) > 0
    left, top = 164, 114  # of the picture in the frame
    other = beside[160 - top : 190 - top, 262 - left : 292 - left]
    assert changed[160 - top : 190 - top, 262 - left : 292 - left].mean() > 0.95
    another = before.copy()
    another[160:190, 262:292] = 255 - another[160:190, 262:292]
    stranger = visitor(step_of(another, small_visitor, small_other))
    assert np.array_equal(stranger[160 - top : 190 - top, 262 - left : 292 - left], other)
    assert not changed[:, : 250 - left].any()
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    "box",
    [
        (-80.0, -60.0, 60.0, 80.0),
        (600.0, 440.0, 720.0, 560.0),
        (-500.0, -500.0, -400.0, -400.0),
        (900.0, 900.0, 990.0, 990.0),
        (300.0, 200.0, 300.0, 200.0),
        (-1000.0, -1000.0, 3000.0, 3000.0),
    ],
)
def test_face_at_a_border_or_outside_is_no_error(box: tuple[float, float, float, float]) -> None:
    """A box that reaches past the frame, lies outside it or has no area gives a picture of what there is (A15)."""
    for step in (step_of(textured(), box), step_of(textured(), HERE, box)):
        picture = visitor(step)
        assert picture.size
        assert max(picture.shape[:2]) <= MAX_SIDE_PX


def test_nobody_cannot_be_shown() -> None:
    """A step without a visitor has no picture."""
    with pytest.raises(ValueError, match="nobody"):
        visitor(Step((), None, (), Wait()))
