"""Rates and their intervals: what is said of a biometric system, after ISO/IEC 19795-1 and 30107-3.

Scores are arrays of one dimension, higher is more alike (or more surely bona fide); accepted is "at or above
the threshold".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from appliance.rates import Rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]


def threshold_at(impostors: Scores, rate: float) -> float:
    """Return the lowest threshold at which at most `rate` of these scores are accepted.

    Where not even one may be, it lies just above the highest; no scores, or a rate of 1, give minus infinity.
    """
    allowed = math.floor(rate * impostors.size + 1e-9)
    if allowed >= impostors.size:
        return -math.inf
    refused = -np.partition(-impostors, allowed)[allowed]  # the highest that must be refused
    return float(np.nextafter(refused, np.inf))


def accepted(scores: Scores, threshold: float) -> Rate:
    """Return the share at or above the threshold."""
    return Rate(int(np.count_nonzero(scores >= threshold)), scores.size)


def refused(scores: Scores, threshold: float) -> Rate:
    """Return the share that is not at or above the threshold; NaN is refused."""
    return Rate(int(np.count_nonzero(~(scores >= threshold))), scores.size)


def trade_off(positive: Scores, negative: Scores, points: int = 41) -> list[list[float]]:
    """Return points of the detection error trade-off: negatives accepted, positives refused, both 0..1.

    They are spaced evenly in the logarithm of the first, from one negative accepted to all. Nothing gives nothing.
    """
    if not positive.size or not negative.size:
        return []
    rates = np.unique(np.floor(np.geomspace(1, negative.size, points) + 1e-9)) / negative.size
    thresholds = [threshold_at(negative, float(rate)) for rate in rates]
    found = [(accepted(negative, at).value, refused(positive, at).value) for at in thresholds]
    return [[float(f"{wrong:.3g}"), float(f"{missed:.4g}")] for wrong, missed in dict(found).items()]


def histogram(scores: Scores, edges: Scores) -> list[int]:
    """Return how many scores lie between each two edges; those beyond the ends are counted in the last."""
    counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
    return [int(count) for count in counts]


def best_threshold(mated: Scores, impostors: Scores) -> float:
    """Return the threshold with the fewest errors of both kinds; of several as good, the middle of the widest gap."""
    scores = np.unique(np.concatenate([mated, impostors]))
    cuts = np.concatenate([[scores[0] - 1e-6], (scores[:-1] + scores[1:]) / 2, [scores[-1] + 1e-6]])
    errors = np.searchsorted(np.sort(mated), cuts) + impostors.size - np.searchsorted(np.sort(impostors), cuts)
    good = np.flatnonzero(errors == errors.min())
    gaps = np.diff(np.concatenate([[cuts[0]], scores, [cuts[-1]]]))[good]
    return float(cuts[good[int(np.argmax(gaps))]])


def n_fold(mated: list[Scores], impostors: list[Scores]) -> Rate:
    """Return the share of pairs judged rightly, each fold at the best threshold of the other folds."""
    right = total = 0
    for fold, (same, different) in enumerate(zip(mated, impostors, strict=True)):
        threshold = best_threshold(
            np.concatenate(mated[:fold] + mated[fold + 1 :]), np.concatenate(impostors[:fold] + impostors[fold + 1 :])
        )
        right += accepted(same, threshold).count + refused(different, threshold).count
        total += same.size + different.size
    return Rate(right, total)


def auc(positive: Scores, negative: Scores) -> float:
    """Return the chance that a positive scores above a negative, a tie counting half; NaN where either is missing."""
    if not positive.size or not negative.size:
        return math.nan
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / 2 / negative.size)


def equal_error_rate(positive: Scores, negative: Scores) -> tuple[float, float]:
    """Return the error rate, and its threshold, where both kinds of error come nearest to each other: their mean.

    NaN for both where either kind of score is missing.
    """
    if not positive.size or not negative.size:
        return math.nan, math.nan
    cuts = np.unique(np.concatenate([positive, negative, [np.inf]]))
    missed = np.searchsorted(np.sort(positive), cuts) / positive.size
    passed = 1 - np.searchsorted(np.sort(negative), cuts) / negative.size
    nearest = int(np.argmin(np.abs(missed - passed)))
    return float(missed[nearest] + passed[nearest]) / 2, float(cuts[nearest])
