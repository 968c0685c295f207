"""Matching: who is most alike, exactly, and how alike is alike enough for a gallery of this size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError
from appliance.records import Candidate, Embedding, GallerySnapshot, OperatingPoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from appliance.manifest import Impostors
    from appliance.records import RowIndex

MAX_CANDIDATES = 5
SHORTLIST = 48  # rows that an index is asked for first; of random probes, one in sixty needs more
WIDEST = 4096  # a crowd of look-alikes larger than this is left to the product with every row
PASSES = 24  # rows found by one pass each: dearer than sorting only where one has very many references
SPENT = -2.0  # below every similarity
UTMOST = 1.003  # of two vectors of unit length to 1e-3


def search(probe: Embedding | None, gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    """Return enrolled people by falling similarity to the probe, each once, at most `MAX_CANDIDATES`.

    Similarity is cosine, -1..1, higher is more alike, and the order is that of double precision; people
    exactly as alike come in the gallery's order. An empty gallery, or a probe that is missing, not finite or not
    of unit length gives (). Raises ModelMismatchError if the two come from different models.
    """
    if probe is None or not gallery.size:
        return ()
    vector = probe.vector
    if probe.model_id != gallery.model_id or vector.shape != gallery.matrix.shape[1:]:
        raise ModelMismatchError(f"probe of {probe.model_id} cannot be compared with a gallery of {gallery.model_id}")
    if not 0.998 <= float(vector.dot(vector)) <= 1.002:  # this way round, NaN is refused
        return ()
    if gallery.index is None:
        return _ranked(_falling(gallery.matrix @ vector), vector, gallery)[0]
    return _by_index(vector, gallery, gallery.index)


def _by_index(vector: NDArray[np.float32], gallery: GallerySnapshot, index: RowIndex) -> tuple[Candidate, ...]:
    """Return what the product with every row would, from a shortlist that is widened until that is sure."""
    wanted = SHORTLIST
    while wanted <= WIDEST:
        rows, bound = index.nearest(vector, wanted)
        scores = index.at(rows) @ vector
        order = np.argsort(-scores)
        best, least = _ranked(zip(rows[order].tolist(), scores[order].tolist(), strict=True), vector, gallery)
        if bound == -math.inf or bound < least:  # this way round, NaN is not sure
            return best
        wanted *= 8
    return _ranked(_falling(index.products(vector)), vector, gallery)[0]


def _falling(scores: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Give each row and its similarity, the most alike first, and spend `scores`. NaN comes at any place."""
    for _ in range(min(PASSES, scores.size)):
        row = int(scores.argmax())
        yield row, scores.item(row)
        scores[row] = SPENT
    for row in np.argsort(-scores).tolist():
        yield row, scores.item(row)


def _ranked(
    falling: Iterable[tuple[int, float]], vector: NDArray[np.float32], gallery: GallerySnapshot
) -> tuple[tuple[Candidate, ...], float]:
    """Return the best row of each person, and below which similarity no further row could change that.

    Single precision ranks the rows that it can tell apart; those nearer to one another are reckoned again.
    """
    # Two sums of D products in float32 are off by D * 2^-24 each (Higham, Accuracy and Stability, 3.1); twice that.
    doubt = vector.size * 2.0**-22
    best: dict[str, float] = {}
    near: list[tuple[int, float, str]] = []
    least, doubtful, last = -math.inf, False, math.inf
    for row, score in falling:
        if score < least:
            break
        person = gallery.person_ids[row]
        # A row that is no unit vector, NaN among them, cannot win; nor can one whose person has a better one.
        if not abs(score) <= UTMOST or best.setdefault(person, score) - score > doubt:
            continue
        near.append((row, score, person))
        doubtful = doubtful or last - score <= doubt
        last = score
        if len(best) == MAX_CANDIDATES and least == -math.inf:
            least = score - doubt
    return _candidates(_reckoned(near, vector, gallery) if doubtful else near, gallery), least


def _reckoned(
    near: list[tuple[int, float, str]], vector: NDArray[np.float32], gallery: GallerySnapshot
) -> list[tuple[int, float, str]]:
    """Return the rows with their similarity in double precision, the most alike first, ties in row order."""
    rows = np.array([row for row, _, _ in near])
    exact = gallery.matrix[rows] if gallery.index is None else gallery.index.at(rows)
    # Row by row, not as a product: equal rows must give equal sums wherever they stand.
    scores = (exact.astype(np.float64, order="C") * vector).sum(axis=1).tolist()
    again = [(row, score, person) for (row, _, person), score in zip(near, scores, strict=True)]
    return sorted(again, key=lambda one: (-one[1], one[0]))


def _candidates(near: list[tuple[int, float, str]], gallery: GallerySnapshot) -> tuple[Candidate, ...]:
    best: dict[str, Candidate] = {}
    for row, score, person in near:
        if person not in best:
            best[person] = Candidate(person, gallery.reference_ids[row], score)
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
