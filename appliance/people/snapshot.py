"""What the matcher sees of the gallery: every reference that is sound, and a word on each that is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from appliance.people.sealing import decoded_all
from appliance.records import GallerySnapshot, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

NORM_TOLERANCE = 1e-3  # fixed point of 512 numbers keeps the norm to 5e-5; anything near this is not ours
AS_ENROLLED = 1e-4  # nearer to 1 than this a row is taken as it is: dividing would cost it its fixed point
MAX_REFERENCES = 248  # of one person; each is one more chance to meet them by accident, and counts as one in N


class StoredReference(NamedTuple):
    """One row as it lies in the database, believed in nothing."""

    reference_id: str
    person_id: str
    model_id: str
    dimension: int
    vector: bytes | None  # as `sealing.encoded` gave it; None for what did not open
    has_person: bool
    earlier: int = 0  # how many older references of the same person and model there are, or `MAX_REFERENCES`
    protected: bool = True  # whether it has the rotation that is in use


class Sound(NamedTuple):
    """Rows of the model in use with which nothing is wrong before their numbers are looked at, by column."""

    reference_ids: list[bytes]  # UTF-8
    person_ids: list[bytes]
    vectors: list[bytes]  # as `sealing.encoded` gave them, each 2 or 4 bytes a number

    def stored(self, model_id: str, dimension: int) -> list[StoredReference]:
        """Return the same rows one by one."""
        return [
            StoredReference(reference.decode(), person.decode(), model_id, dimension, vector, has_person=True)
            for reference, person, vector in zip(*self, strict=True)
        ]


class Finding(NamedTuple):
    """Something that a human should know about one reference."""

    reference_id: str
    person_id: str
    reason: str  # one line
    quarantined: bool  # whether the matcher no longer sees it


class Ids(Sequence[str]):
    """Many ids in little memory: a tuple of strings takes 90 bytes an id, this one as many as the longest has."""

    __slots__ = ("encoded",)

    def __init__(self, encoded: NDArray[np.bytes_]) -> None:
        self.encoded = frozen(encoded)  # (N,) UTF-8

    @classmethod
    def of(cls, ids: Iterable[str]) -> Ids:
        """Return the same ids in the same order."""
        if isinstance(ids, Ids):
            return ids
        return cls(np.array([one.encode() for one in ids], np.bytes_))

    def __len__(self) -> int:
        return len(self.encoded)

    def __iter__(self) -> Iterator[str]:
        return (one.decode() for one in self.encoded.tolist())

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    def __getitem__(self, place: int | slice) -> str | Ids:
        if isinstance(place, slice):
            return Ids(self.encoded[place])
        found: bytes = self.encoded[place]
        return found.decode()


def build(
    rows: Sequence[StoredReference], model_id: str, dimension: int, revision: int
) -> tuple[GallerySnapshot, tuple[Finding, ...]]:
    """Return what `judge` does, with every conflict.

    The same vector under two people is a finding under both, and both stay: the matcher then sees two people
    equally alike, and asks a human.
    """
    snapshot, findings = judge(rows, model_id, dimension, revision)
    sound = set(snapshot.reference_ids)
    return snapshot, (*findings, *_conflicts([row for row in rows if row.reference_id in sound]))


def judge(
    rows: Iterable[StoredReference], model_id: str, dimension: int, revision: int
) -> tuple[GallerySnapshot, tuple[Finding, ...]]:
    """Return the sound references of one model, in the order of `rows`, and what is wrong with every other.

    Quarantined is a row that was altered, has no person, is not of `dimension` finite numbers, not of unit
    length, or beyond the `MAX_REFERENCES` of a person. A row of another model is a finding, yet not quarantined.
    """
    findings: list[Finding] = []
    whole: list[StoredReference] = []
    for row in rows:
        reason = _flaw(row, model_id, dimension)
        if not reason and row.model_id == model_id:
            whole.append(row)
        else:
            other = f"is of model {row.model_id}, which is not in use; enrol this person again"
            findings.append(Finding(row.reference_id, row.person_id, reason or other, bool(reason)))
    matrix, flaws = _matrix([row.vector or b"" for row in whole], dimension)
    judged = list(zip(whole, flaws, strict=True))
    kept = [row for row, flaw in judged if not flaw]
    findings += [Finding(row.reference_id, row.person_id, flaw, quarantined=True) for row, flaw in judged if flaw]
    snapshot = GallerySnapshot(
        matrix=matrix,
        person_ids=tuple(row.person_id for row in kept),
        reference_ids=tuple(row.reference_id for row in kept),
        model_id=model_id,
        revision=revision,
        quarantined=tuple(finding.reference_id for finding in findings if finding.quarantined),
    )
    return snapshot, tuple(findings)


def taken(rows: Sound, model_id: str, dimension: int, revision: int) -> GallerySnapshot | None:
    """Return what `judge` does of these rows, in a third of the time; None where a number of theirs is wrong."""
    matrix, flaws = _matrix(rows.vectors, dimension)
    if any(flaws):
        return None
    people, references = (Ids(np.array(ids, np.bytes_)) for ids in (rows.person_ids, rows.reference_ids))
    return GallerySnapshot(matrix, people, references, model_id, revision)


def _flaw(row: StoredReference, model_id: str, dimension: int) -> str:
    """Return what is wrong with the row before its numbers are looked at; "" for nothing."""
    if row.vector is None:
        return "is damaged or altered: it cannot be opened with the key of its person"
    if not row.has_person:
        return "belongs to nobody"
    if not row.protected:
        return "has a rotation that is not in use"
    if row.model_id == model_id and (
        row.dimension != dimension or len(row.vector) not in {2 * dimension, 4 * dimension}
    ):
        return f"has {len(row.vector)} bytes for {row.dimension} numbers; {2 * dimension} for {dimension} are wanted"
    if row.earlier >= MAX_REFERENCES:
        return f"is one too many: {MAX_REFERENCES} of a person are compared"
    return ""


def _matrix(vectors: Sequence[bytes], dimension: int) -> tuple[NDArray[np.float32], list[str]]:
    """Return the unit rows among `vectors`, (n, D), and for each of `vectors` what is wrong with it or ""."""
    joined = decoded_all(vectors, dimension)
    with np.errstate(all="ignore"):  # NaN and infinity are what we look for
        norms = np.sqrt(np.einsum("nd,nd->n", joined, joined, dtype=np.float64))
        sound = np.abs(norms - 1) <= NORM_TOLERANCE  # this way round, NaN is refused
        near = np.abs(norms - 1) <= AS_ENROLLED
        if near.all():
            return frozen(joined), [""] * len(vectors)
        matrix = (joined[sound] / np.where(near, 1, norms)[sound, None]).astype(np.float32)
    flaws = ["" if good else _norm_flaw(float(norm)) for good, norm in zip(sound, norms, strict=True)]
    return frozen(np.ascontiguousarray(matrix)), flaws


def _norm_flaw(norm: float) -> str:
    if not np.isfinite(norm):
        return "holds a number that is not finite"
    return f"has length {norm:.6g}; 1 is wanted"


def _conflicts(rows: Sequence[StoredReference]) -> list[Finding]:
    first: dict[bytes, StoredReference] = {}
    findings = []
    for row in rows:
        other = first.setdefault(row.vector or b"", row)
        if other.person_id != row.person_id:
            findings += [
                Finding(one.reference_id, one.person_id, f"is the same as {two.reference_id}", quarantined=False)
                for one, two in ((other, row), (row, other))
            ]
    return findings
