"""Folders in the form of Labeled Faces in the Wild: images/NAME/NAME_0001.jpg and pairs.txt, read by the stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.config import RecognitionSettings, Settings
from appliance.drivers.photo import read_photo
from appliance.errors import PhotoError, UsageError
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.records import Embedding, FaceDetection

SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of one person."""

    person: str
    path: Path


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures to be compared."""

    one: Picture
    other: Picture
    mated: bool  # whether both show one person


@dataclass(slots=True)
class Reading:
    """What became of each picture."""

    templates: dict[Path, Embedding] = field(default_factory=dict)  # as a photograph is enrolled: several views
    frames: dict[Path, Embedding] = field(default_factory=dict)  # as a camera's frame is read: one view
    missed: list[Path] = field(default_factory=list)  # no face found
    broken: list[str] = field(default_factory=list)  # one line each, with the file's name

    def similarity(self, one: Path, other: Path) -> float:
        """Return the cosine of two pictures; -1 where the face of either was missed."""
        if one not in self.templates or other not in self.templates:
            return -1.0
        return float(self.templates[one].vector @ self.templates[other].vector)


def open_stages(
    embedder: str, detector: Literal["short", "full"], added: Path | None = None
) -> tuple[Settings, ModelStages]:
    """Return default settings with these models, `added` ones among them, and the stages under them.

    Raises ModelError.
    """
    settings = Settings(recognition=RecognitionSettings(embedder=embedder, detector=detector))
    return settings, ModelStages(settings, added)


def pictures(folder: Path) -> tuple[Picture, ...]:
    """Return every picture under images/, by name. Raises UsageError where there is none."""
    paths = sorted(path for path in folder.glob("images/*/*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UsageError(f"folder {folder} holds no pictures; images/NAME/NAME_0001.jpg is needed")
    return tuple(Picture(path.parent.name, path) for path in paths)


def read_pairs(folder: Path) -> tuple[tuple[Pair, ...], ...]:
    """Return the folds of pairs.txt, mated pairs first. Raises UsageError for a file of another form."""
    file = folder / "pairs.txt"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"pairs {file} cannot be read: {fault}") from fault
    folds, size = _header(lines[0].split("\t") if lines else [], file)
    rows = [line.split("\t") for line in lines[1:] if line.strip()]
    if len(rows) != folds * 2 * size:
        needed = f"{folds} folds of {size} mated and {size} others"
        raise UsageError(f"pairs {file} has {len(rows)} pairs; its first line says {needed}")
    pairs = [_pair(folder, row, number) for number, row in enumerate(rows, start=2)]
    for number, pair in enumerate(pairs):
        if pair.mated != (number % (2 * size) < size):
            raise UsageError(f"pairs {file}, pair {number + 1}: each fold is {size} mated pairs, then {size} others")
    return tuple(tuple(pairs[at : at + 2 * size]) for at in range(0, len(pairs), 2 * size))


def _header(fields: list[str], file: Path) -> tuple[int, int]:
    if len(fields) != 2 or not all(text.isdecimal() for text in fields):
        raise UsageError(f"pairs {file} begins with {fields}; the number of folds, a tab and pairs a fold are needed")
    folds, size = int(fields[0]), int(fields[1])
    if folds < 2 or size < 1:
        raise UsageError(f"pairs {file} has {folds} folds of {size} pairs; at least 2 of 1 are needed")
    return folds, size


def _pair(folder: Path, row: Sequence[str], line: int) -> Pair:
    if len(row) == 3:
        one, other = (row[0], row[1]), (row[0], row[2])
    elif len(row) == 4:
        one, other = (row[0], row[1]), (row[2], row[3])
    else:
        raise UsageError(f"pairs.txt, line {line} has {len(row)} fields; 3 (mated) or 4 (not), with tabs, are needed")
    return Pair(_picture(folder, *one, line), _picture(folder, *other, line), mated=len(row) == 3)


def _picture(folder: Path, person: str, number: str, line: int) -> Picture:
    if not number.isdecimal():
        raise UsageError(f"pairs.txt, line {line}: {number!r} is not the number of a picture")
    stem = folder / "images" / person / f"{person}_{int(number):04d}"
    for suffix in sorted(SUFFIXES):
        if (path := stem.with_name(stem.name + suffix)).is_file():
            return Picture(person, path)
    raise UsageError(f"pairs.txt, line {line} names {stem}.jpg, which is not there")


def read(wanted: Iterable[Picture], stages: ModelStages) -> Reading:
    """Return the template of the face nearest to each picture's centre; what is missed or broken is listed."""
    reading = Reading()
    paths = sorted({picture.path for picture in wanted})
    for path in track(paths, "reading", console=Console(stderr=True), transient=True):
        try:
            frame = Frame(read_photo(path), 0.0, 0)
        except PhotoError as fault:
            reading.broken.append(str(fault))
            continue
        face = central(stages.detect(frame), frame)
        template = stages.template(frame, face) if face else None
        seen = stages.embed(stages.align(frame, face).crop) if face else None
        if template is None or seen is None:
            reading.missed.append(path)
        else:
            reading.templates[path], reading.frames[path] = template, seen
    if not reading.templates:
        raise UsageError(f"none of the {len(paths)} pictures shows a face that can be read")
    return reading


def central(faces: Sequence[FaceDetection], frame: Frame) -> FaceDetection | None:
    """Return the face nearest to the picture's centre; None for no face."""
    height, width = frame.pixels.shape[:2]

    def off_centre(face: FaceDetection) -> float:
        return float(np.hypot(face.box[0] + face.box[2] - width, face.box[1] + face.box[3] - height))

    return min(faces, key=off_centre, default=None)


def matrix(embeddings: Sequence[Embedding]) -> NDArray[np.float32]:
    """Return (N, D): one template a row."""
    return np.stack([embedding.vector for embedding in embeddings])
