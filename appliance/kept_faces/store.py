"""The store of kept faces: collections, their people and their faces, sealed under a secret of the device."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import RefusedError, StorageError
from appliance.fixed_point import rounded
from appliance.kept_faces.bound import of_collection, of_face, of_person, of_template
from appliance.kept_faces.schema import (
    KEPT,
    AlreadyKeptError,
    Collection,
    FullError,
    KeptFace,
    KeptPerson,
    Kind,
    NotKeptError,
    Training,
    UntrainedError,
)
from appliance.people.sealing import decoded, encoded, seal, seal_fields, unseal, unseal_fields
from appliance.people.snapshot import MAX_REFERENCES, NORM_TOLERANCE, StoredReference, judge
from appliance.records import Embedding
from appliance.storage import DatabaseFile, empty_log, named_faults, one_change, pragma

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from appliance.people.protection import Protection
    from appliance.records import GallerySnapshot

MAX_COLLECTIONS = 1000  # of either kind
MAX_PEOPLE = 10_000  # of one group
MAX_IN_ALL = 100_000  # people, and faces, of all collections
HELD_ROWS = 50_000  # templates of trained collections that are held in memory, 100 MB with 512 numbers
MAX_FACES = 20_000  # of one collection: a list of so many is searched in a fifth of a second
SECRET = "kept faces"  # noqa: S105 - the name of the device's secret, not the secret

_COLLECTION = "number, collection_id, recognition_model, made_at, tried_at, trained_at, failure, sealed"


class KeptFaces(DatabaseFile):
    """The kept faces in the file at `path`; a connection belongs to one thread.

    `secret` is the device's own 32 bytes under which names, user data and templates are sealed, `protection` the
    rotation that templates come with. Every change is durable on return, or raises and leaves everything as it was.
    Raises StorageError as every database, and NotKeptError for whatever is named and is not kept.
    """

    def __init__(self, path: Path, secret: bytes, protection: Protection) -> None:
        super().__init__(path, KEPT)
        self._key, self._protection = AESGCM(secret), protection
        self._snapshots: dict[int, GallerySnapshot] = {}
        self._seen = -1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        if self._db.conn.in_transaction:
            yield
            return
        self._snapshots.clear()
        with named_faults(KEPT, self.path), one_change(self._db):
            yield
        empty_log(self._db)  # in which what was erased would still stand

    def add_collection(
        self, kind: Kind, collection_id: str, name: str, user_data: str, model: str, *, answers_for: str, made_by: str
    ) -> None:
        """Make an empty collection. Raises AlreadyKeptError, FullError, and RefusedError where nobody answers for it.

        `answers_for` says who answers for the consent of those whose faces come in; `made_by` is the voice.
        """
        if not answers_for:
            raise RefusedError("nobody answers for the consent of those whose faces are to be kept")
        fields = {"name": name, "user_data": user_data, "answers_for": answers_for}
        with self.transaction():
            if self._one("SELECT 1 FROM kept_collection WHERE kind = ? AND collection_id = ?", kind, collection_id):
                raise AlreadyKeptError(kind)
            self._room(f"{kind}s", MAX_COLLECTIONS, "SELECT COUNT(*) FROM kept_collection WHERE kind = ?", kind)
            sealed = seal_fields(self._key, fields, of_collection(kind, collection_id))
            self._db.execute(
                "INSERT INTO kept_collection VALUES (NULL, ?, ?, ?, ?, ?, NULL, NULL, '', ?)",
                [kind.value, collection_id, model, _now(), made_by, sealed],
            )

    def collections(self, kind: Kind, after: str, most: int) -> tuple[Collection, ...]:
        """Return those whose id comes after `after`, by id, at most so many."""
        query = f"SELECT {_COLLECTION} FROM kept_collection WHERE kind = ? AND collection_id > ? ORDER BY 2 LIMIT ?"  # noqa: S608 - our own words
        return tuple(self._collection(kind, row) for row in self._rows(query, kind, after, most))

    def collection(self, kind: Kind, collection_id: str) -> Collection:
        """Return one collection."""
        query = f"SELECT {_COLLECTION} FROM kept_collection WHERE kind = ? AND collection_id = ?"  # noqa: S608 - our own words
        row = self._one(query, kind, collection_id)
        if row is None:
            raise NotKeptError(kind)
        return self._collection(kind, row)

    def counts(self, kind: Kind, collection_id: str) -> tuple[int, int]:
        """Return how many people and how many faces are in a collection."""
        number = self._number(kind, collection_id)
        people = self._count("SELECT COUNT(*) FROM kept_person WHERE collection = ?", number)
        return people, self._count("SELECT COUNT(*) FROM kept_face WHERE collection = ?", number)

    def change_collection(self, kind: Kind, collection_id: str, **texts: str) -> None:
        """Keep these of `name` and `user_data` in place of what was."""
        with self.transaction():
            self._change(
                "kept_collection", self._number(kind, collection_id), texts, of_collection(kind, collection_id)
            )

    def drop_collection(self, kind: Kind, collection_id: str) -> int:
        """Erase a collection with everybody in it, and return how many faces that were."""
        with self.transaction():
            number = self._number(kind, collection_id)
            faces = self._count("SELECT COUNT(*) FROM kept_face WHERE collection = ?", number)
            self._db.execute("DELETE FROM kept_collection WHERE number = ?", [number])
        return faces

    def add_person(self, group_id: str, name: str, user_data: str) -> str:
        """Return the id of a new person of a group, who has no face yet. Raises FullError."""
        person_id = str(uuid.uuid4())
        with self.transaction():
            group = self._number(Kind.GROUP, group_id)
            self._room("people", MAX_PEOPLE, "SELECT COUNT(*) FROM kept_person WHERE collection = ?", group)
            self._room("people in all", MAX_IN_ALL, "SELECT COUNT(*) FROM kept_person")
            sealed = seal_fields(self._key, {"name": name, "user_data": user_data}, of_person(person_id, group))
            self._db.execute("INSERT INTO kept_person VALUES (NULL, ?, ?, ?)", [person_id, group, sealed])
        return person_id

    def people(self, group_id: str, after: str, most: int) -> tuple[KeptPerson, ...]:
        """Return the people of a group whose id comes after `after`, by id, at most so many."""
        group = self._number(Kind.GROUP, group_id)
        query = "SELECT person_id FROM kept_person WHERE collection = ? AND person_id > ? ORDER BY 1 LIMIT ?"
        return tuple(self.person(group_id, row[0]) for row in self._rows(query, group, after, most))

    def person(self, group_id: str, person_id: str) -> KeptPerson:
        """Return one person of a group."""
        group = self._number(Kind.GROUP, group_id)
        number = self._person(group, person_id)
        sealed = self._rows("SELECT sealed FROM kept_person WHERE number = ?", number)[0][0]
        told = self._opened(sealed, of_person(person_id, group))
        faces = self._rows("SELECT face_id FROM kept_face WHERE person = ? ORDER BY 1", number)
        return KeptPerson(person_id, told["name"], told["user_data"], tuple(row[0] for row in faces))

    def change_person(self, group_id: str, person_id: str, **texts: str) -> None:
        """Keep these of `name` and `user_data` in place of what was."""
        with self.transaction():
            group = self._number(Kind.GROUP, group_id)
            self._change("kept_person", self._person(group, person_id), texts, of_person(person_id, group))

    def drop_person(self, group_id: str, person_id: str) -> int:
        """Erase a person with their faces, and return how many those were."""
        with self.transaction():
            number = self._person(self._number(Kind.GROUP, group_id), person_id)
            faces = self._count("SELECT COUNT(*) FROM kept_face WHERE person = ?", number)
            self._db.execute("DELETE FROM kept_person WHERE number = ?", [number])
        return faces

    def add_face(
        self, kind: Kind, collection_id: str, embedding: Embedding, user_data: str, person_id: str | None = None
    ) -> str:
        """Return the id of a new face, of a person where the collection is a group. It counts from the next training.

        Raises FullError, and RefusedError for what is no unit vector.
        """
        face_id, vector = str(uuid.uuid4()), np.asarray(embedding.vector, np.float32)
        if not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) <= NORM_TOLERANCE:  # NaN is refused
            raise RefusedError("the template of the face is no unit vector")
        with self.transaction():
            collection = self._number(kind, collection_id)
            person = None if person_id is None else self._person(collection, person_id)
            self._room("faces", MAX_FACES, "SELECT COUNT(*) FROM kept_face WHERE collection = ?", collection)
            self._room("faces in all", MAX_IN_ALL, "SELECT COUNT(*) FROM kept_face")
            if person is not None:
                counted = "SELECT COUNT(*) FROM kept_face WHERE person = ?"
                self._room("faces of one person", MAX_REFERENCES, counted, person)
            model, turned = embedding.model_id, self._protection.protection_id
            template = seal(
                self._key, encoded(rounded(vector)), of_template(face_id, collection, person, model, turned)
            )
            sealed = seal_fields(self._key, {"user_data": user_data}, of_face(face_id, collection))
            self._db.execute(
                "INSERT INTO kept_face VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
                [face_id, collection, person, model, turned, len(vector), _now(), template, sealed],
            )
        return face_id

    def faces(self, list_id: str, after: str, most: int) -> tuple[KeptFace, ...]:
        """Return the faces of a list whose id comes after `after`, by id, at most so many."""
        number = self._number(Kind.LIST, list_id)
        query = "SELECT face_id, sealed FROM kept_face WHERE collection = ? AND face_id > ? ORDER BY 1 LIMIT ?"
        return tuple(self._told(number, *row) for row in self._rows(query, number, after, most))

    def face(self, kind: Kind, collection_id: str, face_id: str, person_id: str | None = None) -> KeptFace:
        """Return one face of a list, or of a person of a group."""
        collection, number = self._face(kind, collection_id, face_id, person_id)
        (row,) = self._rows("SELECT face_id, sealed FROM kept_face WHERE number = ?", number)
        return self._told(collection, *row)

    def change_face(
        self, kind: Kind, collection_id: str, face_id: str, user_data: str, person_id: str | None = None
    ) -> None:
        """Keep this user data in place of what was."""
        with self.transaction():
            collection, number = self._face(kind, collection_id, face_id, person_id)
            self._change("kept_face", number, {"user_data": user_data}, of_face(face_id, collection))

    def drop_face(self, kind: Kind, collection_id: str, face_id: str, person_id: str | None = None) -> None:
        """Erase one face; it is compared with nobody from then on, trained or not."""
        with self.transaction():
            _, number = self._face(kind, collection_id, face_id, person_id)
            self._db.execute("DELETE FROM kept_face WHERE number = ?", [number])

    def train(self, kind: Kind, collection_id: str, model_id: str, dimension: int) -> Training:
        """Let every face that is there now be compared, and return what came of it.

        It fails where there is none, or one that cannot be used with this model; then what was trained before holds.
        """
        number = self._number(kind, collection_id)
        rows = [self._stored(number, row) for row in self._rows(_FACES + _BY_AGE, number)]
        snapshot, findings = judge(rows, model_id, dimension, 0)
        failure = f"face {findings[0].reference_id} {findings[0].reason}" if findings else ""
        failure = failure or ("" if snapshot.size else "there is no face to train")
        with self.transaction():
            if not failure:
                self._db.execute("UPDATE kept_face SET trained = 1 WHERE collection = ?", [number])
                self._db.execute("UPDATE kept_collection SET trained_at = ? WHERE number = ?", [_now(), number])
            query = "UPDATE kept_collection SET tried_at = ?, failure = ? WHERE number = ?"
            self._db.execute(query, [_now(), failure, number])
        training = self.collection(kind, collection_id).training
        assert training is not None  # noqa: S101 - it has just been written
        return training

    def trained(self, kind: Kind, collection_id: str, model_id: str, dimension: int) -> GallerySnapshot:
        """Return the faces that were trained and are still there; each of a list counts as a person of its own id.

        Raises UntrainedError.
        """
        number = self._number(kind, collection_id)
        if self._one("SELECT 1 FROM kept_collection WHERE number = ? AND trained_at IS NOT NULL", number) is None:
            raise UntrainedError(kind)
        if self._seen != (seen := pragma(self._db, "data_version")):
            self._snapshots.clear()  # another process has written
            self._seen = seen
        found = self._snapshots.get(number)
        if found is None or found.model_id != model_id:
            rows = (self._stored(number, row) for row in self._rows(_FACES + " AND trained = 1" + _BY_AGE, number))
            found, findings = judge(rows, model_id, dimension, 0)
            if findings:  # of a model or a rotation that is no longer in use
                raise UntrainedError(kind)
            self._hold(number, found)
        return found

    def _hold(self, number: int, found: GallerySnapshot) -> None:
        """Hold what was opened in memory, and let go of what was opened longest ago where that is too much."""
        self._snapshots[number] = found
        while len(self._snapshots) > 1 and sum(one.size for one in self._snapshots.values()) > HELD_ROWS:
            del self._snapshots[next(iter(self._snapshots))]

    def turn(self, old: Protection) -> int:
        """Turn every template of the rotation `old` into the one in use, and return how many.

        One that cannot be opened stays as it is, and is compared with nobody.
        """
        rows = self._rows("SELECT number, collection, person, face_id, model_id, dimension, template FROM kept_face")
        with self.transaction():
            return sum(self._turned(old, row) for row in rows)

    def _turned(self, old: Protection, row: Sequence[Any]) -> bool:
        """Turn one template, inside a transaction, and tell whether that could be."""
        number, collection, person, face_id, model, dimension, sealed = row
        known = unseal(self._key, sealed, of_template(face_id, collection, person, model, old.protection_id))
        vector = None if known is None else decoded(known, dimension)
        if vector is None:
            return False
        plain = old.restore(Embedding(vector, model))
        new = self._protection
        bound = of_template(face_id, collection, person, model, new.protection_id)
        template = seal(self._key, encoded(rounded(new.protect(plain).vector)), bound)
        query = "UPDATE kept_face SET protection = ?, template = ? WHERE number = ?"
        self._db.execute(query, [new.protection_id, template, number])
        return True

    def of_person(self, group_id: str, person_id: str, model_id: str, dimension: int) -> GallerySnapshot:
        """Return the faces of one person, trained or not."""
        group = self._number(Kind.GROUP, group_id)
        person = self._person(group, person_id)
        rows = (self._stored(group, row) for row in self._rows(_FACES + " AND f.person = ?" + _BY_AGE, group, person))
        return judge(rows, model_id, dimension, 0)[0]

    def _rows(self, query: str, *values: object) -> list[Any]:
        with named_faults(KEPT, self.path):
            return self._db.execute(query, list(values)).fetchall()

    def _one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - a row of any columns
        return next(iter(self._rows(query, *values)), None)

    def _count(self, query: str, *values: object) -> int:
        return int(self._rows(query, *values)[0][0])

    def _room(self, what: str, most: int, query: str, *values: object) -> None:
        if self._count(query, *values) >= most:
            raise FullError(f"{most:,} {what} are kept already, and no more can be")

    def _number(self, kind: Kind, collection_id: str) -> int:
        row = self._one("SELECT number FROM kept_collection WHERE kind = ? AND collection_id = ?", kind, collection_id)
        if row is None:
            raise NotKeptError(kind)
        return int(row[0])

    def _person(self, group: int, person_id: str) -> int:
        row = self._one("SELECT number FROM kept_person WHERE collection = ? AND person_id = ?", group, person_id)
        if row is None:
            raise NotKeptError(Kind.PERSON)
        return int(row[0])

    def _face(self, kind: Kind, collection_id: str, face_id: str, person_id: str | None) -> tuple[int, int]:
        """Return the numbers of the face's collection and of the face, which belongs to that person."""
        collection = self._number(kind, collection_id)
        person = None if person_id is None else self._person(collection, person_id)
        query = "SELECT number FROM kept_face WHERE collection = ? AND face_id = ? AND person IS ?"
        row = self._one(query, collection, face_id, person)
        if row is None:
            raise NotKeptError(Kind.FACE)
        return collection, int(row[0])

    def _change(self, table: str, number: int, texts: dict[str, str], bound: bytes) -> None:
        """Seal these texts in the place of what was; inside a transaction."""
        sealed = self._rows(f"SELECT sealed FROM {table} WHERE number = ?", number)[0][0]  # noqa: S608 - our own words
        again = seal_fields(self._key, {**self._opened(sealed, bound), **texts}, bound)
        self._db.execute(f"UPDATE {table} SET sealed = ? WHERE number = ?", [again, number])  # noqa: S608 - our own words

    def _opened(self, sealed: bytes, bound: bytes) -> dict[str, Any]:
        fields = unseal_fields(self._key, sealed, bound)
        if fields is None:
            raise StorageError(f"{KEPT.what} {self.path} is damaged or altered: a record cannot be opened")
        return fields

    def _collection(self, kind: Kind, row: Sequence[Any]) -> Collection:
        _, collection_id, model, made_at, tried_at, trained_at, failure, sealed = row
        told = self._opened(sealed, of_collection(kind, collection_id))
        trained = None if trained_at is None else datetime.fromisoformat(trained_at)
        training = None if tried_at is None else Training(datetime.fromisoformat(tried_at), trained, failure)
        made = datetime.fromisoformat(made_at)
        return Collection(collection_id, told["name"], told["user_data"], model, told["answers_for"], made, training)

    def _told(self, collection: int, face_id: str, sealed: bytes) -> KeptFace:
        return KeptFace(face_id, self._opened(sealed, of_face(face_id, collection))["user_data"])

    def _stored(self, collection: int, row: Sequence[Any]) -> StoredReference:
        """Return a row as it is judged; a template that does not open is None."""
        face_id, person, person_id, model, turned, dimension, template = row
        vector = unseal(self._key, template, of_template(face_id, collection, person, model, turned))
        protected = turned == self._protection.protection_id
        return StoredReference(face_id, person_id, model, dimension, vector, has_person=True, protected=protected)


_FACES = """
    SELECT f.face_id, f.person, COALESCE(p.person_id, f.face_id), f.model_id, f.protection, f.dimension, f.template
    FROM kept_face f LEFT JOIN kept_person p ON p.number = f.person WHERE f.collection = ?
"""
_BY_AGE = " ORDER BY f.number"


def _now() -> str:
    return datetime.now(UTC).isoformat()
