"""What an installation measures of its own people: how alike they look, and whether the door must ask for more."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.manifest import Impostors
from appliance.people.comparisons import Compared, highest, resampled
from appliance.people.recorded import EventSink, recorded
from appliance.pipeline.matching import operating_point
from appliance.rates import Rate
from appliance.records import Event
from appliance.tail import Measured as Scores
from appliance.tail import fit

if TYPE_CHECKING:
    from appliance.config import RecognitionSettings
    from appliance.manifest import Measured
    from appliance.people.gallery import Gallery
    from appliance.records import Actor, GallerySnapshot, OperatingPoint

_log = logging.getLogger(__name__)

MAX_COMPARED = 10_000  # references: 50 million comparisons, half a minute and 200 MB on one core of a small board
NEAREST = 5  # pairs of people that are named


@dataclass(frozen=True, slots=True)
class Calibration:
    """How alike the enrolled people look to one embedder, photograph against photograph."""

    people: int
    references: int  # compared; of a gallery beyond `MAX_COMPARED`, evenly chosen
    accepted: Rate  # comparisons of different people at or above the threshold that was asked about
    nearest: tuple[tuple[str, str, float], ...]  # two person ids and their cosine, the most alike first
    referred: int  # pairs of people within the margin of the threshold: a human is asked whenever one of them comes
    own: Impostors | None  # the tail of the comparisons; None where they are too few
    why_none: str  # "" where there is a tail


def measure(gallery: GallerySnapshot, point: OperatingPoint) -> Calibration:
    """Return how alike the gallery's people are among each other. Raises RefusedError for fewer than two."""
    chosen = np.unique(np.linspace(0, max(gallery.size - 1, 0), MAX_COMPARED).astype(np.int64))[: gallery.size]
    owners = [gallery.person_ids[row] for row in chosen.tolist()]
    names, people = np.unique(owners, return_inverse=True)
    if names.size < 2:
        enrolled = f"{names.size} people have references of {gallery.model_id}"
        raise RefusedError(f"{enrolled}; at least 2 are needed to compare them")
    vectors = gallery.matrix[chosen] if gallery.index is None else gallery.index.at(chosen)
    compared = highest(vectors, people, point.threshold - point.margin)
    accepted = int((compared.scores >= point.threshold).sum())
    own, why_none = _tail(compared, names.size)
    nearest = _nearest(compared, names.tolist())
    referred = _pairs(compared, point.threshold - point.margin)
    return Calibration(names.size, chosen.size, Rate(accepted, compared.total), nearest, referred, own, why_none)


def _tail(compared: Compared, people: int) -> tuple[Impostors | None, str]:
    try:
        tail, interval = fit(Scores(compared.scores, compared.total)), resampled(compared)
        return Impostors(
            data=f"this gallery, {people} people, {datetime.now(UTC):%Y-%m-%d}",
            comparisons=compared.total,
            tail_start=tail.start,
            tail_fmr=tail.fmr,
            tail_scale=tail.scale,
            tail_scale_ci95=interval,
        ), ""
    except ValueError as fault:  # of the fit, and of a tail that is none, such as of one that starts at 1
        return None, str(fault).splitlines()[0]


def _pairs(compared: Compared, similarity: float) -> int:
    """Return how many pairs of people have a comparison that reaches the similarity."""
    pairs = np.sort(compared.pairs[compared.scores >= similarity], axis=1)
    return int(np.unique(pairs[:, 0] * compared.sizes[0].size + pairs[:, 1]).size)


def _nearest(compared: Compared, names: list[str]) -> tuple[tuple[str, str, float], ...]:
    best: dict[tuple[str, str], float] = {}
    for at in np.argsort(-compared.scores, kind="stable").tolist():
        one, two = sorted(names[number] for number in compared.pairs[at].tolist())
        best.setdefault((one, two), float(compared.scores[at]))
        if len(best) == NEAREST:
            break
    return tuple((one, two, similarity) for (one, two), similarity in best.items())


def door_point(
    measured: Measured, own: Impostors | None, recognition: RecognitionSettings, size: int
) -> OperatingPoint:
    """Return the door's operating point for a gallery of `size` references; the `own` tail only raises it."""
    raised = None if own is None else as_visits(own, measured)
    return operating_point(measured.door, recognition.target_fpir, size, recognition.margin, raised)


def as_visits(own: Impostors, measured: Measured) -> Impostors:
    """Return a tail of photographs moved as the model's own was, from photographs to whole visits.

    A visit is fused and looked at again and again, and comes nearer to strangers than a photograph does: the
    manifest has both tails of the same people. What is measured here is of photographs alone.
    """
    photos, visits = measured.impostors, measured.door
    if photos is None or visits is None:
        return own
    start = own.tail_start + visits.tail_start - photos.tail_start
    scale = own.tail_scale * visits.tail_scale / photos.tail_scale
    return own.model_copy(update={"tail_start": start, "tail_scale": scale})


def own_tail(gallery: Gallery, model_id: str) -> Impostors | None:
    """Return what was measured here with this model and applied; None for nothing. One of other models is logged."""
    stored = gallery.calibrations()
    if stored and model_id not in stored:
        of = ", ".join(sorted(stored))
        _log.warning("the calibration of %s is not used: %s is in use; calibrate again", of, model_id)
    return stored.get(model_id)


def apply(
    gallery: Gallery, audit: EventSink, model_id: str, own: Impostors | None, *, detail: str, actor: Actor
) -> None:
    """Have the door use this tail of the model from now on, or none; in the gallery and in the audit log, or neither.

    Raises StorageError where either cannot be written.
    """
    said = Event(EventType.CONFIG_CHANGED, datetime.now(UTC), actor, "cli", detail=detail)
    change = "the calibration was not changed"
    recorded(gallery, audit, lambda: gallery.calibrate(model_id, own), lambda _: said, change)
