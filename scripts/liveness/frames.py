"""The recorded frames that training starts from: whole pictures, the appliance's own detector, its own crop."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance import manifest, pixels
from appliance.drivers.photo import read_photo
from appliance.drivers.tflite import load_model
from appliance.errors import UsageError
from appliance.pipeline.detection import Detection
from appliance.pipeline.liveness import context
from appliance.records import FaceDetection, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    Detect = Callable[[Frame], Sequence[FaceDetection]]

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in px

SIDE_PX = 128  # of the crop that the network takes
LFW = "lfw"
BONA_FIDE = "live"


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One whole picture in which the detector found a face."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    face: Box
    label: str  # "live", or the species of the attack
    source: str
    subject: str
    reference: float | None  # bona fide score of a better model, 0..1; None where it gave none


def open_detector() -> Detect:
    """Return the shipped short-range detector. Raises ModelError."""
    return Detection(load_model(manifest.read().entry("detector"), manifest.SHIPPED)).detect


def found(detect: Detect, picture: NDArray[np.uint8]) -> Box | None:
    """Return the box of the largest face; None where there is no face."""
    faces = detect(Frame(picture, 0.0, 0))
    return _box(faces[0]) if faces else None


def presentations(folder: Path, detect: Detect) -> tuple[Sighting, ...]:
    """Return the frames of FOLDER/manifest.csv that show a face. Raises UsageError, PhotoError."""
    try:
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        seen = [_sighting(folder, row, detect) for row in rows]
    except (OSError, KeyError, ValueError) as fault:
        raise UsageError(f"{folder}/manifest.csv cannot be read: {fault}") from fault
    return tuple(one for one in seen if one is not None)


def _sighting(folder: Path, row: dict[str, str], detect: Detect) -> Sighting | None:
    picture = read_photo(folder / row["file"])
    face = found(detect, picture)
    if face is None:
        return None
    said = row["reference_bona_fide"]
    source = row["source"]
    return Sighting(picture, face, row["label"], source, row["subject"], float(said) if said else None)


def portraits(folder: Path, detect: Detect) -> tuple[Sighting, ...]:
    """Return the first picture of each person under FOLDER/images that shows a face, by name, as bona fide."""
    seen = []
    for person in sorted(path for path in (folder / "images").iterdir() if path.is_dir()):
        picture = read_photo(min(person.iterdir()))
        if (face := found(detect, picture)) is not None:
            seen.append(Sighting(picture, face, BONA_FIDE, LFW, person.name, None))
    return tuple(seen)


def crop(picture: NDArray[np.uint8], face: Box) -> NDArray[np.uint8]:
    """Return (128, 128, 3) RGB: what the appliance's liveness stage would give the network for this box."""
    detection = FaceDetection(np.array(face, np.float32), np.zeros((6, 2), np.float32), 1.0)
    return pixels.crop(picture, context(detection, picture.shape[1], picture.shape[0]), SIDE_PX)


def jittered(face: Box, dice: Generator) -> Box:
    """Return the box scaled by 0.75 to 1.25 and shifted by up to 4 % of its size, as detectors differ."""
    x0, y0, x1, y1 = face
    wide, high, scale = x1 - x0, y1 - y0, dice.uniform(0.75, 1.25)
    x, y = (x0 + x1) / 2 + wide * dice.uniform(-0.04, 0.04), (y0 + y1) / 2 + high * dice.uniform(-0.04, 0.04)
    return (x - wide * scale / 2, y - high * scale / 2, x + wide * scale / 2, y + high * scale / 2)


def _box(face: FaceDetection) -> Box:
    x0, y0, x1, y1 = (float(value) for value in face.box)
    return (x0, y0, x1, y1)
