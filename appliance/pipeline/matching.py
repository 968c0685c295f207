"""Matching: who is most alike, exactly, and how alike is alike enough for a gallery of this size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError
from appliance.records import Candidate, Embedding, GallerySnapshot, OperatingPoint, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import Impostors

MAX_CANDIDATES = 5


def searchable(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, D) unit rows laid out in memory as `search` reads them fastest, read-only.

    Column by column, the product with a probe took 0.7 of the time it takes row by row (10,000 rows of 512).
    """
    return frozen(np.asfortranarray(rows))


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
    scores = gallery.matrix @ probe.vector
    scores = np.where(np.abs(scores) <= 1.001, scores, -1.0)  # a row that is no unit vector cannot win; NaN neither
    return _best_per_person(scores, gallery)


def _best_per_person(scores: NDArray[np.floating], gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    wanted = min(8 * MAX_CANDIDATES, scores.size)
    while True:
        best: dict[str, Candidate] = {}
        # Equal scores fall in the gallery's own order, so that a tie is the same today and tomorrow.
        nearest = np.argpartition(-scores, wanted - 1)[:wanted] if wanted < scores.size else np.arange(scores.size)
        for row in nearest[np.lexsort((nearest, -scores[nearest]))]:
            person = gallery.person_ids[row]
            if person not in best:
                best[person] = Candidate(person, gallery.reference_ids[row], float(scores[row]))
        if len(best) >= 2 or wanted == scores.size:  # the margin needs a rival, however many references one has
            return tuple(best.values())[:MAX_CANDIDATES]
        wanted = min(8 * wanted, scores.size)


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
