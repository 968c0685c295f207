"""How alike different people look to an embedder: every comparison of two people in a folder, and the tail of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from appliance import manifest
from appliance.errors import UsageError
from appliance.manifest import Impostors

from . import folder as folders
from . import report, written
from .tail import TAIL_FMR, Measured, Tail, fit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from .folder import Picture, Reading

BLOCK = 512  # rows of templates compared at a time
BINS = 20_000  # of cosine, -1..1, to find what is kept
KEPT_SHARE = 4 * TAIL_FMR  # of the comparisons, the highest: what a resample of people may need
RESAMPLES = 200
MIN_PEOPLE = 20  # fewer cannot be drawn again with any sense
SHOWN = (1e-3, 1e-4, 1e-5, 1e-6)


def run(
    folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"], name: str, *, write: bool
) -> None:
    """Print the measured and the fitted tail, and put it into the manifest where `write`. Raises UsageError."""
    wanted = folders.pictures(folder)
    settings, stages = folders.open_stages(embedder, detector)
    reading = folders.read(wanted, stages)
    kept = [picture for picture in wanted if picture.path in reading.templates]
    tail, interval, measured = _fitted(kept, reading)
    people = len({picture.person for picture in kept})
    impostors = Impostors(
        data=f"{name}: {len(kept)} images of {people} people",
        comparisons=int(measured.total),
        tail_start=tail.start,
        tail_fmr=float(f"{tail.fmr:.6g}"),
        tail_scale=round(tail.scale, 5),
        tail_scale_ci95=interval,
    )
    _show(tail, measured, impostors)
    report.name("faces missed, left out", reading.missed)
    report.name("broken pictures, left out", reading.broken)
    entry = manifest.read().entry("embedder", f"face_embedder_{embedder}")
    if write:
        written.put(manifest.SHIPPED, entry.model_id, impostors)
        print(f"written to {manifest.SHIPPED / 'manifest.toml'} for {entry.model_id}")
    report.finish(_line(impostors, tail, measured, people, reading) | {"models": report.models(settings)})


def _fitted(kept: list[Picture], reading: Reading) -> tuple[Tail, tuple[float, float], Measured]:
    vectors = folders.matrix([reading.templates[picture.path] for picture in kept])
    names, people = np.unique([picture.person for picture in kept], return_inverse=True)
    if names.size < MIN_PEOPLE:
        raise UsageError(f"{names.size} people give no tail; at least {MIN_PEOPLE} are needed")
    try:
        pairs, scores, total = highest(vectors, people)
        measured = Measured(scores, total)
        return fit(measured), _resampled(pairs, scores, people), measured
    except ValueError as fault:
        raise UsageError(f"no tail can be fitted: {fault}") from fault


def _show(tail: Tail, measured: Measured, impostors: Impostors) -> None:
    rows = []
    for fmr in SHOWN:
        enough = measured.total * fmr >= 1
        found = f"{measured.threshold(fmr):.4f}" if enough else "too few comparisons"
        fitted = f"{tail.threshold(min(fmr, tail.fmr)):.4f}"
        rows.append((f"{fmr:.0e}", found, fitted, f"{measured.total * fmr:.0f}"))
    title = f"Impostors: {impostors.comparisons:,} comparisons, {impostors.data}"
    report.show(title, ("FMR", "measured cosine", "fitted cosine", "comparisons beyond"), rows)
    low, high = impostors.tail_scale_ci95
    scale = f"{tail.scale:.5f} (95 %, people drawn again: {low:.5f} to {high:.5f})"
    print(f"tail from cosine {tail.start:.4f}: FMR {tail.fmr:.3g}, scale {scale}")


def _line(impostors: Impostors, tail: Tail, measured: Measured, people: int, reading: Reading) -> dict[str, Any]:
    return {
        "bench": "impostors",
        **impostors.model_dump(),
        "people": people,
        "measured": {f"{fmr:.0e}": round(measured.threshold(fmr), 4) for fmr in SHOWN if measured.total * fmr >= 1},
        "fitted": {f"{fmr:.0e}": round(tail.threshold(min(fmr, tail.fmr)), 4) for fmr in SHOWN},
        "missed_faces": len(reading.missed),
        "broken_images": len(reading.broken),
    }


def blocks(vectors: NDArray[np.float32], people: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Yield (K, 2) row numbers and (K,) cosines of rows of different people, each pair of rows once."""
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        later = np.arange(len(vectors))[np.newaxis] > rows[:, np.newaxis]
        pairs = np.argwhere(later & (people[rows, np.newaxis] != people[np.newaxis]))
        scores = vectors[rows] @ vectors.T
        yield pairs + np.array((start, 0)), scores[pairs[:, 0], pairs[:, 1]]


def highest(
    vectors: NDArray[np.float32], people: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Return the pairs of rows, the cosines and how many there were; only the highest 4 in 1,000 are kept."""
    counts = np.zeros(BINS, np.int64)
    for _, scores in blocks(vectors, people):
        counts += np.histogram(np.clip(scores, -1, 1), BINS, (-1, 1))[0]
    total = int(counts.sum())
    beyond = np.cumsum(counts[::-1])[::-1]  # comparisons in this bin and above
    first = int(np.flatnonzero(beyond >= min(total, KEPT_SHARE * total))[-1]) if total else 0
    floor = -1 + 2 * max(first - 1, 0) / BINS  # a bin lower: rounding must lose nothing
    found = [(pairs[scores >= floor], scores[scores >= floor]) for pairs, scores in blocks(vectors, people)]
    return (
        np.concatenate([pairs for pairs, _ in found]),
        np.concatenate([scores for _, scores in found]).astype(np.float64),
        total,
    )


def _resampled(pairs: NDArray[np.int64], scores: NDArray[np.float64], people: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the scale when the people, not the comparisons, are drawn again."""
    dice = np.random.default_rng(1)
    pictures = np.bincount(people)
    scales = []
    for _ in range(RESAMPLES):
        times = np.bincount(dice.integers(pictures.size, size=pictures.size), minlength=pictures.size)
        weights = (times[people[pairs[:, 0]]] * times[people[pairs[:, 1]]]).astype(np.float64)
        drawn = times * pictures
        total = (float(drawn.sum()) ** 2 - float((drawn**2).sum())) / 2
        scales.append(fit(Measured(scores[weights > 0], total, weights[weights > 0])).scale)
    low, high = np.quantile(scales, (0.025, 0.975))
    return round(float(low), 5), round(float(high), 5)
