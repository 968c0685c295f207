"""A line to a broker that can be held, hung up and cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Line:
    """A port behind which another one is: what comes is passed on, or left unread, or refused."""

    def __init__(self, host: str, port: int) -> None:
        self._far = (host, port)
        self._passing = threading.Event()
        self._passing.set()
        self._ends: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *fault: object) -> None:
        self.cut()

    @property
    def used(self) -> bool:
        """Whether somebody has called since the last hanging up."""
        return bool(self._ends)

    def hold(self) -> None:
        """Read nothing more, from either side."""
        self._passing.clear()

    def release(self) -> None:
        """Pass everything on again."""
        self._passing.set()

    def hang_up(self) -> None:
        """Close whatever goes through; who calls again is let through."""
        self.release()
        while self._ends:
            _close(self._ends.pop())

    def cut(self) -> None:
        """Close whatever goes through, and refuse everybody."""
        _close(self._server)
        self.hang_up()

    def mend(self) -> None:
        """Be there again."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._accept, args=(self._server,), name="line", daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(self._far)
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(source, sink), name="pump", daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                sink.sendall(data)
        for end in (source, sink):
            _close(end)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
