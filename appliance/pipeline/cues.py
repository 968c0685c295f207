"""Cues: signs of an attack presentation that one frame cannot show, over the frames of one track."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.records import Cue, Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A still picture through a good camera: cosine 0.999 and more. A person holding still measured 0.98 to 0.995, but
# frames 33 ms apart reach 0.9996, so the window is one of time, not of frames.
STATIC_COSINE = 0.999
# Sensor noise of 1 to 5 luma levels brings a still picture down to 0.997 to 0.97, where living people are too. But
# noise has no memory: its wander was under 0.75 in 2 of 168,000 draws of 3 to 15 frames (two prints, 960 frames). A
# living face's was under 0.73 in 95 of 100 windows of a second (three people at 15 frames a second, 343 windows).
STATIC_WANDER = 0.75
STATIC_WINDOW_S = 1.0
STATIC_FRAMES = 3


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
