"""Invitations: a one-time code, shown to the door's camera, that begins the guided enrolment of one named newcomer.

A code has the form of a pass (`access.passes`), signed for a place that no pass is signed for, so that neither serves
as the other. It opens nothing. What it stands for is sealed in the enrolment book, and gone once it was used.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.access.passes import Pass, PassFault, PassRefused, new_pass, read_pass, sign_pass
from appliance.contract import EventType
from appliance.enrolment.book import ENROLMENT
from appliance.enrolment.requests import Start
from appliance.errors import RefusedError, StorageError
from appliance.people.enrolment import CLI, checked, checked_consent, checked_name
from appliance.people.person import Source
from appliance.people.recorded import EventSink, recorded
from appliance.people.sealing import seal, unseal
from appliance.records import Event
from appliance.storage import DatabaseFile, empty_log, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from appliance.enrolment.desk import Newcomer
    from appliance.records import Actor

MAX_TRIES = 3  # enrolments that one code may begin; the first that ends well uses it up
_ROWS = "SELECT invitation_id, subject, not_before, until, tries, sealed FROM invitation"


@dataclass(frozen=True, slots=True)
class Invitation:
    """One open invitation."""

    code: Pass  # its person id is nobody's
    newcomer: Newcomer
    tries: int


class InvitationBook(DatabaseFile):
    """The open invitations in the enrolment book; a connection belongs to one thread. `key` seals whom they are for.

    Every change is durable on return. Raises StorageError, one line that names the file, where that is damaged,
    foreign, or cannot be written.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__(path, ENROLMENT)
        self._key = AESGCM(key)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        with named_faults(ENROLMENT, self.path), one_change(self._db):
            yield
        empty_log(self._db)

    def add(self, code: Pass, newcomer: Newcomer) -> None:
        """Keep a new invitation, inside a `transaction`; those that have expired are forgotten."""
        self._db.execute("DELETE FROM invitation WHERE until <= ?", [int(time.time())])
        sealed = seal(self._key, Start.of(newcomer).model_dump_json().encode(), _bound(code.pass_id))
        values = [code.pass_id, code.person_id, code.not_before, code.until, 0, sealed]
        self._db.execute("INSERT INTO invitation VALUES (?, ?, ?, ?, ?, ?)", values)

    def remove(self, invitation_id: str) -> None:
        """Forget an invitation, inside a `transaction`. Raises RefusedError for one that is not there."""
        done = self._db.execute("DELETE FROM invitation WHERE invitation_id = ?", [invitation_id])
        if done.rowcount != 1:
            known = "ostiary enrol invitations shows those that are open"
            raise RefusedError(f"there is no invitation {invitation_id!r}; {known}")

    def open_ones(self, now: float) -> tuple[Invitation, ...]:
        """Return the invitations that have not expired at `now` (Unix seconds), the first to expire first."""
        with named_faults(ENROLMENT, self.path):
            rows = self._db.execute(f"{_ROWS} WHERE until > ? ORDER BY until, invitation_id", [int(now)]).fetchall()
        return tuple(self._invitation(row) for row in rows)

    def any_open(self, now: float) -> bool:
        """Tell whether a code is worth looking for."""
        with named_faults(ENROLMENT, self.path):
            return self._db.execute("SELECT 1 FROM invitation WHERE until > ?", [int(now)]).fetchone() is not None

    def begin(self, code: Pass) -> Invitation | PassRefused:
        """Return what this very code stands for, with one more try counted, or why it no longer serves."""
        with self.transaction():
            row = self._db.execute(f"{_ROWS} WHERE invitation_id = ?", [code.pass_id]).fetchone()
            if row is None:
                return PassRefused(PassFault.WITHDRAWN)
            found = self._invitation(row)
            if found.code != code:
                return PassRefused(PassFault.NOT_OURS)
            if found.tries >= MAX_TRIES:
                return PassRefused(PassFault.USED_UP)
            self._db.execute("UPDATE invitation SET tries = tries + 1 WHERE invitation_id = ?", [code.pass_id])
        return replace(found, tries=found.tries + 1)

    def _invitation(self, row: tuple[str, str, int, int, int, bytes]) -> Invitation:
        invitation_id, subject, not_before, until, tries, sealed = row
        opened = unseal(self._key, sealed, _bound(invitation_id))
        if opened is None:
            raise StorageError(f"enrolment book {self.path} is damaged: invitation {invitation_id} cannot be opened")
        newcomer = replace(Start.model_validate_json(opened).newcomer(), source=Source.LINK, method="invitation")
        return Invitation(Pass(invitation_id, subject, not_before, until, 1), newcomer, tries)


class InvitationDesk:
    """Takes codes at one door. Belongs to the thread of its book."""

    def __init__(self, key: Ed25519PublicKey, device_id: str, door: str, book: InvitationBook) -> None:
        self._key = key
        self._place = (device_id, _place(door))
        self.book = book

    def take(self, text: str, now: float) -> Invitation | PassRefused:
        """Return the invitation that `text` is, one try of it used, or why it is none at `now` (Unix seconds).

        No text raises; a code of any other kind costs no try.
        """
        read = read_pass(text, self._key, *self._place, now)
        return read if isinstance(read, PassRefused) else self.book.begin(read)

    def redeem(self, invitation: Invitation) -> None:
        """Use it up, durably. Raises RefusedError where it was revoked meanwhile."""
        with self.book.transaction():
            self.book.remove(invitation.code.pass_id)


def invite(
    book: InvitationBook,
    audit: EventSink,
    newcomer: Newcomer,
    key: Ed25519PrivateKey,
    *,
    device_id: str,
    door: str,
    lifetime: timedelta,
    actor: Actor = CLI,
    method: str = "cli",
) -> tuple[Pass, str]:
    """Return a new invitation's code and its text, once it is in the book and in the audit log.

    Raises RefusedError for a lifetime that no door takes and for a newcomer who could not be enrolled, StorageError
    where nothing was issued.
    """
    checked_name(newcomer.name, "name")
    checked_consent(newcomer.consent)
    checked(newcomer.particulars)
    code = new_pass(secrets.token_hex(16), int(time.time()), lifetime, 1)
    text = sign_pass(code, key, device_id, _place(door))
    until = datetime.fromtimestamp(code.until, UTC).isoformat()
    event = _event(f"invitation {code.pass_id} issued until {until}", actor, method)
    recorded(book, audit, lambda: book.add(code, newcomer), lambda _: event, "no invitation was issued")
    return code, text


def revoke(
    book: InvitationBook, audit: EventSink, invitation_id: str, *, actor: Actor = CLI, method: str = "cli"
) -> None:
    """Take an invitation back. Raises RefusedError for one that is not there, StorageError."""
    event = _event(f"invitation {invitation_id[:16]} revoked", actor, method)
    recorded(book, audit, lambda: book.remove(invitation_id), lambda _: event, "no invitation was revoked")


def _place(door: str) -> str:
    """Return what an invitation is signed for: no door has a slash in its name, so no pass is."""
    return f"{door}/enrolment"


def _bound(invitation_id: str) -> bytes:
    return b"ostiary invitation\0" + invitation_id.encode()


def _event(detail: str, actor: Actor, method: str) -> Event:
    return Event(EventType.UPDATED, datetime.now(UTC), actor, method, detail=detail)
