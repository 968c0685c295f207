"""The tail of an impostor distribution: an exponential that is never lighter than what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL_FMR = 1e-3
# Where people are mislabelled or appear under two names, their comparisons are mated ones and lie at the very
# top: folders of press photographs have such cases at about one comparison in a million. What lies beyond this
# rate is therefore known to the fit only as "higher than that", and its values, however high, do not count.
CENSORED_FMR = 5e-6
# A smooth fit may run below the measured curve somewhere in between. A threshold too low opens doors, so the
# scale is raised until the fit is nowhere lighter than what was measured at these rates.
HELD_AT = (3e-4, 1e-4, 3e-5, 1e-5)
MIN_BEYOND = 20  # comparisons beyond a rate below which its quantile says too little to hold the fit at


@dataclass(frozen=True, slots=True)
class Tail:
    """FMR(t) = fmr * exp(-(t - start) / scale) for t >= start."""

    start: float  # cosine
    fmr: float  # share of comparisons at or above `start`
    scale: float  # cosine

    def threshold(self, fmr: float) -> float:
        """Return the cosine at which the fit has this false-match rate, which is at most its own `fmr`."""
        return self.start + self.scale * math.log(self.fmr / fmr)

    def rate(self, cosine: float) -> float:
        """Return the fit's false-match rate at a cosine, which is at least its own `start`."""
        return self.fmr * math.exp((self.start - cosine) / self.scale)


class Measured:
    """The highest of `total` comparisons, each with a weight; the rest are known only to be lower."""

    def __init__(self, highest: NDArray[np.float64], total: float, weights: NDArray[np.float64] | None = None) -> None:
        order = np.argsort(-highest, kind="stable")
        self.scores = highest[order]  # falling
        self.weights = np.ones(highest.size) if weights is None else weights[order]
        self.total = total
        self._beyond = np.cumsum(self.weights)

    def threshold(self, fmr: float) -> float:
        """Return the highest cosine that this share of all comparisons, and no less, reaches."""
        at = int(np.searchsorted(self._beyond, fmr * self.total * (1 - 1e-12)))
        return float(self.scores[min(at, self.scores.size - 1)])

    def fmr(self, threshold: float) -> float:
        """Return the share of all comparisons at or above a cosine."""
        count = int(np.searchsorted(-self.scores, -threshold, "right"))
        return float(self._beyond[count - 1] / self.total) if count else 0.0


def fit(measured: Measured) -> Tail:
    """Return the exponential from FMR 1e-3 on. Raises ValueError for fewer comparisons than give a tail."""
    if not measured.scores.size or measured.total * TAIL_FMR < MIN_BEYOND:
        least = MIN_BEYOND / TAIL_FMR
        raise ValueError(f"{measured.total:.0f} comparisons give no tail; at least {least:.0f} are needed")
    start = math.ceil(measured.threshold(TAIL_FMR) * 1e4 - 1e-9) / 1e4  # as it will be written
    fmr = measured.fmr(start)
    scale = censored_mean_excess(measured, start, measured.threshold(CENSORED_FMR))
    held = [
        (measured.threshold(rate) - start) / math.log(fmr / rate)
        for rate in HELD_AT
        if measured.total * rate >= MIN_BEYOND and rate < fmr
    ]
    return Tail(start, fmr, max(scale, *held) if held else scale)


def censored_mean_excess(measured: Measured, start: float, end: float) -> float:
    """Return the exponential scale, by maximum likelihood, of scores from `start` on that are cut off at `end`."""
    beyond = measured.scores >= start
    scores, weights = measured.scores[beyond], measured.weights[beyond]
    seen = weights[scores < end].sum()
    if not seen > 0:
        raise ValueError(f"no comparison lies between cosine {start:.4f} and {end:.4f}; more people are needed")
    return float((weights * (np.minimum(scores, end) - start)).sum() / seen)
