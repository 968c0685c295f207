"""Liveness: is this a bona fide face or an attack presentation, frame by frame.

A model reads context (the edge of a paper, a bezel), so it sees several times the face, and faces too small
for it are never called live. Several models may run together: the one that doubts most has the word.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.manifest import CROP_SCALE
from appliance.records import FaceDetection, Frame, Liveness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry


class LivenessModel(Protocol):
    """A liveness model's runtime."""

    entry: ModelEntry

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        ...

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], ...]:
        """Return one logit a class for a square RGB picture."""
        ...


class PresentationAttackDetection:
    """The fourth stage: one frame's score. Faces narrower than `min_face_px` score 0."""

    def __init__(self, model: LivenessModel, min_face_px: float) -> None:
        self._model = model
        self._min_face_px = min_face_px
        self._constancy = _Constancy()

    @property
    def model_id(self) -> str:
        """Which model it is."""
        return self._model.entry.model_id

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Return how surely this face is live, 0..1; NaN where the model gave none, or the same whatever it saw."""
        if not face.width_px >= self._min_face_px:
            return Liveness(0.0, self.model_id)
        entry = self._model.entry
        around = context(face, frame.pixels.shape[1], frame.pixels.shape[0], entry.crop_scale)
        view = pixels.crop(frame.pixels, around, self._model.side_px)
        logits = self._model.run(view)[0].reshape(-1)
        if self._constancy.holds(view, logits):
            return Liveness(math.nan, self.model_id)
        return Liveness(bona_fide(logits, entry), self.model_id)


class Agreement:
    """Several models as one stage: all of them must call the face live."""

    def __init__(self, parts: Sequence[PresentationAttackDetection]) -> None:
        """Take at least one."""
        self._parts = tuple(parts)
        self._model_id = "+".join(part.model_id for part in parts)

    def score(self, frame: Frame, face: FaceDetection) -> Liveness:
        """Return the lowest of the models' scores, 0..1; NaN where any gave none."""
        scores = [part.score(frame, face).bona_fide for part in self._parts]
        return Liveness(float(np.min(scores)), self._model_id)  # of NaN and a number, np.min gives NaN


class _Constancy:
    """Watches for a model that says the same of different pictures, to the last bit, which no live one does.

    Of 1,583 frames of five recordings no two different ones in a row gave the same logits. Two are enough to tell, as
    a visit needs three: a model that has died cannot grant even the first one.
    """

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
        self._held = False

    def holds(self, view: NDArray[np.uint8], logits: NDArray[np.float32]) -> bool:
        """Tell whether the same was just said of another picture; the very same picture again changes nothing."""
        if self._last is None or not np.array_equal(logits, self._last[1]):
            self._held = False
        elif not np.array_equal(view, self._last[0]):
            self._held = True
        self._last = view, logits
        return self._held


def bona_fide(logits: NDArray[np.float32], entry: ModelEntry) -> float:
    """Return how surely (C,) logits mean a live face, 0..1, after the entry's calibration; NaN for any NaN or infinity.

    Without a calibration it is the softmax.
    """
    if not np.isfinite(logits).all():
        return math.nan
    if entry.calibration is None:
        return softmax(logits)[entry.bona_fide_class]
    others = np.delete(logits.astype(np.float64), entry.bona_fide_class)
    margin = float(logits[entry.bona_fide_class]) - float(np.logaddexp.reduce(others))
    return 0.5 * (1 + math.tanh((entry.calibration.a * margin + entry.calibration.b) / 2))  # exp would overflow


def context(
    face: FaceDetection, frame_width: int, frame_height: int, crop_scale: float = CROP_SCALE
) -> tuple[int, int, int, int]:
    """Return left, top, width, height of the face's surroundings, shrunk and shifted to lie inside the frame."""
    x0, y0, x1, y1 = (float(v) for v in face.box)
    wide, high = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    scale = min(crop_scale, (frame_width - 1) / wide, (frame_height - 1) / high)
    width, height = wide * scale, high * scale
    left = min(max((x0 + x1 - width) / 2, 0.0), frame_width - 1 - width)
    top = min(max((y0 + y1 - height) / 2, 0.0), frame_height - 1 - height)
    return int(left), int(top), max(1, int(width)), max(1, int(height))


def softmax(logits: NDArray[np.float32]) -> list[float]:
    """Return the classes' shares, which sum to 1; NaN in gives NaN out."""
    powers = np.exp(logits.astype(np.float64) - float(np.max(logits)))
    return [float(p) for p in powers / powers.sum()]
