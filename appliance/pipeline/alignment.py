"""Alignment: 468 landmarks, how the head is turned, and the face cut out upright for the embedder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.records import FaceDetection, Frame, Geometry, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROP_PX = 112
REGION_SCALE = 1.5  # of the detection box, as the landmark model was trained
VIEW_SCALES = (1.4, 1.5)  # a photograph is read in both: their landmarks err differently

# ArcFace's 112x112 template: right eye, left eye, nose tip, right and left mouth corner (subject's own).
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH = (33, 133), (362, 263), 1, (61, 291)
_RIGHT_CHEEK, _LEFT_CHEEK, _FOREHEAD, _CHIN = 234, 454, 10, 152


class LandmarkModel(Protocol):
    """A face mesh's runtime."""

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        ...

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], ...]:
        """Return 468 x, y, z and a presence logit for a square RGB picture."""
        ...


class Alignment:
    """The second stage: a face's geometry."""

    def __init__(self, model: LandmarkModel) -> None:
        self._model = model

    def align(self, frame: Frame, face: FaceDetection) -> Geometry:
        """Return the landmarks, pose and aligned crop of a detected face, wherever it lies in the frame.

        A face half outside gives points outside the frame and a crop that is black there; never an error.
        """
        points, landmarks, logit = self._landmarks(frame, face, REGION_SCALE)
        five = five_points(landmarks)
        yaw_deg, pitch_deg = turned(points)
        eye_line = five[1] - five[0]
        return Geometry(
            landmarks=frozen(landmarks.astype(np.float32)),
            five_points=frozen(five.astype(np.float32)),
            yaw_deg=yaw_deg,
            pitch_deg=pitch_deg,
            roll_deg=float(np.degrees(np.arctan2(eye_line[1], eye_line[0]))),
            presence=float(1 / (1 + np.exp(-np.clip(logit, -50, 50)))),
            crop=frozen(pixels.warp(frame.pixels, similarity(five, TEMPLATE), CROP_PX)),
        )

    def views(self, frame: Frame, face: FaceDetection) -> tuple[NDArray[np.uint8], ...]:
        """Return (112, 112, 3) crops of one face of a photograph that differ in nothing but chance.

        Their mean is nearer to the person than any of them: two readings of the landmarks, each also mirrored.
        """
        crops = []
        for scale in VIEW_SCALES:
            _, landmarks, _ = self._landmarks(frame, face, scale)
            crop = pixels.warp(frame.pixels, similarity(five_points(landmarks), TEMPLATE), CROP_PX, cubic=True)
            crops += [crop, np.ascontiguousarray(crop[:, ::-1])]
        return tuple(frozen(crop) for crop in crops)

    def _landmarks(
        self, frame: Frame, face: FaceDetection, scale: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the (468, 3) mesh in the region's own pixels, its (468, 2) points in the frame's, and the logit."""
        matrix = region(face, self._model.side_px, scale)
        mesh, logit = self._model.run(pixels.warp(frame.pixels, matrix, self._model.side_px))
        points = np.nan_to_num(mesh.reshape(468, 3).astype(np.float64))
        inverse = _inverse(matrix)
        return points, points[:, :2] @ inverse[:, :2].T + inverse[:, 2], float(logit.reshape(-1)[0])


def region(face: FaceDetection, side_px: int, enlarged: float = REGION_SCALE) -> NDArray[np.float64]:
    """Return the 2x3 matrix frame -> square that holds the face enlarged and its eye line level."""
    x0, y0, x1, y1 = (float(v) for v in face.box)
    eye_line = (face.keypoints[1] - face.keypoints[0]).astype(np.float64)
    angle = np.arctan2(eye_line[1], eye_line[0])
    scale = side_px / (max(x1 - x0, y1 - y0, 1.0) * enlarged)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return np.column_stack([turn, side_px / 2 - turn @ centre])


def five_points(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (5, 2): eye centres as the mean of their corners, nose tip, mouth corners."""
    return np.stack(
        [
            landmarks[list(_RIGHT_EYE)].mean(axis=0),
            landmarks[list(_LEFT_EYE)].mean(axis=0),
            landmarks[_NOSE],
            landmarks[_MOUTH[0]],
            landmarks[_MOUTH[1]],
        ]
    )


def turned(mesh: NDArray[np.float64]) -> tuple[float, float]:
    """Return yaw and pitch in degrees from the (468, 3) mesh of a level face, z growing away from the camera."""
    across = mesh[_LEFT_CHEEK] - mesh[_RIGHT_CHEEK]
    down = mesh[_CHIN] - mesh[_FOREHEAD]
    yaw = np.degrees(np.arctan2(across[2], across[0]))
    pitch = np.degrees(np.arctan2(-down[2], down[1]))
    return float(yaw), float(pitch)


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 2x3 matrix of turn, scale and shift that brings source nearest to target (Umeyama, 1991).

    Points that all coincide give a matrix of zeros, which cuts out a flat crop.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    variance = float((centred**2).sum()) / len(source)
    if not variance > 1e-9:
        return np.zeros((2, 3))
    u, stretch, vt = np.linalg.svd((target - target_mean).T @ centred / len(source))
    mirror = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = (u * mirror) @ vt * float(stretch @ mirror) / variance
    return np.column_stack([turn, target_mean - turn @ source_mean])


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])
