"""The gallery: people, their consent and their references, in SQLite. It holds no image."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from appliance.errors import RefusedError, StorageError
from appliance.fixed_point import rounded
from appliance.manifest import Impostors
from appliance.people.migrations import GALLERY
from appliance.people.roll import News, Roll
from appliance.people.snapshot import MAX_REFERENCES, NORM_TOLERANCE, Finding, StoredReference, build, digest
from appliance.people.subjects import SET_ACCESS, SET_PIN, SUBJECT, as_row, from_row
from appliance.storage import DatabaseFile, empty_log, named_faults, one_change, pragma

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from appliance.access.subject import Subject
    from appliance.records import Embedding, GallerySnapshot, Grade

_PEOPLE = """
    SELECT p.person_id, p.name, COUNT(r.number), GROUP_CONCAT(DISTINCT r.model_id), p.enrolled_at, c.given_by
    FROM person p LEFT JOIN consent c USING (consent_id) LEFT JOIN reference r USING (person_id)
    GROUP BY p.person_id ORDER BY p.name, p.person_id
"""
_REFERENCES = """
    SELECT r.reference_id, r.person_id, r.model_id, r.dimension, r.vector, r.digest, p.person_id IS NOT NULL,
    (SELECT COUNT(*) FROM (SELECT 1 FROM reference o WHERE o.person_id = r.person_id AND o.number < r.number
    AND o.model_id = r.model_id LIMIT :most))
    FROM reference r LEFT JOIN person p USING (person_id)
"""
_ALL = f"{_REFERENCES} ORDER BY r.number"
_SOME = f"{_REFERENCES} WHERE r.reference_id IN (SELECT value FROM json_each(:some)) ORDER BY r.number"  # noqa: S608 - ours
# Both are read from indices alone: a full table of templates is 4 KB a row.
_IDS = "SELECT CAST(reference_id AS BLOB) FROM reference"
_ORPHANS = """
    SELECT CAST(reference_id AS BLOB) FROM reference WHERE number IN (
        SELECT r.number FROM reference r LEFT JOIN person p USING (person_id) WHERE p.person_id IS NULL)
"""
_AT_ONCE = 4096  # references read into memory together


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
    `indexed` packs the snapshot of a large gallery; without it, `current` is exact as well, and slower.
    """

    def __init__(self, path: Path, indexed: Callable[[GallerySnapshot], GallerySnapshot] = lambda plain: plain) -> None:
        super().__init__(path, GALLERY)
        self._indexed = indexed
        self._roll: Roll | None = None
        self._seen: int | None = None  # data_version at the latest `current`; None when we have changed something

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        if self._db.conn.in_transaction:
            yield
            return
        self._seen = None
        with named_faults(GALLERY, self.path), one_change(self._db):
            yield
        empty_log(self._db)

    def add(self, name: str, consent: Consent, references: Sequence[tuple[Embedding, Grade]]) -> Person:
        """Return the new person with all of the references.

        Raises RefusedError for no reference at all, for more than `MAX_REFERENCES`, and for a vector that is not
        finite or not of unit length.
        """
        if not 1 <= len(references) <= MAX_REFERENCES:
            raise RefusedError(f"{len(references)} references are given; 1 to {MAX_REFERENCES} are wanted")
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
        """Erase the person and all that is kept of them; their bytes in the file become zeros.

        Raises RefusedError for an id that is not enrolled.
        """
        with self.transaction():
            consent = self._db.execute("SELECT consent_id FROM person WHERE person_id = ?", [person_id]).fetchone()
            if consent is None:
                raise _nobody(person_id)
            self._db.execute("DELETE FROM reference WHERE person_id = ?", [person_id])
            self._db.execute("DELETE FROM person WHERE person_id = ?", [person_id])
            self._db.execute("DELETE FROM consent WHERE consent_id = ?", consent)

    def subject(self, person_id: str) -> Subject | None:
        """Return what is known of the person as far as doors are concerned; None for nobody of this id.

        Raises StorageError where that is damaged.
        """
        with named_faults(GALLERY, self.path):
            row = self._db.execute(SUBJECT, [person_id]).fetchone()
        try:
            return from_row(row) if row is not None else None
        except (TypeError, ValueError) as fault:
            raise StorageError(f"gallery {self.path} is damaged: access of person {person_id} is unclear") from fault

    def set_access(self, subject: Subject) -> None:
        """Keep everything of the subject but name and PIN in place of what was.

        Raises RefusedError for an id that is not enrolled.
        """
        self._set(subject.person_id, SET_ACCESS, as_row(subject))

    def set_pin(self, person_id: str, pin_hash: str, duress_hash: str) -> None:
        """Keep these hashes in place of what was; "" for none. Raises RefusedError for an id that is not enrolled."""
        self._set(person_id, SET_PIN, (person_id, pin_hash, duress_hash))

    def calibrate(self, model_id: str, tail: Impostors | None) -> None:
        """Keep what was measured of the gallery's own people with this model in place of what was; None for nothing."""
        with self.transaction():
            self._db.execute("DELETE FROM calibration WHERE model_id = ?", [model_id])
            if tail is not None:
                self._db.execute("INSERT INTO calibration VALUES (?, ?)", [model_id, tail.model_dump_json()])

    def calibrations(self) -> dict[str, Impostors]:
        """Return what is kept, by model id. Raises StorageError where it is damaged."""
        with named_faults(GALLERY, self.path):
            rows = self._db.execute("SELECT model_id, tail FROM calibration").fetchall()
        try:
            return {model_id: Impostors.model_validate_json(tail) for model_id, tail in rows}
        except ValidationError as fault:
            raise StorageError(f"gallery {self.path} is damaged: its calibration cannot be read") from fault

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
        """Tell, in microseconds, whether this or another process may have written since the latest `current`."""
        with named_faults(GALLERY, self.path):
            return self._seen is None or pragma(self._db, "data_version") != self._seen

    def current(self, model_id: str, dimension: int) -> GallerySnapshot:
        """Return what `snapshot` does, for the price of what has changed since the latest call; the same if nothing.

        A row is judged when it is new. Bytes altered later in the file do not reach the matcher until the next
        start, which quarantines them.
        """
        if self._roll is None or self._roll.model_id != model_id:
            self._roll, self._seen = Roll(model_id, dimension, self._news, self._indexed), None
        return self._roll.refresh() if self.changed() else self._roll.snapshot

    def snapshot(self, model_id: str, dimension: int) -> GallerySnapshot:
        """Return every sound reference of the model as of one revision, by age; (0, D) for an empty gallery.

        What is not sound is left out and listed in `quarantined`; `findings` says why.
        """
        return self._load(model_id, dimension)[0]

    def findings(self, model_id: str, dimension: int) -> tuple[Finding, ...]:
        """Return what a human should know: rows quarantined, of another model, or alike under two people."""
        return self._load(model_id, dimension)[1]

    def _set(self, person_id: str, change: str, values: Sequence[object]) -> None:
        with self.transaction():
            if self._db.execute("SELECT 1 FROM person WHERE person_id = ?", [person_id]).fetchone() is None:
                raise _nobody(person_id)
            self._db.execute(change, values)

    @contextmanager
    def _news(self, known: frozenset[bytes]) -> Iterator[News]:
        """Open what is not among the `known` reference ids, and name what of these is no longer there."""
        with named_faults(GALLERY, self.path):
            self._db.execute("BEGIN")  # everything of one moment, whoever writes meanwhile
            try:
                present = {row[0] for row in self._db.execute(_IDS)}
                gone = {row[0] for row in self._db.execute(_ORPHANS)} & known | known - present
                revision, seen = self.revision(), pragma(self._db, "data_version")
                yield News(revision, gone, self._rows(present - (known - gone), everything=not known))
            finally:
                self._db.rollback()
        self._seen = seen

    def _rows(self, wanted: set[bytes], *, everything: bool) -> Iterator[list[StoredReference]]:
        if not wanted:
            return
        found = self._references(None if everything else json.dumps([one.decode("utf-8", "replace") for one in wanted]))
        while rows := found.fetchmany(_AT_ONCE):
            yield [StoredReference(*row) for row in rows]

    def _references(self, some: str | None) -> sqlite3.Cursor:
        """Start reading the references of which `some`, a JSON array, has the ids; all for None."""
        found: sqlite3.Cursor = self._db.conn.execute(
            _ALL if some is None else _SOME, {"some": some, "most": MAX_REFERENCES}
        )
        return found

    def _load(self, model_id: str, dimension: int) -> tuple[GallerySnapshot, tuple[Finding, ...]]:
        with named_faults(GALLERY, self.path):
            self._db.execute("BEGIN")  # rows and revision of one moment, whoever writes meanwhile
            try:
                rows = [StoredReference(*row) for row in self._references(None)]
                revision = self.revision()
            finally:
                self._db.rollback()
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


def _nobody(person_id: str) -> RefusedError:
    return RefusedError(f"nobody is enrolled under the id {person_id}")


def _blob(embedding: Embedding) -> bytes:
    vector = np.asarray(embedding.vector, dtype="<f4")
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if vector.ndim != 1 or not abs(norm - 1) <= NORM_TOLERANCE:  # this way round, NaN is refused
        raise RefusedError(f"an embedding of shape {vector.shape} and length {norm:.6g} is not a unit vector")
    # What is stored is what is compared: half the memory for the matcher, and nothing is lost between the two.
    return rounded(vector).astype("<f4").tobytes()
