"""Quality: can this view of a face be relied on, and if not, what should the visitor do.

The words are those of ISO/IEC 29794-5 where it has one. Which value matters, and from where on, is measured by
`scripts/bench quality`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels
from appliance.contract import Hint
from appliance.records import FaceDetection, Flaw, Frame, Geometry, Grade, Quality

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Each pair: beyond the first it cannot be read, beyond the second not enrolled. `scripts/bench quality` measures both:
# no flaw was seen to raise false matches, so a frame is read while it matches more often than not, and enrolled while
# it fails at most twice as often as pictures do as they are. Where that is not the bound, the reason is given.
SHARPNESS = (0.19, 0.25)  # twice the error begins at 0.36, which half of live webcam frames do not reach
CONTRAST = (6.0, 14.0)  # twice begins at 18; dim webcams have 15
UNDER_EXPOSED = (0.999, 0.45)  # twice begins at 0.1; what is dark of itself, beard or skin, reaches 0.3
OVER_EXPOSED = (0.67, 0.1)  # twice begins at 0.05: a lamp on the brow
NOISE = (12.0, 5.0)
MOUTH_DETAIL = (0.0, 0.45)  # a mask that still matches may be read
# LFW turns too little to measure these two; roll alone costs nothing to 80 degrees, but a small face that lies over
# gets wrong landmarks, and liveness was never measured on one.
YAW_DEG = (35.0, 20.0)
PITCH_DEG = (35.0, 25.0)
ROLL_DEG = (40.0, 25.0)
# Of 160 portraits as they are 1 and 2 lie beyond these; of small faces that lie over, most with wrong landmarks.
DISAGREEMENT = (0.55, 0.35)
PRESENCE = (0.5, 0.99)
MIN_PRESENCE = PRESENCE[0]

# Rows and columns of the 112x112 crop.
_FACE = (slice(16, 104), slice(20, 92))  # without hair, ears and background
_FACE_SIZE = 88 * 72
_SHARP = (slice(8, 104), slice(12, 100))
_LIGHT_PX = 31  # light changes over more than that, a third of the face; what changes over less is the face
_MOUTH = (slice(82, 104), slice(42, 70))
_EYES = ((slice(44, 62), slice(28, 48)), (slice(44, 62), slice(64, 84)))
# Landmarks that face each other, first of the right eye, then of the left: corners, and twice the lids.
_LIDS = np.array([(33, 133), (362, 263), (160, 144), (385, 380), (158, 153), (387, 373)])

_HINTS = {
    Flaw.TOO_SMALL: Hint.TOO_FAR,
    Flaw.TOO_LARGE: Hint.TOO_NEAR,
    Flaw.CUT_OFF: Hint.TOO_NEAR,
    Flaw.YAW: Hint.TURN_FACE,
    Flaw.PITCH: Hint.TURN_FACE,
    Flaw.ROLL: Hint.TURN_FACE,
    Flaw.BLUR: Hint.HOLD_STILL,
    Flaw.TOO_DARK: Hint.TOO_DARK,
    Flaw.TOO_BRIGHT: Hint.BACKLIT,
    Flaw.LOW_CONTRAST: Hint.BACKLIT,
    Flaw.NOISE: Hint.TOO_DARK,
    Flaw.COVERED: Hint.REMOVE_MASK,
    Flaw.NO_LANDMARKS: Hint.TURN_FACE,
    Flaw.LANDMARKS_DISAGREE: Hint.TURN_FACE,
}


@dataclass(frozen=True, slots=True)
class Assessment:
    """The third stage: grades a view. `min_face_px` is the width below which a face is not read."""

    min_face_px: float

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """Return the grade of this view and every flaw, the worst first. A value that is NaN is a flaw."""
        measured = _appearance(geometry.crop) | _shape(face, geometry)
        found = [*self._place(frame, face, geometry), *_graded(measured, geometry.presence)]
        low = [flaw for flaw, grade in found if grade is Grade.LOW]
        medium = [flaw for flaw, grade in found if grade is Grade.MEDIUM]
        grade = Grade.LOW if low else Grade.MEDIUM if medium else Grade.HIGH
        return Quality(grade=grade, flaws=(*low, *medium), face_px=face.width_px, **measured)

    def _place(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Iterator[tuple[Flaw, Grade]]:
        height, width = frame.pixels.shape[:2]
        if not face.width_px >= self.min_face_px:
            yield Flaw.TOO_SMALL, Grade.LOW
        if not face.width_px <= 0.9 * min(height, width):
            yield Flaw.TOO_LARGE, Grade.LOW
        if not inside(geometry, width, height):
            yield Flaw.CUT_OFF, Grade.LOW


def inside(geometry: Geometry, width_px: int, height_px: int) -> bool:
    """Tell whether eyes, nose and mouth lie inside the frame with a little to spare."""
    points = geometry.five_points
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((low >= 2).all() and high[0] <= width_px - 3 and high[1] <= height_px - 3)


def hint_for(flaws: tuple[Flaw, ...]) -> Hint | None:
    """Return what the visitor should be told about the worst flaw; None where there is none."""
    return _HINTS[flaws[0]] if flaws else None


def disagreement(face: FaceDetection, geometry: Geometry) -> float:
    """Return how far detector and mesh place an eye, the nose or the mouth apart, in distances between the eyes."""
    points, seen = geometry.five_points, face.keypoints
    apart = seen[:4] - np.vstack([points[:3], (points[3:4] + points[4:]) / 2])
    eyes = seen[1] - seen[0]
    return float(np.hypot(apart[:, 0], apart[:, 1]).max()) / max(math.hypot(eyes[0], eyes[1]), 1.0)


def eyes_open(landmarks: NDArray[np.float32]) -> float:
    """Return the height of the eyes over their width, the mean of both (Soukupova and Cech, 2016)."""
    apart = landmarks[_LIDS[:, 0]] - landmarks[_LIDS[:, 1]]  # (6, 2)
    width, upper, other = np.hypot(apart[:, 0], apart[:, 1]).reshape(3, 2)
    return float(((upper + other) / 2 / np.maximum(width, 1.0)).mean())


def _appearance(crop: NDArray[np.uint8]) -> dict[str, float]:
    grey = pixels.luma(crop)
    smooth = pixels.without_grain(grey)
    mean, contrast = pixels.spread(grey[_FACE])
    # The whole spread holds the light's own: a face lit from one side would pass for blurred.
    local_contrast = pixels.spread(pixels.against_surroundings(smooth, _LIGHT_PX)[_SHARP])[1]
    eyes = (_detail(smooth, *_EYES[0]) + _detail(smooth, *_EYES[1])) / 2
    return {
        "sharpness": pixels.finest_detail(smooth[_SHARP]) / max(local_contrast, 1.0) ** 2,
        "exposure": mean,
        "contrast": contrast,
        "under_exposed": float(np.count_nonzero(grey[_FACE] <= 25)) / _FACE_SIZE,  # both bounds are the standard's
        "over_exposed": float(np.count_nonzero(grey[_FACE] >= 247)) / _FACE_SIZE,
        "noise": pixels.grain(grey),
        "mouth_detail": _detail(smooth, *_MOUTH) / max(eyes, 0.004),
    }


def _detail(smooth: NDArray[np.float32], rows: slice, columns: slice) -> float:
    """Return how far pixels two rows apart differ, for the light there: lids, brows and lips lie across the face."""
    part = smooth[rows, columns]
    # Over luma alone, a black cloth's grain or lenses of sunglasses would count as much as lips in the light.
    return float(np.abs(part[2:] - part[:-2]).mean()) / (float(part.mean()) + 100)


def _shape(face: FaceDetection, geometry: Geometry) -> dict[str, float]:
    eyes = geometry.five_points[1] - geometry.five_points[0]
    return {
        "inter_eye_px": math.hypot(eyes[0], eyes[1]),
        "yaw_deg": geometry.yaw_deg,
        "pitch_deg": geometry.pitch_deg,
        "roll_deg": geometry.roll_deg,
        "disagreement": disagreement(face, geometry),
        "eyes_open": eyes_open(geometry.landmarks),
    }


def _graded(measured: dict[str, float], presence: float) -> Iterator[tuple[Flaw, Grade]]:
    yield from _below(Flaw.NO_LANDMARKS, presence, PRESENCE)
    yield from _beyond(Flaw.LANDMARKS_DISAGREE, measured["disagreement"], DISAGREEMENT)
    yield from _beyond(Flaw.YAW, abs(measured["yaw_deg"]), YAW_DEG)
    yield from _beyond(Flaw.PITCH, abs(measured["pitch_deg"]), PITCH_DEG)
    yield from _beyond(Flaw.ROLL, abs(measured["roll_deg"]), ROLL_DEG)
    yield from _beyond(Flaw.TOO_DARK, measured["under_exposed"], UNDER_EXPOSED)
    yield from _beyond(Flaw.TOO_BRIGHT, measured["over_exposed"], OVER_EXPOSED)
    yield from _below(Flaw.BLUR, measured["sharpness"], SHARPNESS)
    yield from _below(Flaw.LOW_CONTRAST, measured["contrast"], CONTRAST)
    yield from _beyond(Flaw.NOISE, measured["noise"], NOISE)
    yield from _below(Flaw.COVERED, measured["mouth_detail"], MOUTH_DETAIL)


def _beyond(flaw: Flaw, value: float, bounds: tuple[float, float]) -> Iterator[tuple[Flaw, Grade]]:
    if not value <= bounds[0]:
        yield flaw, Grade.LOW
    elif not value <= bounds[1]:
        yield flaw, Grade.MEDIUM


def _below(flaw: Flaw, value: float, bounds: tuple[float, float]) -> Iterator[tuple[Flaw, Grade]]:
    return _beyond(flaw, -value, (-bounds[0], -bounds[1]))
