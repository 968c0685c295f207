"""What each flaw of a picture costs: false non-matches by level of degradation, and error against discard by attribute.

A mated pair's first picture is enrolled as it is, as a photograph; the second is made worse and then read as a
camera's frame. The threshold is the shipped model's for a false-match rate of 1e-4, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.drivers.photo import read_photo
from appliance.errors import UsageError
from appliance.pipeline.matching import operating_point
from appliance.rates import Rate
from appliance.records import Frame, Grade

from . import discard, report
from . import folder as folders
from .degrade import DEGRADATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.pipeline.reading import ModelStages
    from appliance.records import Geometry, Quality

    from .degrade import Degradation
    from .folder import Pair

_Item = TypeVar("_Item")

TARGET_FMR = 1e-4
SEED = 1
# The rule behind the bounds of appliance/pipeline/quality.py: enrolled while a face fails at most so many times as
# often as faces do as they are, and read while it matches more often than not.
ENROLLED_TIMES, READ_ERROR = 2.0, 0.5
# Each attribute, which way is better, and the degradations that it should tell; none: only as LFW's faces differ.
ATTRIBUTES = (
    ("inter_eye_px", 1, ("size",)),
    ("yaw_deg", -1, ()),
    ("pitch_deg", -1, ()),
    ("roll_deg", -1, ("roll",)),
    ("sharpness", 1, ("defocus", "motion")),
    ("exposure", 1, ("dark", "one side")),
    ("under_exposed", -1, ("dark", "one side")),
    ("over_exposed", -1, ("bright",)),
    ("contrast", 1, ("dark", "haze")),
    ("noise", -1, ("noise",)),
    ("mouth_detail", 1, ("mask",)),
    ("eyes_open", 1, ("eyes shut",)),
    ("disagreement", -1, ("size", "roll", "cut off")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One picture read."""

    quality: Quality
    vector: NDArray[np.float32]  # (D,)


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A picture as it is, its face's place, and the template of the other picture of the same person."""

    person: str
    pixels: NDArray[np.uint8]
    geometry: Geometry
    reference: NDArray[np.float32]  # (D,)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """All probes under one level of one degradation, judged at the fixed threshold."""

    qualities: tuple[Quality | None, ...]  # None where the face was missed
    wrong: NDArray[np.bool_]  # (n,) no match with one's own reference; a missed face has none
    false_matches: Rate  # with the other people's references


class Comparison:
    """The references of all probes, and the threshold."""

    def __init__(self, probes: Sequence[Probe], threshold: float) -> None:
        self.threshold = threshold
        self._references = np.stack([probe.reference for probe in probes])
        people = np.array([probe.person for probe in probes])
        self._others = people[:, np.newaxis] != people

    def level(self, looks: Sequence[Look | None]) -> Level:
        """Return what became of the probes, which come in the order of the references."""
        nothing = np.zeros(self._references.shape[1], np.float32)
        matches = np.stack([look.vector if look else nothing for look in looks]) @ self._references.T >= self.threshold
        found = np.array([look is not None for look in looks])
        others = self._others[found]
        return Level(
            qualities=tuple(look.quality if look else None for look in looks),
            wrong=~np.diagonal(matches),
            false_matches=Rate(int(matches[found][others].sum()), int(others.sum())),
        )


def run(folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"], pairs: int) -> None:
    """Print the tables. Raises UsageError for a folder of another form, or one whose faces were all missed."""
    settings, stages = folders.open_stages(embedder, detector)
    mated = [pair for fold in folders.read_pairs(folder) for pair in fold if pair.mated]
    chosen = [mated[at] for at in np.unique(np.linspace(0, len(mated) - 1, pairs).astype(int))]
    probes = [probe for pair in _progress(chosen, "as they are") if (probe := original(pair, stages)) is not None]
    if not probes:
        raise UsageError(f"none of {len(chosen)} mated pairs of {folder} shows two faces")
    point = operating_point(stages.measured.impostors, TARGET_FMR, 1, 0.0)
    comparison = Comparison(probes, point.threshold)
    clean = comparison.level([look(probe.pixels, stages) for probe in probes])
    worse = {one.name: _levels(one, probes, stages, comparison) for one in DEGRADATIONS}
    attributes = {name: judged(name, way, [clean, *_of(worse, told)], clean) for name, way, told in ATTRIBUTES}
    line: dict[str, Any] = {"bench": "quality", "n_pairs": len(probes), "threshold": round(point.threshold, 4)}
    line |= {"as_they_are": figures(clean), "degradations": {one.name: _line(one, worse) for one in DEGRADATIONS}}
    _show_levels(line, len(probes))
    _show_attributes(attributes)
    report.finish(line | {"attributes": attributes, "models": report.models(settings)})


def original(pair: Pair, stages: ModelStages) -> Probe | None:
    """Return the pair's second picture with the template of its first; None where a face of the two is missed."""
    first, second = Frame(read_photo(pair.one.path), 0.0, 0), Frame(read_photo(pair.other.path), 0.0, 0)
    enrolled, face = folders.central(stages.detect(first), first), folders.central(stages.detect(second), second)
    template = stages.template(first, enrolled) if enrolled else None
    if template is None or face is None:
        return None
    return Probe(pair.one.person, second.pixels, stages.align(second, face), template.vector)


def look(pixels: NDArray[np.uint8], stages: ModelStages) -> Look | None:
    """Return what the stages make of the face nearest to the middle; None where there is none."""
    frame = Frame(pixels, 0.0, 0)
    face = folders.central(stages.detect(frame), frame)
    if face is None:
        return None
    geometry = stages.align(frame, face)
    embedding = stages.embed(geometry.crop)
    return None if embedding is None else Look(stages.assess(frame, face, geometry), embedding.vector)


def figures(level: Level) -> dict[str, Any]:
    """Return the rates of one level: errors of all probes, what quality refuses, and errors of what it lets through."""
    grades = np.array([-1 if quality is None else quality.grade for quality in level.qualities])
    fnmr = Rate(int(level.wrong.sum()), level.wrong.size)
    found = {"fnmr": report.number(fnmr.value), "fnmr_ci95": report.interval(fnmr)}
    found |= {"fmr": report.number(level.false_matches.value, 7), "missed": report.number(float((grades < 0).mean()))}
    for name, least in (("read", Grade.MEDIUM), ("enrolled", Grade.HIGH)):
        kept = grades >= least
        passed = Rate(int(level.wrong[kept].sum()), int(kept.sum()))
        found |= {f"not_{name}": report.number(float((~kept).mean())), f"fnmr_of_{name}": report.number(passed.value)}
    return found


def judged(name: str, way: int, levels: Sequence[Level], clean: Level) -> dict[str, Any]:
    """Return an attribute's error against discard over these levels, and the bounds that the rule gives.

    Faces that were missed are left out: nothing could be measured on them.
    """
    seen = [
        (way * abs(getattr(quality, name)), wrong)
        for level in levels
        for quality, wrong in zip(level.qualities, level.wrong, strict=True)
        if quality is not None
    ]
    goodness, wrong = np.array([value for value, _ in seen], np.float64), np.array([error for _, error in seen])
    groups = discard.fitted(goodness, wrong)
    bounds = {"read": READ_ERROR, "enrolled": ENROLLED_TIMES * float(clean.wrong.mean())}
    curve = zip(discard.SHARES, discard.curve(goodness, wrong), strict=True)
    return {
        "n": len(seen),
        "errors": int(wrong.sum()),
        "area": report.number(discard.area(goodness, wrong), 3),
        "curve": [[round(float(share), 3), round(float(rate), 4)] for share, rate in curve],
        **{name: report.number(way * discard.bound(groups, limit), 4) for name, limit in bounds.items()},
    }


def _levels(degradation: Degradation, probes: Sequence[Probe], stages: ModelStages, to: Comparison) -> list[Level]:
    found = []
    for step in degradation.levels:
        dice = np.random.default_rng(SEED)
        changed = (degradation.change(probe.pixels, probe.geometry, step, dice) for probe in probes)
        said = f"{degradation.name} {step:g}"
        found.append(to.level([look(pixels, stages) for pixels in _progress(changed, said, len(probes))]))
    return found


def _of(worse: Mapping[str, list[Level]], names: Iterable[str]) -> list[Level]:
    return [level for name in names for level in worse[name]]


def _line(degradation: Degradation, worse: Mapping[str, list[Level]]) -> dict[str, Any]:
    steps = zip(degradation.levels, worse[degradation.name], strict=True)
    return {"unit": degradation.unit, "levels": [{"level": step} | figures(level) for step, level in steps]}


def _progress(over: Iterable[_Item], said: str, total: int | None = None) -> Iterable[_Item]:
    return track(over, said, total=total, console=Console(stderr=True), transient=True)


def _show_levels(line: dict[str, Any], probes: int) -> None:
    title = f"{probes} mated pairs at cosine {line['threshold']}, FMR {TARGET_FMR:g}; % of probes"
    columns = (
        "made worse by",
        "level",
        "FNMR",
        "95 %",
        "FMR",
        "missed",
        "not read",
        "not enrolled",
        "FNMR of the read",
    )
    rows = [_row("nothing", "", line["as_they_are"])]
    for name, found in line["degradations"].items():
        rows += [_row(name, f"{level['level']:g} {found['unit']}", level) for level in found["levels"]]
    report.show(title, columns, rows)


def _row(name: str, level: str, found: dict[str, Any]) -> list[str]:
    low, high = found["fnmr_ci95"]
    shares = [_percent(found[key]) for key in ("missed", "not_read", "not_enrolled", "fnmr_of_read")]
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    fmr = "" if found["fmr"] is None else f"{found['fmr']:.1e}"
    return [name, level, _percent(found["fnmr"]), interval, fmr, *shares]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _show_attributes(attributes: dict[str, dict[str, Any]]) -> None:
    title = (
        f"Error against discard; bounds: read while the error is at most {READ_ERROR:g}, enrolled {ENROLLED_TIMES:g}x"
    )
    rows = [
        [
            name,
            *("" if found[key] is None else f"{found[key]:g}" for key in ("n", "errors", "area", "read", "enrolled")),
        ]
        for name, found in attributes.items()
    ]
    report.show(title, ("attribute", "n", "errors", "area, 1 is random", "read to", "enrolled to"), rows)
