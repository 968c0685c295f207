"""Matching: who is most alike, exactly, and how alike is alike enough for a gallery of this size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError
from appliance.records import Candidate, Embedding, GallerySnapshot, OperatingPoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from appliance.manifest import Impostors
    from appliance.records import RowIndex

MAX_CANDIDATES = 5
SHORTLIST = 48  # rows that an index is asked for first; of random probes, one in sixty needs more
WIDEST = 4096  # a crowd of look-alikes larger than this is left to the product with every row
PASSES = 24  # rows found by one pass each: dearer than sorting only where one has very many references
SPENT = -2.0  # below every similarity
UTMOST = 1.003  # of two vectors of unit length to 1e-3


def search(probe: Embedding | None, gallery: GallerySnapshot, most: int = MAX_CANDIDATES) -> tuple[Candidate, ...]:
    """Return enrolled people by falling similarity to the probe, each once, at most so many (1 or more).

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
        return _ranked(_falling(gallery.matrix @ vector), vector, gallery, most)[0]
    return _by_index(vector, gallery, gallery.index, most)


def _by_index(
    vector: NDArray[np.float32], gallery: GallerySnapshot, index: RowIndex, most: int
) -> tuple[Candidate, ...]:
    """Return what the product with every row would, from a shortlist that is widened until that is sure."""
    wanted = max(SHORTLIST, 2 * most)
    while wanted <= WIDEST:
        rows, bound = index.nearest(vector, wanted)
        scores = index.at(rows) @ vector
        order = np.argsort(-scores)
        best, least = _ranked(zip(rows[order].tolist(), scores[order].tolist(), strict=True), vector, gallery, most)
        if bound == -math.inf or bound < least:  # this way round, NaN is not sure
            return best
        wanted *= 8
    return _ranked(_falling(index.products(vector)), vector, gallery, most)[0]


def _falling(scores: NDArray[np.float32]) -> Iterator[tuple[int, float]]:
    """Give each row and its similarity, the most alike first, and spend `scores`. NaN comes at any place."""
    for _ in range(min(PASSES, scores.size)):
        row = int(scores.argmax())
        yield row, scores.item(row)
        scores[row] = SPENT
    for row in np.argsort(-scores).tolist():
        yield row, scores.item(row)


def _ranked(
    falling: Iterable[tuple[int, float]], vector: NDArray[np.float32], gallery: GallerySnapshot, most: int
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
        if len(best) == most and least == -math.inf:
            least = score - doubt
    return _candidates(_reckoned(near, vector, gallery) if doubtful else near, gallery, most), least


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


def _candidates(near: list[tuple[int, float, str]], gallery: GallerySnapshot, most: int) -> tuple[Candidate, ...]:
    best: dict[str, Candidate] = {}
    for row, score, person in near:
        if person not in best:
            best[person] = Candidate(person, gallery.reference_ids[row], score)
            if len(best) == most:
                break
    return tuple(best.values())


class Rivals:
    """Each person's nearest rival, looked up when it is first needed and again after every change of the gallery."""

    def __init__(self) -> None:
        self._known: dict[str, Candidate | None] = {}
        self._of = ("", -1)  # model and revision of the gallery that it is known of

    def named(
        self, candidates: tuple[Candidate, ...], gallery: GallerySnapshot, threshold: float
    ) -> tuple[Candidate, ...]:
        """Return the candidates, the first with its rival where it reaches the threshold; others are not asked for."""
        if not candidates or not candidates[0].similarity >= threshold:
            return candidates
        rival = self.of(candidates[0].person_id, gallery)
        nearest = -1.0 if rival is None else rival.similarity
        return (replace(candidates[0], rival=nearest), *candidates[1:])

    def of(self, person_id: str, gallery: GallerySnapshot) -> Candidate | None:
        """Return who else is most alike to any reference of the person, exactly; None for nobody."""
        if self._of != (gallery.model_id, gallery.revision):
            self._known, self._of = {}, (gallery.model_id, gallery.revision)
        if person_id not in self._known:
            self._known[person_id] = nearest_rival(references_of(person_id, gallery), person_id, gallery)
        return self._known[person_id]


def references_of(person_id: str, gallery: GallerySnapshot) -> list[Embedding]:
    """Return the person's references, by age; [] for somebody who has none."""
    rows = np.array([row for row, owner in enumerate(gallery.person_ids) if owner == person_id], np.int64)
    exact = gallery.matrix[rows] if gallery.index is None else gallery.index.at(rows)
    return [Embedding(row, gallery.model_id) for row in np.ascontiguousarray(exact)]


def nearest_rival(references: Sequence[Embedding], person_id: str, gallery: GallerySnapshot) -> Candidate | None:
    """Return whoever but this person is most alike to any of the references; None for nobody."""
    found = [one for reference in references for one in search(reference, gallery) if one.person_id != person_id]
    return max(found, key=lambda one: one.similarity, default=None)


def in_words(similarity: float, impostors: Impostors | None) -> str:
    """Return what a similarity of two photographs means, as how often strangers come this near."""
    if impostors is None or not -1 <= similarity <= UTMOST:  # this way round, NaN means nothing
        return "how often a stranger comes this near was never measured"
    if similarity < impostors.tail_start:
        return f"a stranger comes this near more often than once in {_rounded(1 / impostors.tail_fmr)} comparisons"
    # Beyond one in what was compared the fit is a guess; what was measured is said, and no more.
    once_in = 1 / impostors.tail.rate(similarity)
    if once_in > impostors.comparisons:
        return f"a stranger comes this near less than once in {_rounded(impostors.comparisons)} comparisons"
    return f"a stranger comes this near about once in {_rounded(once_in)} comparisons"


def _rounded(count: float) -> str:
    """Return two significant digits, such as 12,000."""
    digits = max(0, math.floor(math.log10(count)) - 1)
    return f"{round(count / 10**digits) * 10**digits:,}"


def operating_point(
    impostors: Impostors | None, target_fpir: float, size: int, margin: float, own: Impostors | None = None
) -> OperatingPoint:
    """Return the threshold at which a stranger matches any of `size` references with chance `target_fpir`.

    FPIR = 1 - (1 - FMR)^N gives the false-match rate that one comparison may have; the measured impostor
    tail gives the cosine for it, and the installation's `own` tail can only raise it. Never falls as `size` grows.
    Without a measurement of the model nobody can be matched.
    """
    if impostors is None:
        return OperatingPoint(math.inf, margin, target_fpir, size, "no impostor distribution was measured")
    # log1p and expm1 keep the digits that 1 - (1 - x)^(1/N) loses for a large gallery
    fmr = -math.expm1(math.log1p(-target_fpir) / max(size, 1))
    measured = [impostors] if own is None else [impostors, own]
    threshold, rests_on = max(((_cosine(one, fmr), one) for one in measured), key=lambda found: found[0])
    source = f"FMR {fmr:.2g} from {rests_on.comparisons} impostor comparisons of {rests_on.data}"
    return OperatingPoint(threshold, margin, target_fpir, size, source)


def _cosine(impostors: Impostors, fmr: float) -> float:
    """Return the cosine of a false-match rate; of one above the tail's, where the tail begins."""
    return impostors.tail.threshold(min(fmr, impostors.tail_fmr))
