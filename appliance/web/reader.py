"""The running reader, as the web reaches it: over the local socket, never in its process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from appliance.errors import ApplianceError, HardwareError, RefusedError
from appliance.local_socket import MAX_BYTES, answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from appliance.web.accounts import Who

WAIT_S = 5.0
AT_ONCE = 4
AWAY = "the reader is not running, so nothing can be asked of the door now"


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
            raise ReaderAwayError(AWAY)
        return said

    async def do(self, who: Who, verb: str, method: str = "web", **args: object) -> dict[str, Any]:
        """Return the result of a verb of the contract, carried out in this name. Raises as `ask`."""
        said = await self.ask(
            {"verb": "do", "by": who.voice, "role": who.role, "method": method, "command": verb, "args": args}
        )
        if said["error"]:
            raise RefusedError(str(said["error"]))
        return dict(said["result"])

    async def hear(self, request: Mapping[str, Any], silent_s: float) -> AsyncGenerator[dict[str, Any], None]:
        """Give everything that is said to a request until the reader hangs up; leaving it ends what was asked for.

        It takes no thread, for it may last as long as a page is looked at. Raises as `ask`; HardwareError where
        nothing is said for `silent_s` seconds.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire:
            wire.settimeout(0)
            try:
                async with asyncio.timeout(silent_s):
                    await _connect(wire, self._path, request)
                while packet := await _heard(wire, silent_s):
                    said = json.loads(packet)
                    if set(said) == {"error"}:
                        raise RefusedError(str(said["error"]))
                    yield said
            except (FileNotFoundError, ConnectionRefusedError) as fault:
                raise ReaderAwayError(AWAY) from fault
            except OSError as fault:  # a timeout is one
                raise HardwareError(f"the reader at {self._path} does not answer") from fault


async def _connect(wire: socket.socket, path: Path, request: Mapping[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(wire, os.fspath(path))
    await loop.sock_sendall(wire, json.dumps(request).encode())


async def _heard(wire: socket.socket, silent_s: float) -> bytes:
    """Return the next packet; b"" once the reader has hung up."""
    async with asyncio.timeout(silent_s):
        try:
            return await asyncio.get_running_loop().sock_recv(wire, MAX_BYTES)
        except ConnectionResetError:
            return b""
