"""Answers that were given to requests with an idempotency key, so that the same request again does nothing twice.

What was asked and answered is not readable here: requests stand as keyed hashes, answers are sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlite_utils import Migrations

from appliance.people.sealing import seal, unseal
from appliance.storage import DatabaseFile, Schema, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlite_utils import Database

    from appliance.commands.options import Installation

_MIGRATIONS = Migrations("ostiary.answers")
ANSWERS = Schema("answer book", 0x4F537052, 1, _MIGRATIONS)  # "OSpR"

KEPT_S = 24 * 3600.0
KEPT_EACH = 1000  # answers of one account or key; beyond, the oldest is forgotten
MAX_BYTES = 64 * 1024  # of an answer that is kept


@_MIGRATIONS(name="0001_answers")
def _first(db: Database) -> None:
    db.executescript("""
        CREATE TABLE answer (
            name BLOB PRIMARY KEY NOT NULL CHECK (length(name) = 32),
            voice TEXT NOT NULL,
            request BLOB NOT NULL CHECK (length(request) = 32),
            at REAL NOT NULL,
            sealed BLOB
        ) STRICT;
    """)


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered."""

    status: int
    media_type: str
    location: str  # the header of this name; "" for none
    body: str


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of an earlier request with the same key."""

    same: bool  # whether it was the same request
    answer: Answered | None  # None while it is carried out, and where that was cut short


class AnswerBook(DatabaseFile):
    """The book in the file at `path`; a connection belongs to one thread. `key` is a secret of the device, 32 bytes.

    Every change is durable on return. Raises StorageError, one line that names the file, where that is damaged,
    foreign, or cannot be written. `clock` is the wall clock, `each` how many of one account or key are kept.
    """

    def __init__(self, path: Path, key: bytes, clock: Callable[[], float] = time.time, each: int = KEPT_EACH) -> None:
        super().__init__(path, ANSWERS)
        self._secret = key
        self._key = AESGCM(key)
        self._clock = clock
        self._each = each

    def begin(self, voice: str, key: str, request: bytes) -> Before | None:
        """Note that a request with this key is carried out from now on; or return what is known of an earlier one."""
        name, now = self._name(voice, key), self._clock()
        told = self._hash(b"request", request)
        with named_faults(ANSWERS, self.path), one_change(self._db):
            # A time that lies ahead is of a clock that was set back, and would be kept for ever.
            self._db.execute("DELETE FROM answer WHERE at <= ? OR at > ?", [now - KEPT_S, now])
            row = self._db.execute("SELECT request, sealed FROM answer WHERE name = ?", [name]).fetchone()
            if row is not None:
                return Before(hmac.compare_digest(row[0], told), self._opened(row[1], name))
            self._db.execute("INSERT INTO answer VALUES (?, ?, ?, ?, NULL)", [name, voice, told, now])
            oldest = "SELECT name FROM answer WHERE voice = ? ORDER BY at DESC LIMIT -1 OFFSET ?"
            self._db.execute(f"DELETE FROM answer WHERE name IN ({oldest})", [voice, self._each])  # noqa: S608 - ours
        return None

    def keep(self, voice: str, key: str, answer: Answered) -> None:
        """Keep what was answered; of one too large, only that there was one."""
        name, written = self._name(voice, key), json.dumps(asdict(answer)).encode()
        if len(written) > MAX_BYTES:
            return
        with named_faults(ANSWERS, self.path), one_change(self._db):
            self._db.execute("UPDATE answer SET sealed = ? WHERE name = ?", [seal(self._key, written, name), name])

    def forget(self, voice: str, key: str) -> None:
        """Free the key: nothing was done."""
        with named_faults(ANSWERS, self.path), one_change(self._db):
            self._db.execute("DELETE FROM answer WHERE name = ?", [self._name(voice, key)])

    def _opened(self, sealed: bytes | None, name: bytes) -> Answered | None:
        written = None if sealed is None else unseal(self._key, sealed, name)
        return None if written is None else Answered(**json.loads(written))

    def _name(self, voice: str, key: str) -> bytes:
        return self._hash(b"key", f"{voice}\0{key}".encode())

    def _hash(self, what: bytes, value: bytes) -> bytes:
        return hmac.digest(self._secret, what + b"\0" + value, hashlib.sha256)


@contextmanager
def open_answers(installation: Installation) -> Iterator[AnswerBook]:
    """Give the book while the block runs. Raises StorageError."""
    with installation.open_gallery() as gallery:
        key = gallery.keyring.secret("answers")
    with AnswerBook(installation.answers_file, key) as book:
        yield book
