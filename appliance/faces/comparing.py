"""Comparing faces: verify one with one, identify one among many, find similar ones in a list.

Every threshold is derived from the measured impostor tail of single photographs and from how many comparisons are made.
A similarity with an enrolled person is told at or above the threshold alone: below it, it would be a slope to climb.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelMismatchError, RefusedError, UsageError
from appliance.people.calibration import own_tail
from appliance.pipeline.matching import UTMOST, in_words, operating_point, search
from appliance.records import Embedding, GallerySnapshot, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.config import RecognitionSettings
    from appliance.manifest import Impostors, ModelEntry
    from appliance.people.gallery import Gallery
    from appliance.records import Candidate, OperatingPoint

MAX_CANDIDATES = 100
MAX_SIMILAR = 1000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What the thresholds of comparing single photographs rest on."""

    impostors: Impostors | None  # one photograph against one; None: nobody is ever the same
    own: Impostors | None  # what was measured of this gallery; only raises
    target_fpir: float  # the chance that a stranger matches anything of what is compared
    margin: float  # cosine by which the best person must lead the next

    @classmethod
    def of(cls, recognition: RecognitionSettings, entry: ModelEntry, gallery: Gallery | None = None) -> Thresholds:
        """Return those of the embedder `entry`, with what was measured of the gallery. Raises StorageError."""
        own = None if gallery is None else own_tail(gallery, entry.model_id)
        return cls(entry.measured.impostors, own, recognition.target_fpir, recognition.margin)

    def point(self, comparisons: int, target: float | None = None) -> OperatingPoint:
        """Return where so many comparisons together match a stranger with the chance `target`, 0..1 exclusive."""
        chance = self.target_fpir if target is None else target
        return operating_point(self.impostors, chance, comparisons, self.margin, self.own)

    def stricter(self, target: float | None) -> Thresholds:
        """Return thresholds for whoever has a target of their own; it can only raise them. None has none."""
        return self if target is None else replace(self, target_fpir=min(target, self.target_fpir))

    def words(self, similarity: float) -> str:
        """Return what a similarity means, as how often strangers come this near."""
        return in_words(similarity, self.impostors)


def confidence(similarity: float, threshold: float) -> float:
    """Return a similarity on the scale of face services: 0..1, rising, 0.5 at the threshold; 0 for NaN.

    It is no probability; `Thresholds.words` says what a similarity means.
    """
    if not similarity > 0 or not threshold < 1:  # this way round, NaN is nothing
        return 0.0
    return float(np.interp(similarity, (0.0, max(threshold, 1e-6), 1.0), (0.0, 0.5, 1.0)))


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two faces are the same person's."""

    identical: bool
    similarity: float | None  # cosine, -1..1, higher is more alike; None where it is not told; NaN for no face at all
    threshold: float  # cosine; inf where nobody can be the same
    words: str  # how often strangers come as near; "" where it is not told


def verify_faces(one: Embedding, other: Embedding, thresholds: Thresholds) -> Verification:
    """Return whether two faces that were both shown are the same person's. Raises ModelMismatchError."""
    similarity, threshold = cosine(one, other), thresholds.point(1).threshold
    return Verification(similarity >= threshold, similarity, threshold, thresholds.words(similarity))


def verify_person(probe: Embedding, references: Sequence[Embedding], thresholds: Thresholds) -> Verification:
    """Return whether a face is the person's who has these references: the best of them counts.

    The more references, the higher the threshold. Raises RefusedError for no reference, and ModelMismatchError for a
    face of another model.
    """
    if not references:
        raise RefusedError("nothing is enrolled of this person for the model in use; enrol them again")
    scores = [cosine(probe, reference) for reference in references]
    similarity = max((score for score in scores if math.isfinite(score)), default=math.nan)
    threshold = thresholds.point(len(references)).threshold
    if not similarity >= threshold:  # this way round, NaN is refused
        return Verification(identical=False, similarity=None, threshold=threshold, words="")
    return Verification(identical=True, similarity=similarity, threshold=threshold, words=thresholds.words(similarity))


@dataclass(frozen=True, slots=True)
class Identification:
    """Who a face may be; nobody by default. It says who, never whether they may enter."""

    candidates: tuple[Candidate, ...]  # at or above the threshold, the most alike first
    words: tuple[str, ...]  # of each candidate: how often strangers come as near
    threshold: float  # cosine that was asked for
    compared: int  # references the face was compared with
    clear: bool  # whether the first leads everybody else by the margin

    @property
    def person_id(self) -> str | None:
        """Who it is, where that is clear; None is unknown."""
        return self.candidates[0].person_id if self.clear else None


def identify(
    probe: Embedding | None,
    gallery: GallerySnapshot,
    thresholds: Thresholds,
    *,
    within: frozenset[str] | None = None,
    most: int = 1,
    threshold: float | None = None,
    target_of: Callable[[str], float | None] = lambda _: None,
) -> Identification:
    """Return the enrolled people a face may be, at most `most` (1..100), among those `within` (person ids; None: all).

    The threshold follows from how many references are compared. A `threshold` of the caller's can raise it, never
    lower it: whoever could ask below what was measured could climb towards somebody enrolled. So can `target_of`, the
    target FPIR that was set for a person, or None. A face that could not be
    read, None, is nobody. Raises UsageError for a number or threshold out of range, ModelMismatchError for a face of
    another model.
    """
    if not 1 <= most <= MAX_CANDIDATES:
        raise UsageError(f"{most} candidates are asked for; 1 to {MAX_CANDIDATES} are possible")
    if threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(f"the threshold {threshold} is no cosine; -1 to 1 are")
    searched = gallery if within is None else only_of(gallery, within)
    point = thresholds.point(searched.size)
    wanted = max(point.threshold, -1.0 if threshold is None else threshold)
    # The second is needed to tell whether the first is clear, also where one alone was asked for.
    found = search(probe, searched, max(most, 2))
    alike = tuple(
        one
        for one in found
        if one.similarity >= wanted
        and one.similarity >= thresholds.stricter(target_of(one.person_id)).point(searched.size).threshold
    )
    leads = len(found) < 2 or found[0].similarity - found[1].similarity >= point.margin
    clear = leads and alike[:1] == found[:1] != ()
    words = tuple(thresholds.words(one.similarity) for one in alike[:most])
    return Identification(alike[:most], words, wanted, searched.size, clear)


def only_of(gallery: GallerySnapshot, people: frozenset[str]) -> GallerySnapshot:
    """Return the gallery with the references of these people alone; unknown ids are passed over."""
    rows = [row for row, owner in enumerate(gallery.person_ids) if owner in people]
    at = np.array(rows, np.int64)
    matrix = gallery.matrix[at] if gallery.index is None else gallery.index.at(at)
    return GallerySnapshot(
        matrix=frozen(np.ascontiguousarray(matrix)),
        person_ids=tuple(gallery.person_ids[row] for row in rows),
        reference_ids=tuple(gallery.reference_ids[row] for row in rows),
        model_id=gallery.model_id,
        revision=gallery.revision,
    )


class Mode(StrEnum):
    """What `find_similar` leaves out."""

    MATCH_PERSON = "match_person"  # whoever is not the same person
    MATCH_FACE = "match_face"  # nobody: the most alike, whoever they are


@dataclass(frozen=True, slots=True, eq=False)
class ListedFace:
    """One face of a list that is searched."""

    face_id: str  # of a transient face or a reference, or what the caller calls it
    embedding: Embedding
    enrolled: bool = False  # a reference of somebody; its similarity below the threshold is not told


@dataclass(frozen=True, slots=True)
class SimilarFace:
    """One face of a list that is alike."""

    face_id: str
    same: bool  # whether it is at or above the threshold
    similarity: float | None  # cosine, -1..1, higher is more alike; None where it is not told
    words: str  # how often strangers come as near; "" where it is not told


def find_similar(
    probe: Embedding,
    faces: Sequence[ListedFace],
    thresholds: Thresholds,
    *,
    mode: Mode = Mode.MATCH_PERSON,
    most: int = 20,
) -> tuple[SimilarFace, ...]:
    """Return the faces of the list by falling similarity to the probe, at most `most` (1..1000); () for an empty list.

    Faces exactly as alike come in the list's order. The threshold follows from the length of the list. Raises
    UsageError for a number out of range, ModelMismatchError for a list of another model.
    """
    if not 1 <= most <= MAX_SIMILAR:
        raise UsageError(f"{most} faces are asked for; 1 to {MAX_SIMILAR} are possible")
    threshold = thresholds.point(len(faces)).threshold
    scored = [(cosine(probe, one.embedding), one) for one in faces]
    ranked = sorted((pair for pair in scored if math.isfinite(pair[0])), key=lambda pair: -pair[0])
    if mode is Mode.MATCH_PERSON:
        ranked = [pair for pair in ranked if pair[0] >= threshold]
    return tuple(_similar(score, one, threshold, thresholds) for score, one in ranked[:most])


def _similar(score: float, one: ListedFace, threshold: float, thresholds: Thresholds) -> SimilarFace:
    if one.enrolled and not score >= threshold:
        return SimilarFace(one.face_id, same=False, similarity=None, words="")
    return SimilarFace(one.face_id, score >= threshold, score, thresholds.words(score))


def listed_references(gallery: GallerySnapshot, people: frozenset[str]) -> tuple[ListedFace, ...]:
    """Return every reference of these people as a face of a list, by age."""
    found = only_of(gallery, people)
    rows = zip(found.reference_ids, found.matrix, strict=True)
    return tuple(ListedFace(name, Embedding(row, found.model_id), enrolled=True) for name, row in rows)


def cosine(one: Embedding, other: Embedding) -> float:
    """Return the similarity of two faces, -1..1; NaN where either is no unit vector.

    Raises ModelMismatchError where it has no meaning.
    """
    if one.model_id != other.model_id or one.vector.shape != other.vector.shape:
        raise ModelMismatchError(f"a face of {one.model_id} cannot be compared with one of {other.model_id}")
    similarity = float(one.vector.astype(np.float64) @ other.vector.astype(np.float64))
    return similarity if abs(similarity) <= UTMOST else math.nan
