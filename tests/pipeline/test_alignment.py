"""Alignment: the similarity is the right one, and pose has the sign that the records say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.drivers.scene import Renderer, _Stance, _turned_head
from appliance.pipeline.alignment import CROP_PX, REGION_SCALE, TEMPLATE, five_points, region, similarity, turned
from tests.pipeline.faces import frame, placed, seen_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages
    from appliance.records import Geometry

SHIFT = st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000))


def matrix_of(scale: float, angle: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    """Return the 2x3 matrix of a turn, scale and shift."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def geometry_of(stages: ModelStages, pixels: NDArray[np.uint8]) -> Geometry:
    """Return the geometry of the one face in the picture."""
    (face,) = stages.detect(frame(pixels))
    return stages.align(frame(pixels), face)


@given(scale=st.floats(0.02, 50), angle=st.floats(-3.1, 3.1), shift=SHIFT)
def test_similarity_recovers_what_was_done(scale: float, angle: float, shift: tuple[float, float]) -> None:
    """Any turn, scale and shift of the template is found again, to a thousandth of a pixel."""
    matrix = matrix_of(scale, angle, shift)
    moved = TEMPLATE @ matrix[:, :2].T + matrix[:, 2]
    found = similarity(TEMPLATE, moved)
    assert np.allclose(TEMPLATE @ found[:, :2].T + found[:, 2], moved, atol=1e-3)
    assert np.allclose(found, matrix, atol=1e-3 * max(1, scale))


@given(noise=st.integers(0, 1000))
def test_similarity_never_mirrors(noise: int) -> None:
    """Whatever the points, the matrix turns and scales and never mirrors: a mirrored face is another face."""
    points = np.random.default_rng(noise).normal(0, 30, (5, 2))
    assert np.linalg.det(similarity(points, TEMPLATE)[:, :2]) >= -1e-9
    mirrored = TEMPLATE * (-1, 1)
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) >= 0


@pytest.mark.parametrize("point", [(0.0, 0.0), (56.0, 70.0), (-1e6, 1e6)])
def test_points_that_coincide_give_nothing(point: tuple[float, float]) -> None:
    """Five points in one place have no turn: a matrix of zeros, not an error."""
    assert not similarity(np.tile(point, (5, 1)), TEMPLATE).any()


def test_five_points_are_eyes_nose_and_mouth() -> None:
    """Each eye is the middle of its two corners; nose and mouth corners are single landmarks."""
    landmarks = np.zeros((468, 2))
    landmarks[33], landmarks[133] = (10, 10), (20, 12)
    landmarks[362], landmarks[263] = (40, 12), (50, 10)
    landmarks[1], landmarks[61], landmarks[291] = (30, 30), (22, 45), (38, 45)
    assert five_points(landmarks).tolist() == [[15, 11], [45, 11], [30, 30], [22, 45], [38, 45]]


@pytest.mark.parametrize("roll_deg", [-40.0, 0.0, 25.0])
def test_region_is_level_and_centred(roll_deg: float) -> None:
    """The box's centre lies in the middle of the region, the box is 1/1.5 of it, and the eye line is level there."""
    face = seen_face((100, 80, 220, 200))
    angle = np.radians(roll_deg)
    centre = np.array([160.0, 140.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rolled = type(face)(face.box, ((face.keypoints - centre) @ turn.T + centre).astype(np.float32), face.score)
    matrix = region(rolled, 192)
    assert np.allclose(matrix[:, :2] @ centre + matrix[:, 2], (96, 96))
    assert np.sqrt(np.linalg.det(matrix[:, :2])) == pytest.approx(192 / (120 * REGION_SCALE))
    eyes = rolled.keypoints[:2] @ matrix[:, :2].T
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-3)


@pytest.mark.parametrize("box", [(50, 50, 50, 50), (60, 60, 40, 40), (0, 0, 0.2, 0.2), (-500, -500, -400, -400)])
def test_region_of_a_degenerate_box_can_be_inverted(box: tuple[float, float, float, float]) -> None:
    """A box without area, turned inside out or far outside gives a matrix with an inverse (A15)."""
    assert abs(np.linalg.det(region(seen_face(box), 192)[:, :2])) > 1e-6


def test_crop_holds_the_template(stages: ModelStages) -> None:
    """Wherever and however large and turned a face is, its five points come to lie on the template within 4 px."""
    for face_px, centre, roll_deg in [(100, (200, 200), 0), (180, (330, 260), 20), (150, (420, 240), -30)]:
        geometry = geometry_of(stages, placed(face_px, centre, roll_deg))
        assert geometry.crop.shape == (CROP_PX, CROP_PX, 3)
        matrix = similarity(geometry.five_points.astype(np.float64), TEMPLATE)
        laid = geometry.five_points @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(laid - TEMPLATE).max() < 8
        assert np.abs(laid - TEMPLATE).mean() < 4
        assert geometry.presence > 0.9


@pytest.mark.parametrize("roll_deg", [-35.0, -20.0, 0.0, 20.0, 35.0])
def test_roll_is_positive_clockwise(stages: ModelStages, roll_deg: float) -> None:
    """A head turned clockwise in the picture has a positive roll, of that many degrees."""
    upright = geometry_of(stages, placed(150, (320, 240))).roll_deg
    assert geometry_of(stages, placed(150, (320, 240), roll_deg)).roll_deg - upright == pytest.approx(roll_deg, abs=4)


def test_mesh_turned_about_its_axes_has_these_signs() -> None:
    """Cheeks and chin of a mesh give its yaw, positive to the subject's left, and pitch, positive upwards."""
    mesh = np.zeros((468, 3))
    mesh[234], mesh[454], mesh[10], mesh[152] = (-50, 0, 0), (50, 0, 0), (0, -60, 0), (0, 60, 0)
    assert turned(mesh) == (0, 0)
    for degrees in (-30.0, 10.0, 45.0):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        # To the subject's left is towards the right of the picture: the left cheek goes back, z grows away.
        about_y = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        assert turned(mesh @ about_y.T) == pytest.approx((degrees, 0))
        # Looking up, the forehead goes back and the chin comes forward.
        about_x = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        assert turned(mesh @ about_x.T) == pytest.approx((0, degrees))


def rendered(turn: float, nod: float) -> NDArray[np.uint8]:
    """Return the simulated person with the head turned and nodding by so much, -1..1, without noise."""
    now = _Stance(scale=1.2, shift_x=0.0, sway=0.0, turn=turn, nod=nod)
    return Renderer(640, 480)._placed(_turned_head("official", now), now, face_px=150.0)


def test_rendered_head_turns_the_right_way(stages: ModelStages) -> None:
    """A head whose nose moves to the right of the picture has the larger yaw; nose down, the smaller pitch."""
    right, left = geometry_of(stages, rendered(3.0, 0.0)), geometry_of(stages, rendered(-3.0, 0.0))
    assert (right.five_points[2] - right.five_points[:2].mean(axis=0))[0] > (
        left.five_points[2] - left.five_points[:2].mean(axis=0)
    )[0]
    assert right.yaw_deg > left.yaw_deg + 3
    down, up = geometry_of(stages, rendered(0.0, 4.0)), geometry_of(stages, rendered(0.0, -4.0))
    assert up.pitch_deg > down.pitch_deg


def test_mirrored_face_turns_the_other_way(stages: ModelStages) -> None:
    """The mirrored picture has the opposite yaw and roll."""
    picture = placed(150, (320, 240), 10)
    one, other = geometry_of(stages, picture), geometry_of(stages, np.ascontiguousarray(cv2.flip(picture, 1)))
    assert one.yaw_deg == pytest.approx(-other.yaw_deg, abs=5)
    assert one.roll_deg == pytest.approx(-other.roll_deg, abs=4)
