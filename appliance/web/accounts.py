"""Who may use the web pages and the HTTP interfaces: accounts, their sessions and API keys, in `web.db`.

A password is kept as its argon2id hash, a session and a key as the SHA-256 of a secret of 256 random bits: who reads
the file can use none of them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.contract import VERB_ROLES, Role
from appliance.errors import RefusedError, UsageError
from appliance.storage import DatabaseFile, Schema, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.web")
WEB = Schema("web accounts", 0x4F537057, 1, _MIGRATIONS)  # "OSpW"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SESSION_S = 12 * 3600.0  # at most, however busy
IDLE_S = 30 * 60.0
KEY_PREFIX = "osk_"  # so that a scanner for leaked secrets can know one


@_MIGRATIONS(name="0001_accounts")
def _first_accounts(db: Database) -> None:
    db.executescript("""
        CREATE TABLE account (
            name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
            role TEXT NOT NULL,
            password_hash TEXT NOT NULL,
            added_at REAL NOT NULL,
            disabled_at REAL
        ) STRICT;
        CREATE TABLE session (
            digest TEXT PRIMARY KEY NOT NULL CHECK (length(digest) = 64),
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            csrf TEXT NOT NULL,
            begun_at REAL NOT NULL,
            used_at REAL NOT NULL
        ) STRICT;
        CREATE TABLE api_key (
            name TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
            digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64),
            role TEXT NOT NULL,
            answers_for TEXT NOT NULL,
            added_at REAL NOT NULL,
            revoked_at REAL,
            used_at REAL
        ) STRICT;
    """)


class Kind(StrEnum):
    """How somebody proved who they are."""

    ACCOUNT = "web"  # signed in on a page
    KEY = "key"  # an API key with every request
    KIOSK = "kiosk"  # the screen at the door, which is nobody


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever sent a request, as far as that was made sure of."""

    kind: Kind
    name: str  # of the account, the key or the screen
    role: Role | None  # None: of the screen at the door
    csrf: str = ""  # what every form of this session must hold; "" for a key, which no browser sends by itself
    answers_for: str = ""  # of a key: who answers for the consent of those whose faces come in by it
    session: str = ""  # digest of the session; "" for a key

    @property
    def voice(self) -> str:
        """How the reader and the audit log call them."""
        return f"{self.kind}:{self.name}"


def digest_of(secret: str) -> str:
    """Return under what a session or a key is kept, 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def checked_account(name: str) -> str:
    """Return a name that an account or a key may have. Raises UsageError."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"the name {name!r:.80} is not 1 to 63 of a-z 0-9 . _ -, the first a letter or digit")
    return name


class Accounts(DatabaseFile):
    """The accounts in the file at `path`; a connection belongs to one thread. `clock` is the wall clock.

    Every change is durable on return, but for when somebody was seen last. Raises StorageError as every database.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, WEB)
        self._clock = clock

    def add(self, name: str, role: Role, password_hash: str) -> None:
        """Make an account. Raises RefusedError for a name that is taken, UsageError for one that cannot be."""
        checked_account(name)
        with named_faults(WEB, self.path), one_change(self._db):
            done = self._db.execute(
                "INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?, NULL)",
                [name, role.value, password_hash, self._clock()],
            )
            if done.rowcount != 1:
                raise RefusedError(f"the account {name} is there already")

    def begin_session(self, name: str, kind: Kind = Kind.ACCOUNT) -> str:
        """Return the secret of a new session, which nobody has had before: sign-in never keeps an old one."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        with named_faults(WEB, self.path), one_change(self._db):
            self._db.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)",
                [digest_of(secret), name, kind.value, secrets.token_urlsafe(32), now, now],
            )
        return secret

    def end_session(self, digest: str) -> None:
        """Forget a session; one that is not there is no fault."""
        with named_faults(WEB, self.path), one_change(self._db):
            self._db.execute("DELETE FROM session WHERE digest = ?", [digest])

    def session(self, secret: str) -> Who | None:
        """Return who has this session; None for nobody, one that is over, or an account that is disabled."""
        digest, now = digest_of(secret), self._clock()
        with named_faults(WEB, self.path):
            row = self._db.execute(
                """SELECT session.name, kind, csrf, begun_at, used_at, role, disabled_at FROM session
                LEFT JOIN account ON account.name = session.name WHERE digest = ?""",
                [digest],
            ).fetchone()
        if row is None:
            return None
        name, kind, csrf, begun_at, used_at, role, disabled_at = row
        if kind == Kind.KIOSK:
            return Who(Kind.KIOSK, name, None, csrf, session=digest)
        if role is None or disabled_at is not None:
            return None
        if not (0 <= now - begun_at < SESSION_S and now - used_at < IDLE_S):  # this way round, a clock set back ends it
            return None
        if now - used_at > 60:
            with named_faults(WEB, self.path), one_change(self._db):
                self._db.execute("UPDATE session SET used_at = ? WHERE digest = ?", [now, digest])
        return Who(Kind.ACCOUNT, name, Role(role), csrf, session=digest)

    def add_key(self, name: str, role: Role, answers_for: str = "") -> str:
        """Return the secret of a new API key, which is told this once. Raises RefusedError for a name that is taken."""
        checked_account(name)
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        with named_faults(WEB, self.path), one_change(self._db):
            done = self._db.execute(
                "INSERT OR IGNORE INTO api_key VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                [name, digest_of(secret), role.value, answers_for, self._clock()],
            )
            if done.rowcount != 1:
                raise RefusedError(f"the key {name} is there already, or was; a name is used once")
        return secret

    def revoke_key(self, name: str) -> None:
        """Let a key do nothing more, for ever. Raises RefusedError where there is none."""
        with named_faults(WEB, self.path), one_change(self._db):
            done = self._db.execute(
                "UPDATE api_key SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", [self._clock(), name]
            )
            if done.rowcount != 1:
                raise RefusedError(f"there is no key {name!r:.80} that could be revoked")

    def key(self, secret: str) -> Who | None:
        """Return whose API key this is; None for nobody's, or one that was revoked."""
        with named_faults(WEB, self.path):
            row = self._db.execute(
                "SELECT name, role, answers_for FROM api_key WHERE digest = ? AND revoked_at IS NULL",
                [digest_of(secret)],
            ).fetchone()
        return None if row is None else Who(Kind.KEY, row[0], Role(row[1]), answers_for=row[2])

    def attends(self, voice: str) -> bool:
        """Tell whether this voice may answer tickets as things stand."""
        kind, _, name = voice.partition(":")
        table, over = {"web": ("account", "disabled_at"), "key": ("api_key", "revoked_at")}.get(kind, ("", ""))
        if not table:
            return False
        with named_faults(WEB, self.path):
            # Both words are ours, from the line above.
            row = self._db.execute(f"SELECT role FROM {table} WHERE name = ? AND {over} IS NULL", [name]).fetchone()  # noqa: S608
        return row is not None and Role(row[0]) in VERB_ROLES["approve"]
