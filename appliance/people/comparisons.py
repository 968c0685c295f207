"""Every template against every one of another person: how alike different people look to an embedder."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.tail import TAIL_FMR, Measured, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK = 512  # rows of templates compared at a time
BINS = 20_000  # of cosine, -1..1, to find what is kept
KEPT_SHARE = 4 * TAIL_FMR  # of the comparisons, the highest: what a resample of people may need
RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Comparisons of different people: the highest of them, or all."""

    pairs: NDArray[np.int64]  # (K, 2) numbers of the two people
    scores: NDArray[np.float64]  # (K,) cosine
    total: int  # comparisons made, those that were not kept among them
    sizes: tuple[NDArray[np.int64], NDArray[np.int64]]  # (P,) what each person has on either side
    note: str = ""

    def of(self, times: NDArray[np.float64]) -> float:
        """Return how many comparisons there are, up to a factor, when each person comes so many times."""
        one, other = times * self.sizes[0], times * self.sizes[1]
        return float(one.sum() * other.sum() - one @ other)


def blocks(vectors: NDArray[np.float32], people: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Yield (K, 2) row numbers and (K,) cosines of rows of different people, each pair of rows once."""
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        later = np.arange(len(vectors))[np.newaxis] > rows[:, np.newaxis]
        pairs = np.argwhere(later & (people[rows, np.newaxis] != people[np.newaxis]))
        scores = vectors[rows] @ vectors.T
        yield pairs + np.array((start, 0)), scores[pairs[:, 0], pairs[:, 1]]


def highest(vectors: NDArray[np.float32], people: NDArray[np.int64], wanted_from: float = 1.0) -> Compared:
    """Return every row against every one of another person; kept are the highest 4 in 1,000.

    `people` (N,) numbers the owner of each row from 0. What reaches the cosine `wanted_from` is kept as well.
    """
    counts = np.zeros(BINS, np.int64)
    for _, scores in blocks(vectors, people):
        counts += np.histogram(np.clip(scores, -1, 1), BINS, (-1, 1))[0]
    total = int(counts.sum())
    beyond = np.cumsum(counts[::-1])[::-1]  # comparisons in this bin and above
    first = int(np.flatnonzero(beyond >= min(total, KEPT_SHARE * total))[-1]) if total else 0
    floor = min(-1 + 2 * max(first - 1, 0) / BINS, wanted_from)  # a bin lower: rounding must lose nothing
    found = [(pairs[scores >= floor], scores[scores >= floor]) for pairs, scores in blocks(vectors, people)]
    pairs = people[np.concatenate([np.empty((0, 2), np.int64), *(rows for rows, _ in found)])]
    scores = np.concatenate([np.empty(0), *(scores for _, scores in found)])
    templates = np.bincount(people)
    return Compared(pairs, scores, total, (templates, templates))


def resampled(compared: Compared) -> tuple[float, float]:
    """Return the 95 % interval of the tail's scale when the people, not the comparisons, are drawn again.

    Raises ValueError where not one draw gives a tail.
    """
    dice = np.random.default_rng(1)
    people = compared.sizes[0].size
    everybody = compared.of(np.ones(people))
    scales = []
    for _ in range(RESAMPLES):
        times = np.bincount(dice.integers(people, size=people), minlength=people).astype(np.float64)
        weights = times[compared.pairs[:, 0]] * times[compared.pairs[:, 1]]
        drawn = Measured(
            compared.scores[weights > 0], compared.total * compared.of(times) / everybody, weights[weights > 0]
        )
        with contextlib.suppress(ValueError):  # a draw that leaves too few people with a tail
            scales.append(fit(drawn).scale)
    if not scales:
        raise ValueError("no draw of the people gives a tail; more people are needed")
    low, high = np.quantile(scales, (0.025, 0.975))
    return round(float(low), 5), round(float(high), 5)
