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


def test_rights_are_sealed_and_erased_with_the_person(gallery: Gallery) -> None:
    """J1, J7: no file ever shows a hash of a PIN; after removal nobody is in the group, which stays."""
    ada = enrolled(gallery)
    gallery.set_access(Subject(ada, "Ada", groups=frozenset({"staff"})))
    gallery.set_pin(ada, "marker-hash-82", "marker-hash-83")
    for file in gallery.path.parent.iterdir():
        assert b"marker-hash" not in file.read_bytes(), file.name
    assert gallery.members("staff") == (ada,)
    gallery.remove(ada)
    assert gallery.members("staff") == ()
    assert ada.encode() not in gallery.path.read_bytes()


def test_rights_go_whoever_erases(gallery: Gallery) -> None:
    """J7: a program that deletes the person without foreign keys deletes the rights as well."""
    ada = enrolled(gallery)
    gallery.set_access(everything(ada))
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute("DELETE FROM person")
        for table in ("membership", "tag", "name_word", "card", "reference", "photo", "pass"):
            assert db.execute(f"SELECT * FROM {table}").fetchall() == []  # noqa: S608 - ours


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
    "change",
    [
        "UPDATE person SET status = 'active'",
        "UPDATE person SET status = 'friend'",
        "UPDATE person SET valid_until = 'tomorrow'",
        "UPDATE person SET valid_from = NULL",
        "UPDATE person SET always = 0",
        "UPDATE person SET factor = 'none'",
        "UPDATE person SET max_fpir = 0.1",
        "UPDATE person SET facts = zeroblob(60)",
        "UPDATE person SET who = zeroblob(60)",
        "UPDATE person SET person_id = printf('%032d', 7)",
        "UPDATE consent SET withdrawn_at = NULL, photos = 1",
        "UPDATE consent SET text_version = '9'",
        "UPDATE person_group SET name = 'directors' WHERE name = 'staff'",
        "DELETE FROM membership",
        "INSERT INTO tag SELECT person_id, 'vip' FROM person",
    ],
)
def test_rights_that_were_edited_are_not_believed(gallery: Gallery, change: str) -> None:
    """F6: whatever can be read of a person is sealed against edits: a suspension must not get lost, nor a right won."""
    ada = enrolled(gallery)
    gallery.set_access(replace(everything(ada), max_fpir=1e-4))
    gallery.close()
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints=ON")
        db.execute(change)
        (person_id,) = db.execute("SELECT person_id FROM person").fetchone()
    with Gallery(gallery.path) as again, pytest.raises(StorageError, match="was altered, and is not believed"):
        again.subject(person_id)
