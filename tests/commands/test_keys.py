"""`ostiary keys`: what an installer sees of the keys, and the day on which the device is lost."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType
from appliance.errors import ApplianceError, RefusedError
from appliance.kept_faces.room import open_kept_faces
from appliance.kept_faces.schema import Kind
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PASSPHRASE = "correct horse battery"  # noqa: S105


def ostiary(state: Path, *words: str, typed: str = PASSPHRASE) -> tuple[int, str]:
    """Run one command on a device; return the exit code and what was shown, the fault's line among it."""
    done = CliRunner().invoke(root, [*words, "--state", str(state)], input=f"{typed}\n", standalone_mode=False)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}{done.exception}"
    assert done.exception is None, done.exception
    return 0, done.output


def enrol(state: Path, *names: str) -> list[str]:
    """Enrol these people and return their ids."""
    state.mkdir(exist_ok=True)
    with Gallery(state / "gallery.db") as gallery:
        faces = [(Embedding(row, "m"), Grade.HIGH) for row in np.eye(64, dtype=np.float32)]
        return [
            gallery.add(name, Consent(name, NOON), [one]).person_id for name, one in zip(names, faces, strict=False)
        ]


def known(state: Path) -> list[str]:
    """Return who can be read, and how many faces are compared."""
    with Gallery(state / "gallery.db") as gallery:
        return [person.name for person in gallery.people()] + [str(gallery.snapshot("m", 64).size)]


def secrets_of(state: Path) -> list[bytes]:
    """Return every key there is, wrapped and not."""
    with Gallery(state / "gallery.db") as gallery:
        plain = [*gallery.keyring.keys().values(), *(gallery.keyring.secret(one) for one in ("index", "protection"))]
    with closing(sqlite3.connect(state / "keys.db")) as db:
        wrapped = [row[0] for row in db.execute("SELECT wrapped FROM person_key UNION ALL SELECT wrapped FROM vault")]
    return [*plain, *wrapped, (state / "gallery.key").read_bytes()]


def test_status_shows_no_key(tmp_path: Path) -> None:
    """J3: what is told of the keys is where they are and how many, never one of them."""
    enrol(tmp_path, "Ada", "Bob")
    code, told = ostiary(tmp_path, "keys", "status")
    assert code == 0
    assert "a file beside the databases" in told
    assert "people's keys: 2" in told
    assert not [key for key in secrets_of(tmp_path) if key.hex()[:16] in told]


def test_rotation_is_told_and_written_down(tmp_path: Path) -> None:
    """J8: a rotation leaves everybody as they are, and one entry in the audit log."""
    enrol(tmp_path, "Ada")
    before = secrets_of(tmp_path)[-1]
    code, told = ostiary(tmp_path, "keys", "rotate")
    assert (code, known(tmp_path)) == (0, ["Ada", "1"])
    assert "1 people's keys" in told
    assert (tmp_path / "gallery.key").read_bytes() != before
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        (entry,) = audit.read()
    assert entry.event.event_type is EventType.CONFIG_CHANGED
    assert "keys rotated" in entry.event.detail


def test_templates_are_renewed_only_while_no_reader_runs(tmp_path: Path) -> None:
    """J10: renewal turns every template; a running reader, which compares in the old rotation, forbids it."""
    import fcntl  # noqa: PLC0415

    enrol(tmp_path, "Ada", "Bob")
    with (tmp_path / "reader.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, told = ostiary(tmp_path, "keys", "renew-templates")
        assert code == 3
        assert "another reader is running" in told
    code, told = ostiary(tmp_path, "keys", "renew-templates")
    assert code == 0
    assert told.startswith("2 templates renewed, rotation ")
    assert known(tmp_path)[-1] == "2"


def test_faces_that_clients_keep_are_renewed_too(tmp_path: Path) -> None:
    """J10: renewal turns the templates of face lists with those of the people, and both stay comparable."""
    enrol(tmp_path, "Ada")
    installation = Installation(Settings(), tmp_path, None)
    vector = np.eye(1, 64, dtype=np.float32)[0]
    for again in (False, True):
        with installation.open_gallery() as gallery, open_kept_faces(installation) as kept:
            probe = gallery.protection.protect(Embedding(vector, "m"))
            if not again:
                kept.add_collection(Kind.LIST, "staff", "x", "", "recognition_04", answers_for="x", made_by="key:x")
                kept.add_face(Kind.LIST, "staff", probe, "")
                kept.train(Kind.LIST, "staff", "m", 64)
            (row,) = kept.trained(Kind.LIST, "staff", "m", 64).matrix
            assert row @ probe.vector > 0.999
        if not again:
            assert ostiary(tmp_path, "keys", "renew-templates")[1].startswith("2 templates renewed")


def test_lost_device_comes_back_from_backup_and_bundle(tmp_path: Path) -> None:
    """F12: on a new device a backup alone shows nobody; with the key bundle everybody but the erased is back."""
    old, new = tmp_path / "old", tmp_path / "new"
    ada, _, _ = enrol(old, "Ada", "Bob", "Eve")
    assert ostiary(old, "backup", "create", str(tmp_path / "b"))[0] == 0
    with Gallery(old / "gallery.db") as gallery:
        gallery.remove(ada)
    code, told = ostiary(old, "keys", "export", str(tmp_path / "k"), "--stdin")
    assert code == 0
    assert "keys of 2 people" in told
    signer = told.split("signed by ")[1].splitlines()[0]
    stored = (tmp_path / "k").read_bytes()
    assert not [key for key in secrets_of(old) if key in stored or key.hex().encode() in stored]
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    enrol(new)
    code, told = ostiary(new, "backup", "restore", str(tmp_path / "b"), "--signer", signer, "--yes")
    assert code == 1
    assert "does not open" in told
    code, told = ostiary(new, "keys", "import", str(tmp_path / "k"), "--stdin")
    assert (code, told.startswith("taken in: keys of 2 people")) == (0, True)
    code, told = ostiary(new, "backup", "restore", str(tmp_path / "b"), "--signer", signer, "--yes")
    assert code == 0, told
    assert known(new) == ["Bob", "Eve", "2"]


@pytest.mark.parametrize("typed", ["wrong horse battery", "short", ""])
def test_bundle_opens_for_its_passphrase_alone(tmp_path: Path, typed: str) -> None:
    """J9: another passphrase takes nothing in; one that is too short is not accepted for a new bundle either."""
    enrol(tmp_path / "one", "Ada")
    ostiary(tmp_path / "one", "keys", "export", str(tmp_path / "k"), "--stdin")
    enrol(tmp_path / "two")
    code, told = ostiary(tmp_path / "two", "keys", "import", str(tmp_path / "k"), "--stdin", typed=typed)
    assert code == 1
    assert "does not open" in told or "at least 12 are needed" in told
    with Gallery(tmp_path / "two" / "gallery.db") as gallery:
        assert gallery.keyring.status().people == 0
    if len(typed) < 12:
        assert ostiary(tmp_path / "one", "keys", "export", str(tmp_path / "n"), "--stdin", typed=typed)[0] == 1
        assert not (tmp_path / "n").exists()


def test_bundle_of_another_device_takes_nobody_away(tmp_path: Path) -> None:
    """F6: where there are people, another device's keys are refused, and everybody can be read as before."""
    for name in ("one", "two"):
        enrol(tmp_path / name, f"Person of {name}")
    ostiary(tmp_path / "one", "keys", "export", str(tmp_path / "k"), "--stdin")
    code, told = ostiary(tmp_path / "two", "keys", "import", str(tmp_path / "k"), "--stdin")
    assert code == 1
    assert "another device's" in told
    assert known(tmp_path / "two") == ["Person of two", "1"]


def test_own_bundle_brings_lost_keys_back_and_no_erased_one(tmp_path: Path) -> None:
    """C11: an older bundle of the same device gives a lost key back, and no key of anybody who was erased since."""
    ada, bob = enrol(tmp_path, "Ada", "Bob")
    ostiary(tmp_path, "keys", "export", str(tmp_path / "k"), "--stdin")
    with Gallery(tmp_path / "gallery.db") as gallery:
        gallery.remove(ada)
    with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as db:
        db.execute("DELETE FROM person_key WHERE person_id = ?", [bob])
    assert known(tmp_path) == ["", "0"]
    code, told = ostiary(tmp_path, "keys", "import", str(tmp_path / "k"), "--stdin")
    assert (code, told.startswith("taken in: keys of 1 people")) == (0, True)
    assert known(tmp_path) == ["Bob", "1"]


def test_damaged_bundle_is_refused(tmp_path: Path) -> None:
    """F6: a bundle that was cut or of which a bit is flipped is refused in one line, and nothing is taken."""
    from appliance.backup.bundle import read_bundle  # noqa: PLC0415

    enrol(tmp_path, "Ada")
    ostiary(tmp_path, "keys", "export", str(tmp_path / "k"), "--stdin")
    whole, chance = (tmp_path / "k").read_bytes(), random.Random(4)  # noqa: S311
    shutil.rmtree(tmp_path / "two", ignore_errors=True)
    enrol(tmp_path / "two")
    with Gallery(tmp_path / "two" / "gallery.db") as gallery:
        for turn in range(40):
            damaged = bytearray(whole)
            damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            (tmp_path / "d").write_bytes(damaged if turn % 2 else whole[: chance.randrange(len(whole))])
            with pytest.raises(RefusedError) as fault:
                read_bundle(tmp_path / "d", gallery.keyring, PASSPHRASE)
            assert "\n" not in str(fault.value)
        assert gallery.keyring.status().people == 0
