"""Error rates where a source is left out, at thresholds that the source had no part in (ISO/IEC 30107-3 words).

Each crop's score comes from a model that never saw its source. The threshold for a source is set on the attacks of
the other sources: the lowest at which the worst species of them has APCER <= 5 %. The published model is judged
in the same way on the same crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmarks import report
from scripts.benchmarks.statistics import accepted, auc, refused, threshold_at

from .frames import BONA_FIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .corpus import Sample

MAX_APCER = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The scores of one source's crops by a model that was trained without it."""

    source: str
    samples: tuple[Sample, ...]
    scores: NDArray[np.float64]  # (N,) log-odds of bona fide; 0 is "bona fide 0.5"

    def bona_fide(self, origin: str) -> NDArray[np.float64]:
        """Return the scores of bona fide crops of one origin."""
        return self._where([one.label == BONA_FIDE and one.origin == origin for one in self.samples])

    def attacks(self, origin: str) -> dict[str, NDArray[np.float64]]:
        """Return the scores of attacks of one origin, by species."""
        kinds = sorted({one.kind for one in self.samples if one.label != BONA_FIDE and one.origin == origin})
        return {
            kind: self._where([one.kind == kind and one.origin == origin for one in self.samples]) for kind in kinds
        }

    def lights(self) -> dict[str, NDArray[np.float64]]:
        """Return the scores of bona fide crops under each simulated light."""
        kinds = sorted({one.kind for one in self.samples if one.origin == "lit"})
        return {kind: self._where([one.kind == kind for one in self.samples]) for kind in kinds}

    def _where(self, wanted: Sequence[bool]) -> NDArray[np.float64]:
        kept: NDArray[np.float64] = self.scores[np.array(wanted, bool)]
        return kept


def worst_species_threshold(judged: Sequence[Judged], origins: Sequence[str]) -> float:
    """Return the lowest threshold at which every species of these sources has APCER <= MAX_APCER.

    Minus infinity where they have no attacks.
    """
    found = []
    for origin in origins:
        for kind in {kind for one in judged for kind in one.attacks(origin)}:
            scores = np.concatenate([one.attacks(origin).get(kind, np.empty(0)) for one in judged])
            found.append(threshold_at(scores, MAX_APCER))
    return max(found, default=-np.inf)


def table(judged: Sequence[Judged], origins: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return, for each source, its errors on recorded frames at the threshold of the others, and at 0.5."""
    rows = {}
    for one in judged:
        others = [other for other in judged if other is not one]
        rows[one.source] = _row(one, worst_species_threshold(others, origins))
    return rows


def pooled(judged: Sequence[Judged], origins: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the same at one threshold, set on the attacks of all sources together."""
    threshold = worst_species_threshold(judged, origins)
    return {one.source: _row(one, threshold) for one in judged}


def worst(rows: dict[str, dict[str, Any]], figure: str) -> float:
    """Return the highest value of one figure over the sources, such as "bpcer"."""
    return max(float(row[figure]) for row in rows.values())


def by_kind(judged: Sequence[Judged], threshold: float) -> dict[str, dict[str, float]]:
    """Return BPCER by simulated light and APCER by made species, over all sources."""
    lights = _joined([one.lights() for one in judged])
    made = _joined([one.attacks("made") for one in judged])
    return {
        "bpcer_by_light": {kind: refused(scores, threshold).value for kind, scores in lights.items()},
        "apcer_by_made_species": {kind: accepted(scores, threshold).value for kind, scores in made.items()},
    }


def _joined(every: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    kinds = sorted({kind for one in every for kind in one})
    return {kind: np.concatenate([one.get(kind, np.empty(0)) for one in every]) for kind in kinds}


def _row(one: Judged, threshold: float) -> dict[str, Any]:
    live, attacks = one.bona_fide("recorded"), one.attacks("recorded")
    together = np.concatenate([*attacks.values(), np.empty(0)])
    return {
        "threshold": report.number(float(1 / (1 + np.exp(-threshold)))),
        "n": live.size,
        "bpcer": refused(live, threshold).value,
        "bpcer_at_half": refused(live, 0.0).value,
        "apcer": {kind: accepted(scores, threshold).value for kind, scores in attacks.items()},
        "apcer_at_half": {kind: accepted(scores, 0.0).value for kind, scores in attacks.items()},
        "n_attacks": together.size,
        "auc": report.number(auc(live, together)),
    }
