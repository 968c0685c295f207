"""The reader's own socket: whoever may run commands on this device can ask a running reader for something.

What is asked for stands in no file: it ends with whoever asks, and with the reader. One packet is one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, Any

from appliance.errors import HardwareError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Self

_log = logging.getLogger(__name__)

MAX_CALLERS = 12
MAX_BYTES = 128 * 1024
_ONLY_OWNER = 0o177  # umask that leaves mode 0600
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


class Caller:
    """Somebody who has asked for something and listens for what becomes of it."""

    def __init__(self, wire: socket.socket) -> None:
        wire.settimeout(0)
        self._wire = wire
        self.gone = False

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell it; never waits and never raises. Who does not listen is gone."""
        try:
            self._wire.send(json.dumps(message).encode())
        except OSError:
            self.end()

    def another_wire(self) -> socket.socket:
        """Return a second end of the same line, for another thread, which closes it; it does not wait either."""
        return self._wire.dup()

    def end(self) -> None:
        """Hang up; harmless when done already."""
        self.gone = True
        self._wire.close()

    def hear(self) -> dict[str, Any] | None:
        """Return the next request; None for none yet, and where it is none, which ends the call."""
        try:
            packet = self._wire.recv(MAX_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        try:
            request = json.loads(packet)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self.end()
            return None
        return request


class LocalSocket:
    """The listening end. Belongs to the loop's thread, and never waits.

    Where `path` cannot be a socket, that is logged, and nobody can ask: the door goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._callers: list[Caller] = []
        self._listening: socket.socket | None = None
        try:
            self._listening = _listen(path)
        except OSError as fault:
            _log.warning("nothing can be asked of the reader at %s: %s", path, fault)

    def serve(self, carry_out: Callable[[Caller, dict[str, Any]], None]) -> None:
        """Take who has come, and have what each asks for carried out."""
        self._accept()
        for caller in self._callers:
            request = None if caller.gone else caller.hear()
            if request is not None:
                carry_out(caller, request)
        self._callers = [caller for caller in self._callers if not caller.gone]

    def close(self) -> None:
        """Hang up on everybody and remove the socket."""
        for caller in self._callers:
            caller.end()
        if self._listening is not None:
            self._listening.close()
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        if self._listening is None:
            return
        with contextlib.suppress(OSError):  # nobody is there, or they hung up before we came
            wire, _ = self._listening.accept()
            if len(self._callers) < MAX_CALLERS and _may_ask(wire):
                self._callers.append(Caller(wire))
            else:
                wire.close()


class Call:
    """What the reader says to one request. Leaving it hangs up, which ends what was asked for."""

    def __init__(self, wire: socket.socket, path: Path) -> None:
        self._wire = wire
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self._wire.close()

    def hang_up(self) -> None:
        """End the call from another thread than the one that listens."""
        with contextlib.suppress(OSError):  # it is over already
            self._wire.shutdown(socket.SHUT_RDWR)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give what is said until the reader hangs up. Raises HardwareError where it is silent for too long."""
        while packet := self._heard():
            yield json.loads(packet)

    def _heard(self) -> bytes:
        try:
            return self._wire.recv(MAX_BYTES)
        except TimeoutError as fault:
            raise HardwareError(f"the reader at {self._path} does not answer") from fault
        except ConnectionResetError:
            return b""


def ask(path: Path, request: Mapping[str, Any], wait_s: float) -> Call | None:
    """Ask the reader at `path`, which may be silent for at most `wait_s` at a time; None where no reader is there.

    Raises HardwareError where it cannot be asked.
    """
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wire.settimeout(wait_s)
    try:
        wire.connect(os.fspath(path))
        wire.send(json.dumps(request).encode())
    except (FileNotFoundError, ConnectionRefusedError):
        wire.close()
        return None
    except OSError as fault:
        wire.close()
        raise HardwareError(f"the reader at {path} cannot be asked: {fault.strerror or fault}") from fault
    return Call(wire, path)


def answer(path: Path, request: Mapping[str, Any], wait_s: float) -> dict[str, Any] | None:
    """Return the reader's one answer; None where no reader is there.

    Raises RefusedError where it refuses, HardwareError where it does not answer.
    """
    call = ask(path, request, wait_s)
    if call is None:
        return None
    with call:
        message = next(iter(call), None)
    if message is None:
        raise HardwareError(f"the reader at {path} has hung up")
    if set(message) == {"error"}:
        raise RefusedError(str(message["error"]))
    return message


def _listen(path: Path) -> socket.socket:
    """Return the listening socket, non-blocking, its owner's alone from its first moment. Raises OSError."""
    # The caller holds the reader's lock, so that a socket in the way is a dead reader's.
    if path.is_symlink() or (path.exists() and not stat.S_ISSOCK(path.lstat().st_mode)):
        raise FileExistsError(f"{path} is another kind of file")
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    umask = os.umask(_ONLY_OWNER)
    try:
        listening.bind(os.fspath(path))
        listening.listen(MAX_CALLERS)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(umask)
    return listening


def _may_ask(wire: socket.socket) -> bool:
    """Tell whether the caller is the reader's own user, or root; the file's mode says so too, but may be changed."""
    _, uid, _ = _CREDENTIALS.unpack(wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return uid in {0, os.geteuid()}
