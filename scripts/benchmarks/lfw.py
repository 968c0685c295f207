"""One-to-one verification on the pairs of a folder in the form of Labeled Faces in the Wild."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import folder as folders
from . import report, statistics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from .folder import Pair, Picture, Reading

TARGETS = {"1e-2": 1e-2, "1e-3": 1e-3}
EDGES = np.linspace(-0.4, 1.0, 57)  # of the histogram, cosine


def run(folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"]) -> None:
    """Print accuracy over the folds and true-accept rates. Raises UsageError for a folder of another form."""
    folds = folders.read_pairs(folder)
    settings, stages = folders.open_stages(embedder, detector)
    wanted = {picture for fold in folds for pair in fold for picture in (pair.one, pair.other)}
    reading = folders.read(wanted, stages)
    mated = [scores(fold, reading, mated=True) for fold in folds]
    impostors = [scores(fold, reading, mated=False) for fold in folds]
    accuracy = statistics.n_fold(mated, impostors)
    every_mated, every_impostor = np.concatenate(mated), np.concatenate(impostors)
    thresholds = {name: statistics.threshold_at(every_impostor, rate) for name, rate in TARGETS.items()}
    tar = {name: statistics.accepted(every_mated, threshold) for name, threshold in thresholds.items()}
    report.show(
        f"Verification, {len(folds)} folds, {len(wanted)} pictures, the face nearest to the centre of each",
        ("figure", "value", "cosine"),
        [
            (f"{len(folds)}-fold accuracy", report.percent(accuracy), "by fold"),
            *((f"TAR at FMR {name}", report.percent(rate), f"{thresholds[name]:.4f}") for name, rate in tar.items()),
            ("faces missed (similarity -1)", str(len(reading.missed)), ""),
        ],
    )
    report.name("faces missed", reading.missed)
    report.name("broken pictures, counted as missed", reading.broken)
    line: dict[str, object] = {
        "bench": "lfw",
        "n_pairs": accuracy.n,
        "accuracy": report.number(accuracy.value),
        "accuracy_ci95": report.interval(accuracy),
    }
    for name, rate in tar.items():
        line |= {f"tar_at_fmr_{name}": report.number(rate.value), f"tar_at_fmr_{name}_ci95": report.interval(rate)}
    # The listed impostor pairs are too few for a curve below 1e-3: everybody is compared with everybody.
    everyone = strangers(wanted, reading)
    line |= {"curve": statistics.trade_off(every_mated, everyone), "curve_n": [every_mated.size, everyone.size]}
    line["histogram"] = {
        "edges": [round(float(edge), 4) for edge in EDGES],
        "mated": statistics.histogram(every_mated, EDGES),
        "nonmated": statistics.histogram(everyone, EDGES),
    }
    counts = {"missed_faces": len(reading.missed), "broken_images": len(reading.broken)}
    sizes = {"n_images": len(wanted), "folds": len(folds)}
    report.finish(line | counts | sizes | {"models": report.models(settings)})


def strangers(wanted: Iterable[Picture], reading: Reading) -> NDArray[np.float64]:
    """Return the similarity of every two pictures of different people, each once; missed faces are left out."""
    shown = sorted((picture.person, picture.path) for picture in wanted if picture.path in reading.templates)
    templates = folders.matrix([reading.templates[path] for _, path in shown])
    people = np.array([person for person, _ in shown])
    found = [
        (templates[number + 1 :] @ templates[number])[people[number + 1 :] != people[number]]
        for number in range(len(shown))
    ]
    return np.concatenate(found).astype(np.float64)


def scores(fold: tuple[Pair, ...], reading: Reading, *, mated: bool) -> NDArray[np.float64]:
    """Return the similarities of a fold's mated pairs, or of the others."""
    chosen = [pair for pair in fold if pair.mated == mated]
    return np.array([reading.similarity(pair.one.path, pair.other.path) for pair in chosen])
