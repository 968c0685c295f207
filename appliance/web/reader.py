"""The running reader, as the web reaches it: over the local socket, never in its process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from appliance.errors import ApplianceError, HardwareError, RefusedError
from appliance.local_socket import answer, ask

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from appliance.local_socket import Call
    from appliance.web.accounts import Who

WAIT_S = 5.0
AT_ONCE = 4


class ReaderAwayError(ApplianceError):
    """No reader is running: nothing live can be shown or done; people and records can."""

    exit_code = 3


class Reader:
    """Asks the reader at the socket `path`. Belongs to the event loop; nothing it does holds that up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(AT_ONCE, "asking")

    def close(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(cancel_futures=True)

    async def ask(self, request: Mapping[str, Any], wait_s: float = WAIT_S) -> dict[str, Any]:
        """Return the one answer. Raises RefusedError where it refuses, ReaderAwayError, HardwareError."""
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(self._threads, answer, self._path, request, wait_s)
        if said is None:
            raise ReaderAwayError("the reader is not running, so nothing can be asked of the door now")
        return said

    async def do(self, who: Who, verb: str, method: str = "web", **args: object) -> dict[str, Any]:
        """Return the result of a verb of the contract, carried out in this name. Raises as `ask`."""
        said = await self.ask(
            {"verb": "do", "by": who.voice, "role": who.role, "method": method, "command": verb, "args": args}
        )
        if said["error"]:
            raise RefusedError(str(said["error"]))
        return dict(said["result"])

    async def hear(self, request: Mapping[str, Any], silent_s: float) -> AsyncIterator[dict[str, Any]]:
        """Give everything that is said to a request until the reader hangs up; leaving it ends what was asked for.

        Raises as `ask`; HardwareError where nothing is said for `silent_s` seconds.
        """
        heard: asyncio.Queue[dict[str, Any] | ApplianceError | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        call = await asyncio.to_thread(ask, self._path, request, silent_s)
        if call is None:
            raise ReaderAwayError("the reader is not running, so nothing can be asked of the door now")
        listening = loop.run_in_executor(None, _listen, call, loop, heard)
        try:
            while (said := await heard.get()) is not None:
                if isinstance(said, ApplianceError):
                    raise said
                yield said
        finally:
            call.hang_up()
            await listening


def _listen(
    call: Call, loop: asyncio.AbstractEventLoop, heard: asyncio.Queue[dict[str, Any] | ApplianceError | None]
) -> None:
    def put(one: dict[str, Any] | ApplianceError | None) -> None:
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            loop.call_soon_threadsafe(heard.put_nowait, one)

    with call:
        try:
            for said in call:
                put(RefusedError(str(said["error"])) if set(said) == {"error"} else said)
        except HardwareError as fault:
            put(fault)
        except OSError:  # hung up from this side
            pass
    put(None)
