"""One-to-many identification with strangers among the probes: what a door does all day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import UsageError
from appliance.pipeline.embedding import fuse
from appliance.pipeline.matching import search
from appliance.records import GallerySnapshot, frozen

from . import folder as folders
from . import report, statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Literal

    from appliance.records import Embedding

    from .folder import Picture, Reading
    from .statistics import Rate

TARGETS = {"1e-2": 1e-2, "1e-3": 1e-3}


@dataclass(frozen=True, slots=True)
class Probe:
    """One presentation: one picture of a person, or several that are fused."""

    person: str
    pictures: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """Who is enrolled with which pictures, and who comes to the door."""

    enrolled: dict[str, tuple[Path, ...]]
    mated: tuple[Probe, ...]
    strangers: tuple[Probe, ...]


def run(
    folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"], *, images: int, fused: int, seed: int
) -> None:
    """Print false-negative identification rates and rank 1. Raises UsageError for too few people."""
    settings, stages = folders.open_stages(embedder, detector)
    every = folders.pictures(folder)
    reading = folders.read(every, stages)
    whole = [one for one in every if one.path in reading.templates or one.path in reading.missed]
    parts = split(whole, images, fused, seed)
    gallery = enrol(parts.enrolled, reading, stages.embedder.model_id)
    found = [best(probe, reading, gallery) for probe in parts.mated]
    right = np.array([who == probe.person for (who, _), probe in zip(found, parts.mated, strict=True)])
    mated = np.where(right, np.array([similarity for _, similarity in found]), -np.inf)
    strangers = np.array([best(probe, reading, gallery)[1] for probe in parts.strangers])
    rank1 = statistics.Rate(int(right.sum()), right.size)
    thresholds = {name: statistics.threshold_at(strangers, rate) for name, rate in TARGETS.items()}
    fnir = {name: statistics.refused(mated, threshold) for name, threshold in thresholds.items()}
    people = f"{len(parts.enrolled)} people with {images} image(s) each, probes of {fused} image(s)"
    report.show(
        f"Identification among {people}; {len(parts.strangers)} probes of strangers",
        ("figure", "value", "cosine"),
        [
            *((f"FNIR at FPIR {name}", report.percent(rate), f"{thresholds[name]:.4f}") for name, rate in fnir.items()),
            ("rank 1", report.percent(rank1), ""),
        ],
    )
    report.name("faces missed: never identified", reading.missed)
    report.name("broken pictures, left out", reading.broken)
    line = {"bench": "openset", "enrolled": len(parts.enrolled), "images_per_person": images}
    line |= {"fused": fused, "seed": seed, "n_mated": len(parts.mated), "n_nonmated": len(parts.strangers)}
    counts = {"missed_faces": len(reading.missed), "broken_images": len(reading.broken)}
    report.finish(line | _rates(rank1, fnir) | counts | {"models": report.models(settings)})


def _rates(rank1: Rate, fnir: dict[str, Rate]) -> dict[str, object]:
    line: dict[str, object] = {"rank1": report.number(rank1.value), "rank1_ci95": report.interval(rank1)}
    for name, rate in fnir.items():
        line |= {f"fnir_at_fpir_{name}": report.number(rate.value), f"fnir_at_fpir_{name}_ci95": report.interval(rate)}
    return line


def split(every: Iterable[Picture], images: int, fused: int, seed: int) -> Parts:
    """Return who is enrolled and who probes; the same seed gives the same parts.

    Enrolled with `images` pictures, drawn at random, is everybody who has at least `fused` more; those are the
    mated probes, and a rest too small for a probe is not used. Everybody else is a stranger. People with too few
    pictures to be enrolled give no probes of several pictures, so where `fused` is above 1 every second person
    who could be enrolled, drawn at random, is a stranger too. Raises UsageError where nobody is left on a side.
    """
    by_person: dict[str, list[Path]] = defaultdict(list)
    for picture in every:
        by_person[picture.person].append(picture.path)
    dice = np.random.default_rng(seed)
    able = [person for person, paths in by_person.items() if len(paths) >= images + fused]
    kept = set(dice.permutation(able)[: len(able) if fused == 1 else (len(able) + 1) // 2])
    enrolled, mated, strangers = {}, list[Probe](), list[Probe]()
    for person, paths in by_person.items():
        drawn = [paths[at] for at in dice.permutation(len(paths))]
        if person in kept:
            enrolled[person] = tuple(drawn[:images])
            mated += _probes(person, drawn[images:], fused)
        else:
            strangers += _probes(person, drawn, fused)
    if not enrolled or not strangers:
        found = f"{len(enrolled)} people to enrol and {len(strangers)} probes of strangers"
        raise UsageError(f"{found}; somebody with {images + fused} pictures and a stranger with {fused} are needed")
    return Parts(enrolled, tuple(mated), tuple(strangers))


def _probes(person: str, paths: Sequence[Path], fused: int) -> list[Probe]:
    return [Probe(person, tuple(paths[at : at + fused])) for at in range(0, len(paths) - fused + 1, fused)]


def enrol(enrolled: dict[str, tuple[Path, ...]], reading: Reading, model_id: str) -> GallerySnapshot:
    """Return the gallery: each person's pictures as references of their own; a missed face is no reference."""
    rows = [(who, path) for who, paths in enrolled.items() for path in paths if path in reading.templates]
    if not rows:
        raise UsageError("no picture of the people to enrol shows a face that can be read")
    return GallerySnapshot(
        matrix=frozen(folders.matrix([reading.templates[path] for _, path in rows])),
        person_ids=tuple(who for who, _ in rows),
        reference_ids=tuple(path.name for _, path in rows),
        model_id=model_id,
        revision=1,
    )


def best(probe: Probe, reading: Reading, gallery: GallerySnapshot) -> tuple[str, float]:
    """Return the most alike person and the cosine, as the shipped matcher finds them; ("", -1) without a face."""
    seen: list[Embedding] = [reading.templates[path] for path in probe.pictures if path in reading.templates]
    candidates = search(fuse(seen, [1.0] * len(seen)), gallery)
    return (candidates[0].person_id, candidates[0].similarity) if candidates else ("", -1.0)
