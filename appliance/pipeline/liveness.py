"""Liveness: is this a bona fide face or an attack presentation, frame by frame and over a visit.

The model reads context (the edge of a paper, a bezel), so it sees 2.7 times the face, and faces too small
for it are never called live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.records import Cue, Evidence, FaceDetection, Frame, Liveness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

CONTEXT_SCALE = 2.7  # of the detection box, as the model was trained
BONA_FIDE_CLASS = 0

# A still picture through a good camera: cosine 0.999 and more. A person holding still measured 0.98 to 0.995, but
# frames 33 ms apart reach 0.9996, so the window is one of time, not of frames.
STATIC_COSINE = 0.999
# Sensor noise of 1 to 5 luma levels brings a still picture down to 0.997 to 0.97, where living people are too. But
# noise has no memory: its wander was under 0.75 in 2 of 168,000 draws of 3 to 15 frames (two prints, 960 frames). A
# living face's was under 0.73 in 95 of 100 windows of a second (three people at 15 frames a second, 343 windows).
STATIC_WANDER = 0.75
STATIC_WINDOW_S = 1.0
STATIC_FRAMES = 3


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


def static_cues(evidence: Sequence[Evidence]) -> tuple[Cue, ...]:
    """Return the signs that the camera looks at a still picture, over the newest evidence of one track.

    Until something has moved the cue stands, so a still picture is never granted; a living person who holds
    perfectly still is delayed until they move, because only the last second counts.
    """
    newest = [
        one.embedding.vector
        for one in evidence
        if one.embedding is not None and one.captured_at_s >= evidence[-1].captured_at_s - STATIC_WINDOW_S
    ]
    if len(newest) < STATIC_FRAMES:
        return ()
    vectors = np.stack(newest).astype(np.float64)
    same = bool((vectors[:-1] @ vectors[-1] >= STATIC_COSINE).all())
    moved = not same and wander(vectors) < STATIC_WANDER  # this way round, NaN has not moved
    return () if moved else (Cue.STATIC_INPUT,)


def wander(vectors: NDArray[np.float64]) -> float:
    """Return how far apart (n, D) vectors next to each other in time lie, over how far any two of them lie.

    That is von Neumann's ratio (Annals of Mathematical Statistics 12, 1941): about 1 for noise around one picture,
    however strong, and less the more the later ones have gone somewhere else. NaN where all are the same.
    """
    alike = vectors @ vectors.T  # squared distances by way of products: the differences would be (n, n, D)
    length = np.diag(alike)
    apart = length[:, np.newaxis] + length[np.newaxis] - 2 * alike
    any_two = float(apart[np.triu_indices(len(vectors), 1)].mean())
    return float(np.diag(apart, 1).mean()) / any_two if any_two > 0 else float("nan")
