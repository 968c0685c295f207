"""Backup and restore: what is put back is what was there, and nobody who was erased comes with it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.ledger import Ledger
from appliance.access.subject import Status
from appliance.audit import AuditLog
from appliance.backup import archive, sealed
from appliance.backup.archive import DATABASES, Contents, Member, create, verify
from appliance.backup.restore import SETTINGS, STAGED, restore
from appliance.backup.sealed import Lock
from appliance.clients import Registry
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType, Role
from appliance.errors import HardwareError, RefusedError, StorageError
from appliance.lone import only_one
from appliance.people.gallery import Consent, Gallery
from appliance.people.keyring import Keyring
from appliance.people.recorded import recorded
from appliance.records import Embedding, Event, Grade
from appliance.signing import new_key, own_key
from appliance.web.accounts import Accounts

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MARKER = "Marker Ada Lovelace"
SETTINGS_TEXT = '[device]\nid = "ostiary"\n[consent]\nfolder = "texts"\n'


@pytest.fixture
def device(tmp_path: Path) -> Installation:
    """Return a device with two people, a client, a used pass, a setting and entries in its log."""
    (tmp_path / "appliance.toml").write_text(SETTINGS_TEXT)
    (tmp_path / "texts" / "2026-1").mkdir(parents=True)
    (tmp_path / "texts" / "2026-1" / "pt-BR.txt").write_text("Concordo.")
    made = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    with Gallery(made.gallery_file) as gallery:
        for number, name in enumerate((MARKER, "Bea")):
            gallery.add(name, Consent(name, NOON), [face(number)])
    with Ledger(made.ledger_file) as ledger:
        ledger.use("0123456789abcdef-0", datetime(2040, 1, 1, tzinfo=UTC))
    with Registry(made.clients_file) as clients:
        clients.add("tablet", Role.OPERATOR, new_key(tmp_path / "tablet.pem"))
    with Accounts(made.web_file) as accounts:
        accounts.add_key("intranet", Role.RECOGNISER)
    say(made, "first", "second")
    return made


def face(number: int) -> tuple[Embedding, Grade]:
    """Return one template that may be enrolled."""
    return Embedding(np.eye(8, dtype=np.float32)[number], "m"), Grade.HIGH


def say(device: Installation, *details: str) -> None:
    """Write entries into the log."""
    with AuditLog(device.audit_file, "ostiary", "front") as log:
        for detail in details:
            log.append(Event(EventType.BELL, NOON, detail=detail))


def key_of(device: Installation) -> bytes:
    """Return what this device's backups are sealed with."""
    with Keyring.beside(device.gallery_file) as keyring:
        return keyring.secret("backup")


def names(device: Installation) -> list[str]:
    """Return who is enrolled."""
    with Gallery(device.gallery_file) as gallery:
        return [person.name for person in gallery.people()]


def person_id(device: Installation, name: str) -> str:
    """Return the id of somebody enrolled."""
    with Gallery(device.gallery_file) as gallery:
        return gallery.find(name)[0].person_id


def backed_up(device: Installation, name: str = "backup") -> Path:
    """Return a backup of the device."""
    path = device.state.parent / name
    create(device, path, key_of(device))
    return path


def content(device: Installation) -> dict[str, bytes]:
    """Return every file of the state folder by name, without locks."""
    found = (path for path in device.state.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(device.state).as_posix(): path.read_bytes() for path in found}


def test_what_was_there_comes_back(device: Installation) -> None:
    """F12: after a restore everybody is there as at the time of the backup, and settings lie aside to be compared."""
    path = backed_up(device)
    assert path.stat().st_mode & 0o777 == 0o600
    with Gallery(device.gallery_file) as gallery:
        gallery.add("Cleo", Consent("Cleo", NOON), [face(2)])
        subject = gallery.subject(gallery.find("Bea")[0].person_id)
        assert subject is not None
        gallery.set_access(replace(subject, status=Status.SUSPENDED))
    done = restore(device, path, key_of(device))
    assert names(device) == ["Bea", MARKER]
    with Gallery(device.gallery_file) as gallery:
        assert gallery.find("Bea")[0].status == "active"
        assert gallery.current("m", 8).size == 2
    assert done.replaced == ("gallery.db",)
    assert (done.backup.contents.people, done.erased_since, done.unreadable) == (2, 0, 0)
    assert (device.state / SETTINGS / "appliance.toml").read_text() == SETTINGS_TEXT
    assert (device.state / SETTINGS / "consent-2026-1_pt-BR.txt").read_text() == "Concordo."
    assert not (device.state / STAGED).exists()


def test_a_backup_opens_nobody(device: Installation) -> None:
    """C11 J1: a backup holds no name in clear, no key, and of its databases only those on the list."""
    path = backed_up(device)
    assert MARKER.encode() not in path.read_bytes()
    plain = b"".join(_plain(device, path))
    assert MARKER.encode() not in plain
    assert device.state.joinpath("gallery.key").read_bytes() not in plain
    assert own_key(device.device_key_file).private_bytes_raw() not in plain
    members = [one.name for one in verify(path, key_of(device), device.state).contents.members]
    assert members == [*DATABASES, "appliance.toml", "consent-2026-1_pt-BR.txt"]
    with closing(sqlite3.connect(device.state / "keys.db")) as keys:
        wrapped = [row[0] for row in keys.execute("SELECT wrapped FROM person_key UNION ALL SELECT wrapped FROM vault")]
    assert wrapped
    assert not any(one in plain for one in wrapped)


def _plain(device: Installation, path: Path) -> list[bytes]:
    with sealed.open_sealed(path, "backup") as opened:
        return list(opened.chunks(key_of(device)))


def test_the_erased_stay_erased(device: Installation) -> None:
    """C11: somebody erased after the backup does not come back with it, and the restore tells it."""
    path = backed_up(device)
    with Gallery(device.gallery_file) as gallery:
        gallery.remove(gallery.find(MARKER)[0].person_id)
    done = restore(device, path, key_of(device))
    assert done.erased_since == 1
    assert names(device) == ["Bea"]
    with closing(sqlite3.connect(device.gallery_file)) as raw:
        assert raw.execute("SELECT COUNT(*) FROM person").fetchone() == (1,)


def test_consent_that_was_withdrawn_stays_so(device: Installation) -> None:
    """C11: what somebody withdrew after the backup does not come back readable, and that is told before."""
    path, ada = backed_up(device), person_id(device, MARKER)
    with Gallery(device.gallery_file) as gallery:
        gallery.withdraw(ada, NOON)
    with pytest.raises(RefusedError, match="of 1 people of the backup the key is not here"):
        restore(device, path, key_of(device))
    assert restore(device, path, key_of(device), without_keys=True).unreadable == 1
    with Gallery(device.gallery_file) as gallery:
        assert gallery.vectors(ada) == {}
        assert gallery.snapshot("m", 8).size == 1
        gallery.remove(ada)
    assert names(device) == ["Bea"]


def test_what_only_grows_is_not_set_back(device: Installation) -> None:
    """D5 F15: a restore makes no used pass new, no revoked client known, no nonce lower and the log no shorter."""
    path = backed_up(device)
    with Registry(device.clients_file) as clients:
        tablet = clients.find("tablet")
        assert tablet is not None
        clients.advance(tablet, 7)
        clients.revoke("tablet")
    with Accounts(device.web_file) as accounts:
        accounts.revoke_key("intranet")
    with Ledger(device.ledger_file) as ledger:
        ledger.use("0123456789abcdef-1", datetime(2040, 1, 1, tzinfo=UTC))
    say(device, "after the backup")
    done = restore(device, path, key_of(device))
    assert done.kept == ("ledger.db", "clients.db", "web.db", "audit.db")
    with Registry(device.clients_file) as clients:
        assert (clients.entries()[0].nonce, clients.find("tablet")) == (7, None)
    with Accounts(device.web_file) as accounts, pytest.raises(RefusedError):
        accounts.revoke_key("intranet")  # it is already
    with Ledger(device.ledger_file) as ledger:
        assert not ledger.use("0123456789abcdef-1", datetime(2040, 1, 1, tzinfo=UTC))
    with AuditLog(device.audit_file, "ostiary", "front") as log:
        assert [entry.event.detail for entry in log.read()] == ["first", "second", "after the backup"]
        assert log.verify().ok


@pytest.mark.parametrize("damage", ["gone", "cut", "altered"])
def test_a_log_that_is_lost_comes_back(device: Installation, damage: str) -> None:
    """F6: a log that is gone, no database any more, or broken in its chain is replaced by the backup's."""
    path = backed_up(device)
    say(device, "after the backup")
    match damage:
        case "gone":
            device.audit_file.unlink()
        case "cut":
            os.truncate(device.audit_file, 1000)
        case _:
            with closing(sqlite3.connect(device.audit_file, isolation_level=None)) as raw:
                raw.execute("DROP TRIGGER entry_is_not_changed")
                raw.execute("UPDATE entry SET body = replace(body, 'first', 'worst')")
    done = restore(device, path, key_of(device))
    assert "audit.db" in done.replaced
    with AuditLog(device.audit_file, "ostiary", "front") as log:
        assert [entry.event.detail for entry in log.read()] == ["first", "second"]
        verdict = log.verify()
        assert verdict.ok
        assert verdict.remembered == verdict.head


def test_every_database_lost(device: Installation) -> None:
    """F6: with every database damaged, the keys alone and a backup bring all of them back."""
    path = backed_up(device)
    for name in DATABASES:
        (device.state / name).write_bytes(b"no database" * 1000)
        (device.state / f"{name}-wal").write_bytes(b"no log")
    done = restore(device, path, key_of(device))
    assert set(done.replaced) == {*DATABASES, "audit.head"}
    assert names(device) == ["Bea", MARKER]
    with Registry(device.clients_file) as clients:
        assert clients.find("tablet") is not None


def test_nothing_is_restored_under_a_running_reader(device: Installation) -> None:
    """F8: while a reader runs, or another process has a database open, a restore is refused and nothing has changed."""
    path = backed_up(device)
    before = content(device)
    with only_one(device.state / "reader.lock"), pytest.raises(HardwareError, match="another reader is running"):
        restore(device, path, key_of(device))
    with Gallery(device.gallery_file) as gallery:
        gallery.people()
        with pytest.raises(HardwareError, match=r"gallery\.db is in use"):
            restore(device, path, key_of(device))
    assert content(device).keys() == before.keys()
    assert names(device) == ["Bea", MARKER]


def test_an_altered_backup_changes_nothing(device: Installation) -> None:
    """E5: a backup with a flipped byte anywhere, or cut short, is refused before a byte of the state was written."""
    path = backed_up(device)
    whole, key = path.read_bytes(), key_of(device)
    before = content(device)
    for at in [*range(0, 1000, 90), *range(1000, len(whole), len(whole) // 25)]:
        for bad in (whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :], whole[:at]):
            path.write_bytes(bad)
            with pytest.raises(RefusedError, match="backup"):
                restore(device, path, key)
    assert content(device) == before


def test_another_device_can_do_nothing_with_it(device: Installation, tmp_path: Path) -> None:
    """F12: on a device without the keys a backup is of no use, and its state stays as it was."""
    path = backed_up(device)
    other = open_installation(None, tmp_path / "other")
    with Gallery(other.gallery_file) as gallery:
        gallery.add("Dora", Consent("Dora", NOON), [face(3)])
    with pytest.raises(RefusedError, match="sealed for somebody else"):
        restore(other, path, key_of(other))
    assert names(other) == ["Dora"]


def test_another_device_with_the_key_must_name_the_signer(device: Installation, tmp_path: Path) -> None:
    """E5: a backup that another device signed is put in place only where its fingerprint is named; the rest is checked.

    People whose keys are not there are not taken in silence.
    """
    path = backed_up(device)
    other = open_installation(None, tmp_path / "other")
    key, signer = key_of(device), verify(path, key_of(device), device.state).seal.signer
    with pytest.raises(RefusedError, match="signed by another device, ostiary, key"):
        restore(other, path, key)
    with pytest.raises(RefusedError, match="signed by another device"):
        restore(other, path, key, signer="0" * 32)
    with pytest.raises(RefusedError, match="of 2 people of the backup the key is not here"):
        restore(other, path, key, signer=signer)
    for name in ("keys.db", "gallery.key"):
        shutil.copy(device.state / name, other.state / name)
    done = restore(other, path, key, signer=signer)
    assert done.unreadable == 0
    assert names(other) == ["Bea", MARKER]


@pytest.mark.parametrize("name", [
    "../gallery.db", "/etc/passwd", "gallery.db\0", "keys.db", "gallery.key", "device.key", "x/gallery.db", "", ".",
    "consent-/../x.txt", "GALLERY.DB", "gallery.db-wal", "restore/holds", "C:\\x", "reader.lock",
])  # fmt: skip
def test_names_are_from_a_closed_list(name: str) -> None:
    """E5: no member of a backup can name a path, a key, or anything that a backup does not hold."""
    with pytest.raises(ValueError, match="is no file of a backup"):
        Member(name=name, bytes=0)


def test_a_signed_backup_is_still_not_believed(device: Installation) -> None:
    """E5: what the right key has signed and sealed is held to the list, the sizes and the databases all the same."""
    gallery = device.gallery_file.read_bytes()
    head = {"version": "1", "people": 0, "audit_seq": 0, "audit_hash": "0" * 64}
    fine = [{"name": "gallery.db", "bytes": len(gallery)}]
    for members, plain, why in (
        ([*fine, {"name": "../x", "bytes": 1}], gallery + b"x", "is no file of a backup"),
        ([*fine, *fine], gallery * 2, "no file twice"),
        ([], b"", "one gallery"),
        (fine, gallery[:-1], "holds less than it says"),
        (fine, gallery + b"x", "holds more than it says"),
        ([*fine, {"name": "access.toml", "bytes": 1 << 30}], gallery, "at most"),
        ([{"name": "gallery.db", "bytes": 5}], b"12345", "is damaged"),
        ([{"name": "gallery.db", "bytes": len(newer(gallery))}], newer(gallery), "comes from a newer Ostiary"),
        (
            [{"name": "gallery.db", "bytes": device.ledger_file.stat().st_size}],
            device.ledger_file.read_bytes(),
            "not an",
        ),
        ([*fine, {"name": "audit.db", "bytes": len(gallery)}], gallery * 2, "not an Ostiary audit log"),
    ):
        said = json.dumps(head | {"members": members}).encode()
        path = forged(device, len(said).to_bytes(4, "big") + said + plain)
        with pytest.raises(RefusedError, match=why):
            restore(device, path, key_of(device))
    for start in (b"", b"\xff" * 4, b"\0\0\0\1", b"\0\0\0\2{}"):
        with pytest.raises(RefusedError, match=r"backup|holds less"):
            restore(device, forged(device, start), key_of(device))
    assert names(device) == ["Bea", MARKER]


def newer(gallery: bytes) -> bytes:
    """Return the gallery with a schema version of the future in its header (SQLite: offset 60)."""
    return gallery[:60] + (99).to_bytes(4, "big") + gallery[64:]


def forged(device: Installation, plain: bytes) -> Path:
    """Return a backup of any bytes, sealed and signed by the device itself."""
    path, signer = device.state.parent / "forged-backup", own_key(device.device_key_file)
    head = sealed.header("backup", "ostiary", Lock(by="device", salt=sealed.new_salt()), signer)
    with path.open("wb") as file:
        sealed.write(file, head, key_of(device), [plain], signer)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the child of a fork only ever restores and ends
def test_death_at_any_step(device: Installation, tmp_path: Path) -> None:
    """F1 F10: whichever step was the last, the next command finds all that was there before, or all of the backup."""
    path, key = backed_up(device), key_of(device)
    with Gallery(device.gallery_file) as gallery:
        gallery.add("Cleo", Consent("Cleo", NOON), [face(2)])
    device.audit_file.write_bytes(b"no database" * 1000)
    seen = []
    for step in itertools.count():
        copy = tmp_path / f"step{step}"
        shutil.copytree(device.state, copy)
        finished = _restored_up_to(step, replace(device, state=copy), path, key)
        there = open_installation(device.config_file, copy)  # the next command
        seen.append((names(there), there.audit_file.read_bytes().startswith(b"no database")))
        if finished:
            break
        shutil.rmtree(copy)
    old, new = (["Bea", "Cleo", MARKER], True), (["Bea", MARKER], False)
    assert [one for one, _ in itertools.groupby(seen)] == [old, new]
    assert seen.count(new) > 5


_STEPS = {"os.rename", "os.remove", "os.rmdir"}


def _unpacks(path: str) -> bool:
    """Tell whether a step only unpacks one more file beside what is there: there are many, all alike."""
    return path.endswith(".tmp") and "/holds." not in path


def _restored_up_to(step: int, device: Installation, path: Path, key: bytes) -> bool:
    """Restore in a process that is gone before its step of this number; tell whether it came to the end."""
    child = os.fork()
    if child == 0:
        left = itertools.count(step, -1)

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if event in _STEPS and not _unpacks(str(arguments[0])) and next(left) == 0:
                os._exit(9)

        sys.addaudithook(watch)
        restore(device, path, key)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 9}
    return status == 0


def test_a_backup_of_one_moment(device: Installation) -> None:
    """F12: of a gallery and a log that are written to all the while, every person in a backup is in its log as well."""
    stop = threading.Event()
    writing = threading.Thread(target=_enrol_until, args=(device, stop))
    writing.start()
    try:
        for number in range(5):
            path = backed_up(device, f"backup{number}")
            with archive.scratch(device.state) as folder:
                backup = archive.unpack(path, key_of(device), folder)
                with closing(sqlite3.connect(folder / "gallery.db")) as gallery:
                    people = {row[0] for row in gallery.execute("SELECT person_id FROM person")}
                with AuditLog(folder / "audit.db", "ostiary", "front") as log:
                    logged = {
                        entry.event.detail for entry in log.read() if entry.event.event_type is EventType.ENROLLED
                    }
                    assert log.verify().ok
                    assert log.head().hash == backup.contents.audit_hash
            assert len(people) == backup.contents.people
            assert len(people - logged) == 2  # who was there before
    finally:
        stop.set()
        writing.join()


def _enrol_until(device: Installation, stop: threading.Event) -> None:
    """Enrol people as fast as it goes, each with an entry in the log, by the very ids."""
    with Gallery(device.gallery_file) as gallery, AuditLog(device.audit_file, "ostiary", "front") as log:
        while not stop.is_set():
            recorded(
                gallery,
                log,
                lambda: gallery.add("Cleo", Consent("Cleo", NOON), [face(2)]),
                lambda person: Event(EventType.ENROLLED, NOON, detail=person.person_id),
                "nobody was enrolled",
            )


def test_a_file_that_is_there_stays(device: Installation, tmp_path: Path) -> None:
    """A backup never overwrites a file, and one that fails leaves none."""
    path = backed_up(device)
    before = path.read_bytes()
    with pytest.raises(RefusedError, match="exists and is not overwritten"):
        create(device, path, key_of(device))
    assert path.read_bytes() == before
    device.audit_file.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match=r"audit\.db"):
        create(device, tmp_path / "other", key_of(device))
    assert not [one.name for one in tmp_path.iterdir() if one.name.startswith("other")]
    assert not (device.state / "backup.tmp").exists()


def test_two_backups_at_once(device: Installation) -> None:
    """A second backup command is refused while one is at work, and what a power cut left is cleared away."""
    with archive.scratch(device.state) as folder:
        (folder / "left").write_bytes(b"x")
        with pytest.raises(HardwareError, match="another ostiary backup command"):
            backed_up(device)
    assert backed_up(device).exists()
    assert not folder.exists()


def test_what_a_backup_says_of_itself(device: Installation) -> None:
    """The contents name the version, the people and the newest entry, so that a restore can be told apart."""
    found = verify(backed_up(device), key_of(device), device.state)
    with AuditLog(device.audit_file, "ostiary", "front") as log:
        head = log.head()
    assert (found.contents.people, found.contents.audit_seq, found.contents.audit_hash) == (2, head.seq, head.hash)
    assert found.seal.header.device_id == "ostiary"
    assert isinstance(found.contents, Contents)
