"""Bona fide and attack presentations: manifest.csv, and what the shipped liveness stage says of each frame."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.drivers.photo import read_photo
from appliance.errors import PhotoError, UsageError
from appliance.records import Frame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages

COLUMNS = ("file", "label", "source", "subject", "session")
BONA_FIDE = "live"


@dataclass(frozen=True, slots=True)
class Shot:
    """One whole camera frame and what it is known to show."""

    path: Path
    label: str  # "live", or the species of the attack
    source: str
    presentation: tuple[str, str, str]  # source, subject, session; frames of one are no independent trials


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame whose face was wide enough to be read."""

    shot: Shot
    bona_fide: float  # 0..1; what the model could not say is 0


@dataclass(frozen=True, slots=True)
class Scores:
    """What became of every frame."""

    read: tuple[Scored, ...]
    not_read: tuple[Shot, ...]  # no face, or one too narrow
    broken: tuple[str, ...]  # one line each


def shots(folder: Path) -> tuple[Shot, ...]:
    """Return the rows of manifest.csv. Raises UsageError for a missing column, an empty field or no rows."""
    file = folder / "manifest.csv"
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines)
            absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if absent:
                raise UsageError(f"{file} has no column {', '.join(absent)}; {', '.join(COLUMNS)} are needed")
            rows = [_shot(folder, row, file, reader.line_num) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UsageError(f"{file} cannot be read: {fault}") from fault
    if not rows:
        raise UsageError(f"{file} lists no frames")
    return tuple(rows)


def _shot(folder: Path, row: dict[str, str | None], file: Path, line: int) -> Shot:
    name, label, source, subject, session = (row[column] or "" for column in COLUMNS)
    if not (name and label and source):
        raise UsageError(f"{file}, line {line}: file, label and source must not be empty")
    path = folder / name
    if not path.is_file():
        raise UsageError(f"{file}, line {line} names {name}, which is not there")
    return Shot(path, label, source, (source, subject, session))


def score(every: Sequence[Shot], stages: ModelStages, min_face_px: float) -> Scores:
    """Return the liveness of the largest face of each frame, as the pipeline would read it."""
    read, not_read, broken = list[Scored](), list[Shot](), list[str]()
    for shot in track(every, "scoring", console=Console(stderr=True), transient=True):
        try:
            frame = Frame(read_photo(shot.path), 0.0, 0)
        except PhotoError as fault:
            broken.append(str(fault))
            continue
        faces = stages.detect(frame)
        if not faces or not faces[0].width_px >= min_face_px:
            not_read.append(shot)
            continue
        bona_fide = stages.score(frame, faces[0]).bona_fide
        read.append(Scored(shot, bona_fide if bona_fide >= 0 else 0.0))  # NaN counts as none
    if not read:
        raise UsageError(f"none of the {len(every)} frames shows a face at least {min_face_px:g} px wide")
    return Scores(tuple(read), tuple(not_read), tuple(broken))


def values(scored: Sequence[Scored]) -> NDArray[np.float64]:
    """Return the frames' scores."""
    return np.array([one.bona_fide for one in scored], np.float64)


def medians(scored: Sequence[Scored]) -> NDArray[np.float64]:
    """Return the median score of each presentation, which is what the appliance judges a visit by."""
    gathered: dict[tuple[str, tuple[str, str, str]], list[float]] = {}
    for one in scored:
        gathered.setdefault((one.shot.label, one.shot.presentation), []).append(one.bona_fide)
    return np.array([np.median(scores) for scores in gathered.values()], np.float64)
