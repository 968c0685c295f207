"""The keyring: a key a person, wrapped; who has none can no longer be read, and nobody else can read them."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import StorageError
from appliance.people.device_key import CREDENTIAL, KeyStore
from appliance.people.gallery import Consent, Gallery
from appliance.people.keyring import Keyring
from appliance.people.sealing import of_photo, of_reference, seal, unseal
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA, BOB = "a" * 32, "b" * 32


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Return the keys of a new device."""
    with Keyring(tmp_path / "keys.db") as opened:
        yield opened


def gallery_of(folder: Path, *names: str) -> list[str]:
    """Enrol these people and return their ids."""
    with Gallery(folder / "gallery.db") as gallery:
        faces = [(Embedding(row, "m"), Grade.HIGH) for row in np.eye(64, dtype=np.float32)]
        return [
            gallery.add(name, Consent(name, NOON), [face]).person_id for name, face in zip(names, faces, strict=False)
        ]


def names(folder: Path) -> list[str]:
    """Return who is in the gallery, "" for somebody who cannot be read, and how many can be recognised."""
    with Gallery(folder / "gallery.db") as gallery:
        return [person.name for person in gallery.people()] + [str(gallery.snapshot("m", 64).size)]


def test_key_opens_what_it_sealed_and_nothing_else(keyring: Keyring) -> None:
    """J1: each person has a key of their own, the same after a restart, and nobody else's opens it."""
    box = seal(keyring.new(ADA), b"face", b"bound")
    other = keyring.new(BOB)
    with Keyring(keyring.path) as again:
        key = again.key(ADA)
        assert key is not None
        assert unseal(key, box, b"bound") == b"face"
    assert unseal(other, box, b"bound") is None
    assert unseal(key, box, b"bound elsewhere") is None
    assert keyring.key("c" * 32) is None


def test_destroyed_key_is_gone_from_every_file(keyring: Keyring) -> None:
    """J7: the wrapped key of whoever is erased stands in no file any more; the id never gets a key again."""
    keyring.new(ADA)
    with closing(sqlite3.connect(keyring.path)) as db:
        (wrapped,) = db.execute("SELECT wrapped FROM person_key").fetchone()
    stone = keyring.destroy(ADA)
    for file in keyring.path.parent.iterdir():
        assert wrapped not in file.read_bytes(), file.name
    assert keyring.key(ADA) is None
    assert [one.person_id for one in keyring.tombstones()] == [ADA]
    assert len(stone.key_hash) == 64
    with pytest.raises(StorageError, match="does not come back"):
        keyring.new(ADA)
    with closing(sqlite3.connect(keyring.path)) as db, pytest.raises(sqlite3.IntegrityError, match="tombstone stays"):
        db.execute("DELETE FROM tombstone")


def test_key_and_databases_are_the_owners_alone(keyring: Keyring) -> None:
    """J9: nobody else on the machine can read them; a key file that others may read is refused."""
    for file in keyring.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name
    key_file = keyring.path.with_name("gallery.key")
    key_file.chmod(0o640)
    with pytest.raises(StorageError, match=r"gallery\.key has mode 0640; only 0600 is allowed"):
        Keyring(keyring.path)


def test_without_the_device_key_there_is_nothing(tmp_path: Path) -> None:
    """J9: a card without its key, or with another device's, is refused in one line, and no key is made in its place."""
    gallery_of(tmp_path, "Ada")
    (tmp_path / "gallery.key").unlink()
    with pytest.raises(StorageError, match=r"device key [0-9a-f]{16} .* is not here \(no key was found\)"):
        Gallery(tmp_path / "gallery.db")
    assert not (tmp_path / "gallery.key").exists()
    (tmp_path / "gallery.key").write_bytes(os.urandom(32))
    (tmp_path / "gallery.key").chmod(0o600)
    with pytest.raises(StorageError, match=r"is not here \(1 other key was found\)"):
        Gallery(tmp_path / "gallery.db")
    (tmp_path / "gallery.key").write_bytes(os.urandom(31))
    with pytest.raises(StorageError, match="has 31 bytes; 32 are needed"):
        Gallery(tmp_path / "gallery.db")


def test_credential_is_the_device_key_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J9: with a credential of systemd no key lies on the card at all; without it nothing opens."""
    given_by_systemd, state = tmp_path / "credentials", tmp_path / "state"
    given_by_systemd.mkdir()
    state.mkdir()
    (given_by_systemd / CREDENTIAL).write_bytes(os.urandom(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given_by_systemd))
    gallery_of(state, "Ada")
    assert not (state / "gallery.key").exists()
    assert names(state) == ["Ada", "1"]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(StorageError, match=f"it is the systemd credential {CREDENTIAL} or the file"):
        Gallery(state / "gallery.db")


def test_rotation_to_a_credential_takes_the_key_off_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J9: a device that gets a credential later rotates to it, and the key file goes."""
    gallery_of(tmp_path, "Ada")
    given_by_systemd = tmp_path / "credentials"
    given_by_systemd.mkdir()
    (given_by_systemd / CREDENTIAL).write_bytes(os.urandom(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given_by_systemd))
    with Keyring(tmp_path / "keys.db") as keyring:
        assert keyring.status().source == "file"
        assert keyring.rotate().source == "credential"
    assert not (tmp_path / "gallery.key").exists()
    assert names(tmp_path) == ["Ada", "1"]


def test_rotation_changes_every_wrapped_key_and_no_person(tmp_path: Path) -> None:
    """After rotation the old device key and every old wrapped key are gone; everybody is read, by open readers too."""
    gallery_of(tmp_path, "Ada", "Bob")
    old_key = (tmp_path / "gallery.key").read_bytes()
    with closing(sqlite3.connect(tmp_path / "keys.db")) as db:
        tables = ("person_key", "secret", "vault")
        old = {row[0] for table in tables for row in db.execute(f"SELECT wrapped FROM {table}")}  # noqa: S608 - ours
    with Gallery(tmp_path / "gallery.db") as reading, Keyring(tmp_path / "keys.db") as keyring:
        before = reading.people()
        status = keyring.rotate()
        assert (status.people, status.erased, status.secrets) == (2, 0, ("index", "protection"))
        assert reading.people() == before
        reading.add("Eve", Consent("Eve", NOON), [(Embedding(np.eye(64, dtype=np.float32)[9], "m"), Grade.HIGH)])
    assert names(tmp_path) == ["Ada", "Bob", "Eve", "3"]
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert old_key not in content, file.name
        assert not [one for one in old if one in content], file.name


@pytest.mark.parametrize("step", range(4))
def test_rotation_that_is_cut_leaves_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """F10: power that goes before, during or after the commit of a rotation leaves a gallery that opens."""
    gallery_of(tmp_path, "Ada")

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with Keyring(tmp_path / "keys.db") as keyring:
        match step:
            case 0:
                monkeypatch.setattr(KeyStore, "fresh", cut)
            case 1:
                monkeypatch.setattr(Keyring, "_write_vault", cut)
            case 2:
                monkeypatch.setattr(KeyStore, "settle", cut)
            case 3:
                monkeypatch.setattr(KeyStore, "retire", cut)
        with pytest.raises(PowerCutError):
            keyring.rotate()
    monkeypatch.undo()
    assert names(tmp_path) == ["Ada", "1"]
    with Keyring(tmp_path / "keys.db") as keyring:
        keyring.rotate()
    assert names(tmp_path) == ["Ada", "1"]
    assert not (tmp_path / "gallery.key.next").exists()


def test_old_copy_of_the_gallery_brings_nobody_back(tmp_path: Path) -> None:
    """C11: an old copy of the gallery put back opens without whoever was erased since, whose bytes go from it too."""
    ada, bob = gallery_of(tmp_path, "Ada", "Bob")
    shutil.copy(tmp_path / "gallery.db", tmp_path / "old.db")
    with Gallery(tmp_path / "gallery.db") as gallery:
        gallery.remove(ada)
    shutil.copy(tmp_path / "old.db", tmp_path / "gallery.db")
    with Gallery(tmp_path / "gallery.db") as gallery:
        assert [person.person_id for person in gallery.people()] == [bob]
        assert gallery.snapshot("m", 64).person_ids == (bob,)
        assert gallery.snapshot("m", 64).quarantined == ()
    assert ada.encode() not in (tmp_path / "gallery.db").read_bytes()


def test_old_copy_read_by_hand_cannot_be_opened(tmp_path: Path) -> None:
    """J7: with the device key and every file of today, whoever was erased cannot be read in a copy of yesterday."""
    ada, bob = gallery_of(tmp_path, "Ada", "Bob")
    shutil.copy(tmp_path / "gallery.db", tmp_path / "old.db")
    with Gallery(tmp_path / "gallery.db") as gallery:
        gallery.remove(ada)
    with closing(sqlite3.connect(tmp_path / "old.db")) as old, Keyring(tmp_path / "keys.db") as keyring:
        rows = old.execute("SELECT person_id, reference_id, model_id, protection, sealed FROM reference").fetchall()
        keys = keyring.opened()
        opened = {
            row[0]: unseal(keys[row[0]], row[4], of_reference(row[1], row[0], row[2], row[3]))
            for row in rows
            if row[0] in keys
        }
    assert {row[0] for row in rows} == {ada, bob}
    assert set(opened) == {bob}
    assert opened[bob] is not None


def test_another_devices_gallery_opens_nothing(tmp_path: Path) -> None:
    """F6: a gallery file swapped with another device's shows nobody's name and matches nobody."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gallery_of(tmp_path / name, f"Person of {name}")
    shutil.copy(tmp_path / "one" / "gallery.db", tmp_path / "two" / "gallery.db")
    assert names(tmp_path / "two") == ["", "0"]


def test_damaged_keyring_is_a_fault_or_shuts_people_out(tmp_path: Path) -> None:
    """F6: wherever a byte of the keys is flipped, it is a storage fault, or somebody is not read; nobody is misread."""
    gallery_of(tmp_path, "Ada", "Bob")
    whole = (tmp_path / "keys.db").read_bytes()
    chance = np.random.default_rng(3)
    met = set()
    for at in chance.choice(len(whole), 120, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(chance.integers(8))
        (tmp_path / "keys.db").write_bytes(damaged)
        with suppress(StorageError):
            found = names(tmp_path)[:-1]
            assert set(found) <= {"Ada", "Bob", ""}
            met.add(tuple(found))
        for left in ("keys.db-wal", "keys.db-shm"):
            (tmp_path / left).unlink(missing_ok=True)
    assert met


@given(
    value=st.binary(max_size=300), names=st.tuples(st.text(max_size=9), st.text(max_size=9)), flip=st.integers(0, 9999)
)
def test_seal_fits_one_place_alone(value: bytes, names: tuple[str, str], flip: int) -> None:
    """F6: what is sealed opens for its own place; one flipped bit, or another place, and it does not."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    key, place = AESGCM(bytes(32)), of_photo(*names)
    box = seal(key, value, place)
    assert unseal(key, box, place) == value
    assert unseal(key, box, of_reference(*names, "", "")) is None
    damaged = bytearray(box)
    damaged[flip // 8 % len(box)] ^= 1 << flip % 8
    assert unseal(key, bytes(damaged), place) is None
    assert unseal(key, box[: flip % len(box)], place) is None
