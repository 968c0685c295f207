"""Finding every face of a picture, the small ones too: the detectors look at the whole and at overlapping parts of it.

A detector sees a picture in 128 or 192 pixels a side, which is made for whoever stands at a door. Of faces 150, 80, 50
and 36 px wide in a picture of 1920x1080, the door's detector finds 4 of 45 and none of 72 each; in parts down to a
quarter of the longer side 45 of 45, 72, 72 and 63 of 72 are found (`scripts/bench faces`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import RefusedError
from appliance.pipeline.detection import merge
from appliance.records import FaceDetection, Frame, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from appliance.pipeline.detection import Detection

MAX_FACES = 100  # of one picture that are told; the largest
MAX_SIGHTINGS = 5000  # in all parts, several of each face; of more, the surest are taken
LEAST_PART_PX = 192  # a part smaller than what the detector sees holds nothing more
INSIDE = 0.6  # of the smaller of two boxes: what lies so far within another is a part of the same face


class Finder:
    """Finds faces with a detector for near faces and one for far ones. Belongs to one thread at a time."""

    def __init__(self, near: Detection, far: Detection, finest: int, most: int | None = MAX_FACES) -> None:
        """Take the detectors, and which part of the longer side is the smallest that is searched: 1, 2, 4 or 8.

        At most so many faces are told; None for all.
        """
        self._near, self._far, self._finest, self._most = near, far, finest, most

    def find(self, pixels: NDArray[np.uint8]) -> tuple[FaceDetection, ...]:
        """Return the faces in (H, W, 3) RGB pixels, largest first, each once; none gives ().

        Raises RefusedError where all are wanted, and there are more than can be told apart.
        """
        found = [*self._near.detect(Frame(pixels, 0.0, 0)), *self._in_parts(pixels)]
        if not found:
            return ()
        if self._most is None and len(found) > MAX_SIGHTINGS:
            raise RefusedError("the picture shows too large a crowd; cut it into parts")
        found = sorted(found, key=lambda face: face.score, reverse=True)[:MAX_SIGHTINGS]
        points = np.stack([np.vstack([one.box.reshape(2, 2), one.keypoints]) for one in found]).astype(np.float64)
        merged = merge(points, np.array([one.score for one in found]))
        faces = [_face(rows, score) for rows, score in merged]
        faces.sort(key=lambda face: face.width_px, reverse=True)
        return _whole(faces)[: self._most]

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
    boxes = np.stack([face.box for face in faces]).astype(np.float64)
    scores = np.array([face.score for face in faces])
    areas = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6)
    kept: list[int] = []
    for number, face in enumerate(faces):
        larger = boxes[kept][scores[kept] >= face.score]
        low, high = np.maximum(larger[:, :2], face.box[:2]), np.minimum(larger[:, 2:], face.box[2:])
        within = np.prod(np.clip(high - low, 0, None), axis=1) / areas[number]
        if not (within >= INSIDE).any():
            kept.append(number)
    return tuple(faces[number] for number in kept)
