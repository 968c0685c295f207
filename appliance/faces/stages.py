"""The picture reader over the shipped models: the one place of this package that loads any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.faces.finding import MAX_FACES, Finder
from appliance.faces.reader import PictureReader
from appliance.pipeline.detection import MIN_SCORE, Detection
from appliance.pipeline.reading import ModelStages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.config import Settings
    from appliance.records import Embedding

# Of faces 36 and 24 px wide in 1920x1080, 63 and 36 of 72 are found at 0.5 in parts down to a quarter, and all at 0.3
# down to an eighth, which takes four times as long (`scripts/bench faces`).
FAINT_SCORE, FAINT_FINEST = 0.3, 8
FINEST = 4
FILM_SCORE = 0.4  # what is no face, and is covered all the same, moves about in a film


def open_picture_reader(
    settings: Settings, added: Path | None = None, protect: Callable[[Embedding], Embedding] | None = None
) -> PictureReader:
    """Return a reader of pictures; as `ModelStages`. Raises ModelError where a file is missing or altered."""
    folder = manifest.folder_of(settings.recognition)
    shipped = manifest.read(folder)
    near, far = (load_model(shipped.entry(role), folder) for role in ("detector", "detector_full_range"))

    def finder(min_score: float, finest: int, most: int | None = None, *, turned: bool = False) -> Finder:
        detectors = Detection(near, min_score, MAX_FACES), Detection(far, min_score, MAX_FACES)
        return Finder(*detectors, finest, most, turned=turned)

    return PictureReader(
        ModelStages(settings, added, protect),
        finder(MIN_SCORE, FINEST, MAX_FACES),
        faint=finder(FAINT_SCORE, FAINT_FINEST, turned=True),
        film=finder(FILM_SCORE, FINEST),
    )
