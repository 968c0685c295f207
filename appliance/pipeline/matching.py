"""Matching: who is most alike, exactly, and how alike is alike enough for a gallery of this size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError
from appliance.records import Candidate, Embedding, GallerySnapshot, OperatingPoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import Impostors

MAX_CANDIDATES = 5
SHORTLIST = 64  # rows computed again after an index has found them


def search(probe: Embedding | None, gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    """Return enrolled people by falling similarity to the probe, each once, at most `MAX_CANDIDATES`.

    Similarity is cosine, -1..1, higher is more alike. An empty gallery, or a probe that is missing, not
    finite or not of unit length gives (). Raises ModelMismatchError if the two come from different models.
    """
    if probe is None or gallery.size == 0:
        return ()
    if probe.model_id != gallery.model_id or probe.vector.shape != gallery.matrix.shape[1:]:
        raise ModelMismatchError(f"probe of {probe.model_id} cannot be compared with a gallery of {gallery.model_id}")
    if not abs(float(np.linalg.norm(probe.vector)) - 1) <= 1e-3:
        return ()
    return _by_index(probe, gallery) or _by_product(probe, gallery)


def _by_index(probe: Embedding, gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    """Return what the whole product would, from a shortlist; () where the shortlist leaves a doubt."""
    if gallery.index is None:
        return ()
    rows, floor = gallery.index.nearest(probe.vector, SHORTLIST)
    rows = np.sort(rows[rows >= 0])  # in the gallery's own order, so that a tie falls as it does below
    best = _best_per_person(_sane(gallery.matrix[rows] @ probe.vector), rows, gallery)
    # A row that is not on the list is at most this much alike.
    sure = len(best) == MAX_CANDIDATES and best[-1].similarity > floor + gallery.index.error
    return best if sure else ()


def _by_product(probe: Embedding, gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    scores = _sane(gallery.matrix @ probe.vector)
    wanted = min(8 * MAX_CANDIDATES, scores.size)
    while True:
        rows = np.sort(np.argpartition(-scores, wanted - 1)[:wanted])
        best = _best_per_person(scores[rows], rows, gallery)
        # the margin needs a rival, however many references one has
        if len(best) >= 2 or wanted == scores.size:
            return best
        wanted = min(8 * wanted, scores.size)


def _sane(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores with those of a row that is no unit vector, NaN among them, where they cannot win."""
    return np.where(np.abs(scores) <= 1.001, scores, np.float32(-1.0))


def _best_per_person(
    scores: NDArray[np.float32], rows: NDArray[np.int64], gallery: GallerySnapshot
) -> tuple[Candidate, ...]:
    """Return the best row of each person by falling score, at most `MAX_CANDIDATES`; equal scores in row order."""
    best: dict[str, Candidate] = {}
    for place in np.argsort(-scores, kind="stable"):
        row = int(rows[place])
        person = gallery.person_ids[row]
        if person not in best:
            best[person] = Candidate(person, gallery.reference_ids[row], float(scores[place]))
        if len(best) == MAX_CANDIDATES:
            break
    return tuple(best.values())


def operating_point(impostors: Impostors | None, target_fpir: float, size: int, margin: float) -> OperatingPoint:
    """Return the threshold at which a stranger matches any of `size` references with chance `target_fpir`.

    FPIR = 1 - (1 - FMR)^N gives the false-match rate that one comparison may have; the measured impostor
    tail gives the cosine for it. Never falls as `size` grows. Without a measurement nobody can be matched.
    """
    if impostors is None:
        return OperatingPoint(math.inf, margin, target_fpir, size, "no impostor distribution was measured")
    # log1p and expm1 keep the digits that 1 - (1 - x)^(1/N) loses for a large gallery
    fmr = -math.expm1(math.log1p(-target_fpir) / max(size, 1))
    excess = max(0.0, math.log(impostors.tail_fmr / fmr))
    threshold = impostors.tail_start + impostors.tail_scale * excess
    source = f"FMR {fmr:.2g} from {impostors.comparisons} impostor comparisons of {impostors.data}"
    return OperatingPoint(threshold, margin, target_fpir, size, source)
