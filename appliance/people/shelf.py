"""The shelf: references and photos as they lie in the gallery, sealed, and how they are opened for whoever compares."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import RefusedError
from appliance.fixed_point import rounded
from appliance.people.keyring import NONCE_BYTES
from appliance.people.person import ReferenceFacts
from appliance.people.protection import Protection
from appliance.people.sealing import TEMPLATE, decoded, encoded, of_photo, of_reference, seal, unseal
from appliance.people.snapshot import MAX_REFERENCES, NORM_TOLERANCE, Sound, StoredReference
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from sqlite_utils import Database

    from appliance.people.keyring import Keyring
    from appliance.people.person import Source
    from appliance.people.register import Record

_SOME = """
    SELECT r.reference_id, r.person_id, r.model_id, r.protection, r.dimension, r.sealed, p.person_id IS NOT NULL,
    (SELECT COUNT(*) FROM (SELECT 1 FROM reference o WHERE o.person_id = r.person_id AND o.model_id = r.model_id
    AND o.number < r.number LIMIT :most))
    FROM reference r LEFT JOIN person p USING (person_id)
    WHERE r.reference_id IN (SELECT value FROM json_each(:some)) ORDER BY r.number
"""
_ALL = """
    SELECT CAST(reference_id AS BLOB), CAST(person_id AS BLOB), CAST(model_id AS BLOB), CAST(protection AS BLOB),
    dimension, sealed FROM reference ORDER BY number
"""
_AT_ONCE = 8192  # references read into memory together; of more, glibc gives the memory back every time

_Row = tuple[bytes, bytes, bytes, bytes, int, bytes]  # reference, person, model, rotation, dimension, sealed


class Shelf:
    """The references and photos of one gallery. Faults of the database are raised as they are."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring
        self._protection: Protection | None = None

    @property
    def protection(self) -> Protection:
        """The rotation that every template has."""
        if self._protection is None:
            self._protection = Protection(self._keyring.secret("protection"))
        return self._protection

    def forget_protection(self) -> None:
        """Read the rotation again when it is next asked for."""
        self._protection = None

    def put(
        self,
        record: Record,
        rows: Sequence[tuple[Embedding, Grade]],
        source: Source,
        captured_at: datetime | None,
        photos: Sequence[bytes],
    ) -> None:
        """Write the person's new references and photos; inside a transaction.

        Raises RefusedError for a vector that is no unit vector, and for photos without the consent to keep them.
        """
        if photos and not record.photos:
            raise RefusedError("photos are given, but the consent is not to keep any")
        key, protection = self._keyring.key(record.person_id), self.protection.protection_id
        assert key is not None  # noqa: S101 - the register has just used it
        now = datetime.now(UTC)
        at = (captured_at or now).astimezone(UTC).isoformat()
        for embedding, grade in rows:
            reference_id, model_id = uuid.uuid4().hex, embedding.model_id
            sealed = seal(key, _unit(embedding), of_reference(reference_id, record.person_id, model_id, protection))
            self._db.execute(
                "INSERT INTO reference VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [reference_id, record.person_id, model_id, protection, len(embedding.vector), int(grade), source.value,
                 at, now.isoformat(), sealed],
            )  # fmt: skip
        for photo in photos:
            photo_id = uuid.uuid4().hex
            sealed = seal(key, photo, of_photo(photo_id, record.person_id))
            self._db.execute("INSERT INTO photo VALUES (?, ?, ?, ?)", [photo_id, record.person_id, at, sealed])

    def count(self, person_id: str, table: Literal["reference", "photo"] = "reference") -> int:
        """Return how many there are of this person."""
        query = f"SELECT COUNT(*) FROM {table} WHERE person_id = ?"  # noqa: S608 - our own words
        return int(self._db.execute(query, [person_id]).fetchone()[0])

    def facts(self, person_id: str) -> tuple[ReferenceFacts, ...]:
        """Return what may be read of the person's references, by age. Raises ValueError for a time that is none."""
        query = (
            "SELECT reference_id, model_id, protection, grade, source, captured_at, enrolled_at FROM reference "
            "WHERE person_id = ? ORDER BY number"
        )
        return tuple(
            ReferenceFacts(
                one, model, protection, Grade(grade), source, datetime.fromisoformat(at), datetime.fromisoformat(since)
            )
            for one, model, protection, grade, source, at, since in self._db.execute(query, [person_id]).fetchall()
        )

    def photos(self, person_id: str) -> tuple[bytes, ...]:
        """Return the photos that were kept of the person, JPEG; one that cannot be opened is left out."""
        query = "SELECT photo_id, sealed FROM photo WHERE person_id = ? ORDER BY taken_at, photo_id"
        rows = self._db.execute(query, [person_id]).fetchall()
        key = self._keyring.key(person_id) if rows else None
        if key is None:
            return ()
        opened = (unseal(key, sealed, of_photo(photo_id, person_id)) for photo_id, sealed in rows)
        return tuple(photo for photo in opened if photo is not None)

    def vectors(self, person_id: str) -> dict[str, Embedding]:
        """Return the person's templates as they are compared, by reference id; what cannot be opened is left out."""
        query = (
            "SELECT reference_id, model_id, protection, dimension, sealed FROM reference WHERE person_id = ? "
            "ORDER BY number"
        )
        key, found = self._keyring.key(person_id), {}
        for reference_id, model_id, protection, dimension, sealed in self._db.execute(query, [person_id]).fetchall():
            vector = _opened(key, sealed, of_reference(reference_id, person_id, model_id, protection), dimension)
            if vector is not None:
                found[reference_id] = Embedding(vector, model_id)
        return found

    def renew(self) -> int:
        """Turn every template by a new secret rotation, and return how many; inside a transaction.

        One that cannot be opened stays as it is.
        """
        old, new = self.protection, Protection(self._keyring.renew_secret("protection"))
        rows = self._db.conn.execute(
            "SELECT number, reference_id, person_id, model_id, protection, dimension, sealed FROM reference"
        )
        keys, changed = self._keyring.opened(), []
        for number, reference_id, person_id, model_id, protection, dimension, sealed in rows:
            key = keys.get(person_id)
            vector = _opened(key, sealed, of_reference(reference_id, person_id, model_id, protection), dimension)
            if key is None or vector is None or protection != old.protection_id:
                continue
            turned = new.protect_all(old.restore_all(vector[np.newaxis], model_id), model_id)[0]
            turned = rounded((turned / np.linalg.norm(turned)).astype(np.float32))
            bound = of_reference(reference_id, person_id, model_id, new.protection_id)
            changed.append((new.protection_id, seal(key, encoded(turned), bound), number))
        self._db.conn.executemany("UPDATE reference SET protection = ?, sealed = ? WHERE number = ?", changed)
        return len(changed)

    def rows(self, wanted: set[str]) -> Iterator[list[StoredReference]]:
        """Open these references, by age, a few thousand at a time."""
        if wanted:
            found = self._db.conn.execute(_SOME, {"some": json.dumps(sorted(wanted)), "most": MAX_REFERENCES})
            keys = dict[str, bytes | None]()
            while rows := found.fetchmany(_AT_ONCE):
                # Of somebody's rows all or none can be opened, whoever erases them meanwhile.
                new = {row[1] for row in rows} - keys.keys()
                keys |= dict.fromkeys(new) | self._keyring.readable(sorted(new))
                yield list(self._opened_rows(rows, keys))

    def everything(self) -> Iterator[list[StoredReference]]:
        """Open every reference, by age, a few thousand at a time."""
        whole = self._whole()
        return (list(whole.opened(rows)) for rows in self._pages())

    def sound(self, model_id: str, dimension: int) -> Iterator[list[StoredReference] | Sound]:
        """Open every reference, those of this model in an eighth of the time that one by one would take.

        A gallery may have 300,000. Where anything of a page is out of the ordinary, all of it comes row by row.
        """
        whole = self._whole()
        for rows in self._pages():
            yield whole.sound(rows, model_id.encode(), dimension) or list(whole.opened(rows))

    def _pages(self) -> Iterator[list[_Row]]:
        """Read whole tables instead of a row here and there, and texts as bytes."""
        found = self._db.conn.execute(_ALL)
        while rows := found.fetchmany(_AT_ONCE):
            yield rows

    def _whole(self) -> _Whole:
        many = self._db.conn.execute(
            "SELECT CAST(person_id AS BLOB) FROM reference GROUP BY person_id, model_id HAVING COUNT(*) > ?",
            [MAX_REFERENCES],
        )
        return _Whole(
            {person_id.encode(): key for person_id, key in self._keyring.readable().items()},
            {one.person_id.encode() for one in self._keyring.tombstones()},
            {row[0] for row in self._db.conn.execute("SELECT CAST(person_id AS BLOB) FROM person")},
            {row[0] for row in many},
            self.protection.protection_id.encode(),
        )

    def _opened_rows(
        self, rows: Sequence[Sequence[Any]], keys: Mapping[str, bytes | None]
    ) -> Iterator[StoredReference]:
        current = self.protection.protection_id
        for reference_id, person_id, model_id, protection, dimension, sealed, has_person, earlier in rows:
            key = keys[person_id]
            if key is None and self._keyring.buried(person_id):  # erased since we began to read
                continue
            bound = of_reference(reference_id, person_id, model_id, protection)
            vector = None if key is None else unseal(AESGCM(key), sealed, bound)
            turned = protection == current
            yield StoredReference(reference_id, person_id, model_id, dimension, vector, has_person, earlier, turned)


@dataclass(frozen=True, slots=True)
class _Whole:
    """What must be known to open a whole gallery; ids in UTF-8. A person's rows mostly lie together."""

    keys: dict[bytes, bytes]
    buried: set[bytes]
    people: set[bytes]
    crowded: set[bytes]  # who has more references of one model than are compared
    rotation: bytes  # in use
    counted: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)  # by person and model

    def sound(self, rows: list[_Row], model_id: bytes, dimension: int) -> Sound | None:
        """Return the rows, opened; None where one is not as nearly all are."""
        owner, opened = b"", AESGCM(bytes(32)).decrypt
        references, people, vectors = [], [], []
        ends, sizes = b"\0" + model_id + b"\0" + self.rotation, {2 * dimension, 4 * dimension}
        try:
            for reference, person, model, rotation, numbers, sealed in rows:
                if model != model_id or rotation != self.rotation or numbers != dimension:
                    return None
                if person != owner:
                    if person not in self.people or person in self.crowded:
                        return None
                    owner, opened = person, AESGCM(self.keys[person]).decrypt
                bound = TEMPLATE + reference + b"\0" + person + ends
                vector = opened(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
                if len(vector) not in sizes:
                    return None
                references.append(reference)
                people.append(person)
                vectors.append(vector)
        except (InvalidTag, KeyError, TypeError, ValueError):
            return None
        return Sound(references, people, vectors)

    def opened(self, rows: list[_Row]) -> Iterator[StoredReference]:
        """Open the rows, whatever they are; without those of people who were erased since we began to read."""
        for reference, person, model, rotation, dimension, sealed in rows:
            key = self.keys.get(person)
            if key is None and person in self.buried:
                continue
            vector, earlier = None, 0
            if key is not None:
                vector = unseal(AESGCM(key), sealed, b"\0".join((TEMPLATE + reference, person, model, rotation)))
            if person in self.crowded:
                earlier = self.counted[person, model]
                self.counted[person, model] += 1
            reference_id, person_id, model_id = (text.decode("utf-8", "replace") for text in (reference, person, model))
            known, turned = person in self.people, rotation == self.rotation
            yield StoredReference(reference_id, person_id, model_id, dimension, vector, known, earlier, turned)


def _opened(key: AESGCM | None, sealed: bytes, bound: bytes, dimension: int) -> NDArray[np.float32] | None:
    blob = None if key is None else unseal(key, sealed, bound)
    return None if blob is None else decoded(blob, dimension)


def _unit(embedding: Embedding) -> bytes:
    """Return the template as it is sealed. Raises RefusedError for what is no unit vector."""
    vector = np.asarray(embedding.vector, dtype="<f4")
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if vector.ndim != 1 or not abs(norm - 1) <= NORM_TOLERANCE:  # this way round, NaN is refused
        raise RefusedError(f"an embedding of shape {vector.shape} and length {norm:.6g} is not a unit vector")
    # What is stored is what is compared: half the memory for the matcher, and nothing is lost between the two.
    return encoded(rounded(vector))
