"""PINs: given, changed and taken away with an entry in the log, and tried at the door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import argon2
import numpy as np
import pytest

from appliance.access.pin import PinWord, outdated
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.errors import RefusedError, StorageError
from appliance.people.factors import remove_pin, set_pin, try_pin
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FACE = Embedding(np.eye(1, 64, dtype=np.float32)[0], "m")
PIN, DURESS = "482913", "590274"


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Give a gallery with Ada in it."""
    with Gallery(tmp_path / "gallery.db") as opened:
        opened.add("Ada", Consent("Ada", NOON), [(FACE, Grade.HIGH)])
        yield opened


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Give an empty log."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        yield log


def words(gallery: Gallery, *entered: str) -> list[PinWord]:
    """Return what each entered text is for Ada."""
    (ada,) = gallery.people()
    return [try_pin(gallery, ada.person_id, text) for text in entered]


def said(audit: AuditLog) -> list[str]:
    """Return the detail of everything that was written down, all of it updates."""
    events = [entry.event for entry in audit.read()]
    assert {event.event_type for event in events} <= {EventType.UPDATED}
    return [event.detail for event in events]


def test_a_pin_is_given_changed_and_taken_away(gallery: Gallery, audit: AuditLog) -> None:
    """G11: a PIN fits, another takes its place, a duress PIN stands beside it; taken away, nothing fits."""
    assert words(gallery, PIN) == [PinWord.WRONG]
    set_pin(gallery, audit, "Ada", "7391")
    set_pin(gallery, audit, "Ada", PIN)
    set_pin(gallery, audit, "Ada", DURESS, duress=True)
    assert words(gallery, PIN, DURESS, "7391") == [PinWord.RIGHT, PinWord.DURESS, PinWord.WRONG]
    remove_pin(gallery, audit, "Ada", duress=True)
    assert words(gallery, PIN, DURESS) == [PinWord.RIGHT, PinWord.WRONG]
    set_pin(gallery, audit, "Ada", DURESS, duress=True)
    remove_pin(gallery, audit, "Ada")
    assert words(gallery, PIN, DURESS) == [PinWord.WRONG, PinWord.WRONG]


def test_the_log_tells_neither_pin_nor_duress(gallery: Gallery, audit: AuditLog) -> None:
    """G11, J8: each change is one entry with the id alone; setting a duress PIN reads like setting a PIN."""
    set_pin(gallery, audit, "Ada", PIN)
    set_pin(gallery, audit, "Ada", DURESS, duress=True)
    remove_pin(gallery, audit, "Ada", duress=True)
    remove_pin(gallery, audit, "Ada")
    (ada,) = gallery.people()
    changed, removed = (f"person {ada.person_id}, PIN {what}" for what in ("changed", "removed"))
    assert said(audit) == [changed, changed, changed, removed]


def test_a_pin_is_nowhere_to_be_read(gallery: Gallery, audit: AuditLog, tmp_path: Path) -> None:
    """J3: no file of the state folder holds the digits, and no repr of what is known of a person the hash."""
    set_pin(gallery, audit, "Ada", PIN)
    set_pin(gallery, audit, "Ada", DURESS, duress=True)
    (ada,) = gallery.people()
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert PIN.encode() not in content
        assert DURESS.encode() not in content
    assert "argon2" not in repr(gallery.subject(ada.person_id))


def test_the_duress_pin_is_another_one(gallery: Gallery, audit: AuditLog) -> None:
    """G11: the two are never the same, in whichever order they are given, and neither refusal quotes one."""
    with pytest.raises(RefusedError, match="has no PIN yet"):
        set_pin(gallery, audit, "Ada", DURESS, duress=True)
    set_pin(gallery, audit, "Ada", PIN)
    with pytest.raises(RefusedError, match="they must differ") as refused:
        set_pin(gallery, audit, "Ada", PIN, duress=True)
    assert PIN not in str(refused.value)
    set_pin(gallery, audit, "Ada", DURESS, duress=True)
    with pytest.raises(RefusedError, match="they must differ"):
        set_pin(gallery, audit, "Ada", DURESS)
    set_pin(gallery, audit, "Ada", PIN)  # the same one anew is no fault
    assert words(gallery, PIN, DURESS) == [PinWord.RIGHT, PinWord.DURESS]


def test_what_may_not_be_a_pin_changes_nothing(gallery: Gallery, audit: AuditLog) -> None:
    """A refused PIN leaves the old one in force and the log as it was."""
    set_pin(gallery, audit, "Ada", PIN)
    for bad in ("1234", "1111", "12", "48a9", ""):
        with pytest.raises(RefusedError):
            set_pin(gallery, audit, "Ada", bad)
    assert words(gallery, PIN, "1234") == [PinWord.RIGHT, PinWord.WRONG]
    assert len(said(audit)) == 1


def test_what_cannot_be_written_down_is_not_changed(gallery: Gallery, audit: AuditLog) -> None:
    """J8, F3: without an entry in the log a PIN is neither given nor taken away."""
    set_pin(gallery, audit, "Ada", PIN)
    audit._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match="no PIN was changed"):
        set_pin(gallery, audit, "Ada", "7391")
    with pytest.raises(StorageError, match="no PIN was changed"):
        remove_pin(gallery, audit, "Ada")
    assert words(gallery, PIN, "7391") == [PinWord.RIGHT, PinWord.WRONG]


def test_nobodys_pin_is_wrong(gallery: Gallery, audit: AuditLog) -> None:
    """E10: an id that is not enrolled is answered like one without a PIN, and cannot be given one."""
    assert try_pin(gallery, "nobody", PIN) is PinWord.WRONG
    with pytest.raises(RefusedError, match="nobody is enrolled"):
        set_pin(gallery, audit, "Bob", PIN)


def test_a_hash_of_earlier_parameters_is_made_anew_once_its_pin_is_entered(gallery: Gallery) -> None:
    """What was hashed for less still fits; the right PIN renews its own hash, a wrong one none."""
    (ada,) = gallery.people()
    earlier = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    gallery.set_pin(ada.person_id, earlier.hash(PIN), earlier.hash(DURESS))

    def stale() -> tuple[bool, bool]:
        known = gallery.subject(ada.person_id)
        assert known is not None
        return outdated(known.pin_hash), outdated(known.duress_hash)

    seen = [stale()]
    for entered in ("7391", DURESS, PIN):
        words(gallery, entered)
        seen.append(stale())
    assert seen == [(True, True), (True, True), (True, False), (False, False)]
    assert words(gallery, PIN, DURESS) == [PinWord.RIGHT, PinWord.DURESS]


def test_erasing_a_person_erases_their_pin(gallery: Gallery, audit: AuditLog, tmp_path: Path) -> None:
    """C11, J1: no hash ever stands in the file; once the person is erased, nothing fits any more."""
    set_pin(gallery, audit, "Ada", PIN)
    (ada,) = gallery.people()
    known = gallery.subject(ada.person_id)
    assert known is not None
    assert known.pin_hash.encode() not in (tmp_path / "gallery.db").read_bytes()
    gallery.remove(ada.person_id)
    assert try_pin(gallery, ada.person_id, PIN) is PinWord.WRONG
