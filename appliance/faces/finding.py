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
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from appliance.pipeline.detection import Detection

MAX_FACES = 100  # of one picture that are told; the largest
MAX_SIGHTINGS = 5000  # in all parts, several of each face; of more, the surest are taken
LEAST_PART_PX = 192  # a part smaller than what the detector sees holds nothing more
TURNED_SCORE = (
    0.7  # of 36 faces 40 px wide, on their side or upside down, 34, 33 and 22 are found upright and all with it
)
INSIDE = 0.6  # of the smaller of two boxes: what lies so far within another is a part of the same face


class Finder:
    """Finds faces with a detector for near faces and one for far ones. Belongs to one thread at a time."""

    def __init__(
        self, near: Detection, far: Detection, finest: int, most: int | None = MAX_FACES, *, turned: bool = False
    ) -> None:
        """Take the detectors, and which part of the longer side is the smallest that is searched: 1, 2, 4 or 8.

        At most so many faces are told; None for all. With `turned`, heads on their side or upside down are looked for
        too, in four times the time.
        """
        self._near, self._far, self._finest, self._most = near, far, finest, most
        self._turns = range(4) if turned else range(1)

    def find(self, pixels: NDArray[np.uint8]) -> tuple[FaceDetection, ...]:
        """Return the faces in (H, W, 3) RGB pixels, largest first, each once; none gives ().

        Raises RefusedError where all are wanted, and there are more than can be told apart.
        """
        faces: list[FaceDetection] = []
        for turns in self._turns:
            boxes = _boxes(faces)
            least = TURNED_SCORE if turns else 0.0
            seen = self._merged(tuple(one for one in self._turned(pixels, turns) if one.score >= least))
            # The box of a face that is seen the right way up is the better one, and covers what else is seen of it.
            faces += [face for face in seen if not (_share_within(face, boxes) >= INSIDE).any()]
        faces.sort(key=lambda face: face.width_px, reverse=True)
        return _whole(faces)[: self._most]

    def _merged(self, found: tuple[FaceDetection, ...]) -> list[FaceDetection]:
        """Return each face once. Raises RefusedError as `find`."""
        if not found:
            return []
        if self._most is None and len(found) > MAX_SIGHTINGS:
            raise RefusedError("the picture shows too large a crowd; cut it into parts")
        surest = sorted(found, key=lambda face: face.score, reverse=True)[:MAX_SIGHTINGS]
        points = np.stack([np.vstack([one.box.reshape(2, 2), one.keypoints]) for one in surest]).astype(np.float64)
        return [_face(rows, score) for rows, score in merge(points, np.array([one.score for one in surest]))]

    def _turned(self, pixels: NDArray[np.uint8], turns: int) -> Iterator[FaceDetection]:
        """Yield what is seen after so many quarter turns counter-clockwise, where it lies without them."""
        view = np.ascontiguousarray(np.rot90(pixels, turns))
        for face in (*self._near.detect(Frame(view, 0.0, 0)), *self._in_parts(view)):
            points = np.vstack([face.box.reshape(2, 2), face.keypoints])
            height, width = view.shape[:2]
            for _ in range(turns):  # back by one: what was the right edge is the upper one now
                points = np.column_stack([height - 1 - points[:, 1], points[:, 0]])
                height, width = width, height
            box = np.concatenate([points[:2].min(axis=0), points[:2].max(axis=0)])
            yield FaceDetection(box, points[2:], face.score)

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
    boxes, scores = _boxes(faces), np.array([face.score for face in faces])
    kept: list[int] = []
    for number, face in enumerate(faces):
        if not (_share_within(face, boxes[kept][scores[kept] >= face.score]) >= INSIDE).any():
            kept.append(number)
    return tuple(faces[number] for number in kept)


def apart(faces: Sequence[FaceDetection], one: FaceDetection) -> list[FaceDetection]:
    """Return which faces lie apart from one of them: of two boxes that share most of either, one is no face."""
    box = _boxes([one])
    return [
        face
        for face in faces
        if face is not one and _share_within(face, box)[0] < INSIDE and _share_within(one, _boxes([face]))[0] < INSIDE
    ]


def _boxes(faces: Sequence[FaceDetection]) -> NDArray[np.float64]:
    """Return (n, 4)."""
    return np.array([face.box for face in faces], np.float64).reshape(-1, 4)


def _share_within(face: FaceDetection, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the face's box lies within each of (n, 4) boxes."""
    low, high = np.maximum(boxes[:, :2], face.box[:2]), np.minimum(boxes[:, 2:], face.box[2:])
    area = max(float(np.prod(face.box[2:] - face.box[:2])), 1e-6)
    share: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=1) / area
    return share
