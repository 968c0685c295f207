"""Signing in: whether a password or a code is right, and how often that may be asked.

Hashing takes one thread and a line of one: whoever comes to that besides is told to come back, at once.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from appliance.contract import EventType, Reason
from appliance.errors import RefusedError
from appliance.records import Event
from appliance.sparing import SparingLog
from appliance.web.desk import BusyError, Desk
from appliance.web.limits import TooManyError, Waits, network_of
from appliance.web.passwords import fits, hash_password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.web.accounts import Accounts
    from appliance.web.books import Books

R = TypeVar("R")

_ONE_AND_ONE_WAITING = 2
_AGAIN_S = 2.0
_log = SparingLog(logging.getLogger(__name__))


class SignIn:
    """Belongs to the event loop. `clock` is the wall clock: codes of an authenticator go by it."""

    def __init__(self, accounts: Desk[Accounts], books: Desk[Books], clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._books = books
        self._clock = clock
        self._hashing: Desk[None] = Desk("hashing", nullcontext, waiting=_ONE_AND_ONE_WAITING)
        # An account from one address, an address, and an account from anywhere: the last so leniently that whoever
        # guesses from many addresses hardly keeps its owner out.
        self._both = Waits(5, 300.0)
        self._address = Waits(20, 60.0)
        self._account = Waits(100, 30.0)

    def close(self) -> None:
        """Finish what is being hashed."""
        self._hashing.close()

    async def hashed(self, password: str, name: str) -> str:
        """Return the hash of a new password. Raises RefusedError for one that may not be, TooManyError."""
        return await self._in_line(lambda: hash_password(password, name))

    async def demand_password(self, name: str, password: str, address: str) -> None:
        """Return where this is the account's password.

        Raises RefusedError, which does not tell whether there is such an account, and TooManyError. Both cost the same.
        """

        async def right() -> bool:
            stored = await self._accounts.run(lambda accounts: accounts.password_hash(name))
            return await self._in_line(lambda: fits(stored, password))

        if not await self._tried(name, address, right):
            raise RefusedError("the name or the password is wrong")

    async def demand_code(self, name: str, code: str, address: str) -> None:
        """Return where this is the account's code now, or a recovery code. Raises RefusedError, TooManyError."""
        now = self._clock()

        async def right() -> bool:
            return await self._accounts.run(lambda accounts: accounts.factors.accepts_code(name, code, now))

        if not await self._tried(name, address, right):
            raise RefusedError("this code is wrong, or was used already")

    async def _tried(self, name: str, address: str, right: Callable[[], Awaitable[bool]]) -> bool:
        known = await self._accounts.run(lambda accounts: bool(accounts.password_hash(name)))
        account, network = name if known else "", network_of(address)  # what was typed may be a password
        both = f"{account} {network}"
        counts = ((self._both, both), (self._address, network), (self._account, account))
        for waits, what in counts:
            waits.demand(what)
        long = [waits.failed(what) for waits, what in counts]  # before it is known: no two tries at a time for one
        try:
            done = await right()
        except BaseException:
            for waits, what in counts:
                waits.take_back(what)
            raise
        if done:
            self._both.forget(both)
            self._account.forget(account)
            self._address.take_back(network)
            return True
        await self._tell(account or "an unknown account", address, to_log=any(long))
        return False

    async def _tell(self, account: str, address: str, *, to_log: bool) -> None:
        _log.warning(f"a sign-in as {account} from {address} failed")
        if to_log:
            detail = f"sign-in as {account} failed again and again, from {address} at last; it has to wait"
            event = Event(
                EventType.FAULT, datetime.now(UTC), method="web", reason=Reason.TOO_MANY_ATTEMPTS, detail=detail
            )
            await self._books.run(lambda books: books.audit.append(event))

    async def _in_line(self, work: Callable[[], R]) -> R:
        try:
            return await self._hashing.run(lambda _: work())
        except BusyError as fault:
            raise TooManyError(_AGAIN_S) from fault
