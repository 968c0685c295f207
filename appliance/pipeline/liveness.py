"""Liveness: is this a bona fide face or an attack presentation, frame by frame.

The model reads context (the edge of a paper, a bezel), so it sees 2.7 times the face, and faces too small
for it are never called live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.records import FaceDetection, Frame, Liveness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

CONTEXT_SCALE = 2.7  # of the detection box, as the model was trained
BONA_FIDE_CLASS = 0


class LivenessModel(Protocol):
    """A liveness model's runtime."""

    entry: ModelEntry

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        ...

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], ...]:
        """Return three logits for a square RGB picture."""
        ...


class PresentationAttackDetection:
    """The fourth stage: one frame's score. Faces narrower than `min_face_px` score 0."""

    def __init__(self, model: LivenessModel, min_face_px: float) -> None:
        self._model = model
        self._min_face_px = min_face_px

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Return how surely this face is live, 0..1; NaN where the model gave none."""
        model_id = self._model.entry.model_id
        if not face.width_px >= self._min_face_px:
            return Liveness(0.0, model_id)
        around = context(face, frame.pixels.shape[1], frame.pixels.shape[0])
        (logits,) = self._model.run(pixels.crop(frame.pixels, around, self._model.side_px))
        return Liveness(softmax(logits.reshape(-1))[BONA_FIDE_CLASS], model_id)


def context(face: FaceDetection, frame_width: int, frame_height: int) -> tuple[int, int, int, int]:
    """Return left, top, width, height of the face's surroundings, shrunk and shifted to lie inside the frame."""
    x0, y0, x1, y1 = (float(v) for v in face.box)
    wide, high = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    scale = min(CONTEXT_SCALE, (frame_width - 1) / wide, (frame_height - 1) / high)
    width, height = wide * scale, high * scale
    left = min(max((x0 + x1 - width) / 2, 0.0), frame_width - 1 - width)
    top = min(max((y0 + y1 - height) / 2, 0.0), frame_height - 1 - height)
    return int(left), int(top), max(1, int(width)), max(1, int(height))


def softmax(logits: NDArray[np.float32]) -> list[float]:
    """Return the classes' shares, which sum to 1; NaN in gives NaN out."""
    powers = np.exp(logits.astype(np.float64) - float(np.max(logits)))
    return [float(p) for p in powers / powers.sum()]
