"""The registry of those who may send commands."""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlite_utils import Migrations

from appliance import clients
from appliance.clients import CLIENTS, Registry
from appliance.contract import Role
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.signing import new_key, public_text, read_key, read_public_key
from appliance.storage import Schema, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_A = base64.b64encode(b"a" * 32).decode()
KEY_B = base64.b64encode(b"b" * 32).decode()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Give an empty registry."""
    with Registry(tmp_path / "clients.db") as registry:
        yield registry


def full_disk() -> None:
    """Fail as a log does that takes nothing."""
    raise StorageError("audit log: disk full")


def advance(registry: Registry, client_id: str, nonce: int) -> bool:
    """Move the nonce of a client as it is known now; False for nobody."""
    client = registry.find(client_id)
    return client is not None and registry.advance(client, nonce)


def test_an_empty_registry_knows_nobody(registry: Registry) -> None:
    """No client, no command."""
    assert registry.entries() == ()
    assert registry.find("guard") is None
    assert not advance(registry, "guard", 1)


def test_a_client_is_found_by_its_id_with_its_role(registry: Registry) -> None:
    """What was added is what a command is checked against."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    client = registry.find("guard")
    assert client is not None
    assert (client.client_id, client.role, client.key.public_bytes_raw()) == ("guard", Role.OPERATOR, b"a" * 32)
    assert registry.find("Guard") is None


def test_a_nonce_only_rises(registry: Registry) -> None:
    """D5: zero is a first nonce; the same or a lower one is refused, for this client alone."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    registry.add("desk", Role.ENROLLER, KEY_B)
    taken = [nonce for nonce in (0, 0, 5, 4, 5, 2**53 - 1) if advance(registry, "guard", nonce)]
    assert taken == [0, 5, 2**53 - 1]
    assert advance(registry, "desk", 1)


def test_no_program_can_lower_a_nonce(registry: Registry) -> None:
    """D5: the file itself refuses, whoever writes to it, and nobody is deleted to start anew."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    advance(registry, "guard", 9)
    other = sqlite3.connect(registry.path)
    for change in ("UPDATE client SET nonce = 3", "DELETE FROM client"):
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(change)
    other.close()


def test_two_processes_take_one_nonce_once(registry: Registry) -> None:
    """D12: the same command through two doors of one device is done once."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    with Registry(registry.path) as other:
        assert [advance(registry, "guard", 1), advance(other, "guard", 1)] == [True, False]


def test_revocation_lasts_and_may_be_undone_with_another_key(registry: Registry) -> None:
    """D4: a revoked client is nobody at once; coming back it has its new key and its old nonce."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    advance(registry, "guard", 9)
    registry.revoke("guard")
    assert registry.find("guard") is None
    assert not advance(registry, "guard", 10)
    assert registry.entries()[0].revoked_at is not None
    registry.add("guard", Role.AUDITOR, KEY_B)
    entry = registry.entries()[0]
    assert (entry.public_key, entry.role, entry.revoked_at, entry.nonce) == (KEY_B, Role.AUDITOR, None, 9)
    assert not advance(registry, "guard", 9)


def test_a_revoked_key_never_comes_back(registry: Registry) -> None:
    """D4: not under its id, not under another, not after the id got a new key, and by no program that writes."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    registry.revoke("guard")
    for name in ("guard", "other"):
        with pytest.raises(RefusedError, match="the key was revoked"):
            registry.add(name, Role.AUDITOR, KEY_A)
    registry.add("guard", Role.OPERATOR, KEY_B)
    with pytest.raises(RefusedError, match="the key was revoked"):
        registry.add("other", Role.AUDITOR, KEY_A)
    other = sqlite3.connect(registry.path, isolation_level=None)
    changes = (
        "UPDATE client SET public_key = ?",
        "INSERT INTO client (client_id, public_key, role, added_at) VALUES ('x', ?, 'admin', '')",
        "DELETE FROM revoked_key WHERE public_key = ?",
    )
    for change in changes:
        with pytest.raises(sqlite3.IntegrityError):
            other.execute(change, [KEY_A])
    registry.revoke("guard")
    with pytest.raises(sqlite3.IntegrityError):
        other.execute("UPDATE client SET revoked_at = NULL")
    other.close()


def test_who_was_revoked_before_is_still(tmp_path: Path) -> None:
    """D4: a registry of an earlier version keeps its nonces, and its revoked keys stay revoked."""
    path = tmp_path / "clients.db"
    old = Schema(CLIENTS.what, CLIENTS.application_id, 1, Migrations("ostiary.clients"))
    old.migrations(name="0001_clients")(clients._first_clients)
    with contextlib.closing(open_database(path, old)) as db:
        added = [("guard", KEY_A, None, 7), ("gone", KEY_B, "2026-01-01T00:00:00+00:00", 9)]
        for name, key, revoked_at, nonce in added:
            db.execute(
                "INSERT INTO client VALUES (?, ?, 'operator', '2025-01-01T00:00:00+00:00', ?, ?)",
                [name, key, revoked_at, nonce],
            )
    with Registry(path) as registry:
        assert [(one.client_id, one.nonce, one.last_used_at) for one in registry.entries()] == [
            ("gone", 9, None),
            ("guard", 7, None),
        ]
        with pytest.raises(RefusedError, match="the key was revoked"):
            registry.add("other", Role.OPERATOR, KEY_B)
        assert advance(registry, "guard", 8)


def test_what_cannot_be_noted_is_not_added(registry: Registry) -> None:
    """J8: whoever would be in no log is let in by nothing; the next attempt begins afresh."""
    with pytest.raises(StorageError, match="disk full"):
        registry.add("guard", Role.OPERATOR, KEY_A, full_disk)
    assert registry.entries() == ()
    registry.add("guard", Role.OPERATOR, KEY_A)


def test_one_client_is_one_key(registry: Registry) -> None:
    """A key under two names would have two nonces; a known client is not changed by adding."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    with pytest.raises(RefusedError, match="known already"):
        registry.add("guard", Role.ADMIN, KEY_B)
    with pytest.raises(RefusedError, match="the client guard's already"):
        registry.add("other", Role.ADMIN, KEY_A)
    assert [entry.role for entry in registry.entries()] == [Role.OPERATOR]


@pytest.mark.parametrize("client_id", ["", "+", "#", "a/b", "$SYS", "../x", "a\0", "a" * 64, "'; DROP TABLE x; --"])
def test_an_id_that_could_name_a_topic_is_refused(registry: Registry, client_id: str) -> None:
    """D7, D8: an id becomes a topic level, so it is checked before it is stored."""
    with pytest.raises(UsageError, match="client id"):
        registry.add(client_id, Role.OPERATOR, KEY_A)
    with pytest.raises(RefusedError):
        registry.revoke(client_id)


@pytest.mark.parametrize("text", ["", "x", KEY_A[:-1], KEY_A + "\n", base64.b64encode(b"a" * 31).decode(), "ä" * 44])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """A mistyped key is told at once, not at the first command."""
    with pytest.raises(UsageError, match="public key"):
        read_public_key(text)


def test_a_new_key_is_private_and_never_overwritten(tmp_path: Path) -> None:
    """The file is readable for its owner only, reads back, and a second keygen leaves it alone."""
    path = tmp_path / "guard.key"
    public = new_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_text(read_key(path)) == public
    assert read_public_key(public).public_bytes_raw() == read_key(path).public_key().public_bytes_raw()
    with pytest.raises(RefusedError, match="exists"):
        new_key(path)
    with pytest.raises(UsageError, match="cannot be written"):
        new_key(tmp_path / "missing" / "guard.key")


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    """Missing, torn, of another kind: one line that names the file."""
    other = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\n", os.urandom(100), other):
        (tmp_path / "bad.key").write_bytes(content)
        with pytest.raises(UsageError, match=r"bad\.key"):
            read_key(tmp_path / "bad.key")
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path / "none.key")


def test_a_damaged_registry_says_so(tmp_path: Path) -> None:
    """A file that is no database is named; nobody is let in by it."""
    path = tmp_path / "clients.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"clients\.db"):
        Registry(path)


def test_a_row_that_was_tampered_with_names_nobody(registry: Registry) -> None:
    """An unknown role or an unreadable key is a fault, not a client."""
    registry.add("guard", Role.OPERATOR, KEY_A)
    other = sqlite3.connect(registry.path, isolation_level=None)
    other.execute("UPDATE client SET role = 'king'")
    other.close()
    with pytest.raises(StorageError, match="guard has no key or role"):
        registry.find("guard")
    with pytest.raises(StorageError, match="guard has no role or time"):
        registry.entries()
