"""Detect: where faces are, what is told of them, and what never is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.drivers.photo import decode_photo, encode_jpeg
from appliance.errors import PhotoError, RefusedError, UsageError
from appliance.faces.attributes import Exposed, Level, appearance
from appliance.faces.detect import DetectedFace, detect
from appliance.faces.landmarks import MESH
from appliance.faces.transient import TransientFaces
from appliance.pipeline.quality import NOISE, OVER_EXPOSED, SHARPNESS, UNDER_EXPOSED
from appliance.records import Grade, Quality
from tests.faces.made import head, two_heads
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from appliance.faces.reader import PictureReader

GOOD = Quality(Grade.HIGH, (), 100.0, 50.0, 0.5, 120.0, 1.0, under_exposed=0.0, over_exposed=0.0)


@pytest.fixture(scope="module")
def found(reader: PictureReader) -> tuple[DetectedFace, ...]:
    """Return what is told of the two portraits."""
    return detect(two_heads(), reader)


def test_faces_come_largest_first_inside_the_picture(found: tuple[DetectedFace, ...]) -> None:
    """Both faces are found, the larger one first, with rectangles of whole pixels inside the picture."""
    assert len(found) == 2
    assert found[0].rectangle.left_px > 256 > found[1].rectangle.left_px
    assert found[0].rectangle.width_px > found[1].rectangle.width_px
    for one in found:
        place = one.rectangle
        assert place.left_px >= 0
        assert place.top_px >= 0
        assert place.left_px + place.width_px <= 512
        assert place.top_px + place.height_px <= 256


def test_landmarks_are_those_that_face_services_name(found: tuple[DetectedFace, ...]) -> None:
    """All 27 are there, left is the picture's left, and each lies where its name says."""
    assert len(MESH) == 27
    for one in found:
        at = {name: np.array(point) for name, point in one.landmarks.items()}
        assert set(at) == set(MESH)
        for left in (name for name in MESH if "left" in name):
            assert at[left][0] < at[left.replace("left", "right")][0], left
        down = ["eyebrow_left_inner", "eye_left_top", "pupil_left", "eye_left_bottom", "nose_left_alar_top"]
        down += ["nose_left_alar_out_tip", "upper_lip_top", "upper_lip_bottom", "under_lip_top", "under_lip_bottom"]
        heights = [at[name][1] for name in down]
        assert heights == sorted(heights)
        across = ["eyebrow_left_outer", "eye_left_outer", "pupil_left", "eye_left_inner", "nose_root_left"]
        across += ["nose_root_right", "eye_right_inner", "pupil_right", "eye_right_outer", "eyebrow_right_outer"]
        places = [at[name][0] for name in across]
        assert places == sorted(places)


def test_head_that_lies_over_is_told_so(reader: PictureReader) -> None:
    """A picture turned by a known angle turns the roll by that angle, clockwise positive; yaw and pitch stay near 0."""
    import cv2  # noqa: PLC0415  only to turn the picture

    turn = cv2.getRotationMatrix2D((225, 120), -20, 1.0)  # negative is clockwise
    pixels = cv2.warpAffine(portrait(), turn, (512, 512), borderValue=(255, 255, 255))
    (upright,), (turned,) = detect(portrait(), reader), detect(np.asarray(pixels, np.uint8), reader)
    assert turned.pose.roll_deg - upright.pose.roll_deg == pytest.approx(20, abs=4)
    assert abs(turned.pose.yaw_deg) < 20
    assert abs(turned.pose.pitch_deg) < 20


def test_ids_are_given_when_asked_for(reader: PictureReader, found: tuple[DetectedFace, ...]) -> None:
    """Without a store no face has an id; with one each face has its own, which stands for its template."""
    assert [one.face_id for one in found] == [None, None]
    transient = TransientFaces()
    again = detect(two_heads(), reader, transient)
    first, second = (transient.get(one.face_id or "") for one in again)
    assert float(first.embedding.vector @ first.embedding.vector) == pytest.approx(1, abs=1e-4)
    assert float(first.embedding.vector @ second.embedding.vector) < 0.3
    with pytest.raises(UsageError):
        detect(two_heads(), reader, transient, for_s=5.0)
    assert len(transient) == 2


def test_what_has_no_landmarks_of_a_face_is_none(reader: PictureReader) -> None:
    """What the detector takes for a face, and the mesh does not, is not told of, nor in the way of the one face."""
    pixels = decode_photo(encode_jpeg(np.ascontiguousarray(head()[:, ::-1]), 80), "head")
    assert len(reader.finder.find(pixels)) == 2
    assert len(detect(pixels, reader)) == 1
    assert reader.only(pixels, "head").model_id == "faceplugin-512-hybrid"


def test_nobody_in_the_picture(reader: PictureReader) -> None:
    """A picture without a face gives nothing, and is no photo of one face."""
    empty = np.full((200, 300, 3), 128, np.uint8)
    assert detect(empty, reader) == ()
    with pytest.raises(PhotoError, match=r"photo empty\.png shows no face"):
        reader.only(empty, "empty.png")


def test_photo_of_two_people_is_not_a_photo_of_one(reader: PictureReader) -> None:
    """B14: where one face is asked for, two of much the same size are refused rather than one of them chosen."""
    with pytest.raises(RefusedError, match="shows 2 faces; exactly one is allowed"):
        reader.only(np.hstack([head(), head()]), "two.png")


def test_what_is_guessed_about_people_is_never_told(found: tuple[DetectedFace, ...]) -> None:
    """Age, gender, emotion, hair, make-up and the like have no field; what no model was measured for is not known."""
    names = {field.name for field in fields(DetectedFace)}
    assert not names & {"age", "gender", "emotion", "smile", "facial_hair", "hair", "makeup", "ethnicity"}
    assert all((one.mask, one.glasses, one.occlusion) == (None, None, None) for one in found)


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        (GOOD, Level.LOW),
        (replace(GOOD, sharpness=SHARPNESS[1]), Level.MEDIUM),
        (replace(GOOD, sharpness=SHARPNESS[0] - 0.001), Level.HIGH),
        (replace(GOOD, sharpness=float("nan")), Level.HIGH),
    ],
)
def test_blur_has_the_bounds_of_quality(changed: Quality, level: Level) -> None:
    """A17: blur is medium where a face no longer enrols and high where it is no longer read; NaN is the worst."""
    assert appearance(changed).blur is level


@pytest.mark.parametrize(
    ("noise", "level"), [(0.0, Level.LOW), (NOISE[1] + 0.1, Level.MEDIUM), (NOISE[0] + 0.1, Level.HIGH)]
)
def test_noise_has_the_bounds_of_quality(noise: float, level: Level) -> None:
    """A17: so has noise; more of it is never told as less."""
    seen = appearance(replace(GOOD, noise=noise))
    assert seen.noise is level
    assert appearance(replace(GOOD, noise=noise + 1.0)).noise_value >= seen.noise_value


@pytest.mark.parametrize(
    ("changed", "exposed"),
    [
        (GOOD, Exposed.GOOD),
        (replace(GOOD, exposure=30.0), Exposed.GOOD),  # a dark skin in good light
        (replace(GOOD, under_exposed=UNDER_EXPOSED[1] + 0.01), Exposed.UNDER),
        (replace(GOOD, over_exposed=OVER_EXPOSED[1] + 0.01), Exposed.OVER),
    ],
)
def test_exposure_is_of_clipped_pixels_and_not_of_skin(changed: Quality, exposed: Exposed) -> None:
    """A17, B17: a dark face that is well lit is well exposed; one in the dark, or burnt out, is not."""
    seen = appearance(changed)
    assert seen.exposure is exposed
    assert 0 <= seen.exposure_value <= 1


def test_faces_that_are_too_small_are_passed_over(reader: PictureReader) -> None:
    """A15: of a picture with a large and a smaller face, only those of the asked size are told, and have an id."""
    transient = TransientFaces()
    sizes = [min(one.rectangle.width_px, one.rectangle.height_px) for one in detect(two_heads(), reader)]
    found = detect(two_heads(), reader, transient, least_px=max(sizes))
    assert [min(one.rectangle.width_px, one.rectangle.height_px) for one in found] == [max(sizes)]
    assert len(transient) == 1
