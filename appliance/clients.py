"""Who may send commands: public keys, roles and the last nonce of each, in `clients.db`.

No private key is ever stored here; the client keeps its own (`ostiary client keygen`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlite_utils import Migrations

from appliance.contract import Role, is_identifier
from appliance.envelope import Client
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.home_assistant import CLIENT_ID as HOME_ASSISTANT
from appliance.signing import public_key_text, read_public_key
from appliance.storage import DatabaseFile, Schema, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.clients")
CLIENTS = Schema("client registry", 0x4F537043, 2, _MIGRATIONS)  # "OSpC"


@_MIGRATIONS(name="0001_clients")
def _first_clients(db: Database) -> None:
    # The trigger binds every program that writes: a nonce that falls would let old commands in again.
    db.executescript("""
        CREATE TABLE client (
            client_id TEXT PRIMARY KEY NOT NULL CHECK (length(client_id) BETWEEN 1 AND 63),
            public_key TEXT NOT NULL CHECK (length(public_key) = 44),
            role TEXT NOT NULL,
            added_at TEXT NOT NULL,
            revoked_at TEXT,
            nonce INTEGER NOT NULL DEFAULT -1
        ) STRICT;
        CREATE TRIGGER nonce_never_falls BEFORE UPDATE ON client
            WHEN NEW.nonce < OLD.nonce
            BEGIN SELECT RAISE(ABORT, 'a nonce never falls'); END;
        CREATE TRIGGER client_is_not_deleted BEFORE DELETE ON client
            BEGIN SELECT RAISE(ABORT, 'a client is revoked, not deleted'); END;
    """)


@_MIGRATIONS(name="0002_revoked_keys")
def _revoked_keys(db: Database) -> None:
    # A key is revoked because somebody else may have it: no program lets it in again, under whatever id.
    db.executescript("""
        ALTER TABLE client ADD COLUMN last_used_at TEXT;
        CREATE TABLE revoked_key (
            public_key TEXT PRIMARY KEY NOT NULL CHECK (length(public_key) = 44),
            client_id TEXT NOT NULL,
            revoked_at TEXT NOT NULL
        ) STRICT;
        INSERT INTO revoked_key SELECT public_key, client_id, revoked_at FROM client WHERE revoked_at IS NOT NULL;
        CREATE TRIGGER revoked_key_is_not_deleted BEFORE DELETE ON revoked_key
            BEGIN SELECT RAISE(ABORT, 'a revoked key is not forgotten'); END;
        CREATE TRIGGER revoked_key_is_not_used BEFORE UPDATE OF public_key, revoked_at ON client
            WHEN NEW.revoked_at IS NULL AND NEW.public_key IN (SELECT public_key FROM revoked_key)
            BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END;
        CREATE TRIGGER revoked_key_is_not_added BEFORE INSERT ON client
            WHEN NEW.public_key IN (SELECT public_key FROM revoked_key)
            BEGIN SELECT RAISE(ABORT, 'a revoked key stays revoked'); END;
    """)


@dataclass(frozen=True, slots=True)
class Entry:
    """One client as people see it."""

    client_id: str
    public_key: str  # base64 of 32 bytes
    role: Role
    added_at: datetime  # UTC
    revoked_at: datetime | None  # UTC; None while it may send commands
    nonce: int  # of its last command; -1 before the first
    last_used_at: datetime | None  # UTC, of its last command; None before the first


class Registry(DatabaseFile):
    """The clients in the file at `path`; a connection belongs to one thread.

    Every change is durable on return. Raises StorageError, one line that names the file, where that is
    damaged, foreign, of a newer version, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, CLIENTS)

    def add(self, client_id: str, role: Role, public_key: str, noted: Callable[[], object] = lambda: None) -> None:
        """Let a new client in, or a revoked one again with another key, whose last nonce stays.

        `noted` is called just before that is durable, and what it raises takes it back. Raises RefusedError for a
        client that is in, or a key that another one has or that was revoked, and UsageError for an id or a key
        that is none.
        """
        if not is_identifier(client_id):
            raise UsageError(f"client id {client_id!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
        if client_id == HOME_ASSISTANT:  # in the audit log the two would be one
            raise UsageError(f"client id {client_id} is that of Home Assistant's own orders; choose another")
        read_public_key(public_key)
        with named_faults(CLIENTS, self.path), one_change(self._db):
            self._demand_new(client_id, public_key)
            self._db.execute(
                """INSERT INTO client (client_id, public_key, role, added_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (client_id) DO UPDATE SET revoked_at = NULL, role = excluded.role,
                added_at = excluded.added_at, public_key = excluded.public_key""",
                [client_id, public_key, role.value, _now()],
            )
            noted()

    def revoke(self, client_id: str) -> None:
        """Take no further command from this client, nor ever from its key. Raises RefusedError for one not in."""
        with named_faults(CLIENTS, self.path), one_change(self._db):
            done = self._db.execute(
                """INSERT INTO revoked_key SELECT public_key, client_id, ? FROM client
                WHERE client_id = ? AND revoked_at IS NULL""",
                [_now(), client_id],
            )
            if done.rowcount != 1:
                raise RefusedError(f"no client {client_id!r} is known that could be revoked")
            self._db.execute("UPDATE client SET revoked_at = ? WHERE client_id = ?", [_now(), client_id])

    def entries(self) -> tuple[Entry, ...]:
        """Return every client there ever was, by id; () for none."""
        with named_faults(CLIENTS, self.path):
            rows = self._db.execute(
                """SELECT client_id, public_key, role, added_at, revoked_at, nonce, last_used_at
                FROM client ORDER BY client_id"""
            ).fetchall()
        return tuple(self._entry(row) for row in rows)

    def find(self, client_id: str) -> Client | None:
        """Return the client that may send commands under this id; None where there is none or it is revoked."""
        with named_faults(CLIENTS, self.path):
            row = self._db.execute(
                "SELECT public_key, role FROM client WHERE client_id = ? AND revoked_at IS NULL", [client_id]
            ).fetchone()
        if row is None:
            return None
        try:
            return Client(client_id, read_public_key(row[0]), Role(row[1]))
        except (UsageError, ValueError) as fault:
            raise StorageError(f"client registry {self.path} is damaged: {client_id} has no key or role") from fault

    def advance(self, client: Client, nonce: int) -> bool:
        """Store the nonce durably and return True where it lies above the client's last; else False.

        Also False for a client that is unknown or revoked by now, or has another key or role.
        """
        with named_faults(CLIENTS, self.path), one_change(self._db):
            done = self._db.execute(
                """UPDATE client SET nonce = ?, last_used_at = ? WHERE client_id = ? AND public_key = ? AND role = ?
                AND revoked_at IS NULL AND nonce < ?""",
                [nonce, _now(), client.client_id, public_key_text(client.key), client.role.value, nonce],
            )
        return done.rowcount == 1

    def _demand_new(self, client_id: str, public_key: str) -> None:
        if self._db.execute("SELECT 1 FROM revoked_key WHERE public_key = ?", [public_key]).fetchone():
            raise RefusedError("the key was revoked, and stays so; ostiary client keygen makes another")
        query = "SELECT client_id, revoked_at FROM client WHERE client_id = ? OR public_key = ?"
        for other, revoked_at in self._db.execute(query, [client_id, public_key]).fetchall():
            if other != client_id:  # one key under two ids would have two nonces
                raise RefusedError(f"the key is the client {other}'s already; each client has a key of its own")
            if revoked_at is None:
                raise RefusedError(f"the client {client_id} is known already; revoke it to give it another key")

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        client_id, public_key, role, added_at, revoked_at, nonce, used_at = row
        try:
            added, revoked, used = datetime.fromisoformat(added_at), _time(revoked_at), _time(used_at)
            return Entry(client_id, public_key, Role(role), added, revoked, nonce, used)
        except ValueError as fault:
            raise StorageError(f"client registry {self.path} is damaged: {client_id} has no role or time") from fault


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
