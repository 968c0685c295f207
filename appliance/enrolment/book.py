"""What enrolment must remember besides people: open invitations, and what was enrolled in bulk. No name in plain."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.storage import DatabaseFile, Schema, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.enrolment")
ENROLMENT = Schema("enrolment book", 0x4F537042, 1, _MIGRATIONS)  # "OSpB"


@_MIGRATIONS(name="0001_enrolment")
def _first(db: Database) -> None:
    db.executescript("""
        CREATE TABLE invitation (
            invitation_id TEXT PRIMARY KEY NOT NULL CHECK (length(invitation_id) = 16),
            subject TEXT NOT NULL CHECK (length(subject) = 32),
            not_before INTEGER NOT NULL,
            until INTEGER NOT NULL CHECK (until > not_before),
            tries INTEGER NOT NULL DEFAULT 0,
            sealed BLOB NOT NULL
        ) STRICT;
        CREATE TABLE item (
            digest BLOB PRIMARY KEY NOT NULL CHECK (length(digest) = 32),
            person_id TEXT NOT NULL,
            at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
    """)


class BulkBook(DatabaseFile):
    """Which photos of whom were enrolled in bulk before; a connection belongs to one thread.

    `key` is a secret of the device, so that nobody can try names or photos against the file. Every change is durable on
    return. Raises StorageError, one line that names the file, where that is damaged, foreign, or cannot be written.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__(path, ENROLMENT)
        self._key = key

    def digest(self, name: str, external_id: str, photos: Sequence[bytes]) -> bytes:
        """Return what tells these photos of this person from all others, whatever their order: 32 bytes."""
        parts = [name.encode(), external_id.encode(), *sorted(hashlib.sha256(photo).digest() for photo in photos)]
        whole = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            whole.update(len(part).to_bytes(8) + part)
        return whole.digest()

    def enrolled(self, digest: bytes) -> str | None:
        """Return whom these photos were enrolled as; None for nobody."""
        with named_faults(ENROLMENT, self.path):
            row = self._db.execute("SELECT person_id FROM item WHERE digest = ?", [digest]).fetchone()
        return None if row is None else str(row[0])

    def note(self, digest: bytes, person_id: str) -> None:
        """Keep that these photos were enrolled as this person."""
        with named_faults(ENROLMENT, self.path), one_change(self._db):
            values = [digest, person_id, datetime.now(UTC).isoformat()]
            self._db.execute("INSERT OR REPLACE INTO item VALUES (?, ?, ?)", values)
