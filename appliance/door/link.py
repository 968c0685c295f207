"""The reader's end of the controller's socket."""

from __future__ import annotations

import math
import select
import socket
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING

from pydantic import ValidationError

from appliance.door.lock import DoorChange
from appliance.door.protocol import (
    Beat,
    Changed,
    Lines,
    LockRequest,
    ProtocolError,
    PulseRequest,
    Reply,
    Request,
    StateRequest,
    encode,
    read_notice,
)
from appliance.errors import DoorError
from appliance.records import DoorState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.records import Pulse

BEAT_S = 0.2  # five beats fit in the silence after which the controller locks
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 2.0
_KEPT_CHANGES = 256
_CHUNK_BYTES = 4096


class ControllerLink:
    """Asks the controller for pulses; belongs to one thread, which must call `beat` several times a second.

    A request that gets no answer in time ends the connection, and with it whatever the request unlocked.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._socket: socket.socket | None = None
        self._lines = Lines()
        self._changes: deque[DoorChange] = deque(maxlen=_KEPT_CHANGES)
        self._replies: dict[str, Reply] = {}
        self._beat_s = -math.inf  # when a heartbeat was last sent
        self._retry_s = 0.0  # when the next attempt to connect is due
        self._pause_s = _FIRST_RETRY_S

    @property
    def connected(self) -> bool:
        """Whether a controller was there when it was last spoken with."""
        return self._socket is not None

    def connect(self, timeout_s: float) -> None:
        """Connect and hear the door's state once. Raises DoorError when no controller answers in time."""
        if self._socket is None:
            try:
                self._open()
            except OSError as fault:
                raise DoorError(f"no controller at {self._path}: {_why(fault)}") from fault
        self.state(timeout_s)

    def pulse(self, pulse: Pulse, timeout_s: float = 0.5) -> DoorState:
        """Have the door unlocked; return its state after that.

        Raises DoorError when not connected, refused (the message ends with the reason) or not answered in time.
        """
        try:
            request = PulseRequest(
                request_id=uuid.uuid4().hex,
                presentation_id=pulse.presentation_id,
                for_s=pulse.for_s,
                deadline_s=pulse.deadline_s,
            )
        except ValidationError as fault:
            first = fault.errors()[0]
            raise DoorError(f"pulse {first['loc'][0]} is {first['input']!r}: {first['msg']}") from fault
        return self._ask(request, request.request_id, timeout_s)

    def state(self, timeout_s: float = 0.5) -> DoorState:
        """Return the door's state. Raises DoorError when not connected or not answered in time."""
        request = StateRequest(request_id=uuid.uuid4().hex)
        return self._ask(request, request.request_id, timeout_s)

    def lock(self, timeout_s: float = 0.5) -> DoorState:
        """Have the door locked; return its state after that. Raises DoorError as `state` does."""
        request = LockRequest(request_id=uuid.uuid4().hex)
        return self._ask(request, request.request_id, timeout_s)

    def beat(self) -> tuple[DoorChange, ...]:
        """Show that the reader is alive and return the changes since the last call, oldest first.

        Never waits and never raises: a lost connection shows in `connected` and is tried again by later calls,
        0.1 s to 2 s apart.
        """
        try:
            if self._socket is None:
                self._reopen()
            if self._socket is not None:
                self._take()
                if self._clock() - self._beat_s >= BEAT_S:
                    self._send(Beat())
                    self._beat_s = self._clock()
        except (OSError, DoorError):
            self._lose()
        changes = tuple(self._changes)
        self._changes.clear()
        return changes

    def close(self) -> None:
        """Hang up; the controller locks what this reader had unlocked. Harmless when done already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reopen(self) -> None:
        if self._clock() < self._retry_s:
            return
        self._retry_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LAST_RETRY_S)
        self._open()

    def _open(self) -> None:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        fresh.settimeout(0)
        try:
            fresh.connect(str(self._path))  # a Unix socket connects at once or not at all
        except OSError:
            fresh.close()
            raise
        self._socket = fresh
        self._lines = Lines()
        self._replies.clear()
        self._beat_s = -math.inf

    def _lose(self) -> None:
        if self._socket is not None:
            self.close()
            self._pause_s = _FIRST_RETRY_S
            self._retry_s = self._clock() + self._pause_s

    def _ask(self, request: Request, request_id: str, timeout_s: float) -> DoorState:
        try:
            reply = self._converse(request, request_id, timeout_s)
        except OSError as fault:
            self._lose()
            raise DoorError(f"the controller at {self._path} has gone: {_why(fault)}") from fault
        except DoorError:
            self._lose()
            raise
        if not reply.accepted:
            raise DoorError(f"the controller refused the {request.kind}: {reply.reason}")
        self._pause_s = _FIRST_RETRY_S
        return DoorState(reply.lock, reply.until_s, reply.by)

    def _converse(self, request: Request, request_id: str, timeout_s: float) -> Reply:
        if self._socket is None:
            raise DoorError(f"not connected to a controller at {self._path}")
        self._replies.clear()
        self._send(request)
        # Waiting is real time, whatever clock the beats are told by.
        end_s = time.monotonic() + timeout_s
        while request_id not in self._replies:
            if not select.select([self._socket], [], [], max(0.0, end_s - time.monotonic()))[0]:
                raise DoorError(f"the controller at {self._path} did not answer within {timeout_s} s")
            self._take()
        return self._replies.pop(request_id)

    def _send(self, message: Request) -> None:
        line = encode(message)
        if self._socket is None or self._socket.send(line) != len(line):
            msg = f"the controller at {self._path} does not read"
            raise DoorError(msg)

    def _take(self) -> None:
        """Take in whatever has arrived. Raises OSError or DoorError when the connection is of no more use."""
        while self._socket is not None:
            try:
                chunk = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                raise ProtocolError(f"the controller at {self._path} hung up")
            for line in self._lines.feed(chunk):
                notice = read_notice(line)
                if isinstance(notice, Changed):
                    self._changes.append(DoorChange(notice.lock, notice.by, notice.until_s, notice.at_s, notice.cause))
                else:
                    self._replies[notice.request_id] = notice


def _why(fault: OSError) -> str:
    return fault.strerror or str(fault)
