"""The schema of kept faces, and what its rows are once they are opened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.errors import RefusedError
from appliance.storage import Schema

if TYPE_CHECKING:
    from datetime import datetime

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.kept_faces")
KEPT = Schema("kept faces", 0x4F537046, 1, _MIGRATIONS)  # "OSpF"


@_MIGRATIONS(name="0001_kept")
def _first_kept(db: Database) -> None:
    # `sealed` holds names, user data and who answers for the consent; `template` the face, turned as the gallery's.
    db.executescript("""
        CREATE TABLE kept_collection (
            number INTEGER PRIMARY KEY,
            kind TEXT NOT NULL CHECK (kind IN ('face list', 'person group')),
            collection_id TEXT NOT NULL CHECK (length(collection_id) BETWEEN 1 AND 64),
            recognition_model TEXT NOT NULL,
            made_at TEXT NOT NULL,
            made_by TEXT NOT NULL CHECK (length(made_by) > 0),
            tried_at TEXT,
            trained_at TEXT,
            failure TEXT NOT NULL DEFAULT '',
            sealed BLOB NOT NULL,
            UNIQUE (kind, collection_id)
        ) STRICT;
        CREATE TABLE kept_person (
            number INTEGER PRIMARY KEY,
            person_id TEXT NOT NULL UNIQUE,
            collection INTEGER NOT NULL REFERENCES kept_collection (number) ON DELETE CASCADE,
            sealed BLOB NOT NULL
        ) STRICT;
        CREATE INDEX kept_person_of ON kept_person (collection, person_id);
        CREATE TABLE kept_face (
            number INTEGER PRIMARY KEY,
            face_id TEXT NOT NULL UNIQUE,
            collection INTEGER NOT NULL REFERENCES kept_collection (number) ON DELETE CASCADE,
            person INTEGER REFERENCES kept_person (number) ON DELETE CASCADE,
            model_id TEXT NOT NULL,
            protection TEXT NOT NULL,
            dimension INTEGER NOT NULL CHECK (dimension > 0),
            added_at TEXT NOT NULL,
            trained INTEGER NOT NULL DEFAULT 0 CHECK (trained IN (0, 1)),
            template BLOB NOT NULL,
            sealed BLOB NOT NULL
        ) STRICT;
        CREATE INDEX kept_face_of ON kept_face (collection, face_id);
        CREATE INDEX kept_face_of_person ON kept_face (person, face_id);
    """)


class Kind(StrEnum):
    """What can be kept; the first two are collections of the last two."""

    LIST = "face list"
    GROUP = "person group"
    PERSON = "person"
    FACE = "persisted face"


class NotKeptError(RefusedError):
    """What was named is not kept here."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"the {kind} is not found")
        self.kind = kind


class AlreadyKeptError(RefusedError):
    """A collection of this id is there."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"a {kind} of this id is there already")
        self.kind = kind


class FullError(RefusedError):
    """As many are kept as can be."""


class UntrainedError(RefusedError):
    """The collection was never trained, so nothing is compared with it."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"the {kind} is not trained")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Training:
    """What came of the newest training of a collection."""

    tried_at: datetime  # UTC
    trained_at: datetime | None  # UTC; the newest that succeeded
    failure: str  # "" where the newest succeeded


@dataclass(frozen=True, slots=True)
class Collection:
    """One face list or group of people."""

    collection_id: str
    name: str
    user_data: str
    recognition_model: str  # what its maker called the model by
    answers_for: str  # who answers for the consent of those in it
    made_at: datetime  # UTC
    training: Training | None  # None: never tried


@dataclass(frozen=True, slots=True)
class KeptPerson:
    """One person of a group."""

    person_id: str
    name: str
    user_data: str
    face_ids: tuple[str, ...]  # sorted


@dataclass(frozen=True, slots=True)
class KeptFace:
    """One face of a list or of a person, as far as it is ever told."""

    face_id: str
    user_data: str
