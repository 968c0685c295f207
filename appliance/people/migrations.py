"""The gallery's schema, step by step. A migration that has been released is never edited; a change is a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.people.keyring import Keyring
from appliance.storage import Schema

if TYPE_CHECKING:
    from sqlite_utils import Database

_people = Migrations("ostiary.people")
GALLERY = Schema("gallery", 0x4F537047, 5, _people)  # "OSpG"


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


_OLD = ("reference", "pass", "access", "person", "consent")  # whoever points at another comes before it


@_people(name="0005_sealed")
def _sealed(db: Database) -> None:
    """Seal everything secret under a key of each person's own, kept in `keys.db`; give groups and photos a place."""
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'index')").fetchall():
        if not name.startswith("sqlite_"):
            db.execute(f"DROP {kind} {name}")
    for table in _OLD:
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in _SEALED:
        db.execute(statement)
    path = db.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0]
    if db.execute("SELECT 1 FROM old_person").fetchone() is not None:
        from appliance.people.taking_over import take_over  # noqa: PLC0415 - it needs what needs this file

        with Keyring.beside(Path(path)) as keyring, keyring.transaction():
            take_over(db, keyring)
    for table in _OLD:
        db.execute(f"DROP TABLE old_{table}")
    for table in ("consent", "person", "reference", "person_group", "membership", "tag"):
        _count_changes(db, table)
    for verb, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        tell = f"INSERT INTO reference_change (reference_id) VALUES ({row}.reference_id)"  # noqa: S608 - our own words
        db.execute(f"CREATE TRIGGER reference_{verb}_is_told AFTER {verb} ON reference BEGIN {tell}; END")


# Readable by anybody who has the file: random ids, times, numbers, group names, tags, consent. Sealed: name, external
# id and who consented (`who`); notes, PIN hashes and cards (`facts`); templates and photos (`sealed`). The `*_index`
# columns are keyed hashes. `facts` is bound to all that can be read of the person, so that an edit shows.
_SEALED = (
    """
    CREATE TABLE consent (
        consent_id TEXT PRIMARY KEY NOT NULL,
        text_version TEXT NOT NULL,
        text_hash TEXT NOT NULL,
        language TEXT NOT NULL,
        given_at TEXT NOT NULL,
        recorded_by TEXT NOT NULL,
        photos INTEGER NOT NULL CHECK (photos IN (0, 1)),
        withdrawn_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE person (
        number INTEGER PRIMARY KEY,
        person_id TEXT NOT NULL UNIQUE CHECK (length(person_id) = 32),
        consent_id TEXT NOT NULL UNIQUE REFERENCES consent (consent_id),
        enrolled_at TEXT NOT NULL,
        changed_at TEXT NOT NULL,
        last_seen_on TEXT,
        status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deny_listed')),
        valid_from TEXT,
        valid_until TEXT,
        always INTEGER NOT NULL DEFAULT 0 CHECK (always IN (0, 1)),
        extended INTEGER NOT NULL DEFAULT 0 CHECK (extended IN (0, 1)),
        factor TEXT NOT NULL DEFAULT 'none' CHECK (factor IN ('none', 'pin', 'pass', 'any')),
        max_fpir REAL CHECK (max_fpir > 0 AND max_fpir <= 0.1),
        name_index BLOB NOT NULL,
        external_index BLOB UNIQUE,
        who BLOB NOT NULL,
        facts BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX person_of_name ON person (name_index)",
    """
    CREATE TABLE name_word (
        word BLOB NOT NULL,
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        PRIMARY KEY (word, person_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX words_of_person ON name_word (person_id)",
    """
    CREATE TABLE card (
        card_index BLOB PRIMARY KEY NOT NULL,
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX cards_of_person ON card (person_id)",
    """
    CREATE TABLE person_group (
        group_id TEXT PRIMARY KEY NOT NULL,
        name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 63),
        kind TEXT NOT NULL CHECK (kind IN ('static', 'dynamic')),
        rule TEXT NOT NULL DEFAULT '',
        created_at TEXT NOT NULL,
        seal BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE membership (
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        group_id TEXT NOT NULL REFERENCES person_group (group_id) ON DELETE CASCADE,
        PRIMARY KEY (person_id, group_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX members_of_group ON membership (group_id)",
    """
    CREATE TABLE tag (
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        tag TEXT NOT NULL CHECK (length(tag) BETWEEN 1 AND 63),
        PRIMARY KEY (person_id, tag)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX people_of_tag ON tag (tag)",
    """
    CREATE TABLE reference (
        number INTEGER PRIMARY KEY,
        reference_id TEXT NOT NULL UNIQUE,
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        model_id TEXT NOT NULL,
        protection TEXT NOT NULL,
        dimension INTEGER NOT NULL CHECK (dimension > 0),
        grade INTEGER NOT NULL CHECK (grade BETWEEN 0 AND 2),
        source TEXT NOT NULL,
        captured_at TEXT NOT NULL,
        enrolled_at TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX reference_of_person ON reference (person_id, model_id)",
    """
    CREATE TABLE photo (
        photo_id TEXT PRIMARY KEY NOT NULL,
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        taken_at TEXT NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX photos_of_person ON photo (person_id)",
    """
    CREATE TABLE pass (
        pass_id TEXT PRIMARY KEY NOT NULL CHECK (length(pass_id) = 16),
        person_id TEXT NOT NULL REFERENCES person (person_id) ON DELETE CASCADE,
        not_before INTEGER NOT NULL,
        until INTEGER NOT NULL CHECK (until > not_before),
        uses INTEGER NOT NULL CHECK (uses > 0)
    ) STRICT
    """,
    "CREATE INDEX passes_of_person ON pass (person_id)",
    "CREATE TABLE reference_change (number INTEGER PRIMARY KEY AUTOINCREMENT, reference_id TEXT NOT NULL) STRICT",
    # Foreign keys bind only a connection that asks for them; the triggers bind every one (a person without a consent
    # cannot exist, and nothing outlives a person, whoever writes).
    """
    CREATE TRIGGER person_needs_consent BEFORE INSERT ON person
        WHEN NOT EXISTS (SELECT 1 FROM consent WHERE consent_id = NEW.consent_id)
        BEGIN SELECT RAISE(ABORT, 'a person needs a consent record'); END
    """,
    """
    CREATE TRIGGER consent_is_needed BEFORE DELETE ON consent
        WHEN EXISTS (SELECT 1 FROM person WHERE consent_id = OLD.consent_id)
        BEGIN SELECT RAISE(ABORT, 'a person needs a consent record'); END
    """,
    """
    CREATE TRIGGER photo_needs_consent BEFORE INSERT ON photo
        WHEN NOT EXISTS (SELECT 1 FROM person JOIN consent USING (consent_id)
            WHERE person_id = NEW.person_id AND photos = 1 AND withdrawn_at IS NULL)
        BEGIN SELECT RAISE(ABORT, 'a photo is kept only with consent to keep photos'); END
    """,
    """
    CREATE TRIGGER reference_needs_consent BEFORE INSERT ON reference
        WHEN EXISTS (SELECT 1 FROM person JOIN consent USING (consent_id)
            WHERE person_id = NEW.person_id AND withdrawn_at IS NOT NULL)
        BEGIN SELECT RAISE(ABORT, 'the consent of this person is withdrawn'); END
    """,
    """
    CREATE TRIGGER all_goes_with_person AFTER DELETE ON person BEGIN
        DELETE FROM name_word WHERE person_id = OLD.person_id;
        DELETE FROM card WHERE person_id = OLD.person_id;
        DELETE FROM membership WHERE person_id = OLD.person_id;
        DELETE FROM tag WHERE person_id = OLD.person_id;
        DELETE FROM reference WHERE person_id = OLD.person_id;
        DELETE FROM photo WHERE person_id = OLD.person_id;
        DELETE FROM pass WHERE person_id = OLD.person_id;
    END
    """,
    """
    CREATE TRIGGER pass_is_not_changed BEFORE UPDATE ON pass
        BEGIN SELECT RAISE(ABORT, 'a pass is revoked, not changed'); END
    """,
)
