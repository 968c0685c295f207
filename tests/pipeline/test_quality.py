"""Quality: each flaw is found, a face that cannot be read is refused, and nothing at a border is ever read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.contract import Hint
from appliance.pipeline.quality import Assessment, hint_for, inside, sharpness
from appliance.records import FaceDetection, Flaw, Grade, Quality
from tests.pipeline.faces import frame, level_geometry, noisy, placed, seen_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages

ASSESSMENT = Assessment(80.0)
NO_PICTURE = np.zeros((480, 640, 3), np.uint8)


def judged(stages: ModelStages, pixels: NDArray[np.uint8]) -> Quality:
    """Return the quality of the largest face in the picture."""
    face = stages.detect(frame(pixels))[0]
    return stages.assess(frame(pixels), face, stages.align(frame(pixels), face))


def test_good_portrait_has_no_flaw(stages: ModelStages) -> None:
    """A sharp, bright, level face of 150 px is of high grade, with the numbers that say so."""
    quality = judged(stages, placed(150, (320, 240)))
    assert quality.grade is Grade.HIGH
    assert quality.flaws == ()
    assert 110 < quality.face_px < 200
    assert 40 < quality.inter_eye_px < 90
    assert quality.blur > 0.03
    assert 50 < quality.exposure < 215
    assert quality.noise < 7


@pytest.mark.parametrize("sigma_px", [6.0, 9.0])
def test_defocus_is_found(stages: ModelStages, sigma_px: float) -> None:
    """A face out of focus is not read (A17)."""
    quality = judged(stages, cv2.GaussianBlur(placed(150, (320, 240)), (0, 0), sigma_px).astype(np.uint8))
    assert quality.grade is Grade.LOW
    assert Flaw.BLUR in quality.flaws


def test_motion_blur_is_found(stages: ModelStages) -> None:
    """A face that moved across 25 px during the exposure does not reach grade high (A17)."""
    kernel = np.full((1, 25), 1 / 25, np.float32)
    quality = judged(stages, cv2.filter2D(placed(150, (320, 240)), -1, kernel).astype(np.uint8))
    assert quality.grade < Grade.HIGH
    assert Flaw.BLUR in quality.flaws


def test_noise_of_the_dark_is_found(stages: ModelStages) -> None:
    """Sensor noise of 25 luma levels keeps a face from grade high, and 10 are noticed (A17)."""
    random = np.random.default_rng(2)
    strong = judged(stages, noisy(placed(150, (320, 240)), 25.0, random))
    assert Flaw.NOISE in strong.flaws
    assert strong.grade < Grade.HIGH
    quiet, loud = (judged(stages, noisy(placed(150, (320, 240)), sigma, random)).noise for sigma in (1.0, 10.0))
    assert loud > quiet + 2


@pytest.mark.parametrize(("gain", "flaw"), [(0.1, Flaw.TOO_DARK), (0.2, Flaw.TOO_DARK)])
def test_darkness_is_found(stages: ModelStages, gain: float, flaw: Flaw) -> None:
    """A face in the dark does not reach grade high (A17)."""
    quality = judged(stages, (placed(150, (320, 240)) * gain).astype(np.uint8))
    assert flaw in quality.flaws
    assert quality.grade < Grade.HIGH


def test_glare_is_found(stages: ModelStages) -> None:
    """A face washed out by light does not reach grade high."""
    bright = 255 - (255 - placed(150, (320, 240)).astype(np.float64)) * 0.3
    quality = judged(stages, bright.astype(np.uint8))
    assert Flaw.TOO_BRIGHT in quality.flaws
    assert quality.grade < Grade.HIGH


@pytest.mark.parametrize("roll_deg", [-55.0, 40.0])  # the portrait's own head leans 8 degrees to the right
def test_head_on_its_side_is_not_read(stages: ModelStages, roll_deg: float) -> None:
    """A head that lies over by 47 degrees is refused for its roll (A15)."""
    quality = judged(stages, placed(150, (320, 240), roll_deg))
    assert quality.grade is Grade.LOW
    assert Flaw.ROLL in quality.flaws


@pytest.mark.parametrize(
    ("change", "flaw", "grade"),
    [
        ({"yaw_deg": 25.0}, Flaw.YAW, Grade.MEDIUM),
        ({"yaw_deg": -36.0}, Flaw.YAW, Grade.LOW),
        ({"pitch_deg": 30.0}, Flaw.PITCH, Grade.MEDIUM),
        ({"pitch_deg": -36.0}, Flaw.PITCH, Grade.LOW),
        ({"roll_deg": -30.0}, Flaw.ROLL, Grade.MEDIUM),
        ({"roll_deg": 41.0}, Flaw.ROLL, Grade.LOW),
        ({"presence": 0.49}, Flaw.NO_LANDMARKS, Grade.LOW),
        ({"yaw_deg": math.nan}, Flaw.YAW, Grade.LOW),
        ({"pitch_deg": math.nan}, Flaw.PITCH, Grade.LOW),
        ({"roll_deg": math.nan}, Flaw.ROLL, Grade.LOW),
        ({"presence": math.nan}, Flaw.NO_LANDMARKS, Grade.LOW),
    ],
)
def test_pose_and_presence_have_bounds(change: dict[str, float], flaw: Flaw, grade: Grade) -> None:
    """Each angle has a bound for reading and one for enrolling; NaN is beyond both."""
    quality = ASSESSMENT.assess(frame(NO_PICTURE), seen_face(), level_geometry(**change))
    assert (quality.grade, quality.flaws) == (grade, (flaw,))


@pytest.mark.parametrize(
    ("width", "flaws"),
    [(79.0, (Flaw.TOO_SMALL,)), (80.0, ()), (432.0, ()), (433.0, (Flaw.TOO_LARGE,)), (10.0, (Flaw.TOO_SMALL,))],
)
def test_size_has_bounds(width: float, flaws: tuple[Flaw, ...]) -> None:
    """A face narrower than the configured width, or nearly as large as the picture, is not read (A15)."""
    box = (100.0, 20.0, 100.0 + width, 20.0 + width)
    assert ASSESSMENT.assess(frame(NO_PICTURE), seen_face(box), level_geometry()).flaws == flaws


def test_box_that_is_nan_is_refused() -> None:
    """A detection without a width is both too small and too large, and never read."""
    box = (math.nan, 20.0, 200.0, 200.0)
    quality = ASSESSMENT.assess(frame(NO_PICTURE), seen_face(box), level_geometry())
    assert quality.grade is Grade.LOW
    assert {Flaw.TOO_SMALL, Flaw.TOO_LARGE} <= set(quality.flaws)


@pytest.mark.parametrize("shift", [(-240.0, 0.0), (0.0, -252.0), (400.0, 0.0), (0.0, 200.0), (math.nan, 0.0)])
def test_points_beyond_the_border_are_cut_off(shift: tuple[float, float]) -> None:
    """Eyes, nose and mouth must lie inside the frame on every side; NaN does not (A15)."""
    geometry = level_geometry()
    assert inside(geometry, 640, 480)
    moved = replace(geometry, five_points=geometry.five_points + np.array(shift, np.float32))
    assert not inside(moved, 640, 480)
    assert Flaw.CUT_OFF in ASSESSMENT.assess(frame(NO_PICTURE), seen_face(), moved).flaws


@pytest.mark.parametrize("face_px", [10.0, 60.0, 150.0, 400.0])
@pytest.mark.parametrize("centre", [(0, 240), (639, 240), (320, 0), (320, 479), (0, 0), (639, 479)])
def test_face_half_outside_is_never_read(stages: ModelStages, face_px: float, centre: tuple[float, float]) -> None:
    """At every border and corner, small and large: found or not, half a face is refused and nothing fails (A15)."""
    pixels = placed(face_px, centre)
    for face in stages.detect(frame(pixels)):
        geometry = stages.align(frame(pixels), face)
        assert stages.assess(frame(pixels), face, geometry).grade is Grade.LOW
        score = stages.score(frame(pixels), face).bona_fide
        assert 0 <= score <= 1


@pytest.mark.parametrize("roll_deg", [-45.0, 0.0, 45.0])
@pytest.mark.parametrize("face_px", [10.0, 24.0, 40.0])
def test_face_too_small_is_never_read(stages: ModelStages, face_px: float, roll_deg: float) -> None:
    """A face of 10 to 40 px, upright or on its side, is refused where it is found at all (A15)."""
    pixels = placed(face_px, (320, 240), roll_deg)
    for face in stages.detect(frame(pixels)):
        quality = stages.assess(frame(pixels), face, stages.align(frame(pixels), face))
        assert quality.grade is Grade.LOW
        assert Flaw.TOO_SMALL in quality.flaws


@given(
    box=st.tuples(*[st.floats(-2000, 3000)] * 4),
    eyes=st.tuples(*[st.floats(-2000, 3000)] * 4),
)
@trials(max_examples=25, deadline=None)
def test_no_detection_leads_out_of_bounds(stages: ModelStages, box: tuple[float, ...], eyes: tuple[float, ...]) -> None:
    """Any box and eyes at all, beside the frame or inside out, give numbers and a crop of the right size (A15)."""
    keypoints = np.zeros((6, 2), np.float32)
    keypoints[:2] = np.array(eyes).reshape(2, 2)
    face = FaceDetection(np.array(box, np.float32), keypoints, 0.9)
    seen = frame(placed(150, (320, 240)))
    geometry = stages.align(seen, face)
    assert geometry.crop.shape == (112, 112, 3)
    assert np.isfinite(geometry.landmarks).all()
    stages.assess(seen, face, geometry)
    assert 0 <= stages.score(seen, face).bona_fide <= 1


def test_flat_crop_is_a_blur_and_no_error() -> None:
    """A crop of one colour, as a face outside the frame gives, has sharpness 0 and is not read."""
    assert sharpness(0.0, 0.0) == 0
    geometry = replace(level_geometry(), crop=np.zeros((112, 112, 3), np.uint8))
    quality = ASSESSMENT.assess(frame(NO_PICTURE), seen_face(), geometry)
    assert quality.grade is Grade.LOW
    assert {Flaw.BLUR, Flaw.TOO_DARK} <= set(quality.flaws)


def test_worst_flaw_comes_first() -> None:
    """What keeps a face from being read stands before what keeps it from being enrolled."""
    geometry = level_geometry(yaw_deg=25.0, roll_deg=50.0)
    assert ASSESSMENT.assess(frame(NO_PICTURE), seen_face(), geometry).flaws == (Flaw.ROLL, Flaw.YAW)


def test_every_flaw_has_a_hint() -> None:
    """There is something to tell the visitor about each flaw, and nothing without one."""
    assert all(isinstance(hint_for((flaw,)), Hint) for flaw in Flaw)
    assert hint_for(()) is None
