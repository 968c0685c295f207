"""False matches and misses by groups of people that somebody who may know them has named; nothing is guessed here."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from appliance import manifest
from appliance.errors import UsageError
from appliance.rates import Rate

from . import folder as folders
from . import report

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

FMR = 1e-3  # at which all groups are compared: rarer, and a small group has no false match to count
MAX_RATIO = 3.0
MIN_FOUND = 5  # false matches below which a ratio says nothing


def run(folder: Path, groups: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"]) -> None:
    """Print each group's rates at one threshold, and whether false matches differ by more than `MAX_RATIO`.

    `groups` is a CSV with the columns name and group. Raises UsageError for a file of another form.
    """
    named = read_groups(groups)
    settings, stages = folders.open_stages(embedder, detector)
    impostors = manifest.embedder(settings.recognition).measured.impostors
    if impostors is None:
        raise UsageError(f"the manifest has no impostor distribution of {stages.embedder.model_id}")
    threshold = impostors.tail.threshold(min(FMR, impostors.tail_fmr))
    wanted = [picture for picture in folders.pictures(folder) if picture.person in named]
    reading = folders.read(wanted, stages)
    by_group: dict[str, list[folders.Picture]] = defaultdict(list)
    for picture in wanted:
        if picture.path in reading.templates:
            by_group[named[picture.person]].append(picture)
    found = {
        group: rates(
            folders.matrix([reading.templates[one.path] for one in own]),
            np.unique([one.person for one in own], return_inverse=True)[1],
            threshold,
        )
        for group, own in sorted(by_group.items())
    }
    rows = [(group, report.percent(false), report.percent(missed)) for group, (false, missed) in found.items()]
    report.show(f"Groups at cosine {threshold:.4f}", ("group", "false matches within", "misses"), rows)
    report.name("pictures with no face found, left out", reading.missed)
    ratio, alarm = compared({group: false for group, (false, _) in found.items()})
    print(f"highest over lowest rate of false matches: {ratio:.2f}; {'ALARM: more than' if alarm else 'not above'} 3")
    line = {
        group: {"fmr": report.number(false.value), "fmr_n": false.n, "fnmr": report.number(missed.value), "n": missed.n}
        for group, (false, missed) in found.items()
    }
    report.finish(
        {"bench": "slices", "groups": line, "ratio": round(ratio, 3), "alarm": alarm, "models": report.models(settings)}
    )


def read_groups(path: Path) -> dict[str, str]:
    """Return each name's group. Raises UsageError where the file is no such table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UsageError(f"groups {path} cannot be read: {fault}") from fault
    if not rows or any(not row.get("name") or not row.get("group") for row in rows):
        raise UsageError(f"groups {path} must have the columns name and group, both filled in every row")
    return {row["name"]: row["group"] for row in rows}


def rates(templates: NDArray[np.float32], people: NDArray[np.int64], threshold: float) -> tuple[Rate, Rate]:
    """Return the false matches between different people of one group, and the misses of its mated pairs."""
    rows, columns = np.triu_indices(len(templates), 1)
    scores = (templates @ templates.T)[rows, columns]
    mated = people[rows] == people[columns]
    false = Rate(int((scores[~mated] >= threshold).sum()), int((~mated).sum()))
    return false, Rate(int((~(scores[mated] >= threshold)).sum()), int(mated.sum()))


def compared(false: dict[str, Rate]) -> tuple[float, bool]:
    """Return the highest rate over the lowest, and whether that is an alarm.

    Only where the highest rests on `MIN_FOUND` false matches; a group without any counts as if it had one.
    """
    able = [rate for rate in false.values() if rate.n]
    if len(able) < 2:
        return 1.0, False
    highest = max(able, key=lambda rate: rate.value)
    lowest = min(max(rate.count, 1) / rate.n for rate in able)
    ratio = highest.value / lowest
    return ratio, highest.count >= MIN_FOUND and ratio > MAX_RATIO
