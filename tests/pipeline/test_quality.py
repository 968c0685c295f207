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
from appliance.pipeline.quality import Assessment, disagreement, eyes_open, hint_for, inside
from appliance.records import FaceDetection, Flaw, Geometry, Grade, Quality
from scripts.benchmarks import degrade
from tests.pipeline.faces import frame, level_geometry, noisy, placed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages

ASSESSMENT = Assessment(80.0)
NO_PICTURE = np.zeros((480, 640, 3), np.uint8)


def judged(stages: ModelStages, pixels: NDArray[np.uint8]) -> Quality:
    """Return the quality of the largest face in the picture."""
    face = stages.detect(frame(pixels))[0]
    return stages.assess(frame(pixels), face, stages.align(frame(pixels), face))


def agreeing(geometry: Geometry, box: tuple[float, float, float, float] = (200, 200, 350, 350)) -> FaceDetection:
    """Return a detection whose points lie where the geometry has them."""
    points = geometry.five_points
    keypoints = np.vstack([points[:3], points[3:].mean(axis=0, keepdims=True), points[:2]])
    return FaceDetection(np.array(box, np.float32), keypoints.astype(np.float32), 0.9)


def found(geometry: Geometry, box: tuple[float, float, float, float] = (200, 200, 350, 350)) -> Quality:
    """Return the quality of a face whose detection agrees with its geometry, in a picture of nothing else."""
    return ASSESSMENT.assess(frame(NO_PICTURE), agreeing(geometry, box), geometry)


def test_good_portrait_has_no_flaw(stages: ModelStages) -> None:
    """A sharp, bright, level face of 150 px is of high grade, with the numbers that say so."""
    quality = judged(stages, placed(150, (320, 240)))
    assert quality.grade is Grade.HIGH
    assert quality.flaws == ()
    assert 110 < quality.face_px < 200
    assert 40 < quality.inter_eye_px < 90
    assert quality.sharpness > 0.3
    assert quality.contrast > 20
    assert quality.under_exposed + quality.over_exposed < 0.1
    assert quality.noise < 7
    assert quality.disagreement < 0.3
    assert quality.mouth_detail > 0.5
    assert (abs(quality.yaw_deg), abs(quality.pitch_deg), abs(quality.roll_deg)) < (15, 20, 15)
    assert 0.1 < quality.eyes_open < 0.5


@pytest.mark.parametrize("sigma_px", [6.0, 9.0])
def test_defocus_is_found(stages: ModelStages, sigma_px: float) -> None:
    """A face out of focus is not read (A17)."""
    quality = judged(stages, cv2.GaussianBlur(placed(150, (320, 240)), (0, 0), sigma_px).astype(np.uint8))
    assert quality.grade is Grade.LOW
    assert Flaw.BLUR in quality.flaws


@pytest.mark.parametrize("angle_deg", [0.0, 45.0, 90.0, 135.0])
@pytest.mark.parametrize(("length_px", "grade"), [(20.0, Grade.MEDIUM), (40.0, Grade.LOW)])
def test_motion_blur_is_found(stages: ModelStages, angle_deg: float, length_px: float, grade: Grade) -> None:
    """A17: whichever way a face moved, across a third of the eyes' distance it is not enrolled, two thirds not read.

    What lies along the movement stays sharp, so a measure of all directions together would be misled.
    """
    half = length_px / 2 * np.array([math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))])
    kernel = np.zeros((63, 63), np.float32)
    ends = [tuple(int(v) for v in np.rint((31 + sign * half) * 256)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA, 8)
    smeared = cv2.filter2D(placed(150, (320, 240)), -1, kernel / kernel.sum())
    quality = judged(stages, smeared.astype(np.uint8))
    assert Flaw.BLUR in quality.flaws
    assert quality.grade <= grade


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("times", [4.0, 16.0])
def test_light_from_one_side_is_no_blur_and_hides_none(stages: ModelStages, times: float, side: int) -> None:
    """A17: a sharp face with so many times less light on one side is not called blurred; one out of focus still is."""
    good = placed(150, (320, 240))
    across = (np.arange(640) - 320) / 65  # in distances between the eyes
    light = 1 - (1 - 1 / times) / (1 + np.exp(-6 * side * across))
    lit, unsharp = (
        judged(stages, (picture * light[:, np.newaxis]).astype(np.uint8))
        for picture in (good, cv2.GaussianBlur(good, (0, 0), 6.0))
    )
    assert Flaw.BLUR not in lit.flaws
    assert Flaw.BLUR in unsharp.flaws
    assert unsharp.grade is Grade.LOW


def test_noise_of_the_dark_is_found(stages: ModelStages) -> None:
    """A17: sensor noise of 40 luma levels keeps a face from grade high, and 10 are noticed."""
    random = np.random.default_rng(2)
    strong = judged(stages, noisy(placed(150, (320, 240)), 40.0, random))
    assert Flaw.NOISE in strong.flaws
    assert strong.grade < Grade.HIGH
    quiet, loud = (judged(stages, noisy(placed(150, (320, 240)), sigma, random)).noise for sigma in (1.0, 10.0))
    assert loud > quiet + 2


def test_noise_does_not_pass_for_detail(stages: ModelStages) -> None:
    """A17: a face out of focus in front of a noisy sensor is blurred still."""
    smooth = cv2.GaussianBlur(placed(150, (320, 240)), (0, 0), 8.0).astype(np.uint8)
    assert Flaw.BLUR in judged(stages, noisy(smooth, 8.0, np.random.default_rng(2))).flaws


@pytest.mark.parametrize(("light", "grade"), [(0.1, Grade.MEDIUM), (0.06, Grade.LOW)])
def test_darkness_is_found(stages: ModelStages, light: float, grade: Grade) -> None:
    """A17: a face in the dark is not enrolled, and in a sixteenth of the light not read."""
    quality = judged(stages, (placed(150, (320, 240)) * light).astype(np.uint8))
    assert Flaw.TOO_DARK in quality.flaws
    assert quality.grade <= grade


@pytest.mark.parametrize(("light", "grade"), [(1.8, Grade.MEDIUM), (5.0, Grade.LOW)])
def test_glare_is_found(stages: ModelStages, light: float, grade: Grade) -> None:
    """A17: a face that light washed out to white is not enrolled, and where nearly all of it is white not read."""
    bright = np.clip(placed(150, (320, 240)).astype(np.float64) * light, 0, 255)
    quality = judged(stages, bright.astype(np.uint8))
    assert Flaw.TOO_BRIGHT in quality.flaws
    assert quality.grade <= grade


@pytest.mark.parametrize(("times", "grade"), [(6.0, Grade.MEDIUM), (14.0, Grade.LOW)])
def test_haze_is_found(stages: ModelStages, times: float, grade: Grade) -> None:
    """A17: stray light that leaves a sixth of the contrast keeps a face from being enrolled, a fourteenth unread."""
    hazy = 128 + (placed(150, (320, 240)).astype(np.float64) - 128) / times
    quality = judged(stages, np.rint(hazy).astype(np.uint8))
    assert Flaw.LOW_CONTRAST in quality.flaws
    assert quality.grade <= grade


@pytest.mark.parametrize("seed", range(4))  # cloths of different colours
def test_covered_mouth_is_told_and_not_enrolled(stages: ModelStages, seed: int) -> None:
    """B11: a cloth over mouth and chin keeps a face from being enrolled, and the visitor is asked to take it off."""
    pixels = placed(150, (320, 240))
    geometry = stages.align(frame(pixels), stages.detect(frame(pixels))[0])
    quality = judged(stages, degrade.masked(pixels, geometry, 70.0, np.random.default_rng(seed)))
    assert Flaw.COVERED in quality.flaws
    assert quality.grade < Grade.HIGH
    assert hint_for((Flaw.COVERED,)) is Hint.REMOVE_MASK


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.75])
def test_flicker_leaves_a_face_readable_and_hides_no_blur(stages: ModelStages, phase: float) -> None:
    """A18: bands of a lamp's flicker, 100 Hz under a shutter of 30 ms, leave a good face readable and sharpen no blur.

    A mouth in a dark band under eyes in a bright one may be taken for covered: that is told, and still read.
    """
    rows = 1 + 0.3 * np.sin(2 * np.pi * (np.arange(480) / 480 * 3 + phase))
    good = placed(150, (320, 240))
    seen, unsharp = (
        judged(stages, np.clip(picture * rows[:, np.newaxis, np.newaxis] * 0.8, 0, 255).astype(np.uint8))
        for picture in (good, cv2.GaussianBlur(good, (0, 0), 6.0))
    )
    assert seen.grade > Grade.LOW
    assert set(seen.flaws) <= {Flaw.COVERED}
    assert unsharp.grade is Grade.LOW
    assert Flaw.BLUR in unsharp.flaws


@pytest.mark.parametrize(("share", "grade"), [(0.3, Grade.HIGH), (0.4, Grade.MEDIUM), (math.nan, Grade.LOW)])
def test_landmarks_beside_the_detected_points_are_doubted(share: float, grade: Grade) -> None:
    """A15: where detector and mesh place a face's points apart, the mesh is not believed; NaN is apart."""
    geometry = level_geometry()
    face = agreeing(geometry)
    assert disagreement(face, geometry) == pytest.approx(0, abs=1e-6)
    face.keypoints[2, 1] += share * float(np.hypot(*(face.keypoints[1] - face.keypoints[0])))
    quality = ASSESSMENT.assess(frame(NO_PICTURE), face, geometry)
    assert quality.grade is grade
    assert (Flaw.LANDMARKS_DISAGREE in quality.flaws) == (grade < Grade.HIGH)


@pytest.mark.parametrize("roll_deg", [-60.0, -45.0, -30.0, 45.0, 60.0])
def test_small_face_with_wrong_landmarks_is_not_enrolled(stages: ModelStages, roll_deg: float) -> None:
    """A15: a face of 60 px that lies over, where the mesh reads another roll than it has, does not reach grade high."""
    pixels = placed(60, (320, 240), roll_deg)
    for face in stages.detect(frame(pixels)):
        geometry = stages.align(frame(pixels), face)
        quality = stages.assess(frame(pixels), face, geometry)
        assert abs(geometry.roll_deg - roll_deg - 3) < 15 or quality.grade < Grade.HIGH


def test_eyes_that_are_narrower_are_told_so() -> None:
    """The eyes' openness is their height over their width, whatever the size of the face."""
    points = np.zeros((468, 2), np.float32)
    for outer, inner, *lids in ((33, 133, 160, 144, 158, 153), (362, 263, 385, 380, 387, 373)):
        points[outer], points[inner] = (0, 0), (40, 0)
        points[lids[0]], points[lids[1]], points[lids[2]], points[lids[3]] = (10, -6), (10, 6), (30, -4), (30, 4)
    assert eyes_open(points) == pytest.approx(0.25)
    assert eyes_open(3 * points) == pytest.approx(0.25)
    assert eyes_open(np.zeros((468, 2), np.float32)) == 0


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
        ({"presence": 0.98}, Flaw.NO_LANDMARKS, Grade.MEDIUM),
        ({"yaw_deg": math.nan}, Flaw.YAW, Grade.LOW),
        ({"pitch_deg": math.nan}, Flaw.PITCH, Grade.LOW),
        ({"roll_deg": math.nan}, Flaw.ROLL, Grade.LOW),
        ({"presence": math.nan}, Flaw.NO_LANDMARKS, Grade.LOW),
    ],
)
def test_pose_and_presence_have_bounds(change: dict[str, float], flaw: Flaw, grade: Grade) -> None:
    """Each angle has a bound for reading and one for enrolling; NaN is beyond both."""
    quality = found(level_geometry(**change))
    assert (quality.grade, quality.flaws) == (grade, (flaw,))


@pytest.mark.parametrize(
    ("width", "flaws"),
    [(79.0, (Flaw.TOO_SMALL,)), (80.0, ()), (432.0, ()), (433.0, (Flaw.TOO_LARGE,)), (10.0, (Flaw.TOO_SMALL,))],
)
def test_size_has_bounds(width: float, flaws: tuple[Flaw, ...]) -> None:
    """A face narrower than the configured width, or nearly as large as the picture, is not read (A15)."""
    box = (100.0, 20.0, 100.0 + width, 20.0 + width)
    assert found(level_geometry(), box).flaws == flaws


def test_box_that_is_nan_is_refused() -> None:
    """A detection without a width is both too small and too large, and never read."""
    box = (math.nan, 20.0, 200.0, 200.0)
    quality = found(level_geometry(), box)
    assert quality.grade is Grade.LOW
    assert {Flaw.TOO_SMALL, Flaw.TOO_LARGE} <= set(quality.flaws)


@pytest.mark.parametrize("shift", [(-240.0, 0.0), (0.0, -252.0), (400.0, 0.0), (0.0, 200.0), (math.nan, 0.0)])
def test_points_beyond_the_border_are_cut_off(shift: tuple[float, float]) -> None:
    """Eyes, nose and mouth must lie inside the frame on every side; NaN does not (A15)."""
    geometry = level_geometry()
    assert inside(geometry, 640, 480)
    moved = replace(geometry, five_points=geometry.five_points + np.array(shift, np.float32))
    assert not inside(moved, 640, 480)
    assert Flaw.CUT_OFF in found(moved).flaws


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
    geometry = replace(level_geometry(), crop=np.zeros((112, 112, 3), np.uint8))
    quality = found(geometry)
    assert quality.sharpness == 0
    assert quality.grade is Grade.LOW
    assert {Flaw.BLUR, Flaw.TOO_DARK} <= set(quality.flaws)


def test_worst_flaw_comes_first() -> None:
    """What keeps a face from being read stands before what keeps it from being enrolled."""
    geometry = level_geometry(yaw_deg=25.0, roll_deg=50.0)
    assert found(geometry).flaws == (Flaw.ROLL, Flaw.YAW)


def test_every_flaw_has_a_hint() -> None:
    """There is something to tell the visitor about each flaw, and nothing without one."""
    assert all(isinstance(hint_for((flaw,)), Hint) for flaw in Flaw)
    assert hint_for(()) is None
