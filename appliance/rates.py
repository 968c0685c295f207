"""Shares of trials and how far they can be relied on, after ISO/IEC 19795-1 and 30107-3."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, which are taken as independent."""

    count: int
    n: int

    @property
    def value(self) -> float:
        """0..1; NaN where there was no trial."""
        return self.count / self.n if self.n else math.nan

    @property
    def ci95(self) -> tuple[float, float]:
        """Wilson's interval."""
        return wilson(self.count, self.n)


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share; (0, 1) where there was no trial."""
    if n == 0:
        return 0.0, 1.0
    share, spread = count / n, Z95**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends the exact values are 0 and 1; floating point misses them by 1e-17.
    return (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)


def upper_bound(count: int, n: int) -> float:
    """Return the one-sided 95 % upper bound of a share (Clopper and Pearson); 1 where there was no trial.

    It is the largest share under which `count` or fewer of n still come up once in twenty times.
    """
    if count >= n:
        return 1.0
    low, high = count / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, n, middle) > 0.05 else (low, middle)
    return high


def _at_most(count: int, n: int, share: float) -> float:
    """Return the chance of `count` or fewer successes in n trials; 0 < share < 1."""

    def exactly(k: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return math.exp(ways + k * math.log(share) + (n - k) * math.log1p(-share))

    return math.fsum(exactly(k) for k in range(count + 1))
