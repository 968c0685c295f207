"""What somebody shows beside or instead of a password: codes of an authenticator, recovery codes, passkeys.

A part of `web.db`. The secret that an authenticator's codes come from is sealed with a secret of the device, so that
the file alone makes none; of a recovery code the SHA-256 is kept, for it has 60 random bits; of a passkey the public
key.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyotp
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.errors import RefusedError
from appliance.pairing import letters_of, new_code
from appliance.people.keyring import Keyring
from appliance.people.sealing import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlite_utils import Database

TABLES = """
    CREATE TABLE totp (
        name TEXT PRIMARY KEY NOT NULL,
        sealed BLOB NOT NULL,
        confirmed INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
        last_step INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE recovery_code (
        digest TEXT PRIMARY KEY NOT NULL CHECK (length(digest) = 64),
        name TEXT NOT NULL
    ) STRICT;
    CREATE TABLE passkey (
        credential_id BLOB PRIMARY KEY NOT NULL,
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        public_key BLOB NOT NULL,
        uses INTEGER NOT NULL,
        added_at REAL NOT NULL,
        used_at REAL
    ) STRICT;
"""
STEP_S = 30  # of RFC 6238
_EARLY_OR_LATE = 1  # steps by which two clocks may differ
RECOVERY_CODES = 10
PASSKEYS = 10  # of one account


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey: a key pair whose private half never left what it was made on. Times are seconds since 1970."""

    credential_id: bytes
    name: str  # of the account
    label: str  # what its owner calls it
    public_key: bytes  # COSE
    uses: int  # as it counts itself; one that goes back was copied
    added_at: float
    used_at: float | None


class Factors:
    """The further factors of the accounts in one open database. `change` makes a block one durable change."""

    def __init__(self, db: Database, path: Path, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = db
        self._path = path
        self._change = change

    def begin_totp(self, name: str) -> str:
        """Return the secret of a new authenticator in base 32; it counts once a code of it was shown."""
        secret = pyotp.random_base32()
        sealed = seal(self._sealing(), secret.encode(), _of_totp(name))
        with self._change():
            if self.has_totp(name):
                raise RefusedError("codes of an authenticator are asked for already; turn them off first")
            self._db.execute("INSERT OR REPLACE INTO totp VALUES (?, ?, 0, 0)", [name, sealed])
        return secret

    def has_totp(self, name: str) -> bool:
        """Tell whether a code is asked for after this account's password."""
        return self._db.execute("SELECT 1 FROM totp WHERE name = ? AND confirmed", [name]).fetchone() is not None

    def confirm_totp(self, name: str, code: str, now: float) -> tuple[str, ...]:
        """Ask for codes from now on, as `code` shows that they can be made; return the new recovery codes.

        Raises RefusedError for another code.
        """
        with self._change():
            if not self._accepts(name, code, now, confirmed=False):
                raise RefusedError("this is not the code that the authenticator shows now; is its clock right?")
            self._db.execute("UPDATE totp SET confirmed = 1 WHERE name = ?", [name])
            return self.new_recovery_codes(name)

    def accepts_code(self, name: str, code: str, now: float) -> bool:
        """Tell whether this is the authenticator's code now, or a recovery code; it then never is again.

        Codes of the step before and after are taken too, for clocks differ.
        """
        with self._change():
            return self._accepts(name, code, now, confirmed=True) or self._uses_up(name, code)

    def new_recovery_codes(self, name: str) -> tuple[str, ...]:
        """Return ten codes that stand in for the authenticator once each; those of before are void."""
        codes = tuple(new_code() for _ in range(RECOVERY_CODES))
        with self._change():
            self._db.execute("DELETE FROM recovery_code WHERE name = ?", [name])
            for code in codes:
                self._db.execute("INSERT INTO recovery_code VALUES (?, ?)", [_of_recovery(name, code), name])
        return codes

    def recovery_codes_left(self, name: str) -> int:
        """Return how many recovery codes were not used yet."""
        return int(self._db.execute("SELECT COUNT(*) FROM recovery_code WHERE name = ?", [name]).fetchone()[0])

    def remove_totp(self, name: str) -> None:
        """Ask for no codes any more; where none are asked for that is no fault."""
        with self._change():
            self._db.execute("DELETE FROM totp WHERE name = ?", [name])
            self._db.execute("DELETE FROM recovery_code WHERE name = ?", [name])

    def remove_all(self, name: str) -> None:
        """Leave an account with its password alone."""
        with self._change():
            self.remove_totp(name)
            self._db.execute("DELETE FROM passkey WHERE name = ?", [name])

    def add_passkey(self, passkey: Passkey) -> None:
        """Keep a passkey. Raises RefusedError for one that is there, or one more than an account may have."""
        with self._change():
            if len(self.passkeys(passkey.name)) >= PASSKEYS:
                raise RefusedError(f"an account has {PASSKEYS} passkeys at most; remove one first")
            done = self._db.execute(
                "INSERT OR IGNORE INTO passkey VALUES (?, ?, ?, ?, ?, ?, NULL)",
                [
                    passkey.credential_id,
                    passkey.name,
                    passkey.label,
                    passkey.public_key,
                    passkey.uses,
                    passkey.added_at,
                ],
            )
            if done.rowcount != 1:
                raise RefusedError("this passkey is known already")

    def passkeys(self, name: str) -> tuple[Passkey, ...]:
        """Return the passkeys of an account, the oldest first."""
        rows = self._db.execute("SELECT * FROM passkey WHERE name = ? ORDER BY added_at", [name]).fetchall()
        return tuple(Passkey(*row) for row in rows)

    def passkey(self, credential_id: bytes) -> Passkey | None:
        """Return the passkey of this id whose account may sign in; None for none."""
        row = self._db.execute(
            "SELECT passkey.* FROM passkey JOIN account USING (name) WHERE credential_id = ? AND disabled_at IS NULL",
            [credential_id],
        ).fetchone()
        return None if row is None else Passkey(*row)

    def used_passkey(self, credential_id: bytes, uses: int, now: float) -> None:
        """Keep how often a passkey says it was used."""
        with self._change():
            self._db.execute(
                "UPDATE passkey SET uses = ?, used_at = ? WHERE credential_id = ?", [uses, now, credential_id]
            )

    def remove_passkey(self, name: str, credential_id: bytes) -> None:
        """Take a passkey of this account no more. Raises RefusedError where it has none such."""
        with self._change():
            done = self._db.execute("DELETE FROM passkey WHERE name = ? AND credential_id = ?", [name, credential_id])
            if done.rowcount != 1:
                raise RefusedError("there is no such passkey")

    def _accepts(self, name: str, code: str, now: float, *, confirmed: bool) -> bool:
        row = self._db.execute(
            "SELECT sealed, last_step FROM totp WHERE name = ? AND confirmed = ?", [name, int(confirmed)]
        ).fetchone()
        secret = None if row is None else unseal(self._sealing(), row[0], _of_totp(name))
        if secret is None:
            return False
        entered, totp, step_now = code.replace(" ", ""), pyotp.TOTP(secret.decode()), int(now // STEP_S)
        for step in range(step_now - _EARLY_OR_LATE, step_now + _EARLY_OR_LATE + 1):
            if step > row[1] and pyotp.utils.strings_equal(entered, totp.generate_otp(step)):
                self._db.execute("UPDATE totp SET last_step = ? WHERE name = ?", [step, name])
                return True
        return False

    def _uses_up(self, name: str, code: str) -> bool:
        done = self._db.execute(
            "DELETE FROM recovery_code WHERE digest = ? AND name = ?", [_of_recovery(name, code), name]
        )
        return done.rowcount == 1

    def _sealing(self) -> AESGCM:
        with closing(Keyring(self._path.with_name("keys.db"))) as keyring:
            return AESGCM(keyring.secret("web totp"))


def _of_totp(name: str) -> bytes:
    """Return what an authenticator's secret is bound to."""
    return b"ostiary totp\0" + name.encode()


def _of_recovery(name: str, code: str) -> str:
    return hashlib.sha256(f"ostiary recovery\0{name}\0{letters_of(code) or ''}".encode()).hexdigest()
