"""Who may use the web pages and the HTTP interfaces: accounts, their sessions and API keys, in `web.db`.

A password is kept as its argon2id hash, a session and a key as the SHA-256 of a secret of 256 random bits: who reads
the file can use none of them. How somebody proves who they are beside a password is in `factors`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlite_utils import Migrations

from appliance.contract import VERB_ROLES, Role
from appliance.errors import RefusedError, UsageError
from appliance.storage import DatabaseFile, Schema, named_faults, one_change
from appliance.web.factors import TABLES, Factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlite_utils import Database

_MIGRATIONS = Migrations("ostiary.web")
WEB = Schema("web accounts", 0x4F537057, 1, _MIGRATIONS)  # "OSpW"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
SESSION_S = 12 * 3600.0  # at most, however busy
IDLE_S = 30 * 60.0
KIOSK_S = 365 * 86_400.0
SECOND_STEP_S = 5 * 60.0  # between the password and the code
SEEN_S = 60.0  # how exactly it is kept when somebody was last seen: no write with every request
KEY_PREFIX = "osk_"  # so that a scanner for leaked secrets can know one
ANSWERING = frozenset({Role.ADMIN, Role.ENROLLER})  # a key by which people may come in: somebody answers for that


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
            used_at REAL NOT NULL,
            half INTEGER NOT NULL CHECK (half IN (0, 1))
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
    db.executescript(TABLES)


class Kind(StrEnum):
    """How somebody proved who they are."""

    ACCOUNT = "web"  # signed in on a page
    KEY = "key"  # an API key with every request
    KIOSK = "kiosk"  # the screen at the door, which is nobody
    SHOWING = "showing"  # the token of one liveness session, by which a face may be shown in it


@dataclass(frozen=True, slots=True)
class Who:
    """Whoever sent a request, as far as that was made sure of."""

    kind: Kind
    name: str  # of the account, the key or the screen
    role: Role | None  # None: of the screen at the door, and of a liveness session
    csrf: str = ""  # what every form of this session must hold; "" for a key, which no browser sends by itself
    answers_for: str = ""  # of a key: who answers for the consent of those whose faces come in by it
    session: str = ""  # digest of the session; "" for a key

    @property
    def voice(self) -> str:
        """How the reader and the audit log call them."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Account:
    """An account, without anything that opens it. Times are seconds since 1970."""

    name: str
    role: Role
    added_at: float
    disabled_at: float | None  # None while it may be used
    totp: bool  # whether a code is asked for after the password
    passkeys: int


@dataclass(frozen=True, slots=True)
class Session:
    """A session that holds. Times are seconds since 1970."""

    digest: str
    begun_at: float
    used_at: float


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret. Times are seconds since 1970."""

    name: str
    role: Role
    answers_for: str
    added_at: float
    revoked_at: float | None
    used_at: float | None


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
        self.factors = Factors(self._db, path, self.change)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make everything inside one durable change, or none where anything raises."""
        if self._db.conn.in_transaction:
            yield
            return
        with named_faults(WEB, self.path), one_change(self._db):
            yield

    def add(self, name: str, role: Role, password_hash: str) -> None:
        """Make an account. Raises RefusedError for a name that is taken, UsageError for one that cannot be."""
        checked_account(name)
        with self.change():
            done = self._db.execute(
                "INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?, NULL)",
                [name, role.value, password_hash, self._clock()],
            )
            if done.rowcount != 1:
                raise RefusedError(f"the account {name} is there already")

    def accounts(self) -> tuple[Account, ...]:
        """Return every account by name, disabled ones too."""
        with named_faults(WEB, self.path):
            rows = self._db.execute("""
                SELECT name, role, added_at, disabled_at,
                    EXISTS (SELECT 1 FROM totp WHERE totp.name = account.name AND confirmed),
                    (SELECT COUNT(*) FROM passkey WHERE passkey.name = account.name)
                FROM account ORDER BY name""").fetchall()
        return tuple(Account(row[0], Role(row[1]), row[2], row[3], bool(row[4]), row[5]) for row in rows)

    def nobody_yet(self) -> bool:
        """Tell whether there is no account at all, not even a disabled one."""
        with named_faults(WEB, self.path):
            return self._db.execute("SELECT 1 FROM account LIMIT 1").fetchone() is None

    def password_hash(self, name: str) -> str:
        """Return the hash that an account's password must fit; "" for no account, or one that is disabled."""
        with named_faults(WEB, self.path):
            row = self._db.execute(
                "SELECT password_hash FROM account WHERE name = ? AND disabled_at IS NULL", [name]
            ).fetchone()
        return "" if row is None else str(row[0])

    def set_password(self, name: str, password_hash: str, keep: str = "") -> None:
        """Give an account another password and end its sessions, but for the one with the digest `keep`."""
        with self.change():
            self._alter(name, "password_hash", password_hash)
            self.end_sessions(name, keep)

    def set_role(self, name: str, role: Role) -> None:
        """Give an account another role and end its sessions. Raises RefusedError for the last admin."""
        with self.change():
            self._alter(name, "role", role.value)
            self._demand_admin()
            self.end_sessions(name)

    def disable(self, name: str) -> None:
        """Let nobody use an account, and end its sessions. Raises RefusedError for the last admin."""
        with self.change():
            self._alter(name, "disabled_at", self._clock())
            self._demand_admin()
            self.end_sessions(name)

    def enable(self, name: str) -> None:
        """Let an account be used again."""
        with self.change():
            self._alter(name, "disabled_at", None)

    def begin_session(self, name: str, kind: Kind = Kind.ACCOUNT, *, half: bool = False) -> str:
        """Return the secret of a new session, which nobody has had before: sign-in never keeps an old one.

        With `half`, only the password was right, and the session is nobody's until the second step.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        with self.change():
            self._db.execute(
                "DELETE FROM session WHERE kind = ? AND (begun_at <= ? OR used_at <= ?) OR begun_at <= ?",
                [Kind.ACCOUNT, now - SESSION_S, now - IDLE_S, now - KIOSK_S],
            )
            self._db.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?)",
                [digest_of(secret), name, kind.value, secrets.token_urlsafe(32), now, now, int(half)],
            )
        return secret

    def change_session(self, old: str, name: str, *, half: bool = False) -> str:
        """Return the secret of a new session of this account, and end the one whose secret is `old`."""
        with self.change():
            self.end_session(digest_of(old))
            return self.begin_session(name, half=half)

    def half_session(self, secret: str) -> str:
        """Return who gave the right password a moment ago and owes the second step; "" for nobody."""
        now = self._clock()
        with named_faults(WEB, self.path):
            row = self._db.execute(
                "SELECT name, begun_at FROM session WHERE digest = ? AND half", [digest_of(secret)]
            ).fetchone()
        return str(row[0]) if row is not None and 0 <= now - row[1] < SECOND_STEP_S else ""

    def end_session(self, digest: str) -> None:
        """Forget a session; one that is not there is no fault."""
        with self.change():
            self._db.execute("DELETE FROM session WHERE digest = ?", [digest])

    def end_sessions(self, name: str, keep: str = "") -> None:
        """Forget every session of an account, but for the one with the digest `keep`."""
        with self.change():
            self._db.execute(
                "DELETE FROM session WHERE name = ? AND kind = ? AND digest != ?", [name, Kind.ACCOUNT, keep]
            )

    def sessions(self, name: str) -> tuple[Session, ...]:
        """Return the sessions of an account that hold, the newest first."""
        now = self._clock()
        with named_faults(WEB, self.path):
            rows = self._db.execute(
                "SELECT digest, begun_at, used_at FROM session WHERE name = ? AND kind = ? AND NOT half "
                "ORDER BY begun_at DESC, digest",
                [name, Kind.ACCOUNT],
            ).fetchall()
        return tuple(Session(*row) for row in rows if _holds(now, row[1], row[2]))

    def session(self, secret: str) -> Who | None:
        """Return who has this session; None for nobody, one that is over, or an account that is disabled."""
        digest, now = digest_of(secret), self._clock()
        with named_faults(WEB, self.path):
            row = self._db.execute(
                """SELECT session.name, kind, csrf, begun_at, used_at, role, disabled_at FROM session
                LEFT JOIN account ON account.name = session.name WHERE digest = ? AND NOT half""",
                [digest],
            ).fetchone()
        if row is None:
            return None
        name, kind, csrf, begun_at, used_at, role, disabled_at = row
        if kind == Kind.KIOSK:
            # A clock that is set back does not end it: nobody stands there to begin another.
            if not now - begun_at < KIOSK_S:
                return None
            return Who(Kind.KIOSK, name, None, csrf, session=digest)
        if role is None or disabled_at is not None or not _holds(now, begun_at, used_at):
            return None
        if now - used_at > SEEN_S:
            with self.change():
                self._db.execute("UPDATE session SET used_at = ? WHERE digest = ?", [now, digest])
        return Who(Kind.ACCOUNT, name, Role(role), csrf, session=digest)

    def add_key(self, name: str, role: Role, answers_for: str = "") -> str:
        """Return the secret of a new API key, which is told this once.

        Raises RefusedError for a name that is taken, UsageError for one that cannot be.
        """
        checked_account(name)
        secret = KEY_PREFIX + secrets.token_urlsafe(32)
        with self.change():
            done = self._db.execute(
                "INSERT OR IGNORE INTO api_key VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                [name, digest_of(secret), role.value, answers_for, self._clock()],
            )
            if done.rowcount != 1:
                raise RefusedError(f"the key {name} is there already, or was; a name is used once")
        return secret

    def revoke_key(self, name: str) -> None:
        """Let a key do nothing more, for ever. Raises RefusedError where there is none."""
        with self.change():
            done = self._db.execute(
                "UPDATE api_key SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", [self._clock(), name]
            )
            if done.rowcount != 1:
                raise RefusedError(f"there is no key {name!r:.80} that could be revoked")

    def api_keys(self) -> tuple[Key, ...]:
        """Return every API key by name, revoked ones too."""
        with named_faults(WEB, self.path):
            rows = self._db.execute(
                "SELECT name, role, answers_for, added_at, revoked_at, used_at FROM api_key ORDER BY name"
            ).fetchall()
        return tuple(Key(row[0], Role(row[1]), *row[2:]) for row in rows)

    def key(self, secret: str) -> Who | None:
        """Return whose API key this is; None for nobody's, or one that was revoked."""
        digest, now = digest_of(secret), self._clock()
        with named_faults(WEB, self.path):
            row = self._db.execute(
                "SELECT name, role, answers_for, used_at FROM api_key WHERE digest = ? AND revoked_at IS NULL",
                [digest],
            ).fetchone()
        if row is None:
            return None
        if row[3] is None or abs(now - row[3]) > SEEN_S:
            with self.change():
                self._db.execute("UPDATE api_key SET used_at = ? WHERE digest = ?", [now, digest])
        return Who(Kind.KEY, row[0], Role(row[1]), answers_for=row[2])

    def holds(self, who: Who) -> bool:
        """Tell whether an account's session, or a key, still is what it was: for an answer that outlasts its request.

        It counts as no use: a session in which nobody does anything ends all the same. False for a screen.
        """
        if who.kind is Kind.KEY:
            return any((one.name, one.role, one.revoked_at) == (who.name, who.role, None) for one in self.api_keys())
        known = any((one.name, one.role, one.disabled_at) == (who.name, who.role, None) for one in self.accounts())
        return known and any(one.digest == who.session for one in self.sessions(who.name))

    def attendants(self) -> frozenset[str]:
        """Return the voices that may answer tickets as things stand."""
        people = [f"{Kind.ACCOUNT}:{one.name}" for one in self.accounts() if one.disabled_at is None and _may(one)]
        keys = [f"{Kind.KEY}:{one.name}" for one in self.api_keys() if one.revoked_at is None and _may(one)]
        return frozenset(people + keys)

    def attends(self, voice: str) -> bool:
        """Tell whether this voice may answer tickets as things stand."""
        return voice in self.attendants()

    def _alter(self, name: str, column: str, value: object) -> None:
        # The column is a word of ours.
        done = self._db.execute(f"UPDATE account SET {column} = ? WHERE name = ?", [value, name])  # noqa: S608
        if done.rowcount != 1:
            raise RefusedError(f"there is no account {name!r:.80}")

    def _demand_admin(self) -> None:
        if not any(one.role is Role.ADMIN and one.disabled_at is None for one in self.accounts()):
            raise RefusedError("this is the last admin who may sign in; make another one first")


def _may(one: Account | Key) -> bool:
    return one.role in VERB_ROLES["approve"]


def _holds(now: float, begun_at: float, used_at: float) -> bool:
    # This way round, a clock that was set back ends it.
    return 0 <= now - begun_at < SESSION_S and now - used_at < IDLE_S
