"""Passes that were issued: for whom, how often, until they are revoked or their person is erased."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.ledger import Ledger
from appliance.access.passes import Pass, PassFault, PassRefused, sign_pass
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.errors import RefusedError, StorageError
from appliance.people.factors import issue_pass, revoke_pass
from appliance.people.gallery import Consent, Gallery, Person
from appliance.people.passes import PassBook, PassDesk
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FACE = Embedding(np.eye(1, 64, dtype=np.float32)[0], "m")
NOON = datetime.now(UTC).replace(microsecond=0)  # the book forgets what has expired by the true clock
NOW = NOON.timestamp() + 60


@dataclass
class Office:
    """A gallery with Ada and Bob, the book of passes in it, a log, and a desk at the door."""

    gallery: Gallery
    book: PassBook
    audit: AuditLog
    desk: PassDesk
    ada: Person
    bob: Person

    def issue(self, person: Person, uses: int = 1, start: datetime = NOON, **lifetime: float) -> tuple[Pass, str]:
        """Issue a pass for the front door."""
        return issue_pass(
            self.book,
            self.audit,
            person,
            KEY,
            device_id="ostiary",
            door="front",
            not_before=start,
            lifetime=timedelta(**(lifetime or {"hours": 8})),
            uses=uses,
        )

    def log(self) -> list[tuple[EventType, str]]:
        """Return what was written down."""
        return [(entry.event.event_type, entry.event.detail) for entry in self.audit.read()]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give an office."""
    with (
        Gallery(tmp_path / "gallery.db") as gallery,
        PassBook(tmp_path / "gallery.db") as book,
        AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit,
        Ledger(tmp_path / "ledger.sqlite") as ledger,
    ):
        ada, bob = (gallery.add(name, Consent(name, NOON), [(FACE, Grade.HIGH)]) for name in ("Ada", "Bob"))
        yield Office(gallery, book, audit, PassDesk(KEY.public_key(), "ostiary", "front", book, ledger), ada, bob)


def refused(why: PassFault) -> PassRefused:
    """Return the refusal."""
    return PassRefused(why)


def test_a_pass_serves_its_person_once(office: Office) -> None:
    """E1: the second time it is shown, by whoever it is for, it is used up; each use is one call."""
    made, text = office.issue(office.ada)
    assert office.desk.take(text, office.ada.person_id, NOW) == made
    assert [office.desk.take(text, office.ada.person_id, NOW) for _ in range(3)] == [refused(PassFault.USED_UP)] * 3


@pytest.mark.parametrize("uses", [2, 20])
def test_a_pass_serves_as_often_as_it_says(office: Office, uses: int) -> None:
    """A pass for several uses serves so often, and not once more."""
    made, text = office.issue(office.ada, uses)
    taken = [office.desk.take(text, office.ada.person_id, NOW) for _ in range(uses + 2)]
    assert taken == [made] * uses + [refused(PassFault.USED_UP)] * 2


def test_a_pass_is_nothing_without_the_face_it_is_for(office: Office) -> None:
    """E1: with somebody else's face, or with nobody's, a good pass serves nobody and is not used up by it."""
    made, text = office.issue(office.ada)
    for other in (office.bob.person_id, "", "nobody", office.ada.person_id[:-1]):
        assert office.desk.take(text, other, NOW) == refused(PassFault.OTHER_PERSON)
    assert office.desk.take(text, office.ada.person_id, NOW) == made


def test_a_use_outlives_a_power_cut(office: Office, tmp_path: Path) -> None:
    """F1, D5: a pass that was taken by a process that is killed at once is used up for the next one."""
    _, text = office.issue(office.ada)
    program = """
import os, signal, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from appliance.access.ledger import Ledger
from appliance.people.passes import PassBook, PassDesk
folder, text, person_id, now = Path(sys.argv[1]), *sys.argv[2:]
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
book, ledger = PassBook(folder / "gallery.db"), Ledger(folder / "ledger.sqlite")
print(PassDesk(key, "ostiary", "front", book, ledger).take(text, person_id, float(now)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    words = [sys.executable, "-c", program, str(tmp_path), text, office.ada.person_id, str(NOW)]
    killed = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert killed.stdout.startswith("Pass("), killed.stderr
    assert office.desk.take(text, office.ada.person_id, NOW) == refused(PassFault.USED_UP)


def test_two_readers_take_one_pass_once(office: Office, tmp_path: Path) -> None:
    """D5: a pass of one use that is shown at the same moment to two processes serves once."""
    made, text = office.issue(office.ada)
    with PassBook(tmp_path / "gallery.db") as book, Ledger(tmp_path / "ledger.sqlite") as ledger:
        other = PassDesk(KEY.public_key(), "ostiary", "front", book, ledger)
        taken = [desk.take(text, office.ada.person_id, NOW) for desk in (other, office.desk)]
    assert taken == [made, refused(PassFault.USED_UP)]


def test_a_revoked_pass_serves_no_longer(office: Office) -> None:
    """D4: revoked is revoked at once, though its signature and hours are good; others go on."""
    made, text = office.issue(office.ada, 2)
    kept, other_text = office.issue(office.ada)
    assert office.desk.take(text, office.ada.person_id, NOW) == made
    assert revoke_pass(office.book, office.audit, made.pass_id) == made
    assert office.desk.take(text, office.ada.person_id, NOW) == refused(PassFault.WITHDRAWN)
    assert office.book.passes() == (kept,)
    assert office.desk.take(other_text, office.ada.person_id, NOW) == kept
    with pytest.raises(RefusedError, match=f"there is no pass '{made.pass_id}'"):
        revoke_pass(office.book, office.audit, made.pass_id)


def test_erasing_a_person_erases_their_passes(office: Office, tmp_path: Path) -> None:
    """C11: whoever is erased, by whatever connection, leaves no pass in the list, and theirs serve nobody."""
    _, text = office.issue(office.ada)
    kept, _ = office.issue(office.bob)
    pass_id = office.book.passes()[0].pass_id if office.book.passes()[0] != kept else office.book.passes()[1].pass_id
    office.gallery.remove(office.ada.person_id)
    assert office.book.passes() == (kept,)
    assert office.desk.take(text, office.ada.person_id, NOW) == refused(PassFault.WITHDRAWN)
    assert pass_id.encode() not in (tmp_path / "gallery.db").read_bytes()
    with closing(sqlite3.connect(tmp_path / "gallery.db", isolation_level=None)) as careless:
        careless.execute("DELETE FROM person")
    assert office.book.passes() == ()


def test_a_pass_that_was_never_issued_serves_nobody(office: Office) -> None:
    """E1: with our key alone, without an entry in the list, there is no pass; nor with an entry that says otherwise."""
    made, _ = office.issue(office.ada)
    for forged in (replace(made, pass_id="0" * 16), replace(made, uses=20), replace(made, until=made.until + 60)):
        text = sign_pass(forged, KEY, "ostiary", "front")
        assert office.desk.take(text, office.ada.person_id, NOW) == refused(PassFault.WITHDRAWN)


def test_what_is_shown_too_early_or_too_late_is_not_used_up(office: Office) -> None:
    """C14: outside its hours a pass is refused, and serves within them all the same."""
    made, text = office.issue(office.ada)
    for now, why in ((NOW - 61, PassFault.NOT_YET_VALID), (NOW + 8 * 3600, PassFault.EXPIRED)):
        assert office.desk.take(text, office.ada.person_id, now) == refused(why)
    assert office.desk.take("' OR 1=1--", office.ada.person_id, NOW) == refused(PassFault.UNREADABLE)
    assert office.desk.take(text, office.ada.person_id, NOW) == made


def test_no_program_can_lengthen_a_pass(office: Office, tmp_path: Path) -> None:
    """The file itself refuses: a pass is revoked, never changed, and there is none for nobody."""
    office.issue(office.ada)
    with closing(sqlite3.connect(tmp_path / "gallery.db", isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys=ON")
        for change in (
            "UPDATE pass SET uses = 20",
            "UPDATE pass SET until = until + 1",
            "INSERT INTO pass VALUES ('0123456789abcdef', 'nobody', 0, 60, 1)",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                other.execute(change)


def test_what_has_expired_is_forgotten(office: Office) -> None:
    """J6: with the next pass that is issued, those that have expired go from the list."""
    old, text = office.issue(office.ada, start=NOON - timedelta(days=2), hours=1)
    assert office.book.passes() == (old,)
    new, _ = office.issue(office.ada)
    assert office.book.passes() == (new,)
    # A clock that is set back does not bring it back (H3).
    assert office.desk.take(text, office.ada.person_id, old.not_before + 1) == refused(PassFault.WITHDRAWN)


def test_issue_and_revocation_are_written_down(office: Office) -> None:
    """J8: each is in the log once, by ids, with hours and uses, and no name."""
    made, _ = office.issue(office.ada, 3)
    revoke_pass(office.book, office.audit, made.pass_id)
    until = datetime.fromtimestamp(made.until, UTC).isoformat()
    person = f"person {office.ada.person_id}, pass {made.pass_id}"
    assert office.log() == [
        (EventType.UPDATED, f"{person} issued until {until}, uses 3"),
        (EventType.UPDATED, f"{person} revoked"),
    ]


def test_what_cannot_be_written_down_is_not_issued(office: Office) -> None:
    """J8, F3: without an entry in the log no pass is issued, and none is revoked."""
    made, _ = office.issue(office.ada)
    office.audit._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match="no pass was issued"):
        office.issue(office.bob)
    with pytest.raises(StorageError, match="no pass was revoked"):
        revoke_pass(office.book, office.audit, made.pass_id)
    assert office.book.passes() == (made,)


def test_nobody_is_given_a_pass(office: Office) -> None:
    """A person who was erased in the meantime gets none, and nothing is written down."""
    office.gallery.remove(office.bob.person_id)
    with pytest.raises(RefusedError, match="nobody is enrolled"):
        office.issue(office.bob)
    assert office.book.passes() == ()
    assert office.log() == []
