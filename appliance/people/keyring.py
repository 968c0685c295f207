"""The keyring: one data key a person, wrapped, in a file of its own that no backup holds.

Whoever's key is destroyed cannot be read again, here or in any copy of the gallery. What remains is a tombstone, by
which an old copy that is put back is cleaned when it is opened.

device key -> vault key -> one key a person, and the secrets of the device. AES-256-GCM throughout; what a wrapped key
belongs to is bound to it.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlite_utils import Migrations

from appliance.errors import RefusedError, StorageError
from appliance.people.device_key import KEY_BYTES, DeviceKey, KeyStore
from appliance.storage import DatabaseFile, Schema, commit, empty_log, named_faults, one_change, pragma

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Literal

    from sqlite_utils import Database

NONCE_BYTES = 12

_SETTLE = (
    """INSERT OR IGNORE INTO tombstone SELECT person_id, erased_at, key_hash FROM retired_key
    WHERE erased_at IS NOT NULL AND since < :revision""",
    """INSERT OR REPLACE INTO person_key SELECT person_id, wrapped FROM retired_key
    WHERE wrapped IS NOT NULL AND since >= :revision""",
    "INSERT OR REPLACE INTO secret SELECT name, wrapped, made_at FROM retired_secret WHERE since >= :revision",
    "DELETE FROM retired_key",
    "DELETE FROM retired_secret",
)
_RETIRE = """
    INSERT INTO retired_key
    VALUES (:id, (SELECT wrapped FROM person_key WHERE person_id = :id), :at, :hash, :since)
    ON CONFLICT (person_id) DO UPDATE SET erased_at = excluded.erased_at, key_hash = excluded.key_hash
"""

# One statement, so of one moment. Whoever has two keys is given the second.
_READABLE = """
    SELECT person_id, wrapped FROM person_key
    WHERE :some IS NULL OR person_id IN (SELECT value FROM json_each(:some))
    UNION ALL SELECT person_id, wrapped FROM retired_key
    WHERE wrapped IS NOT NULL AND (:some IS NULL OR person_id IN (SELECT value FROM json_each(:some)))
"""

_MIGRATIONS = Migrations("ostiary.keys")
KEYS = Schema("keyring", 0x4F53704B, 1, _MIGRATIONS)  # "OSpK"


@_MIGRATIONS(name="0001_keys")
def _first_keys(db: Database) -> None:
    db.executescript("""
        CREATE TABLE vault (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            device_key TEXT NOT NULL,
            wrapped BLOB NOT NULL CHECK (length(wrapped) = 60),
            made_at TEXT NOT NULL
        ) STRICT;
        CREATE TABLE person_key (
            person_id TEXT PRIMARY KEY NOT NULL,
            wrapped BLOB NOT NULL CHECK (length(wrapped) = 60)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE secret (
            name TEXT PRIMARY KEY NOT NULL,
            wrapped BLOB NOT NULL CHECK (length(wrapped) = 60),
            made_at TEXT NOT NULL
        ) STRICT;
        CREATE TABLE retired_key (
            person_id TEXT PRIMARY KEY NOT NULL,
            wrapped BLOB CHECK (length(wrapped) = 60),
            erased_at TEXT,
            key_hash TEXT,
            since INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE retired_secret (
            name TEXT PRIMARY KEY NOT NULL,
            wrapped BLOB NOT NULL CHECK (length(wrapped) = 60),
            made_at TEXT NOT NULL,
            since INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE tombstone (
            person_id TEXT PRIMARY KEY NOT NULL,
            erased_at TEXT NOT NULL,
            key_hash TEXT NOT NULL CHECK (length(key_hash) = 64)
        ) STRICT;
        CREATE TRIGGER nobody_comes_back BEFORE INSERT ON person_key
            WHEN EXISTS (SELECT 1 FROM tombstone WHERE person_id = NEW.person_id)
            BEGIN SELECT RAISE(ABORT, 'an erased person does not come back'); END;
        CREATE TRIGGER a_tombstone_stays BEFORE DELETE ON tombstone
            BEGIN SELECT RAISE(ABORT, 'a tombstone stays'); END;
    """)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Somebody who was erased: the id, which was random, and nothing else."""

    person_id: str
    erased_at: datetime  # UTC
    key_hash: str  # SHA-256 of the key that was destroyed, 64 hex digits


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What an auditor may know of the keys."""

    device_key: str  # id of the key in use, 16 hex digits
    source: Literal["credential", "file"]
    vault_made_at: datetime  # UTC; when the keys were last rotated
    people: int  # data keys
    erased: int  # tombstones
    secrets: tuple[str, ...]  # names


class Keyring(DatabaseFile):
    """The keys in `keys.db`; a connection belongs to one thread.

    Every change is durable on return. Raises StorageError, one line that names the file, where that is damaged,
    foreign, of a newer version, or where the device key it asks for is not here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, KEYS)
        try:
            self._store = KeyStore(path.parent)
            self._since: int | None = None  # the gallery's revision before the change of which ours is a part
            self._seen = -1
            self._vault = self._open_vault()
        except BaseException:
            self.close()
            raise

    @classmethod
    def beside(cls, gallery: Path) -> Keyring:
        """Return the keyring of the gallery in this file."""
        return cls(gallery.with_name("keys.db"))

    @contextmanager
    def transaction(self, since: int | None = None) -> Iterator[None]:
        """Make every change inside one change, kept only when the block ends without raising.

        With `since`, the gallery's revision, it is a part of a change of the gallery, which is kept after it: what is
        replaced or destroyed is only retired until `settle` knows whether the gallery kept its part.
        """
        if self._db.conn.in_transaction:
            yield
            return
        changes = self._db.conn.total_changes
        with named_faults(KEYS, self.path):
            self._db.execute("BEGIN IMMEDIATE")
        self._since = since
        try:
            yield
            with named_faults(KEYS, self.path):  # and not around the block: its faults are somebody else's
                commit(self._db)
        finally:
            self._since = None
            self._db.rollback()
        if self._db.conn.total_changes != changes:
            empty_log(self._db)  # in which a destroyed key would still stand

    def unsettled(self) -> bool:
        """Tell whether something was retired by a change of the gallery that may not have been kept."""
        query = "SELECT EXISTS (SELECT 1 FROM retired_key) OR EXISTS (SELECT 1 FROM retired_secret)"
        with named_faults(KEYS, self.path):
            return bool(self._db.execute(query).fetchone()[0])

    def settle(self, revision: int) -> bool:
        """Destroy what was retired by changes that the gallery kept, and take back what was by changes it did not.

        `revision` is the gallery's; nobody else may change the gallery meanwhile. Tells whether a secret was retired.
        """
        with self.transaction(), named_faults(KEYS, self.path):
            secrets = self._db.execute("SELECT EXISTS (SELECT 1 FROM retired_secret)").fetchone()[0]
            for change in _SETTLE:
                self._db.execute(change, {"revision": revision})
        return bool(secrets)

    def new(self, person_id: str) -> AESGCM:
        """Return a new key for a new person. Raises StorageError for somebody who was erased."""
        key = os.urandom(KEY_BYTES)
        with self.transaction(), named_faults(KEYS, self.path):
            wrapped = _wrap(self._current(), key, _of_person(person_id))
            self._db.execute("INSERT INTO person_key VALUES (?, ?)", [person_id, wrapped])
        return AESGCM(key)

    def renew(self, person_id: str) -> AESGCM:
        """Return a new key in place of the person's old one, under which nothing can be read from then on."""
        with self.transaction(), named_faults(KEYS, self.path):
            self._retire(person_id, None)
            self._db.execute("DELETE FROM person_key WHERE person_id = ?", [person_id])
            return self.new(person_id)

    def key(self, person_id: str) -> AESGCM | None:
        """Return the person's key; None where there is none, or it cannot be unwrapped."""
        with named_faults(KEYS, self.path):
            row = self._db.execute("SELECT wrapped FROM person_key WHERE person_id = ?", [person_id]).fetchone()
        key = None if row is None else _unwrap(self._current(), row[0], _of_person(person_id))
        return None if key is None else AESGCM(key)

    def keys_of(self, person_ids: Sequence[str]) -> dict[str, AESGCM]:
        """Return these people's keys, by id; without those there is none of."""
        query = "SELECT person_id, wrapped FROM person_key WHERE person_id IN (SELECT value FROM json_each(:some))"
        return {person_id: AESGCM(key) for person_id, key in self._unwrapped(query, person_ids).items()}

    def readable(self, person_ids: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the keys under which these people's rows lie in the gallery as it is read now, by id; None for all.

        A change of the gallery that another process has half made has retired a key here already, and is not to be
        seen there yet: the rows are opened with the retired one, and people who are being erased are seen whole.
        """
        return self._unwrapped(_READABLE, person_ids)

    def keys(self) -> dict[str, bytes]:
        """Return every person's key, by id; one that cannot be unwrapped is left out. 0.15 s for 100,000."""
        return self._unwrapped("SELECT person_id, wrapped FROM person_key")

    def opened(self) -> dict[str, AESGCM]:
        """Return what `keys` does, ready to open with; 0.4 s for 100,000."""
        return {person_id: AESGCM(key) for person_id, key in self.keys().items()}

    def destroy(self, person_id: str) -> Tombstone:
        """Destroy the person's key for good, and return what remains of it."""
        with self.transaction(), named_faults(KEYS, self.path):
            row = self._db.execute("SELECT wrapped FROM person_key WHERE person_id = ?", [person_id]).fetchone()
            key = None if row is None else _unwrap(self._current(), row[0], _of_person(person_id))
            left = Tombstone(person_id, datetime.now(UTC), hashlib.sha256(key or b"").hexdigest())
            self._retire(person_id, left)
            self._db.execute("DELETE FROM person_key WHERE person_id = ?", [person_id])
            if self._since is None:
                values = [person_id, left.erased_at.isoformat(), left.key_hash]
                self._db.execute("INSERT OR IGNORE INTO tombstone VALUES (?, ?, ?)", values)
        return left

    def tombstones(self) -> tuple[Tombstone, ...]:
        """Return everybody who was erased, by time."""
        with named_faults(KEYS, self.path):
            rows = self._db.execute(
                "SELECT person_id, erased_at, key_hash FROM tombstone ORDER BY erased_at"
            ).fetchall()
        return tuple(Tombstone(person_id, _time(at, self.path), key_hash) for person_id, at, key_hash in rows)

    def buried(self, person_id: str) -> bool:
        """Tell whether this person was erased."""
        with named_faults(KEYS, self.path):
            return self._db.execute("SELECT 1 FROM tombstone WHERE person_id = ?", [person_id]).fetchone() is not None

    def secret(self, name: str) -> bytes:
        """Return the device's own 32 bytes of this name, made when they are first asked for."""
        with named_faults(KEYS, self.path):
            row = self._db.execute("SELECT wrapped FROM secret WHERE name = ?", [name]).fetchone()
        if row is None:
            self._keep(name, os.urandom(KEY_BYTES), replaced=False)
            return self.secret(name)
        secret = _unwrap(self._current(), row[0], _of_secret(name))
        if secret is None:
            raise StorageError(f"keyring {self.path} is damaged: its secret {name} cannot be opened")
        return secret

    def renew_secret(self, name: str) -> bytes:
        """Return a new secret in place of the old one; inside a `transaction`, where the old one's work is redone."""
        self._keep(name, os.urandom(KEY_BYTES), replaced=True)
        return self.secret(name)

    def take_in(self, people: dict[str, bytes], secrets: dict[str, bytes], erased: Sequence[Tombstone]) -> int:
        """Take in the keys of a bundle, and return how many people's are new.

        Raises RefusedError where there are people whose secrets are others: nobody could be read any more.
        """
        with self.transaction(), named_faults(KEYS, self.path):
            here = dict(self._db.execute("SELECT person_id, person_id FROM person_key").fetchall())
            ours = {row[0] for row in self._db.execute("SELECT name FROM secret")} if here else set()
            if any(self.secret(name) != secret for name, secret in secrets.items() if name in ours):
                raise RefusedError(
                    "the bundle is another device's, and there are people here already; nothing was taken"
                )
            for stone in erased:
                values = [stone.person_id, stone.erased_at.isoformat(), stone.key_hash]
                self._db.execute("INSERT OR IGNORE INTO tombstone VALUES (?, ?, ?)", values)
                self._db.execute("DELETE FROM person_key WHERE person_id = ?", [stone.person_id])
            for name, secret in secrets.items():
                self._keep(name, secret, replaced=True)
            buried = {row[0] for row in self._db.execute("SELECT person_id FROM tombstone")}
            new = {one: key for one, key in people.items() if one not in here and one not in buried}
            vault = self._current()
            rows = [(person_id, _wrap(vault, key, _of_person(person_id))) for person_id, key in new.items()]
            self._db.conn.executemany("INSERT INTO person_key VALUES (?, ?)", rows)
        return len(new)

    def status(self) -> KeyStatus:
        """Return what may be known of the keys."""
        with named_faults(KEYS, self.path):
            device_key, made_at = self._db.execute("SELECT device_key, made_at FROM vault").fetchone()
            people, erased = (
                self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own words
                for table in ("person_key", "tombstone")
            )
            names = tuple(row[0] for row in self._db.execute("SELECT name FROM secret ORDER BY name"))
        source = self._store.find(device_key).source
        return KeyStatus(device_key, source, _time(made_at, self.path), people, erased, names)

    def rotate(self) -> KeyStatus:
        """Wrap everything anew under a new vault key and a new device key, and forget the old ones.

        A device key that is a credential stays, as only the system can make another. A power cut leaves the old
        keys or the new ones. The data keys themselves, and so the gallery, do not change.
        """
        fresh = self._store.fresh()
        with self.transaction(), named_faults(KEYS, self.path):
            old, new = self._current(), AESGCM(secret := os.urandom(KEY_BYTES))
            for table, column, bound in (
                ("person_key", "person_id", _of_person),
                ("retired_key", "person_id", _of_person),
                ("secret", "name", _of_secret),
                ("retired_secret", "name", _of_secret),
            ):
                rows = self._db.execute(f"SELECT {column}, wrapped FROM {table}").fetchall()  # noqa: S608 - our own words
                opened = ((name, _unwrap(old, wrapped, bound(name))) for name, wrapped in rows)
                # What cannot be opened now could not be later: it is left as it is, for whoever looks for the cause.
                again = ((_wrap(new, key, bound(name)), name) for name, key in opened if key is not None)
                self._db.conn.executemany(f"UPDATE {table} SET wrapped = ? WHERE {column} = ?", again)  # noqa: S608
            self._write_vault(fresh, secret)
        self._store.settle(fresh.key_id)
        self._store.retire(fresh.key_id)
        self._seen = -1
        return self.status()

    def _unwrapped(self, query: str, person_ids: Sequence[str] | None = None) -> dict[str, bytes]:
        """Return the keys that a query gives, by person, `some` of it these people; without what does not unwrap."""
        vault, some = self._current(), None if person_ids is None else json.dumps(list(person_ids))
        with named_faults(KEYS, self.path):
            rows = self._db.execute(query, {"some": some}).fetchall()
        opened = ((person_id, _unwrap(vault, wrapped, _of_person(person_id))) for person_id, wrapped in rows)
        return {person_id: key for person_id, key in opened if key is not None}

    def _retire(self, person_id: str, erased: Tombstone | None) -> None:
        """Keep the person's key until the gallery has kept its part, where this is a part of its change."""
        if self._since is None:
            return
        at, key_hash = (erased.erased_at.isoformat(), erased.key_hash) if erased else (None, None)
        self._db.execute(_RETIRE, {"id": person_id, "at": at, "hash": key_hash, "since": self._since})

    def _keep(self, name: str, secret: bytes, *, replaced: bool) -> None:
        verb = "INSERT OR REPLACE" if replaced else "INSERT OR IGNORE"
        with self.transaction(), named_faults(KEYS, self.path):
            if replaced and self._since is not None:
                old = "SELECT name, wrapped, made_at, ? FROM secret WHERE name = ?"
                self._db.execute(f"INSERT OR IGNORE INTO retired_secret {old}", [self._since, name])
            values = [name, _wrap(self._current(), secret, _of_secret(name)), datetime.now(UTC).isoformat()]
            self._db.execute(f"{verb} INTO secret VALUES (?, ?, ?)", values)

    def _current(self) -> AESGCM:
        """Return the vault key, read again where another process may have rotated it."""
        with named_faults(KEYS, self.path):
            if pragma(self._db, "data_version") != self._seen:
                self._vault = self._open_vault()
        return self._vault

    def _open_vault(self) -> AESGCM:
        with named_faults(KEYS, self.path):
            self._seen = pragma(self._db, "data_version")
            row = self._db.execute("SELECT device_key, wrapped FROM vault").fetchone()
        if row is None:
            row = self._first_vault()
        key_id, wrapped = row
        device = self._store.find(key_id)
        secret = _unwrap(AESGCM(device.secret), wrapped, _of_vault(key_id))
        if secret is None:
            raise StorageError(f"keyring {self.path} is damaged: its vault key cannot be opened")
        self._store.settle(key_id)
        return AESGCM(secret)

    def _first_vault(self) -> tuple[str, bytes]:
        device = self._store.first()
        with named_faults(KEYS, self.path), one_change(self._db):
            if self._db.execute("SELECT 1 FROM vault").fetchone() is None:  # else another process was quicker
                self._write_vault(device, os.urandom(KEY_BYTES))
            found: tuple[str, bytes] = self._db.execute("SELECT device_key, wrapped FROM vault").fetchone()
        return found

    def _write_vault(self, device: DeviceKey, secret: bytes) -> None:
        wrapped = _wrap(AESGCM(device.secret), secret, _of_vault(device.key_id))
        values = [device.key_id, wrapped, datetime.now(UTC).isoformat()]
        self._db.execute("INSERT OR REPLACE INTO vault VALUES (1, ?, ?, ?)", values)


def _wrap(by: AESGCM, key: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + by.encrypt(nonce, key, bound)


def _unwrap(by: AESGCM, wrapped: bytes, bound: bytes) -> bytes | None:
    try:
        return by.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
    except (InvalidTag, TypeError, ValueError):
        return None


def _of_person(person_id: str) -> bytes:
    return b"ostiary person key\0" + person_id.encode("utf-8", "replace")


def _of_secret(name: str) -> bytes:
    return b"ostiary secret\0" + name.encode("utf-8", "replace")


def _of_vault(device_key: str) -> bytes:
    return b"ostiary vault\0" + device_key.encode("utf-8", "replace")


def _time(text: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError) as fault:
        raise StorageError(f"keyring {path} is damaged: {text!r} is not a time") from fault
