"""Invitations: one code, one newcomer, once, and never a key to the door."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.ledger import Ledger
from appliance.access.passes import Pass, PassFault, PassRefused, new_pass, read_pass, sign_pass
from appliance.audit import AuditLog
from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import CameraSettings, LivenessSettings, Settings
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.qr import drawn, modules
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.enrolment.desk import Newcomer
from appliance.enrolment.invitations import MAX_TRIES, Invitation, InvitationBook, InvitationDesk, invite, revoke
from appliance.errors import RefusedError, StorageError
from appliance.people.enrolment import Particulars
from appliance.people.gallery import Gallery
from appliance.people.passes import PassBook, PassDesk
from appliance.people.person import Consent, Source
from appliance.records import Frame, frozen
from appliance.service import Hooks, Service
from appliance.signing import own_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.records import AuditEvent, Event

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CONSENT = Consent("Marker Zebulon", datetime(2026, 3, 1, tzinfo=UTC), "de", "1", "ab" * 32, recorded_by="root")
ZEB = Newcomer("Marker Zebulon", CONSENT, Particulars("E17", groups=frozenset({"staff"}), held=True))


@dataclass
class Office:
    """A book of invitations, its desk at the front door, and the log."""

    book: InvitationBook
    desk: InvitationDesk
    audit: AuditLog

    def invite(self, newcomer: Newcomer = ZEB, **lifetime: float) -> tuple[Pass, str]:
        """Issue an invitation for the front door."""
        return invite(
            self.book,
            self.audit,
            newcomer,
            KEY,
            device_id="ostiary",
            door="front",
            lifetime=timedelta(**(lifetime or {"days": 2})),
        )

    def take(self, text: str, later_s: float = 1.0) -> Invitation | PassRefused:
        """Show a code at the door."""
        return self.desk.take(text, time.time() + later_s)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Give an office."""
    with (
        InvitationBook(tmp_path / "enrolment.db", b"k" * 32) as book,
        AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit,
    ):
        yield Office(book, InvitationDesk(KEY.public_key(), "ostiary", "front", book), audit)


def test_code_stands_for_one_newcomer_once(office: Office) -> None:
    """What was said at the invitation comes back at the door, until it was redeemed; then the code is nothing."""
    code, text = office.invite()
    assert office.book.any_open(time.time())
    taken = office.take(text)
    assert isinstance(taken, Invitation)
    assert taken.newcomer == replace(ZEB, source=Source.LINK, method="invitation")
    assert (taken.code, taken.tries) == (code, 1)
    office.desk.redeem(taken)
    assert office.take(text) == PassRefused(PassFault.WITHDRAWN)
    assert not office.book.any_open(time.time())
    with pytest.raises(RefusedError, match="no invitation"):
        office.desk.redeem(taken)


def test_tries_are_counted_for_good(office: Office, tmp_path: Path) -> None:
    """A code that was shown three times without success serves no more, over a restart too."""
    _, text = office.invite()
    for tries in range(1, MAX_TRIES + 1):
        with InvitationBook(tmp_path / "enrolment.db", b"k" * 32) as book:
            taken = InvitationDesk(KEY.public_key(), "ostiary", "front", book).take(text, time.time() + 1)
        assert isinstance(taken, Invitation)
        assert taken.tries == tries
    assert office.take(text) == PassRefused(PassFault.USED_UP)


def test_expired_and_revoked_codes_are_nothing(office: Office) -> None:
    """An invitation ends with its time, or when it is taken back; the list shows the open ones alone."""
    short, text = office.invite(hours=1)
    long, other = office.invite(days=30)
    assert [one.code for one in office.book.open_ones(time.time())] == [short, long]
    assert office.take(text, 3601) == PassRefused(PassFault.EXPIRED)
    assert office.take(text, -60) == PassRefused(PassFault.NOT_YET_VALID)
    assert [one.code for one in office.book.open_ones(time.time() + 3601)] == [long]
    revoke(office.book, office.audit, long.pass_id)
    assert office.take(other) == PassRefused(PassFault.WITHDRAWN)
    with pytest.raises(RefusedError, match="no invitation"):
        revoke(office.book, office.audit, "' OR 1=1--")
    details = [one.event.detail for one in office.audit.read()]
    assert [one.split()[2] for one in details] == ["issued", "issued", "revoked"]
    assert not any("Zebulon" in one for one in details)
    with pytest.raises(RefusedError, match="out of bounds"):
        office.invite(days=32)


def test_invitation_is_no_pass_and_no_pass_invites(office: Office, tmp_path: Path) -> None:
    """E1: neither kind of code serves as the other, at this door or another, though one key has signed both."""
    code, text = office.invite()
    now = time.time() + 1
    assert read_pass(text, KEY.public_key(), "ostiary", "front", now) == PassRefused(PassFault.NOT_OURS)
    a_pass = new_pass("ab" * 16, int(now) - 5, timedelta(hours=1), 1)
    assert office.take(sign_pass(a_pass, KEY, "ostiary", "front")) == PassRefused(PassFault.NOT_OURS)
    for device_id, door in (("other", "front"), ("ostiary", "back")):
        desk = InvitationDesk(KEY.public_key(), device_id, door, office.book)
        assert desk.take(text, now) == PassRefused(PassFault.NOT_OURS)
    forged = sign_pass(replace(code, until=code.until + 60), KEY, "ostiary", "front/enrolment")
    assert office.take(forged) == PassRefused(PassFault.NOT_OURS)
    flipped = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
    for rubbish in ("", "x" * 4096, text[:-1], text.lower(), "' OR 1=1--", flipped):
        assert isinstance(office.take(rubbish), PassRefused)
    (still,) = office.book.open_ones(now)
    assert still.tries == 0
    with (
        Gallery(tmp_path / "gallery.db"),
        PassBook(tmp_path / "gallery.db") as book,
        Ledger(tmp_path / "ledger.db") as ledger,
    ):
        passes = PassDesk(KEY.public_key(), "ostiary", "front", book, ledger)
        assert passes.take(text, code.person_id, now) == PassRefused(PassFault.NOT_OURS)


def test_file_names_nobody(office: Office, tmp_path: Path) -> None:
    """J1: neither the name nor the external id of who is invited stands in any file, before and after it was used."""
    code, text = office.invite()
    for step in (lambda: None, lambda: office.take(text), lambda: revoke(office.book, office.audit, code.pass_id)):
        step()
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"Zebulon" not in content
        assert b"E17" not in content
    office.invite()
    with (
        InvitationBook(tmp_path / "enrolment.db", b"x" * 32) as other,
        pytest.raises(StorageError, match="cannot be opened"),
    ):
        other.open_ones(time.time())


def test_edited_invitation_is_damaged_and_not_believed(office: Office, tmp_path: Path) -> None:
    """What was sealed for one invitation does not open in the place of another."""
    office.invite(replace(ZEB, name="Ada"))
    _, text = office.invite(replace(ZEB, name="Eve"))
    with closing(sqlite3.connect(tmp_path / "enrolment.db", isolation_level=None)) as db:
        db.execute("UPDATE invitation SET sealed = (SELECT sealed FROM invitation ORDER BY rowid LIMIT 1)")
    with pytest.raises(StorageError, match="cannot be opened"):
        office.take(text)


@pytest.mark.parametrize(
    "newcomer",
    [
        replace(ZEB, name=""),
        replace(ZEB, consent=replace(CONSENT, given_by=" ")),
        replace(ZEB, consent=replace(CONSENT, language="no language")),
        replace(ZEB, particulars=Particulars(groups=frozenset({"a b"}))),
    ],
)
def test_nobody_is_invited_who_could_not_be_enrolled(office: Office, newcomer: Newcomer) -> None:
    """J5: an invitation needs the consent, and all else that an enrolment needs, beforehand."""
    with pytest.raises(RefusedError):
        office.invite(newcomer)
    assert office.book.open_ones(time.time()) == ()
    assert office.audit.head().seq == 0


class HeldUp(SimulatedCamera):
    """A camera that sees a code in somebody's hand beside the face."""

    def __init__(self, text: str, script: Script, settings: CameraSettings) -> None:
        super().__init__(script, settings, paced=False)
        self._code = drawn(modules(text), 4)

    def read(self) -> Frame | None:
        """Return the next frame with the code in its lower left."""
        frame = super().read()
        if frame is None:
            return None
        pixels = frame.pixels.copy()
        side = len(self._code)
        pixels[-side - 20 : -20, 20 : side + 20] = self._code
        return Frame(frozen(np.ascontiguousarray(pixels)), frame.captured_at_s, frame.sequence)


def test_who_shows_an_invitation_is_guided_enrolled_and_held(tmp_path: Path) -> None:
    """E1, B14: the code begins one enrolment and opens nothing; the newcomer is suspended until somebody looks."""
    settings = Settings(camera=CameraSettings(frame_rate=10), liveness=LivenessSettings(commissioned="skipped"))
    events: list[Event] = []
    with simulated_controller(tmp_path) as listening:
        installation = Installation(settings, tmp_path, None).with_controller(listening)
        with Gallery(installation.gallery_file) as gallery:
            key = gallery.keyring.secret("invitations")
        with InvitationBook(installation.enrolment_file, key) as book, installation.open_audit() as audit:
            signing, device = own_key(installation.device_key_file), settings.device
            _, text = invite(
                book, audit, ZEB, signing, device_id=device.id, door=device.door, lifetime=timedelta(days=1)
            )
        script = Script(Scene(visits=(Visit(face="official", for_s=24, poses=True),)))
        camera = HeldUp(text, script, settings.camera)

        def hear(one: AuditEvent) -> None:
            events.append(one.event)
            if one.event.event_type is EventType.ENROLLED:
                service.stop()

        service = Service(installation, camera, Hooks(on_event=hear))
        service.link.connect(5.0)
        service.run()
    kinds = [(one.event_type, one.reason) for one in events]
    assert kinds.count((EventType.ENROLLED, None)) == 1
    assert EventType.ACCESS_GRANTED not in [kind for kind, _ in kinds]
    assert [level for _, level, _ in SimulatedDoorObserver(tmp_path / "simulated-door").history()] == [0]
    with Gallery(installation.gallery_file) as gallery:
        (zeb,) = gallery.people()
        assert (zeb.name, zeb.status, zeb.groups) == ("Marker Zebulon", "suspended", ("staff",))
        assert {one.source for one in gallery.references(zeb.person_id)} == {"link"}
    with InvitationBook(installation.enrolment_file, key) as book:
        assert book.open_ones(time.time()) == ()


def test_commands_make_list_and_revoke(tmp_path: Path) -> None:
    """An invitation is made with a consent, shown as a code and as text, listed by name, and taken back by its id."""

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(root, ["enrol", *arguments, "--state", str(tmp_path / "state")])
        assert result.exit_code == 0, result.output
        return result.output

    made = run("invite", "Ada", "--consent-by", "Ada", "--valid", "8h", "--png", str(tmp_path / "code.png"))
    text = next(line for line in made.splitlines() if line.startswith("OSTIARY1."))
    assert (tmp_path / "code.png").stat().st_mode & 0o777 == 0o600
    invitation_id = made.split("invitation ")[1].split()[0]
    assert run("invitations").split("\t")[:2] == [invitation_id, "Ada"]
    with InvitationBook(tmp_path / "state" / "enrolment.db", secret_of(tmp_path / "state")) as book:
        (one,) = book.open_ones(time.time())
        assert one.newcomer.particulars.held
        assert one.newcomer.consent.text_version == "1"
        key = own_key(tmp_path / "state" / "device.key").public_key()
        assert isinstance(InvitationDesk(key, "ostiary", "front", book).take(text, time.time() + 1), Invitation)
    assert run("revoke", invitation_id) == f"revoked {invitation_id}\n"
    assert run("invitations") == ""


def secret_of(state: Path) -> bytes:
    """Return the secret that seals the invitations of this folder."""
    with Gallery(state / "gallery.db") as gallery:
        return gallery.keyring.secret("invitations")
