"""The gallery's schema, step by step. A migration that has been released is never edited; a change is a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.storage import Schema

if TYPE_CHECKING:
    from sqlite_utils import Database

_people = Migrations("ostiary.people")
GALLERY = Schema("gallery", 0x4F537047, 4, _people)  # "OSpG"


@_people(name="0001_people")
def _first_people(db: Database) -> None:
    # Foreign keys bind only a connection that asks for them; the triggers bind every one (a person without
    # a consent cannot exist, whoever writes).
    db.executescript("""
        CREATE TABLE consent (
            consent_id TEXT PRIMARY KEY NOT NULL,
            given_by TEXT NOT NULL CHECK (length(given_by) BETWEEN 1 AND 200),
            language TEXT NOT NULL,
            given_at TEXT NOT NULL
        ) STRICT;
        CREATE TABLE person (
            person_id TEXT PRIMARY KEY NOT NULL,
            name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
            consent_id TEXT NOT NULL UNIQUE REFERENCES consent (consent_id),
            enrolled_at TEXT NOT NULL
        ) STRICT;
        CREATE TABLE reference (
            number INTEGER PRIMARY KEY,
            reference_id TEXT NOT NULL UNIQUE,
            person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
            model_id TEXT NOT NULL,
            dimension INTEGER NOT NULL CHECK (dimension > 0),
            grade INTEGER NOT NULL CHECK (grade BETWEEN 0 AND 2),
            vector BLOB NOT NULL CHECK (length(vector) = 4 * dimension),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            enrolled_at TEXT NOT NULL
        ) STRICT;
        CREATE INDEX reference_of_person ON reference (person_id);
        CREATE TABLE change (number INTEGER NOT NULL) STRICT;
        INSERT INTO change VALUES (0);
        CREATE TRIGGER person_needs_consent BEFORE INSERT ON person
            WHEN NOT EXISTS (SELECT 1 FROM consent WHERE consent_id = NEW.consent_id)
            BEGIN SELECT RAISE(ABORT, 'a person needs a consent record'); END;
        CREATE TRIGGER consent_is_needed BEFORE DELETE ON consent
            WHEN EXISTS (SELECT 1 FROM person WHERE consent_id = OLD.consent_id)
            BEGIN SELECT RAISE(ABORT, 'a person needs a consent record'); END;
    """)
    for table in ("consent", "person", "reference"):
        _count_changes(db, table)


@_people(name="0002_calibration")
def _calibration(db: Database) -> None:
    # The tail of the gallery's own comparisons, one a model; JSON as in models/manifest.toml.
    db.execute("""
        CREATE TABLE calibration (
            model_id TEXT PRIMARY KEY NOT NULL,
            tail TEXT NOT NULL
        ) STRICT
    """)


@_people(name="0003_access")
def _access(db: Database) -> None:
    # Nobody has a row until something is said of them. The trigger erases it with the person on every connection.
    db.executescript("""
        CREATE TABLE access (
            person_id TEXT PRIMARY KEY NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
            status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deny_listed')),
            valid_from TEXT,
            valid_until TEXT,
            groups TEXT NOT NULL DEFAULT '[]',
            always INTEGER NOT NULL DEFAULT 0 CHECK (always IN (0, 1)),
            extended INTEGER NOT NULL DEFAULT 0 CHECK (extended IN (0, 1)),
            factor TEXT NOT NULL DEFAULT 'none' CHECK (factor IN ('none', 'pin', 'pass', 'any')),
            pin_hash TEXT NOT NULL DEFAULT '',
            duress_hash TEXT NOT NULL DEFAULT ''
        ) STRICT;
        CREATE TRIGGER access_goes_with_person AFTER DELETE ON person
            BEGIN DELETE FROM access WHERE person_id = OLD.person_id; END;
    """)
    _count_changes(db, "access")


def _count_changes(db: Database, table: str) -> None:
    for verb in ("INSERT", "UPDATE", "DELETE"):
        bump = "UPDATE change SET number = number + 1"
        db.execute(f"CREATE TRIGGER {table}_{verb}_counts AFTER {verb} ON {table} BEGIN {bump}; END")


@_people(name="0004_passes")
def _passes(db: Database) -> None:
    # Here, and not in a file of their own, so that whoever is erased takes theirs along.
    db.executescript("""
        CREATE TABLE pass (
            pass_id TEXT PRIMARY KEY NOT NULL CHECK (length(pass_id) = 16),
            person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
            not_before INTEGER NOT NULL,
            until INTEGER NOT NULL CHECK (until > not_before),
            uses INTEGER NOT NULL CHECK (uses > 0)
        ) STRICT;
        CREATE TRIGGER passes_go_with_person AFTER DELETE ON person
            BEGIN DELETE FROM pass WHERE person_id = OLD.person_id; END;
        CREATE TRIGGER pass_is_not_changed BEFORE UPDATE ON pass
            BEGIN SELECT RAISE(ABORT, 'a pass is revoked, not changed'); END;
    """)
