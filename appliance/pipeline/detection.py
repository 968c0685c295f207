"""Detection: where faces are. BlazeFace's anchors, decoded; overlapping boxes merged by weighted NMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.records import FaceDetection, Frame, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SCORE = 0.5
MERGE_IOU = 0.3
MAX_FACES = 8  # a crowd must not cost more than a group: the largest are kept


class DetectorModel(Protocol):
    """A face detector's runtime."""

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        ...

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], ...]:
        """Return boxes (A, 16) and logits (A, 1) for a square RGB picture."""
        ...


class Detection:
    """The first stage: frame in, faces out. A door keeps to the defaults; pictures may be searched more thoroughly."""

    def __init__(self, model: DetectorModel, min_score: float = MIN_SCORE, max_faces: int = MAX_FACES) -> None:
        self._model = model
        self._min_score, self._max_faces = min_score, max_faces
        self._anchors = anchors(model.side_px)

    def detect(self, frame: Frame) -> tuple[FaceDetection, ...]:
        """Return the faces in the frame, largest first, at most `max_faces`; none gives ()."""
        view = frame.pixels if frame.small is None else frame.small  # the camera shrinks at no cost to us
        square, scale, offset = pixels.letterbox(view, self._model.side_px)
        raw, logits = self._model.run(square)
        kept = np.flatnonzero(logits[:, 0] >= np.log(self._min_score / (1 - self._min_score)))
        if kept.size == 0:
            return ()
        scores = 1 / (1 + np.exp(-logits[kept, 0].astype(np.float64)))
        points = decode(raw[kept], self._anchors[kept], self._model.side_px)
        merged = merge(points, scores)
        stretch = np.array(frame.pixels.shape[1::-1]) / view.shape[1::-1]
        faces = [_face((rows - offset) / scale * stretch, score) for rows, score in merged]
        return tuple(sorted(faces, key=lambda face: face.width_px, reverse=True)[: self._max_faces])


def anchors(side_px: int) -> NDArray[np.float64]:
    """Return the (A, 2) anchor centres, 0..1, of the short-range (128) or full-range (192) detector."""
    grids = {128: ((16, 2), (8, 6)), 192: ((48, 1),)}[side_px]
    levels = []
    for cells, repeats in grids:
        centres = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(centres, centres)
        levels.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(levels)


def decode(raw: NDArray[np.float32], centres: NDArray[np.float64], side_px: int) -> NDArray[np.float64]:
    """Return (K, 8, 2) points in pixels of the model's input: two box corners, then six keypoints."""
    values = raw.astype(np.float64).reshape(-1, 8, 2)
    points = values + centres[:, np.newaxis] * side_px
    half = values[:, 1] / 2
    centre = points[:, 0].copy()
    points[:, 0], points[:, 1] = centre - half, centre + half
    return points


def merge(
    points: NDArray[np.float64], scores: NDArray[np.float64], iou: float = MERGE_IOU
) -> list[tuple[NDArray[np.float64], float]]:
    """Return each face once: the score-weighted mean of all boxes that overlap its best one by `iou` or more."""
    order = np.argsort(-scores, kind="stable")
    merged = []
    while order.size:
        overlap = _iou(points[order[0], :2], points[order, :2])
        overlap[0] = 1.0  # a degenerate box still covers itself, so that the loop ends
        same = order[overlap >= iou]
        weights = scores[same] / scores[same].sum()
        merged.append((np.tensordot(weights, points[same], axes=1), float(scores[order[0]])))
        order = order[overlap < iou]
    return merged


def _iou(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(box[0], boxes[:, 0]), np.minimum(box[1], boxes[:, 1])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[1] - box[0]) + np.prod(boxes[:, 1] - boxes[:, 0], axis=1) - shared
    overlap: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def _face(points: NDArray[np.float64], score: float) -> FaceDetection:
    rows = points.astype(np.float32)
    return FaceDetection(box=frozen(rows[:2].reshape(4)), keypoints=frozen(rows[2:]), score=score)
