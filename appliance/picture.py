"""Pictures for people: the visitor as an attendant sees them, and frames with what the machine saw drawn in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels
from appliance.faces.covering import cover
from appliance.records import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.pipeline import Step
    from appliance.records import FaceDetection

VISITOR_SCALE = 2.2  # of the detection box: head and shoulders
MAX_SIDE_PX = 320  # enough to recognise a colleague on a telephone
KEPT_SIDE_PX = 480  # enough for a later model: the face is 218 px wide in it, and is read at 112


def visitor(step: Step) -> NDArray[np.uint8]:
    """Return head and shoulders of the visitor, (H, W, 3) RGB, every other face covered past recognition.

    Raises ValueError for a step without a visitor.
    """
    return _of_visitor(step, MAX_SIDE_PX)


def kept_of(step: Step) -> NDArray[np.uint8]:
    """Return what is kept of a visitor who agreed to that: as `visitor`, but large enough for a later model."""
    return _of_visitor(step, KEPT_SIDE_PX)


def _of_visitor(step: Step, side_px: int) -> NDArray[np.uint8]:
    if step.presentation is None:
        raise ValueError("nobody is there to be shown")
    seen = step.presentation.latest
    return portrait(seen.frame.pixels, seen.detection, step.faces, side_px)


def portrait(
    picture: NDArray[np.uint8], face: FaceDetection, faces: Sequence[FaceDetection], side_px: int = KEPT_SIDE_PX
) -> NDArray[np.uint8]:
    """Return head and shoulders of `face`, (H, W, 3) RGB, at most `side_px` a side, all other `faces` covered."""
    picture = cover(picture, [other.box for other in faces if other is not face])
    left, top, right, bottom = _bounds(face.box, VISITOR_SCALE, picture)
    return frozen(pixels.shrunk(picture[top:bottom, left:right], side_px))


def _bounds(box: NDArray[np.float32], scale: float, picture: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the box enlarged about its centre, inside the picture."""
    centre = (box[:2] + box[2:]) / 2
    half = np.maximum(box[2:] - box[:2], 1) * scale / 2
    height, width = picture.shape[:2]
    low = np.clip(centre - half, 0, (width - 1, height - 1))
    high = np.clip(centre + half, low + 1, (width, height))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
