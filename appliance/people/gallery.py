"""The gallery: people, their consent and their references, in SQLite. It holds no image."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.errors import RefusedError, StorageError
from appliance.people.migrations import GALLERY
from appliance.people.snapshot import NORM_TOLERANCE, Finding, StoredReference, build, digest
from appliance.storage import DatabaseFile, named_faults, one_change, pragma

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from appliance.records import Embedding, GallerySnapshot, Grade

_PEOPLE = """
    SELECT p.person_id, p.name, COUNT(r.number), GROUP_CONCAT(DISTINCT r.model_id), p.enrolled_at, c.given_by
    FROM person p LEFT JOIN consent c USING (consent_id) LEFT JOIN reference r USING (person_id)
    GROUP BY p.person_id ORDER BY p.name, p.person_id
"""
_REFERENCES = """
    SELECT r.reference_id, r.person_id, r.model_id, r.dimension, r.vector, r.digest, p.person_id IS NOT NULL
    FROM reference r LEFT JOIN person p USING (person_id) ORDER BY r.number
"""


@dataclass(frozen=True, slots=True)
class Consent:
    """That somebody agreed to be recognised, and who answers for it."""

    given_by: str  # the person themself, or who may consent for them
    given_at: datetime  # with a zone
    language: str = "en"  # in which it was asked, such as "en" or "pt-BR"


@dataclass(frozen=True, slots=True)
class Person:
    """One enrolled person, as people see them."""

    person_id: str  # random, 32 hex digits; all that leaves the gallery
    name: str
    references: int
    models: tuple[str, ...]  # model ids of the references, sorted
    enrolled_at: datetime  # UTC
    consent_by: str


class Gallery(DatabaseFile):
    """The people of one appliance in the file at `path`; a connection belongs to one thread.

    Every change is durable on return, or raises and leaves everything as it was. Raises StorageError, one
    line that names the file, where that is damaged, foreign, of a newer version, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, GALLERY)
        self._seen: int | None = None  # data_version at the latest snapshot; None when we have changed something

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        if self._db.conn.in_transaction:
            yield
            return
        self._seen = None
        with named_faults(GALLERY, self.path), one_change(self._db):
            yield
        # What was erased still stands in the write-ahead log until that is emptied. The change is durable already,
        # so a full disk or a busy reader here is no fault: the next change, or the last close, empties it.
        with suppress(sqlite3.OperationalError):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def add(self, name: str, consent: Consent, references: Sequence[tuple[Embedding, Grade]]) -> Person:
        """Return the new person with all of the references.

        Raises RefusedError for no reference at all, and for a vector that is not finite or not of unit length.
        """
        if not references:
            raise RefusedError("a person needs at least one reference")
        blobs = [_blob(embedding) for embedding, _ in references]
        person_id, consent_id, now = uuid.uuid4().hex, uuid.uuid4().hex, datetime.now(UTC)
        agreed = (consent_id, consent.given_by, consent.language, consent.given_at.astimezone(UTC).isoformat())
        with self.transaction():
            execute = self._db.execute
            execute("INSERT INTO consent VALUES (?, ?, ?, ?)", agreed)
            execute("INSERT INTO person VALUES (?, ?, ?, ?)", [person_id, name, consent_id, now.isoformat()])
            for (embedding, grade), blob in zip(references, blobs, strict=True):
                reference_id, model_id = uuid.uuid4().hex, embedding.model_id
                seal = digest(reference_id, person_id, model_id, blob)
                execute(
                    "INSERT INTO reference VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [reference_id, person_id, model_id, len(blob) // 4, int(grade), blob, seal, now.isoformat()],
                )
        models = tuple(sorted({embedding.model_id for embedding, _ in references}))
        return Person(person_id, name, len(references), models, now, consent.given_by)

    def remove(self, person_id: str) -> None:
        """Erase the person, their references and their consent; their bytes in the file become zeros.

        Raises RefusedError for an id that is not enrolled.
        """
        with self.transaction():
            consent = self._db.execute("SELECT consent_id FROM person WHERE person_id = ?", [person_id]).fetchone()
            if consent is None:
                raise RefusedError(f"nobody is enrolled under the id {person_id}")
            self._db.execute("DELETE FROM reference WHERE person_id = ?", [person_id])
            self._db.execute("DELETE FROM person WHERE person_id = ?", [person_id])
            self._db.execute("DELETE FROM consent WHERE consent_id = ?", consent)

    def people(self) -> tuple[Person, ...]:
        """Return everybody who is enrolled, by name; () for an empty gallery."""
        with named_faults(GALLERY, self.path):
            rows = self._db.execute(_PEOPLE).fetchall()
        return tuple(self._person(row) for row in rows)

    def find(self, name_or_id: str) -> tuple[Person, ...]:
        """Return who has exactly this id, else everybody of exactly this name (Unicode NFC); () for nobody."""
        everybody = self.people()
        by_id = tuple(person for person in everybody if person.person_id == name_or_id)
        return by_id or tuple(person for person in everybody if person.name == name_or_id)

    def revision(self) -> int:
        """Return a number that rises with every change, whoever made it."""
        with named_faults(GALLERY, self.path):
            row = self._db.execute("SELECT number FROM change").fetchone()
        if row is None:
            raise StorageError(f"gallery {self.path} is damaged: its revision is missing")
        return int(row[0])

    def changed(self) -> bool:
        """Tell, in microseconds, whether this or another process may have written since the latest `snapshot`."""
        with named_faults(GALLERY, self.path):
            return self._seen is None or pragma(self._db, "data_version") != self._seen

    def snapshot(self, model_id: str, dimension: int) -> GallerySnapshot:
        """Return every sound reference of the model as of one revision, by age; (0, D) for an empty gallery.

        What is not sound is left out and listed in `quarantined`; `findings` says why.
        """
        return self._load(model_id, dimension)[0]

    def findings(self, model_id: str, dimension: int) -> tuple[Finding, ...]:
        """Return what a human should know: rows quarantined, of another model, or alike under two people."""
        return self._load(model_id, dimension)[1]

    def _load(self, model_id: str, dimension: int) -> tuple[GallerySnapshot, tuple[Finding, ...]]:
        with named_faults(GALLERY, self.path):
            self._db.execute("BEGIN")  # rows and revision of one moment, whoever writes meanwhile
            try:
                rows = [StoredReference(*row) for row in self._db.execute(_REFERENCES)]
                revision, seen = self.revision(), pragma(self._db, "data_version")
            finally:
                self._db.rollback()
        self._seen = seen
        return build(rows, model_id, dimension, revision)

    def _person(self, row: Sequence[Any]) -> Person:
        person_id, name, references, models, enrolled_at, given_by = row
        try:
            at = datetime.fromisoformat(enrolled_at)
        except (TypeError, ValueError) as fault:
            msg = f"gallery {self.path} is damaged: person {person_id} has no time of enrolment"
            raise StorageError(msg) from fault
        in_use = tuple(sorted(models.split(","))) if models else ()
        return Person(person_id, name, references, in_use, at, given_by or "")


def _blob(embedding: Embedding) -> bytes:
    vector = np.asarray(embedding.vector, dtype="<f4")
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if vector.ndim != 1 or not abs(norm - 1) <= NORM_TOLERANCE:  # this way round, NaN is refused
        raise RefusedError(f"an embedding of shape {vector.shape} and length {norm:.6g} is not a unit vector")
    return vector.tobytes()
