"""Use-cases of accounts and API keys, the same on the command line and on the pages; each is in the audit log.

What lets somebody in is in the log first, or is not done. What keeps somebody out is done first, whatever the log does.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType, Role
from appliance.errors import RefusedError, UsageError
from appliance.records import Event
from appliance.web import setup_code
from appliance.web.accounts import ANSWERING, Accounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.audit import AuditLog
    from appliance.records import Actor
    from appliance.web.books import Books
    from appliance.web.factors import Passkey


@contextmanager
def acts_of(books: Books, by: Actor, method: str) -> Iterator[AccountActs]:
    """Give the use-cases for a block in the thread of the books, by which they are written down."""
    with Accounts(books.installation.web_file) as accounts:
        yield AccountActs(accounts, books.audit, by, method)


class AccountActs:
    """Changes of accounts and keys, by somebody, in some way. Belongs to the thread of both databases."""

    def __init__(self, accounts: Accounts, audit: AuditLog, by: Actor, method: str) -> None:
        self._accounts = accounts
        self._audit = audit
        self._by = by
        self._method = method

    def add(self, name: str, role: Role, password_hash: str) -> None:
        """Make an account. Raises as `Accounts.add`."""
        with self._accounts.change():
            self._accounts.add(name, role, password_hash)
            self._note(f"account {name} added as {role}")

    def set_up(self, name: str, password_hash: str, file: Path) -> None:
        """Make the first account, an admin, for whoever has said the set-up code. Raises RefusedError."""
        with self._accounts.change():
            if not self._accounts.nobody_yet():
                raise RefusedError("this device is set up already")
            self._accounts.add(name, Role.ADMIN, password_hash)
            self._note(f"account {name} added as {Role.ADMIN} with the set-up code")
        setup_code.forget(file)

    def set_password(self, name: str, password_hash: str, keep: str = "") -> None:
        """Give an account another password, and end its sessions but for the one with the digest `keep`."""
        with self._accounts.change():
            self._accounts.set_password(name, password_hash, keep)
            self._note(f"account {name}: another password")

    def set_role(self, name: str, role: Role) -> None:
        """Give an account another role."""
        with self._accounts.change():
            self._accounts.set_role(name, role)
            self._note(f"account {name} is now {role}")

    def disable(self, name: str) -> None:
        """Let nobody use an account."""
        self._accounts.disable(name)
        self._note(f"account {name} disabled")

    def enable(self, name: str) -> None:
        """Let an account be used again."""
        with self._accounts.change():
            self._accounts.enable(name)
            self._note(f"account {name} enabled")

    def remove_factors(self, name: str) -> None:
        """Leave an account with its password alone, as when its owner lost the telephone."""
        if all(one.name != name for one in self._accounts.accounts()):
            raise RefusedError(f"there is no account {name!r:.80}")
        with self._accounts.change():
            self._accounts.factors.remove_all(name)
            self._note(f"account {name}: second steps and passkeys removed")

    def confirm_totp(self, name: str, code: str, now: float) -> tuple[str, ...]:
        """Ask for an authenticator's codes from now on; return the recovery codes. Raises RefusedError."""
        with self._accounts.change():
            codes = self._accounts.factors.confirm_totp(name, code, now)
            self._note(f"account {name}: codes of an authenticator asked for")
        return codes

    def new_recovery_codes(self, name: str) -> tuple[str, ...]:
        """Return ten new recovery codes; the old ones are void. Raises RefusedError where no codes are asked for."""
        if not self._accounts.factors.has_totp(name):
            raise RefusedError("no codes of an authenticator are asked for, so none can stand in for them")
        with self._accounts.change():
            codes = self._accounts.factors.new_recovery_codes(name)
            self._note(f"account {name}: new recovery codes")
        return codes

    def remove_totp(self, name: str) -> None:
        """Ask for no codes any more."""
        with self._accounts.change():
            self._accounts.factors.remove_totp(name)
            self._note(f"account {name}: no codes asked for any more")

    def add_passkey(self, passkey: Passkey) -> None:
        """Let an account sign in with this passkey. Raises RefusedError."""
        with self._accounts.change():
            self._accounts.factors.add_passkey(passkey)
            self._note(f"account {passkey.name}: passkey added")

    def remove_passkey(self, name: str, credential_id: bytes) -> None:
        """Take a passkey no more. Raises RefusedError."""
        self._accounts.factors.remove_passkey(name, credential_id)
        self._note(f"account {name}: passkey removed")

    def add_key(self, name: str, role: Role, answers_for: str) -> str:
        """Return the secret of a new API key. Raises as `Accounts.add_key`, and where nobody answers for one."""
        if role in ANSWERING and not answers_for.strip():
            raise UsageError(f"a key of the role {role} lets faces in; say who answers for their consent")
        with self._accounts.change():
            secret = self._accounts.add_key(name, role, answers_for.strip())
            self._note(f"API key {name} added as {role}")
        return secret

    def revoke_key(self, name: str) -> None:
        """Let a key do nothing more. Raises RefusedError."""
        self._accounts.revoke_key(name)
        self._note(f"API key {name} revoked")

    def _note(self, detail: str) -> None:
        self._audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), self._by, self._method, detail=detail))
