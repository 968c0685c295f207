"""Cues over frames: how often each stands in visits of the living, and in attacks recorded and made on the fly."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.drivers.opencv import Recording
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Renderer, Visit
from appliance.errors import UsageError
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.presentation import Presentations
from appliance.records import Cue, Frame, Grade, Observation

from . import folder as folders
from . import report
from .held import Handling, frames, sheet_of, textured_room

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages
    from appliance.records import Presentation

    from .held import Sheet

_Named = TypeVar("_Named")

RATE = 15.0  # frames a second that are read
VISIT_S = 4.0  # the reading time
EVERY_S = 0.5  # a visit is begun
SHORTEST_S = 1.5  # a visit that the clip's end cuts shorter is left out
DELAYS = (Cue.STATIC_INPUT, Cue.FLAT_INPUT, Cue.UNFOLLOWED)
SIGNS = (Cue.CARRIED_BACKGROUND, Cue.REPEATED_INPUT)

HANDLINGS = {
    "still": Handling(shift_px=0, turn_rad=0, lean_rad=0),
    "still, noise of 5 levels": Handling(shift_px=0, turn_rad=0, lean_rad=0, noise=5.0),
    "trembling by 0.25 px": Handling(shift_px=2.0, lean_rad=0, jitter_px=0.25),
    "trembling by 2 px": Handling(jitter_px=2.0),
    "waved": Handling(shift_px=15.0, margin=1.4),
    "leaned": Handling(lean_rad=0.3),
    "bent": Handling(bend=0.4, lean_rad=0.15),
    "rolled up": Handling(bend=1.0, lean_rad=0.2),
    "with eye holes": Handling(eye_holes=True),
    "flickering light": Handling(flicker=0.15),
}


@dataclass
class _Visit:
    """One visit that began somewhere in a clip."""

    presentations: Presentations
    started_at_s: float
    ended_at_s: float
    lifted_at_s: float | None = None  # when no cue that only delays stood any more
    signs: set[Cue] = field(default_factory=set)

    def note(self, seen: Presentation, at_s: float) -> None:
        """Take in what one frame came to."""
        self.ended_at_s = at_s
        self.signs.update(cue for cue in seen.cues if cue in SIGNS)
        if self.lifted_at_s is None and seen.frames_read and not set(seen.cues).intersection(DELAYS):
            self.lifted_at_s = at_s


@dataclass(frozen=True, slots=True)
class Prints:
    """Of whom prints are made, beside the two portraits."""

    photos: Path | None  # a folder in the form of Labeled Faces in the Wild
    people: int  # of it, the first so many


def run(folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"], prints: Prints) -> None:
    """Print the share of visits with each cue, by clip and by handling.

    Raises UsageError for a folder of another form.
    """
    clips = _clips(folder)
    _, stages = folders.open_stages(embedder, detector)
    found = {name: _figures(visits(_recorded(path), stages)) for name, path in _tracked(clips)}
    for shows in ("person", "print", "phone"):
        scene = Visit.model_validate({"shows": shows, "for_s": 30.0})
        found[f"simulated {shows}"] = _figures(visits(_simulated(scene), stages))
    sheets = _sheets(stages, prints)
    for name, how in _tracked(list(HANDLINGS.items())):
        every = [
            one
            for seed, sheet in enumerate(sheets)
            for one in visits(_frames(frames(sheet, textured_room(seed=seed), how, count=60, seed=seed)), stages)
        ]
        found[f"print, {name}"] = _figures(every)
    _show(found)
    report.finish({"bench": "cues", "visits": found, "visit_s": VISIT_S, "rate": RATE})


def visits(clip: Iterable[Frame], stages: ModelStages) -> list[_Visit]:
    """Return the visits that begin every `EVERY_S` in a clip, each over at most `VISIT_S` of it."""
    following, every, next_s, next_visit_s = FollowingStages(stages), list[_Visit](), -np.inf, -np.inf
    for frame in clip:
        if frame.captured_at_s < next_s - 1e-3:
            continue
        next_s = frame.captured_at_s + 1 / RATE
        seen = _observed(frame, following)
        if seen is None:
            continue
        if frame.captured_at_s >= next_visit_s:
            next_visit_s = frame.captured_at_s + EVERY_S
            every.append(_Visit(Presentations(VISIT_S), frame.captured_at_s, frame.captured_at_s))
        for visit in every:
            if frame.captured_at_s - visit.started_at_s <= VISIT_S:
                visit.note(visit.presentations.observe(seen), frame.captured_at_s)
    return [one for one in every if one.ended_at_s - one.started_at_s >= SHORTEST_S]


def _observed(frame: Frame, stages: FollowingStages) -> Observation | None:
    """Return what the pipeline would of a frame, liveness left out; None without a face."""
    faces = stages.detect(frame)
    if not faces:
        return None
    geometry = stages.align(frame, faces[0])
    quality = stages.assess(frame, faces[0], geometry)
    if quality.grade is Grade.LOW:
        return Observation(frame, faces[0], geometry, quality)
    return Observation(frame, faces[0], geometry, quality, stages.score(frame, faces[0]), stages.embed(geometry.crop))


def _figures(every: Sequence[_Visit]) -> dict[str, Any]:
    waits = [one.lifted_at_s - one.started_at_s if one.lifted_at_s is not None else np.inf for one in every]
    total = len(every)
    return {
        "n": total,
        "wait_p50_s": _quantile(waits, 0.5),
        "wait_p90_s": _quantile(waits, 0.9),
        "never_lifted": report.number(float(np.mean(np.isinf(waits)))) if total else None,
        **{
            cue.value: report.number(sum(cue in one.signs for one in every) / total) if total else None for cue in SIGNS
        },
    }


def _quantile(waits: Sequence[float], share: float) -> float | None:
    """Return a quantile that infinity may be: None for that, and for no visits."""
    ordered = sorted(waits)
    return report.number(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2) if ordered else None


def _clips(folder: Path) -> list[tuple[str, Path]]:
    """Return the recordings that manifest.csv lists, the living first."""
    file = folder / "manifest.csv"
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        named = sorted((row["label"], row["file"]) for row in rows)
    except (OSError, UnicodeDecodeError, KeyError) as fault:
        raise UsageError(f"{file} cannot be read: {fault}; columns file and label are needed") from fault
    return [(f"{label}: {name}", folder / name) for label, name in named]


def _recorded(path: Path) -> Iterator[Frame]:
    recording = Recording(path)
    while (frame := recording.read()) is not None:
        yield frame
    recording.close()


def _simulated(visit: Visit) -> Iterator[Frame]:
    renderer = Renderer(640, 480)
    return _frames(renderer.draw(visit, 1.0 + number / RATE) for number in range(round(20 * RATE)))


def _frames(pictures: Iterable[NDArray[np.uint8]]) -> Iterator[Frame]:
    return (Frame(pixels, number / RATE, number) for number, pixels in zip(count(), pictures, strict=False))


def _sheets(stages: ModelStages, prints: Prints) -> list[Sheet]:
    """Return the portraits and, of a folder of photographs, the first ones in which a face is found."""
    paths = sorted(FACES.glob("*.png"))
    if prints.photos is not None:
        firsts = {picture.person: picture.path for picture in reversed(folders.pictures(prints.photos))}
        paths += list(islice(firsts.values(), prints.people))
    read = [(picture, stages.detect(Frame(picture, 0.0, 0))) for picture in map(read_photo, paths)]
    return [sheet_of(picture, faces[0]) for picture, faces in read if faces]


def _tracked(named: Sequence[_Named]) -> Iterable[_Named]:
    return track(named, "watching", console=Console(stderr=True), transient=True)


def _show(found: dict[str, dict[str, Any]]) -> None:
    columns = ("what is shown", "visits", "wait, median", "90 %", "never let go", "room along", "repeated")
    rows = [
        (
            name,
            str(one["n"]),
            _seconds(one["wait_p50_s"]),
            _seconds(one["wait_p90_s"]),
            *(_percent(one[key]) for key in ("never_lifted", *(cue.value for cue in SIGNS))),
        )
        for name, one in found.items()
    ]
    title = f"Visits of at most {VISIT_S:g} s that begin every {EVERY_S:g} s: until depth is seen, and signs of attack"
    report.show(title, columns, rows)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
