"""One-to-many identification with strangers among the probes: what a door does all day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import UsageError
from appliance.pipeline.embedding import fuse
from appliance.pipeline.matching import operating_point, search
from appliance.rates import Rate
from appliance.records import GallerySnapshot, frozen

from . import folder as folders
from . import report, statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from appliance.pipeline.reading import ModelStages
    from appliance.records import Embedding

    from .folder import Picture, Reading

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


@dataclass(frozen=True, slots=True)
class Plan:
    """How the pictures are drawn."""

    images: int  # enrolled of each person
    fused: int  # pictures to a probe
    seed: int
    draws: int  # how often everything is drawn again
    single_view: bool  # whether probes are read as a camera's frames are, and not as photographs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the probes of one draw came to."""

    rank1: Rate
    fnir: dict[str, Rate]  # at the threshold where strangers reach each target
    thresholds: dict[str, float]
    derived: dict[str, float]  # threshold as the appliance derives it for each target
    derived_fnir: dict[str, Rate]
    derived_fpir: dict[str, Rate]
    curve: list[list[float]]  # FPIR and FNIR


def run(folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"], plan: Plan) -> None:
    """Print false-negative identification rates and rank 1. Raises UsageError for too few people."""
    settings, stages = folders.open_stages(embedder, detector)
    reading = folders.read(folders.pictures(folder), stages)
    whole = [one for one in folders.pictures(folder) if one.path in reading.templates or one.path in reading.missed]
    drawn = [split(whole, plan.images, plan.fused, plan.seed + number) for number in range(plan.draws)]
    outcomes = [_outcome(parts, reading, stages, plan) for parts in drawn]
    singles = [_outcome(one_by_one(parts), reading, stages, plan) for parts in drawn] if plan.fused > 1 else []
    first = drawn[0]
    people = f"{len(first.enrolled)} people with {plan.images} image(s) each"
    _show(f"Identification among {people}, probes of {plan.fused} image(s)", outcomes)
    line = {"bench": "openset", "enrolled": len(first.enrolled), "images_per_person": plan.images}
    line |= {"fused": plan.fused, "seed": plan.seed, "draws": plan.draws, "single_view": plan.single_view}
    line |= {"n_mated": len(first.mated), "n_nonmated": len(first.strangers)} | _rates(outcomes)
    line["curve"] = outcomes[0].curve
    if singles:
        _show("The same pictures, each a probe of its own", singles)
        line["one_by_one"] = _rates(singles)
    report.name("faces missed: never identified", reading.missed)
    report.name("broken pictures, left out", reading.broken)
    counts = {"missed_faces": len(reading.missed), "broken_images": len(reading.broken)}
    report.finish(line | counts | {"models": report.models(settings)})


def _outcome(parts: Parts, reading: Reading, stages: ModelStages, plan: Plan) -> Outcome:
    gallery = enrol(parts.enrolled, reading, stages.embedder.model_id)
    seen = reading.frames if plan.single_view else reading.templates
    found = [best(probe, seen, gallery) for probe in parts.mated]
    right = np.array([who == probe.person for (who, _), probe in zip(found, parts.mated, strict=True)])
    mated = np.where(right, np.array([similarity for _, similarity in found]), -np.inf)
    strangers = np.array([best(probe, seen, gallery)[1] for probe in parts.strangers])
    thresholds = {name: statistics.threshold_at(strangers, rate) for name, rate in TARGETS.items()}
    derived = {
        name: operating_point(stages.impostors, rate, gallery.size, 0.0).threshold for name, rate in TARGETS.items()
    }
    return Outcome(
        rank1=Rate(int(right.sum()), right.size),
        fnir={name: statistics.refused(mated, threshold) for name, threshold in thresholds.items()},
        thresholds=thresholds,
        derived=derived,
        derived_fnir={name: statistics.refused(mated, threshold) for name, threshold in derived.items()},
        derived_fpir={name: statistics.accepted(strangers, threshold) for name, threshold in derived.items()},
        curve=statistics.trade_off(mated, strangers),
    )


def one_by_one(parts: Parts) -> Parts:
    """Return the same pictures with each a probe of its own."""
    mated, strangers = (
        tuple(Probe(probe.person, (path,)) for probe in probes for path in probe.pictures)
        for probes in (parts.mated, parts.strangers)
    )
    return Parts(parts.enrolled, mated, strangers)


def _show(title: str, outcomes: list[Outcome]) -> None:
    first = outcomes[0]
    rows = [("rank 1", report.percent(first.rank1), "", _mean([one.rank1 for one in outcomes]))]
    for name in TARGETS:
        mean = _mean([one.fnir[name] for one in outcomes])
        rows.append((f"FNIR at FPIR {name}", report.percent(first.fnir[name]), f"{first.thresholds[name]:.4f}", mean))
    for name, threshold in first.derived.items():
        fnirs, fpirs = [one.derived_fnir[name] for one in outcomes], [one.derived_fpir[name] for one in outcomes]
        rows.append((f"derived for FPIR {name}: FNIR", report.percent(fnirs[0]), f"{threshold:.4f}", _mean(fnirs)))
        rows.append((f"derived for FPIR {name}: FPIR", report.percent(fpirs[0]), "", _mean(fpirs)))
    report.show(title, ("figure", "first draw", "cosine", f"mean of {len(outcomes)} draws"), rows)


def _mean(rates: list[Rate]) -> str:
    values = [100 * rate.value for rate in rates]
    return f"{np.mean(values):.2f} % ({min(values):.2f} to {max(values):.2f})"


def _rates(outcomes: list[Outcome]) -> dict[str, object]:
    """Return the first draw's rates with intervals, and the means and ranges of all draws."""
    first = outcomes[0]
    named = {"rank1": [one.rank1 for one in outcomes]}
    named |= {f"fnir_at_fpir_{name}": [one.fnir[name] for one in outcomes] for name in TARGETS}
    named |= {f"fnir_derived_{name}": [one.derived_fnir[name] for one in outcomes] for name in TARGETS}
    named |= {f"fpir_derived_{name}": [one.derived_fpir[name] for one in outcomes] for name in TARGETS}
    line: dict[str, object] = {f"derived_threshold_{name}": round(first.derived[name], 4) for name in TARGETS}
    for name, rates in named.items():
        values = [rate.value for rate in rates]
        line |= {
            name: report.number(rates[0].value),
            f"{name}_ci95": report.interval(rates[0]),
            f"{name}_n": rates[0].n,
        }
        line[f"{name}_draws"] = [report.number(v) for v in (float(np.mean(values)), min(values), max(values))]
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


def best(probe: Probe, seen: Mapping[Path, Embedding], gallery: GallerySnapshot) -> tuple[str, float]:
    """Return the most alike person and the cosine, as the shipped matcher finds them; ("", -1) without a face."""
    looks = [seen[path] for path in probe.pictures if path in seen]
    candidates = search(fuse(looks, [1.0] * len(looks)), gallery)
    return (candidates[0].person_id, candidates[0].similarity) if candidates else ("", -1.0)
