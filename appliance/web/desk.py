"""A desk: things that belong to one thread, and whoever wants something of them stands in line."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

T = TypeVar("T")
R = TypeVar("R")

WAITING = 32


class BusyError(ApplianceError):
    """Too many wait at this desk already; come back later."""


class Desk(Generic[T]):
    """What `open_it` gives, in a thread of its own, from the first use until `close`.

    A database connection belongs to one thread, and a model serves one at a time.
    """

    def __init__(self, name: str, open_it: Callable[[], AbstractContextManager[T]], waiting: int = WAITING) -> None:
        self._open_it = open_it
        self._thread = ThreadPoolExecutor(1, name)
        self._closing = ExitStack()
        self._kept: T | None = None
        self._line = 0
        self._waiting = waiting

    async def run(self, work: Callable[[T], R]) -> R:
        """Return what the work gives, done in the desk's thread. What it raises passes through.

        Raises BusyError at once where too many wait.
        """
        if self._line >= self._waiting:
            raise BusyError("too much is asked for at once; try again in a moment")
        self._line += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        finally:
            self._line -= 1

    def close(self) -> None:
        """Finish what is being done, and close; harmless when nothing was ever opened."""
        self._thread.submit(self._closing.close).result()
        self._thread.shutdown()

    def _do(self, work: Callable[[T], R]) -> R:
        if self._kept is None:
            self._kept = self._closing.enter_context(self._open_it())
        return work(self._kept)
