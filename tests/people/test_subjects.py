"""What is kept of a person as far as doors are concerned."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.subject import FactorPolicy, Status, Subject
from appliance.errors import RefusedError, StorageError
from appliance.people.gallery import Consent, Gallery
from appliance.people.migrations import GALLERY
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FACE = Embedding(np.eye(1, 64, dtype=np.float32)[0], "m")


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return an empty gallery."""
    with Gallery(tmp_path / "gallery.db") as opened:
        yield opened


def enrolled(gallery: Gallery, name: str = "Ada") -> str:
    """Enrol somebody and return the id."""
    return gallery.add(name, Consent(name, NOON), [(FACE, Grade.HIGH)]).person_id


def everything(person_id: str) -> Subject:
    """Return a subject of whom everything is said."""
    return Subject(
        person_id,
        "Ada",
        Status.SUSPENDED,
        NOON,
        NOON + timedelta(days=1),
        frozenset({"staff", "night"}),
        always=True,
        extended=True,
        factor=FactorPolicy.ANY,
    )


def test_nothing_said_is_active_without_bounds(gallery: Gallery) -> None:
    """Somebody of whom nothing was said is active, in no group, with no bounds and no PIN; a stranger is nobody."""
    ada = enrolled(gallery)
    assert gallery.subject(ada) == Subject(ada, "Ada")
    assert gallery.subject("nobody") is None


def test_what_is_said_comes_back(gallery: Gallery) -> None:
    """Every fact comes back as it was given, times as the same instant, also after a restart and a change of mind."""
    ada = enrolled(gallery)
    gallery.set_access(everything(ada))
    with Gallery(gallery.path) as again:
        assert again.subject(ada) == everything(ada)
    here = timezone(timedelta(hours=5, minutes=45))
    gallery.set_access(Subject(ada, "Ada", valid_until=NOON.astimezone(here)))
    assert gallery.subject(ada) == Subject(ada, "Ada", valid_until=NOON)


@pytest.mark.parametrize("pin_first", [True, False])
def test_pin_and_access_leave_each_other_alone(gallery: Gallery, *, pin_first: bool) -> None:
    """Setting a PIN changes no right, and setting rights keeps the PIN, in either order."""
    ada = enrolled(gallery)
    if pin_first:
        gallery.set_pin(ada, "hash", "duress")
    gallery.set_access(everything(ada))
    if not pin_first:
        gallery.set_pin(ada, "hash", "duress")
    assert gallery.subject(ada) == replace(everything(ada), pin_hash="hash", duress_hash="duress")


def test_hashes_are_not_shown() -> None:
    """J3: what a log or a traceback prints of a subject holds no hash of a PIN."""
    assert "secret" not in repr(Subject("a", "Ada", pin_hash="secret-1", duress_hash="secret-2"))


def test_nobody_gets_no_rights(gallery: Gallery) -> None:
    """Rights or a PIN for an id that is not enrolled are refused, and nothing is written."""
    before = gallery.revision()
    with pytest.raises(RefusedError, match="nobody is enrolled under the id x"):
        gallery.set_access(Subject("x", "Eve"))
    with pytest.raises(RefusedError, match="nobody is enrolled under the id x"):
        gallery.set_pin("x", "hash", "")
    assert gallery.revision() == before


def test_rights_are_erased_with_the_person(gallery: Gallery) -> None:
    """J7: after removal no byte of groups or hashes is left in any file."""
    ada = enrolled(gallery)
    gallery.set_access(Subject(ada, "Ada", groups=frozenset({"marker-group-81"})))
    gallery.set_pin(ada, "marker-hash-82", "marker-hash-83")
    marks = [b"marker-group-81", b"marker-hash-82", b"marker-hash-83", ada.encode()]
    assert any(marks[1] in file.read_bytes() for file in gallery.path.parent.iterdir())
    gallery.remove(ada)
    for file in gallery.path.parent.iterdir():
        content = file.read_bytes()
        assert not [mark for mark in marks if mark in content], file.name


def test_rights_go_whoever_erases(gallery: Gallery) -> None:
    """J7: a program that deletes the person without foreign keys deletes the rights as well."""
    ada = enrolled(gallery)
    gallery.set_access(everything(ada))
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute("DELETE FROM person")
        assert db.execute("SELECT * FROM access").fetchall() == []


def test_change_of_rights_raises_the_revision(gallery: Gallery) -> None:
    """A door that watches the gallery learns of changed rights as of changed people."""
    ada = enrolled(gallery)
    seen = [gallery.revision()]
    gallery.set_access(everything(ada))
    seen.append(gallery.revision())
    gallery.set_pin(ada, "hash", "")
    seen.append(gallery.revision())
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "friend"),
        ("valid_until", "tomorrow"),
        ("valid_from", "2026-01-01T00:00:00"),
        ("groups", "[1]"),
        ("groups", '{"staff": 1}'),
        ("groups", "["),
        ("factor", "trust"),
    ],
)
def test_damaged_rights_are_a_fault(gallery: Gallery, column: str, value: str) -> None:
    """F6: rights that cannot be read are one line, never taken for none: a suspension must not get lost."""
    ada = enrolled(gallery)
    gallery.set_access(everything(ada))
    gallery.close()
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints=ON")
        db.execute(f"UPDATE access SET {column} = ?", [value])  # noqa: S608 - ours
    with Gallery(gallery.path) as again, pytest.raises(StorageError, match=f"access of person {ada} is unclear"):
        again.subject(ada)


def test_gallery_of_an_earlier_version_takes_rights(tmp_path: Path) -> None:
    """F9: a gallery from before there were rights keeps everybody and takes some."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as gallery:
        ada = enrolled(gallery)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("""
            DROP TRIGGER access_goes_with_person;
            DROP TABLE access;
            DELETE FROM _sqlite_migrations WHERE name = '0003_access';
            PRAGMA user_version = 2;
        """)
    with Gallery(path) as gallery:
        gallery.set_access(everything(ada))
        assert gallery.subject(ada) == everything(ada)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (GALLERY.version,)
