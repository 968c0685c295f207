"""What a photograph held up, or a telephone, comes to: visits of the simulated camera and recordings of real ones."""

from __future__ import annotations

import csv
import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.drivers.opencv import Recording
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import UsageError
from appliance.pipeline import Pipeline
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.presentation import Presentations
from appliance.records import Frame, Grant, Wait, frozen
from scripts.benchmarks import latency

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.config import Settings
    from appliance.pipeline.reading import ModelStages
    from scripts.benchmarks.peers.contestant import Contestant

VISIT_S = 8.0
SAMPLED = 6  # every sixth frame is read frame by frame: the slowest contestant sets the pace
REFERENCES = 1_000  # of other people
# What the package's own demo of face identification asks of both scores (demo/faceid/index.ts, minConfidence).
HUMAN_AT_LEAST = 0.6
LABELS = ("live", "replay")


@dataclass(frozen=True, slots=True)
class Showing:
    """Something shown to a camera."""

    name: str
    bona_fide: bool
    frames: Callable[[], Iterator[Frame]]  # from its beginning, each time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one showing came to."""

    showing: Showing
    attempts: int  # visits that ended in a decision, one after another
    opened: int  # of these
    frames: int  # read one by one, of which were called bona fide:
    ours: int
    human: int


def showings(settings: Settings, recordings: Path | None) -> list[Showing]:
    """Return the simulated visits and the recordings that manifest.csv lists. Raises UsageError for another form."""
    found = []
    for face in ("astronaut", "official"):
        for shows in ("person", "print", "phone"):
            visit = Visit.model_validate({"shows": shows, "face": face, "for_s": VISIT_S})
            frames = functools.partial(simulated, visit, settings.camera.frame_rate)
            found.append(Showing(f"simulated {face}, {shows}", shows == "person", frames))
    return found if recordings is None else found + recorded(recordings)


def simulated(visit: Visit, rate: float) -> Iterator[Frame]:
    """Yield what the simulated camera sees of a visit."""
    renderer = Renderer(latency.WIDTH_PX, latency.HEIGHT_PX)
    for number in range(int(visit.for_s * rate)):
        yield Frame(frozen(renderer.draw(visit, number / rate)), number / rate, number)


def recorded(folder: Path) -> list[Showing]:
    """Return the recordings of a folder. Raises UsageError where manifest.csv has not file and label (live, replay)."""
    try:
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
            rows = [(row["file"], row["label"]) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError) as fault:
        raise UsageError(f"{folder}/manifest.csv cannot be read as file,label: {fault!r}") from fault
    for name, label in rows:
        if label not in LABELS or not (folder / name).is_file():
            raise UsageError(f"{folder}/manifest.csv names {name} as {label}; a file there, live or replay, is needed")
    return [
        Showing(f"recording {name}", label == "live", functools.partial(played, folder / name)) for name, label in rows
    ]


def played(path: Path) -> Iterator[Frame]:
    """Yield the frames of a recording."""
    recording = Recording(path)
    try:
        while (frame := recording.read()) is not None:
            yield frame
    finally:
        recording.close()


def judge(showing: Showing, settings: Settings, stages: ModelStages, ours: Contestant, human: Contestant) -> Outcome:
    """Return what a showing came to: at our door, and frame by frame with ours and with human."""
    attempts, opened = at_the_door(showing, settings, stages)
    read = [(ours.read(frame.pixels), human.read(frame.pixels)) for frame in sampled(showing)]
    floor = settings.liveness.min_bona_fide
    return Outcome(
        showing,
        attempts,
        opened,
        len(read),
        sum(mine.scores.get("bona_fide", 0.0) >= floor for mine, _ in read),
        sum(min(peer.scores.values(), default=0.0) >= HUMAN_AT_LEAST for _, peer in read),
    )


def sampled(showing: Showing) -> Iterator[Frame]:
    """Yield the frames that are read one by one."""
    return itertools.islice(showing.frames(), 0, None, SAMPLED)


def at_the_door(showing: Showing, settings: Settings, stages: ModelStages) -> tuple[int, int]:
    """Return how many visits were decided and how many opened, a new visit beginning where one is decided.

    Whoever is shown is enrolled from these very frames, and a face alone may open: only liveness stands in the way.
    """
    way = latency.course(settings, stages, latency.gallery_of(list(sampled(showing)), stages, REFERENCES))
    attempts = opened = 0
    pipeline: Pipeline | None = None
    for frame in showing.frames():
        if pipeline is None:
            presentations = Presentations(settings.recognition.reading_s)
            pipeline = Pipeline(FollowingStages(stages), presentations, way.rules)
        decision = pipeline.step(frame, way.gallery, way.point).decision
        if not isinstance(decision, Wait):
            attempts += 1
            opened += isinstance(decision, Grant)
            pipeline = None
    return attempts, opened
