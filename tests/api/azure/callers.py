"""The face service's own clients, blocking and not, behind one way to call them; and what was called."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from azure.ai.vision.face import FaceAdministrationClient, FaceClient
from azure.ai.vision.face import aio as unblocking
from azure.core.credentials import AzureKeyCredential

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS: dict[str, Any] = {"face": FaceClient, "admin": FaceAdministrationClient}
AIO_CLIENTS: dict[str, Any] = {"face": unblocking.FaceClient, "admin": unblocking.FaceAdministrationClient}
_NO_OPERATIONS = {"close", "send_request"}


class Caller:
    """Calls operations by name, such as `admin.large_face_list.create`, and notes which."""

    def __init__(self, url: str, key: str) -> None:
        self._where = (url, AzureKeyCredential(key))
        self.called: set[str] = set()
        self.clients: dict[str, Any] = {}

    def __call__(self, operation: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever it gives
        """Return what the operation gives; a training is waited for."""
        self.called.add(operation)
        first, *rest = operation.split(".")
        found = self.clients[first]
        for part in rest:
            found = getattr(found, part)
        return self._run(found, *args, **options)

    def _run(self, method: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        found = method(*args, **options)
        return found.result() if hasattr(found, "polling_method") else found

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Give the caller with its clients open."""
        with ExitStack() as closing:
            for name, client in CLIENTS.items():
                self.clients[name] = closing.enter_context(client(*self._where))
            yield self


class AioCaller(Caller):
    """The same with the clients that do not block."""

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Give the caller with its clients open, in an event loop of its own."""
        with asyncio.Runner() as self._runner:
            for name, client in AIO_CLIENTS.items():
                self.clients[name] = client(*self._where)
            try:
                yield self
            finally:
                self._runner.run(self._close())

    async def _close(self) -> None:
        for client in self.clients.values():
            await client.close()
        await asyncio.sleep(0.01)  # aiohttp's transports end in the next turn of the loop

    def _run(self, method: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        async def whole() -> Any:  # noqa: ANN401
            found = await method(*args, **options)
            return await found.result() if hasattr(found, "polling_method") else found

        return self._runner.run(whole())


def operations(caller: Caller) -> set[str]:
    """Return every public operation that the open clients have."""
    found = set()
    for name, client in caller.clients.items():
        for part, member in inspect.getmembers(client):
            if part.startswith("_") or part in _NO_OPERATIONS:
                continue
            if inspect.ismethod(member):
                found.add(f"{name}.{part}")
            else:
                inner = inspect.getmembers(member, inspect.ismethod)
                found |= {f"{name}.{part}.{one}" for one, _ in inner if not one.startswith("_")}
    return found
