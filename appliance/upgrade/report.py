"""Whether the embedder that is coming can take over: who would still be known, and how alike strangers look to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import RefusedError
from appliance.people.calibration import door_point, measure, own_tail
from appliance.rates import Rate

if TYPE_CHECKING:
    from appliance.config import RecognitionSettings
    from appliance.manifest import ModelEntry
    from appliance.people.gallery import Gallery
    from appliance.records import GallerySnapshot, OperatingPoint

# Different people at or above the threshold: how many more than it promises, and how many in any case, are borne.
# Twins are real, and of few comparisons one is already more than was promised.
MORE_THAN_PROMISED = 3.0
IN_ANY_CASE = 3


@dataclass(frozen=True, slots=True)
class Space:
    """One embedder's templates, compared among themselves."""

    model_id: str
    people: int
    references: int
    threshold: float  # cosine, for a gallery of this size
    strangers: Rate  # comparisons of different people that reach it
    promised: float  # how many of these the threshold lets one expect
    missed: Rate  # templates that no other one of the same person reaches at it


@dataclass(frozen=True, slots=True)
class Readiness:
    """What stands in the way of the new model, if anything."""

    going: Space
    coming: Space
    missing: tuple[str, ...]  # ids of people whom the new model would not know
    by_photo: int  # of these, of whom a photo is kept
    objections: tuple[str, ...]  # () where it can take over

    @property
    def passed(self) -> bool:
        """Whether the new model can take over."""
        return not self.objections


def readiness(
    gallery: Gallery, going: ModelEntry, coming: ModelEntry, recognition: RecognitionSettings, *, missing_ok: int = 0
) -> Readiness:
    """Return how the two spaces stand, each measured among its own templates; `missing_ok` people may be missing."""
    old, new = (_space(gallery, entry, recognition) for entry in (going, coming))
    missing = [one for one in gallery.people() if going.model_id in one.models and coming.model_id not in one.models]
    objections = []
    if len(missing) > missing_ok:
        objections.append(f"{len(missing)} people have no template of {coming.model_id}; {missing_ok} may be missing")
    if not new.people:
        objections.append(f"nobody has a template of {coming.model_id}")
    borne = max(IN_ANY_CASE, MORE_THAN_PROMISED * new.promised)
    if new.strangers.count > borne:
        found = f"{new.strangers.count} comparisons of different people reach the threshold of {coming.model_id}"
        objections.append(
            f"{found}; at most {borne:.0f} were to be expected: calibrate, or look at who is enrolled twice"
        )
    by_photo = sum(bool(gallery.photos(one.person_id)) for one in missing)
    return Readiness(old, new, tuple(one.person_id for one in missing), by_photo, tuple(objections))


def _space(gallery: Gallery, entry: ModelEntry, recognition: RecognitionSettings) -> Space:
    snapshot = gallery.snapshot(entry.model_id, entry.output[0].shape[-1])
    point = door_point(entry.measured, own_tail(gallery, entry.model_id), recognition, snapshot.size)
    people = len(set(snapshot.person_ids))
    try:
        strangers = measure(snapshot, point).accepted
    except RefusedError:  # fewer than two people: nothing to compare
        strangers = Rate(0, 0)
    promised = strangers.n * point.target_fpir / max(point.gallery_size, 1)
    return Space(entry.model_id, people, snapshot.size, point.threshold, strangers, promised, _missed(snapshot, point))


def _missed(snapshot: GallerySnapshot, point: OperatingPoint) -> Rate:
    """Return of how many templates, of people with several, no other one of the same person reaches the threshold."""
    owners = np.array(snapshot.person_ids)
    order = np.argsort(owners, kind="stable")
    groups = np.split(order, np.flatnonzero(owners[order][1:] != owners[order][:-1]) + 1) if owners.size else []
    missed = looked_at = 0
    for rows in groups:
        if rows.size > 1:
            alike = snapshot.matrix[rows] @ snapshot.matrix[rows].T
            np.fill_diagonal(alike, -1)
            missed += int((alike.max(axis=1) < point.threshold).sum())
            looked_at += rows.size
    return Rate(missed, looked_at)
