"""Quality: can this view of a face be relied on, and if not, what should the visitor do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels
from appliance.contract import Hint
from appliance.records import FaceDetection, Flaw, Frame, Geometry, Grade, Quality

if TYPE_CHECKING:
    from collections.abc import Iterator

# First values, chosen on what passes in ordinary portraits; error against reject curves come with the
# recognition work that follows this. Each pair: beyond the first it cannot be read, beyond the second not enrolled.
YAW_DEG = (35.0, 20.0)
PITCH_DEG = (35.0, 25.0)
ROLL_DEG = (40.0, 25.0)
BLUR = (0.012, 0.03)  # sharpness below which a crop is too blurred
DARK = (25.0, 50.0)  # mean luma
BRIGHT = (235.0, 215.0)
NOISE = (14.0, 7.0)  # luma levels
MIN_PRESENCE = 0.5

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
    Flaw.NOISE: Hint.TOO_DARK,
    Flaw.NO_LANDMARKS: Hint.TURN_FACE,
}


@dataclass(frozen=True, slots=True)
class Assessment:
    """The third stage: grades a view. `min_face_px` is the width below which a face is not read."""

    min_face_px: float

    def assess(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> Quality:
        """Return the grade of this view and every flaw, the worst first. A value that is NaN is a flaw."""
        grey = pixels.luma(geometry.crop)
        measured = {
            "blur": sharpness(pixels.laplacian_variance(grey), float(grey.std())),
            "exposure": float(grey.mean()),
            "noise": pixels.grain(grey),
        }
        found = list(self._flaws(frame, face, geometry, measured))
        low = [flaw for flaw, grade in found if grade is Grade.LOW]
        medium = [flaw for flaw, grade in found if grade is Grade.MEDIUM]
        grade = Grade.LOW if low else Grade.MEDIUM if medium else Grade.HIGH
        eyes = geometry.five_points[1] - geometry.five_points[0]
        return Quality(
            grade=grade,
            flaws=(*low, *medium),
            face_px=face.width_px,
            inter_eye_px=float(np.hypot(eyes[0], eyes[1])),
            **measured,
        )

    def _flaws(
        self, frame: Frame, face: FaceDetection, geometry: Geometry, measured: dict[str, float]
    ) -> Iterator[tuple[Flaw, Grade]]:
        height, width = frame.pixels.shape[:2]
        if not geometry.presence >= MIN_PRESENCE:
            yield Flaw.NO_LANDMARKS, Grade.LOW
        if not face.width_px >= self.min_face_px:
            yield Flaw.TOO_SMALL, Grade.LOW
        if not face.width_px <= 0.9 * min(height, width):
            yield Flaw.TOO_LARGE, Grade.LOW
        if not inside(geometry, width, height):
            yield Flaw.CUT_OFF, Grade.LOW
        yield from _beyond(Flaw.YAW, abs(geometry.yaw_deg), YAW_DEG)
        yield from _beyond(Flaw.PITCH, abs(geometry.pitch_deg), PITCH_DEG)
        yield from _beyond(Flaw.ROLL, abs(geometry.roll_deg), ROLL_DEG)
        yield from _beyond(Flaw.BLUR, -measured["blur"], (-BLUR[0], -BLUR[1]))
        yield from _beyond(Flaw.TOO_DARK, -measured["exposure"], (-DARK[0], -DARK[1]))
        yield from _beyond(Flaw.TOO_BRIGHT, measured["exposure"], BRIGHT)
        yield from _beyond(Flaw.NOISE, measured["noise"], NOISE)


def sharpness(laplacian_variance: float, contrast: float) -> float:
    """Return the Laplacian's variance over the picture's own: near 0 for a blur, 0.05 and more when sharp."""
    return laplacian_variance / max(contrast, 1.0) ** 2


def inside(geometry: Geometry, width_px: int, height_px: int) -> bool:
    """Tell whether eyes, nose and mouth lie inside the frame with a little to spare."""
    points = geometry.five_points
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((low >= 2).all() and high[0] <= width_px - 3 and high[1] <= height_px - 3)


def hint_for(flaws: tuple[Flaw, ...]) -> Hint | None:
    """Return what the visitor should be told about the worst flaw; None where there is none."""
    return _HINTS[flaws[0]] if flaws else None


def _beyond(flaw: Flaw, value: float, bounds: tuple[float, float]) -> Iterator[tuple[Flaw, Grade]]:
    if not value <= bounds[0]:
        yield flaw, Grade.LOW
    elif not value <= bounds[1]:
        yield flaw, Grade.MEDIUM
