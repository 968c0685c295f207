"""A gallery from before there was sealing: everybody is taken over, and nothing readable is left behind."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlite_utils import Database

from appliance.access.subject import FactorPolicy, Status, Subject
from appliance.errors import StorageError
from appliance.people import taking_over
from appliance.people.gallery import Gallery
from appliance.people.migrations import GALLERY
from appliance.people.passes import PassBook
from appliance.pipeline.matching import search
from appliance.records import Embedding

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.people.keyring import Keyring

NOON = "2026-03-01T12:00:00+00:00"
ADA, BOB = "a" * 32, "b" * 32
D = 64
MARKS = (b"Marker-Ada", b"Marker-Consent", b"marker-hash")


def face(seed: int) -> NDArray[np.float32]:
    """Return a unit vector of its own for each seed."""
    numbers = np.random.default_rng(seed).normal(size=D)
    return (numbers / np.linalg.norm(numbers)).astype(np.float32)


def before_sealing(path: Path, migration: str = "0005_sealed") -> None:
    """Make a gallery as the version before `migration` left it: two people, three templates, one of them damaged."""
    db = Database(sqlite3.connect(path, isolation_level=None))
    db.execute("PRAGMA journal_mode=WAL")
    GALLERY.migrations.apply(db, stop_before=migration)
    db.execute(f"PRAGMA application_id = {GALLERY.application_id}")
    db.execute(f"PRAGMA user_version = {int(migration[:4]) - 1}")
    for person_id, name, given_by in ((ADA, "Marker-Ada", "Marker-Consent"), (BOB, "Bob", "Bob's mother")):
        db.execute("INSERT INTO consent VALUES (?, ?, 'pt-BR', ?)", [person_id, given_by, NOON])
        db.execute("INSERT INTO person VALUES (?, ?, ?, ?)", [person_id, name, person_id, NOON])
    for number, person_id in ((1, ADA), (2, ADA), (3, BOB)):
        blob = face(number).tobytes()
        seal = hashlib.sha256(f"r{number}\0{person_id}\0m\0".encode() + blob).digest()
        values = [f"r{number}", person_id, D, blob, seal if number != 2 else bytes(32), NOON]
        db.execute("INSERT INTO reference VALUES (NULL, ?, ?, 'm', ?, 2, ?, ?, ?)", values)
    if "access" in db.table_names():
        access = [ADA, "suspended", NOON, None, '["staff", "night"]', 1, 0, "pin", "marker-hash", ""]
        db.execute("INSERT INTO access VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", access)
    if "pass" in db.table_names():
        db.execute("INSERT INTO pass VALUES ('0123456789abcdef', ?, 0, 4102444800, 3)", [BOB])
    db.close()


def test_everybody_is_taken_over(tmp_path: Path) -> None:
    """F10: names, consent, rights, PIN and passes are as they were, and a sound template is found as before."""
    before_sealing(tmp_path / "gallery.db")
    with Gallery(tmp_path / "gallery.db") as gallery, PassBook(tmp_path / "gallery.db") as book:
        ada, bob = gallery.people()[::-1]
        assert (ada.name, ada.consent_by, bob.consent_by) == ("Marker-Ada", "Marker-Consent", "Bob's mother")
        assert (ada.enrolled_at, ada.references) == (datetime.fromisoformat(NOON), 1)
        assert gallery.details(ADA).consent.language == "pt-BR"
        groups, since = frozenset({"staff", "night"}), datetime(2026, 3, 1, 12, tzinfo=UTC)
        held = Subject(ADA, "Marker-Ada", Status.SUSPENDED, since, groups=groups, factor=FactorPolicy.PIN)
        assert gallery.subject(ADA) == replace(held, always=True, pin_hash="marker-hash")
        assert gallery.subject(BOB) == Subject(BOB, "Bob")
        assert [one.person_id for one in book.passes()] == [BOB]
        seen = gallery.current("m", D)
        assert seen.reference_ids == ("r1", "r3")
        found = search(gallery.protection.protect(Embedding(face(3), "m")), seen)[0]
        assert found.person_id == BOB
        assert found.similarity > 0.9999


@pytest.mark.parametrize("migration", ["0002_calibration", "0003_access", "0004_passes"])
def test_every_earlier_version_is_brought_up_to_date(tmp_path: Path, migration: str) -> None:
    """F9: a gallery from before there were calibrations, rights or passes keeps everybody."""
    before_sealing(tmp_path / "gallery.db", migration)
    with Gallery(tmp_path / "gallery.db") as gallery:
        assert [person.name for person in gallery.people()] == ["Bob", "Marker-Ada"]
        assert gallery.calibrations() == {}
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (GALLERY.version,)


def test_nothing_readable_is_left(tmp_path: Path) -> None:
    """J1: once taken over, no name, consent, hash or template stands in any file, free pages and logs among them."""
    before_sealing(tmp_path / "gallery.db")
    marks = [
        *MARKS,
        *(face(number).tobytes() for number in (1, 2, 3)),
        *(face(number).tobytes()[:20] for number in (1, 2, 3)),
    ]
    assert all(any(mark in file.read_bytes() for file in tmp_path.iterdir()) for mark in marks)
    with Gallery(tmp_path / "gallery.db"):
        for file in tmp_path.iterdir():
            content = file.read_bytes()
            assert not [mark for mark in marks if mark in content], file.name


@pytest.mark.parametrize("step", ["take_over", "seal", "after keys"])
def test_taking_over_that_is_cut_leaves_the_old_gallery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """F10: cut before, while or after the keys are made, the file is as it was, and the next start goes on."""
    before_sealing(tmp_path / "gallery.db")
    done = taking_over.take_over

    def cut(*_: object) -> bytes:
        raise sqlite3.OperationalError("power cut")

    def too_late(db: Database, keyring: Keyring) -> None:
        done(db, keyring)
        keyring._db.execute("COMMIT")  # the keys are kept, the gallery is not
        raise sqlite3.OperationalError("power cut")

    with monkeypatch.context() as cutting:
        cutting.setattr(
            taking_over, "seal" if step == "seal" else "take_over", too_late if step == "after keys" else cut
        )
        with pytest.raises(StorageError, match="power cut"):
            Gallery(tmp_path / "gallery.db")
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as db:
        assert db.execute("SELECT COUNT(*) FROM reference WHERE vector IS NOT NULL").fetchone() == (3,)
        assert db.execute("PRAGMA user_version").fetchone() == (4,)
    with Gallery(tmp_path / "gallery.db") as gallery:
        assert [person.name for person in gallery.people()] == ["Bob", "Marker-Ada"]
        assert gallery.snapshot("m", D).size == 2
