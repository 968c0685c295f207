"""How alike different people look to an embedder: every comparison of two people in a folder, and the tail of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance import manifest
from appliance.errors import UsageError
from appliance.manifest import Impostors
from appliance.people.comparisons import KEPT_SHARE, Compared, highest, resampled
from appliance.pipeline.embedding import fuse
from appliance.tail import Measured, Tail, fit

from . import folder as folders
from . import report, written

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.records import Embedding

MIN_PEOPLE = 20  # fewer cannot be drawn again with any sense
LOOKS = 5  # pictures of a visit
FIRST_LOOK = 3  # a door never decides on fewer frames
MAX_VISITS = 8  # of one person: nobody's face shall make the tail
SHOWN = (1e-3, 1e-4, 1e-5, 1e-6)


def run(
    folder: Path,
    embedder: str,
    detector: Literal["short", "full"],
    name: str,
    *,
    write: bool,
    added: Path | None = None,
) -> None:
    """Print the measured and the fitted tails, and put them into the manifest where `write`. Raises UsageError.

    Two tails: one photograph against one, and a whole visit's fused probe, the best of its looks, against one.
    """
    wanted = folders.pictures(folder)
    settings, stages = folders.open_stages(embedder, detector, added)
    reading = folders.read(wanted, stages)
    kept = [picture for picture in wanted if picture.path in reading.templates]
    names, people = np.unique([picture.person for picture in kept], return_inverse=True)
    if names.size < MIN_PEOPLE:
        raise UsageError(f"{names.size} people give no tail; at least {MIN_PEOPLE} are needed")
    data = f"{name}: {len(kept)} images of {names.size} people"
    templates = folders.matrix([reading.templates[picture.path] for picture in kept])
    frames = [reading.frames[picture.path] for picture in kept]
    found = {"impostors": highest(templates, people), "visits": visits(frames, templates, people)}
    tails, line = dict[str, Impostors](), dict[str, Any]()
    for kind, compared in found.items():
        try:
            tails[kind], line[kind] = _fitted(compared, data)
        except ValueError as fault:
            if kind == "impostors":
                raise UsageError(f"no tail can be fitted: {fault}") from fault
            print(f"visits of {LOOKS} pictures: no tail can be fitted: {fault}")
    report.name("faces missed, left out", reading.missed)
    report.name("broken pictures, left out", reading.broken)
    if write:
        entry, there = manifest.embedder_of(settings.recognition, added)
        written.put(there, entry.model_id, tails)
        print(f"written to {there / 'manifest.toml'} for {entry.model_id}")
    counts = {"missed_faces": len(reading.missed), "broken_images": len(reading.broken), "people": int(names.size)}
    report.finish({"bench": "impostors"} | line | counts | {"models": report.models(settings, added)})


def _fitted(compared: Compared, data: str) -> tuple[Impostors, dict[str, Any]]:
    """Return the tail as the manifest holds it, and the line for it. Raises ValueError for too few comparisons."""
    measured = Measured(compared.scores, compared.total)
    tail, interval = fit(measured), resampled(compared)
    impostors = Impostors(
        data=f"{data}{compared.note}",
        comparisons=compared.total,
        tail_start=tail.start,
        tail_fmr=float(f"{tail.fmr:.6g}"),
        tail_scale=round(tail.scale, 5),
        tail_scale_ci95=interval,
    )
    _show(tail, measured, impostors)
    return impostors, _line(impostors, tail, measured)


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


def _line(impostors: Impostors, tail: Tail, measured: Measured) -> dict[str, Any]:
    return {
        **impostors.model_dump(),
        "measured": {f"{fmr:.0e}": round(measured.threshold(fmr), 4) for fmr in SHOWN if measured.total * fmr >= 1},
        "fitted": {f"{fmr:.0e}": round(tail.threshold(min(fmr, tail.fmr)), 4) for fmr in SHOWN},
    }


def visits(frames: Sequence[Embedding], templates: NDArray[np.float32], people: NDArray[np.int64]) -> Compared:
    """Return the visits of everybody with enough pictures against every template of another person.

    A visit is `LOOKS` different pictures, fused one after the other as the camera's frames are; its similarity is
    the highest that it had from the third on, because a door looks again with every frame. Frames of one visit are
    more alike than these, so that the truth lies between this and one picture.
    """
    rows: list[NDArray[np.int64]] = []
    owners: list[int] = []
    for person in range(int(people.max()) + 1):
        own = np.flatnonzero(people == person)
        rows += [own[at : at + LOOKS] for at in range(0, min(len(own), LOOKS * MAX_VISITS) - LOOKS + 1, LOOKS)]
        owners += [person] * (len(rows) - len(owners))
    asked = np.array(owners, np.int64)
    kept = []
    for person, looks in zip(owners, rows, strict=True):
        seen = [frames[at] for at in looks]
        probes = [fuse(seen[:count], [1.0] * count) for count in range(FIRST_LOOK, LOOKS + 1)]
        fused = folders.matrix([probe for probe in probes if probe is not None])
        others = np.flatnonzero(people != person)
        best = (fused @ templates[others].T).max(axis=0)
        kept.append((np.column_stack([np.full(others.size, person), people[others]]), best))
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(pair for pair, _ in kept)])
    scores = np.concatenate([np.empty(0), *(best for _, best in kept)])
    asks = np.bincount(asked, minlength=int(people.max()) + 1)
    total = scores.size
    high = np.argsort(-scores, kind="stable")[: math.ceil(KEPT_SHARE * total)]
    note = f"; {len(rows)} visits of {LOOKS} images, the best of the looks from {FIRST_LOOK} on"
    return Compared(pairs[high], scores[high], total, (asks, np.bincount(people)), note)
