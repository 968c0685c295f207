"""Error against discard: what is gained by refusing the pictures that a quality value calls the worst.

After ISO/IEC 29794-1. `goodness` is (n,), higher is better; `wrong` is (n,) bool: this comparison was an error.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from appliance.rates import Rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Errors = NDArray[np.bool_]

SHARES = np.linspace(0, 0.95, 20)  # discarded; of the last twentieth too few are left to tell a rate


def curve(goodness: Values, wrong: Errors) -> Values:
    """Return (20,) the error rate of what is left when each of SHARES was discarded, worst goodness first.

    Among equal values the errors are spread evenly. NaN is worse than any number. No comparison gives NaN.
    """
    if not wrong.size:
        return np.full(SHARES.size, math.nan)
    known = np.where(np.isnan(goodness), -np.inf, goodness)
    _, group, size = np.unique(known, return_inverse=True, return_counts=True)
    expected = (np.bincount(group, wrong) / size)[np.sort(group)]
    kept = np.cumsum(expected[::-1])[::-1]
    first = np.floor(SHARES * wrong.size + 1e-9).astype(int)
    return np.asarray(kept[first] / (wrong.size - first))


def area(goodness: Values, wrong: Errors) -> float:
    """Return the area under the curve over that of a random discard: 1 for no use, towards 0 the better.

    NaN where there is no error to be avoided.
    """
    found = curve(goodness, wrong)
    if not found[0] > 0:
        return math.nan
    return float(np.trapezoid(found, SHARES) / (found[0] * (SHARES[-1] - SHARES[0])))


def fitted(goodness: Values, wrong: Errors) -> list[tuple[float, Rate]]:
    """Return groups, best first, each with its lowest goodness and its errors: the worse the group, the more errors.

    They are those of the isotonic regression of error on goodness (pool adjacent violators), so nobody chose them.
    NaN is left out.
    """
    known = ~np.isnan(goodness)
    values, group = np.unique(-goodness[known], return_inverse=True)
    errors, sizes = np.bincount(group, wrong[known], values.size), np.bincount(group, minlength=values.size)
    groups: list[tuple[float, Rate]] = []
    for value, count, size in zip(values, errors, sizes, strict=True):
        pooled = Rate(int(count), int(size))
        while groups and groups[-1][1].value >= pooled.value:
            _, before = groups.pop()
            pooled = Rate(before.count + pooled.count, before.n + pooled.n)
        groups.append((float(-value), pooled))
    return groups


def bound(groups: list[tuple[float, Rate]], limit: float) -> float:
    """Return the lowest goodness of the `fitted` groups that err no more than `limit`; infinity where none does."""
    return min((low for low, rate in groups if rate.value <= limit), default=math.inf)
