"""Presentation attack detection, frame by frame: errors by species of attack and by source, never a mean over them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance import manifest, rates
from appliance.drivers.tflite import load_model
from appliance.pipeline.liveness import PresentationAttackDetection

from . import folder as folders
from . import presentations, report, statistics
from .presentations import BONA_FIDE, Scored, Shot, medians, values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.config import Settings
    from appliance.pipeline.reading import ModelStages

MAX_APCER = 0.05
EDGES = np.linspace(0, 1, 26)  # of the histogram, and the thresholds that are tried


def run(folder: Path, embedder: Literal["a", "b"], detector: Literal["short", "full"]) -> None:
    """Print BPCER, APCER by species, AUC and EER. Raises UsageError for a folder of another form."""
    shots = presentations.shots(folder)
    settings, stages = folders.open_stages(embedder, detector)
    threshold, min_face_px = settings.liveness.min_bona_fide, settings.liveness.min_face_px
    scores = presentations.score(shots, stages, min_face_px)
    live, attacks = parted(scores.read)
    bona_fide = errors(live, threshold)
    species = {label: errors(attacks_of(attacks, label), threshold) for label in labels(scores.read, scores.not_read)}
    sources = by_source(scores.read, scores.not_read, threshold)
    eer, eer_at = statistics.equal_error_rate(values(live), values(attacks))
    by_label = {BONA_FIDE: values(live)} | {label: values(attacks_of(attacks, label)) for label in species}
    area = statistics.auc(values(live), values(attacks))
    left_out = {name: by_left_out_source(read) for name, read in by_model(shots, settings, stages).items()}
    _show(bona_fide, species, sources, threshold)
    _show_left_out(left_out)
    print(f"AUC over all sources {area:.4f}; EER {100 * eer:.2f} % at {eer_at:.3f}, one threshold for all")
    print(f"not read (no face, or one under {min_face_px:g} px): {len(scores.not_read)} of {len(shots)} frames")
    report.name("broken pictures, left out", scores.broken)
    report.finish(
        {
            "bench": "pad",
            "auc": report.number(area),
            "eer": report.number(eer),
            "bpcer": bona_fide["rate"],
            "bpcer_ci95": bona_fide["ci95"],
            "bpcer_presentations": bona_fide["presentations"],
            "bpcer_upper95": bona_fide["upper95"],
            "apcer_by_species": species,
            "worst_species": worst(species),
            "by_source": sources,
            "histogram": {"edges": [round(float(edge), 3) for edge in EDGES]}
            | {label: statistics.histogram(frames, EDGES) for label, frames in by_label.items()},
            "errors": {label: by_threshold(frames, label) for label, frames in by_label.items()},
            "left_out": left_out,
            "threshold": threshold,
            "n": len(scores.read),
            "not_read": len(scores.not_read),
            "broken_images": len(scores.broken),
            "models": report.models(settings),
        }
    )


def parted(scored: Sequence[Scored]) -> tuple[list[Scored], list[Scored]]:
    """Return the bona fide frames and the attack frames."""
    return (
        [one for one in scored if one.shot.label == BONA_FIDE],
        [one for one in scored if one.shot.label != BONA_FIDE],
    )


def labels(read: Sequence[Scored], not_read: Sequence[Shot]) -> list[str]:
    """Return the species of attack, also one of which nothing was read."""
    return sorted({*(one.shot.label for one in read), *(shot.label for shot in not_read)} - {BONA_FIDE})


def attacks_of(attacks: Sequence[Scored], label: str) -> list[Scored]:
    """Return the frames of one species."""
    return [one for one in attacks if one.shot.label == label]


def errors(scored: Sequence[Scored], threshold: float) -> dict[str, Any]:
    """Return the error rate of frames of one kind, bona fide or attacks.

    `rate` and `ci95` are over frames, whose trials are not independent. `upper95` is one-sided and over
    presentations, each judged by the median of its frames: the honest bound.
    """
    attack = any(one.shot.label != BONA_FIDE for one in scored)
    judge = statistics.accepted if attack else statistics.refused
    frames, visits = judge(values(scored), threshold), judge(medians(scored), threshold)
    return {
        "rate": report.number(frames.value),
        "n": frames.n,
        "ci95": report.interval(frames),
        "presentations": visits.n,
        "presentation_errors": visits.count,
        "upper95": round(rates.upper_bound(visits.count, visits.n), 5),
    }


def by_threshold(scores: NDArray[np.float64], label: str) -> list[list[float]]:
    """Return thresholds and the share of frames of one kind that each judges wrongly; nothing for no frames."""
    judge = statistics.refused if label == BONA_FIDE else statistics.accepted
    return [[round(float(at), 3), round(judge(scores, float(at)).value, 4)] for at in EDGES] if scores.size else []


def worst(species: dict[str, dict[str, Any]]) -> str | None:
    """Return the species accepted most often, of equals the one less is known about; None for no attacks."""
    return max(species, key=lambda label: (species[label]["rate"] or 0.0, species[label]["upper95"]), default=None)


def by_source(read: Sequence[Scored], not_read: Sequence[Shot], threshold: float) -> dict[str, dict[str, Any]]:
    """Return each source's BPCER, APCER by species, AUC and what was not read."""
    found = {}
    for source in sorted({*(one.shot.source for one in read), *(shot.source for shot in not_read)}):
        mine = [one for one in read if one.shot.source == source]
        unread = [shot for shot in not_read if shot.source == source]
        live, attacks = parted(mine)
        found[source] = {
            "n": len(mine),
            "not_read": len(unread),
            "auc": report.number(statistics.auc(values(live), values(attacks))),
            "bpcer": errors(live, threshold),
            "apcer_by_species": {
                label: errors(attacks_of(attacks, label), threshold) for label in labels(mine, unread)
            },
        }
    return found


def by_model(shots: Sequence[Shot], settings: Settings, stages: ModelStages) -> dict[str, tuple[Scored, ...]]:
    """Return what each liveness model of the manifest says of the frames, by model id."""
    found = {}
    for entry in manifest.read().model:
        if entry.role == "liveness":
            model = load_model(entry, manifest.SHIPPED)
            stages.score = PresentationAttackDetection(model, settings.liveness.min_face_px).score
            found[entry.model_id] = presentations.score(shots, stages, settings.liveness.min_face_px).read
    return found


def by_left_out_source(read: Sequence[Scored]) -> dict[str, dict[str, Any]]:
    """Return each source's errors at a threshold that it had no part in.

    That is the lowest at which every species of attack of the other sources has APCER <= MAX_APCER. A model that was
    trained on these sources has seen them: for it these are not the errors of unseen ones.
    """
    found = {}
    for source in sorted({one.shot.source for one in read}):
        live, attacks = parted([one for one in read if one.shot.source == source])
        _, others = parted([one for one in read if one.shot.source != source])
        threshold = worst_species_threshold(others)
        found[source] = {
            "threshold": report.number(threshold),
            "bpcer": errors(live, threshold),
            "apcer_by_species": {label: errors(attacks_of(attacks, label), threshold) for label in labels(attacks, ())},
        }
    return found


def worst_species_threshold(attacks: Sequence[Scored]) -> float:
    """Return the lowest threshold at which every species has APCER <= MAX_APCER; minus infinity for no attacks."""
    species = labels(attacks, ())
    found = [statistics.threshold_at(values(attacks_of(attacks, label)), MAX_APCER) for label in species]
    return max(found, default=-math.inf)


def _show_left_out(left_out: dict[str, dict[str, dict[str, Any]]]) -> None:
    rows = []
    for model, sources in left_out.items():
        for source, found in sources.items():
            at = "none" if found["threshold"] is None else f"{found['threshold']:.5f}"
            rows.append((model, at, *_row(source, "BPCER", found["bpcer"])))
            for label, rate in found["apcer_by_species"].items():
                rows.append((model, at, *_row(source, f"APCER {label}", rate)))
    columns = ("model", "threshold", "source left out", "figure", "of frames", "frames", "visits wrong", "95 % bound")
    title = f"Threshold at which the worst species of the other sources has APCER {100 * MAX_APCER:g} %"
    report.show(title, columns, rows)


def _show(
    bona_fide: dict[str, Any], species: dict[str, dict[str, Any]], sources: dict[str, dict[str, Any]], threshold: float
) -> None:
    rows = [_row("all", "BPCER", bona_fide)]
    rows += [_row("all", f"APCER {label}", rate) for label, rate in species.items()]
    for source, found in sources.items():
        rows.append(_row(source, "BPCER", found["bpcer"]))
        rows += [_row(source, f"APCER {label}", rate) for label, rate in found["apcer_by_species"].items()]
    columns = ("source", "figure", "of frames", "frames", "visits wrong", "95 % bound, visits", "AUC", "not read")
    extra = {source: (_figure(found["auc"]), str(found["not_read"])) for source, found in sources.items()}
    title = f"Bona fide from {threshold:g} on; a visit (source, subject, session) by the median of its frames"
    # A source's own figures stand beside its first row.
    report.show(title, columns, [(*row, *extra.pop(row[0], ("", ""))) for row in rows])
    if (label := worst(species)) is not None:
        print(f"worst species: {label}, {100 * species[label]['upper95']:.1f} % of visits at most")


def _row(source: str, figure: str, rate: dict[str, Any]) -> list[str]:
    if not rate["n"]:
        return [source, figure, "no frames", "0", "", ""]
    wrong = f"{rate['presentation_errors']} of {rate['presentations']}"
    return [source, figure, f"{100 * rate['rate']:.2f} %", str(rate["n"]), wrong, f"{100 * rate['upper95']:.1f} %"]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
