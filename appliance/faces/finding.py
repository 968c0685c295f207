"""Finding every face of a picture, the small ones too: the detectors look at the whole and at overlapping parts of it.

A detector sees a picture in 128 or 192 pixels a side, which is made for whoever stands at a door. Of faces 150, 80, 50
and 36 px wide in a picture of 1920x1080, the door's detector finds 3 of 45 and none of 72 each; in parts down to a
quarter of the longer side 45 of 45, 72, 72 and 61 of 72 are found (Labeled Faces in the Wild, pasted in).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.pipeline.detection import merge
from appliance.records import FaceDetection, Frame, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from appliance.pipeline.detection import Detection

MAX_FACES = 100  # of one picture; the largest are kept
LEAST_PART_PX = 192  # a part smaller than what the detector sees holds nothing more
INSIDE = 0.6  # of the smaller of two boxes: what lies so far within another is a part of the same face


class Finder:
    """Finds faces with a detector for near faces and one for far ones. Belongs to one thread at a time."""

    def __init__(self, near: Detection, far: Detection, finest: int) -> None:
        """Take the detectors, and which part of the longer side is the smallest that is searched: 1, 2, 4 or 8."""
        self._near, self._far, self._finest = near, far, finest

    def find(self, pixels: NDArray[np.uint8]) -> tuple[FaceDetection, ...]:
        """Return the faces in (H, W, 3) RGB pixels, largest first, each once, at most `MAX_FACES`; none gives ()."""
        found = [*self._near.detect(Frame(pixels, 0.0, 0)), *self._in_parts(pixels)]
        if not found:
            return ()
        points = np.stack([np.vstack([one.box.reshape(2, 2), one.keypoints]) for one in found]).astype(np.float64)
        merged = merge(points, np.array([one.score for one in found]))
        faces = [_face(rows, score) for rows, score in merged]
        faces.sort(key=lambda face: face.width_px, reverse=True)
        return _whole(faces)[:MAX_FACES]

    def _in_parts(self, pixels: NDArray[np.uint8]) -> Iterator[FaceDetection]:
        height, width = pixels.shape[:2]
        for left, top, right, bottom in parts(width, height, self._finest):
            inner = np.array([left > 0, top > 0, right < width, bottom < height])
            for face in self._far.detect(Frame(pixels[top:bottom, left:right], 0.0, 0)):
                over = face.box * (-1, -1, 1, 1) > (0, 0, right - left, bottom - top)
                if not (over & inner).any():  # a face cut in two lies whole in the next part
                    shift = np.array((left, top), np.float32)
                    yield FaceDetection(face.box + np.tile(shift, 2), face.keypoints + shift, face.score)


def parts(width_px: int, height_px: int, finest: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, right, bottom of the whole, then of squares of a half, a quarter ... of the longer side.

    Squares overlap by half, so that what is at most half a square wide lies whole in one of them.
    """
    yield 0, 0, width_px, height_px
    share = 2
    while share <= finest and (side := max(width_px, height_px) // share) >= LEAST_PART_PX:
        across, down = min(side, width_px), min(side, height_px)
        for top in _starts(height_px, down):
            for left in _starts(width_px, across):
                yield left, top, left + across, top + down
        share *= 2


def _starts(whole_px: int, part_px: int) -> list[int]:
    steps = -(-(whole_px - part_px) // max(part_px // 2, 1))
    return [round(step * (whole_px - part_px) / max(steps, 1)) for step in range(steps + 1)]


def _face(points: NDArray[np.float64], score: float) -> FaceDetection:
    rows = points.astype(np.float32)
    return FaceDetection(frozen(rows[:2].reshape(4)), frozen(rows[2:]), score)


def _whole(faces: list[FaceDetection]) -> tuple[FaceDetection, ...]:
    """Leave out what lies within a larger face that is more surely one: a mouth or an eye that a part showed alone."""
    kept: list[FaceDetection] = []
    for face in faces:
        if not any(larger.score >= face.score and _share_within(face, larger) >= INSIDE for larger in kept):
            kept.append(face)
    return tuple(kept)


def _share_within(face: FaceDetection, larger: FaceDetection) -> float:
    low, high = np.maximum(face.box[:2], larger.box[:2]), np.minimum(face.box[2:], larger.box[2:])
    area = float(np.prod(np.maximum(face.box[2:] - face.box[:2], 1e-6)))
    return float(np.prod(np.clip(high - low, 0, None))) / area
