"""Repeats: whether a face makes the same movements again, as in a clip that is played in a loop.

What is kept of a moment is the shape that 24 points of the face made, without place, size or turn in the picture:
enough to know a movement again, and no picture of anybody.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEP_S = 0.1
SHORTEST_S, LONGEST_S = 1.5, 10.0  # periods looked for
SPAN_S = 2.0  # so much must have come before
CHECK_EVERY_S = 0.5
# How far the last `SPAN_S` lie from the same again, over how far they lie from their own mean. The living came no
# nearer than 0.68 (three people, 202 windows); clips in a loop, recaptured in the hand, came to 0.05 to 0.4.
ALIKE = 0.45
# A face that hardly moves repeats itself as noise does: that is the static cue's business.
LIVELY = 0.015

_POINTS = np.array(
    [33, 133, 362, 263, 70, 107, 336, 300, 1, 5, 6, 98, 327, 61, 291, 0, 17, 13, 152, 234, 454, 10, 205, 425]
)
_EYES = (0, 3)  # places of the outer corners among them


class RepeatWatch:
    """Remembers the movements of one track for as long as a period may be, and is dropped with it."""

    def __init__(self) -> None:
        self._shapes: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._next_s = self._next_check_s = -np.inf
        self.found = False  # once true it stays: no later movement makes up for a clip

    def observe(self, at_s: float, landmarks: NDArray[np.float32]) -> None:
        """Note where the (468, 2) landmarks lie; those that are no face's are passed over."""
        shape = shape_of(landmarks) if at_s >= self._next_s else None
        if shape is None:
            return
        self._next_s = at_s + 0.9 * STEP_S
        self._shapes.append((at_s, shape))
        while self._shapes[0][0] < at_s - LONGEST_S - SPAN_S - STEP_S:
            self._shapes.popleft()
        if at_s >= self._next_check_s and at_s - self._shapes[0][0] >= SHORTEST_S + SPAN_S:
            self._next_check_s = at_s + CHECK_EVERY_S
            self.found |= likeness(*self._evenly()) < ALIKE  # this way round, NaN is none

    def _evenly(self) -> tuple[NDArray[np.float64], int]:
        """Return the shapes at even steps, newest last, and how many of them make the last span."""
        at_s = np.array([one[0] for one in self._shapes])
        shapes = np.array([one[1] for one in self._shapes], np.float64)
        wanted = np.arange(at_s[-1], at_s[0], -STEP_S)[::-1]
        after = np.clip(np.searchsorted(at_s, wanted), 1, len(at_s) - 1)
        share = ((wanted - at_s[after - 1]) / (at_s[after] - at_s[after - 1]))[:, np.newaxis]
        return shapes[after - 1] * (1 - share) + shapes[after] * share, round(SPAN_S / STEP_S)


def shape_of(landmarks: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return (48,) the points about their middle, level and of unit size; None where they coincide."""
    points = landmarks[_POINTS].astype(np.float64)
    points -= points.mean(axis=0)
    size = float(np.sqrt((points**2).sum(axis=1).mean()))
    eye_line = points[_EYES[1]] - points[_EYES[0]]
    length = float(np.hypot(*eye_line))
    if not (size > 0 and length > 0):
        return None
    x, y = eye_line / length
    return np.asarray(points @ np.array([[x, -y], [y, x]]) / size, np.float32).reshape(-1)


def likeness(shapes: NDArray[np.float64], span: int) -> float:
    """Return how far the last `span` of (n, D) shapes lie from the nearest earlier such row, over their own spread.

    Well under 1 means that they came before, at least `SHORTEST_S` ago. NaN where they hardly move or there is no
    such row.
    """
    newest = shapes[-span:]
    points = shapes.shape[1] / 2
    spread = float(np.sqrt(((newest - newest.mean(axis=0)) ** 2).sum(axis=1).mean() / points))
    lags = np.arange(round(SHORTEST_S / STEP_S), len(shapes) - span + 1)
    if not (spread >= LIVELY and len(lags)):
        return float("nan")
    rows = np.arange(span)[:, np.newaxis]
    earlier = len(shapes) - span + rows - lags  # (span, lags)
    alike = newest @ shapes.T  # squared distances by way of products: the differences would be (span, lags, D)
    length = (shapes**2).sum(axis=1)
    apart = length[-span:, np.newaxis] + length[earlier] - 2 * alike[rows, earlier]
    return float(np.sqrt(np.maximum(apart, 0) / points).mean(axis=0).min()) / spread
