"""The reader's end of the controller's socket."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import time
import uuid
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import ValidationError

from appliance.door.protocol import (
    Asked,
    Beat,
    FireTestRequest,
    Happened,
    HoldRequest,
    LeaseRequest,
    Lines,
    LockdownRequest,
    LockRequest,
    OpenRequest,
    ProtocolError,
    PulseRequest,
    ReleaseRequest,
    Reply,
    Request,
    SignalRequest,
    StateRequest,
    encode,
    from_state,
    read_notice,
)
from appliance.errors import DoorError, DoorRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.door.lock import Hold
    from appliance.door.protocol import Ruling
    from appliance.door.signals import Signal
    from appliance.records import DoorState, Pulse

BEAT_S = 0.2  # five beats fit in the silence after which the controller locks
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 2.0
_KEPT = 4096
ANSWER_S = 0.5
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
        self._happened: deque[Happened] = deque(maxlen=_KEPT)
        self._told = ("", 0)  # run and number of the newest event that came over the wire
        self._written = ("", 0)  # the same of the newest that is written down
        self.door: DoorState | None = None  # as the controller last said; None while it is not connected
        self.reader = False  # whether the controller had a reader when it last answered
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

    def pulse(self, pulse: Pulse, timeout_s: float = ANSWER_S) -> DoorState:
        """Have the door unlocked; return its state after that.

        Raises DoorError when not connected, refused (the message ends with the reason) or not answered in time;
        so do the other verbs.
        """
        return self._ask(PulseRequest, timeout_s, **asdict(pulse))

    def open(self, by: str, for_s: float, timeout_s: float = ANSWER_S) -> DoorState:
        """Have the door unlocked for a moment, 0.5..30 s, on the word of the operator `by`."""
        deadline_s = time.monotonic() + timeout_s
        return self._ask(OpenRequest, timeout_s, by=by, for_s=for_s, deadline_s=deadline_s)

    def hold(self, by: str, hold: Hold, for_s: float, timeout_s: float = ANSWER_S) -> DoorState:
        """Have the door stand so for 1..86,400 s, on the word of the operator `by`."""
        return self._ask(HoldRequest, timeout_s, by=by, hold=hold, for_s=for_s)

    def lease(self, for_s: float, timeout_s: float = ANSWER_S) -> DoorState:
        """Have the schedule hold the door unlocked for the next 0..60 s."""
        return self._ask(LeaseRequest, timeout_s, for_s=for_s)

    def lockdown(self, by: str, timeout_s: float = ANSWER_S) -> DoorState:
        """Have entry refused, on the word of the operator `by`."""
        return self._ask(LockdownRequest, timeout_s, by=by)

    def release(self, by: str, of: Ruling, timeout_s: float = ANSWER_S) -> DoorState:
        """End a hold, a lockdown or a fire that is over, or acknowledge a forced opening."""
        return self._ask(ReleaseRequest, timeout_s, by=by, of=of)

    def fire_test(self, by: str, for_s: float, timeout_s: float = ANSWER_S) -> DoorState:
        """Have done for up to 60 s what a fire would do."""
        return self._ask(FireTestRequest, timeout_s, by=by, for_s=for_s)

    def state(self, timeout_s: float = ANSWER_S) -> DoorState:
        """Return the door's state."""
        return self._ask(StateRequest, timeout_s)

    def lock(self, timeout_s: float = ANSWER_S) -> DoorState:
        """Have the door locked, where it was released for a moment; return its state after that."""
        return self._ask(LockRequest, timeout_s)

    def show(self, signal: Signal) -> None:
        """Show this on the door's lamps for a moment; never waits and never raises."""
        with contextlib.suppress(OSError, DoorError):
            self._send(SignalRequest(signal=signal))

    def resume(self, run: str, seq: int) -> None:
        """Go on after what an earlier reader wrote down: up to `seq` of the controller's `run`."""
        self._told = self._written = (run, seq)

    def written(self, happened: Happened) -> None:
        """Note that this is written down and need not be told again."""
        self._written = (happened.run, happened.seq)

    def beat(self) -> tuple[Happened, ...]:
        """Show that the reader is alive and return what happened since the last call, oldest first, each once.

        Never waits and never raises: a lost connection shows in `connected` and is tried again by later calls,
        0.1 s to 2 s apart. What was never called `written` is told again by the next connection.
        """
        try:
            if self._socket is None:
                self._reopen()
            if self._socket is not None:
                self._take()
                if self._clock() - self._beat_s >= BEAT_S:
                    run, seq = self._written
                    self._send(Beat(run=run, seq=seq))
                    self._beat_s = self._clock()
        except (OSError, DoorError):
            self._lose()
        happened = tuple(self._happened)
        self._happened.clear()
        return happened

    def heard(self) -> tuple[Happened, ...]:
        """Return what happened that came along with answers since the last call, without a beat."""
        happened = tuple(self._happened)
        self._happened.clear()
        return happened

    def close(self) -> None:
        """Hang up; the controller locks what this reader had unlocked. Harmless when done already."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self.door = None

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

    def _ask(self, kind: Callable[..., Asked], timeout_s: float, **fields: object) -> DoorState:
        request = self._made(kind, **fields)
        try:
            reply = self._converse(request, timeout_s)
        except OSError as fault:
            self._lose()
            raise DoorError(f"the controller at {self._path} has gone: {_why(fault)}") from fault
        except DoorError:
            self._lose()
            raise
        self.reader = reply.reader
        if not reply.accepted:
            raise DoorRefusedError(request.kind, reply.reason, from_state(reply.state))
        self._pause_s = _FIRST_RETRY_S
        return from_state(reply.state)

    def _made(self, kind: Callable[..., Asked], **fields: object) -> Asked:
        try:
            return kind(request_id=uuid.uuid4().hex, **fields)
        except ValidationError as fault:
            first = fault.errors()[0]
            raise DoorError(f"{first['loc'][0]} is {first['input']!r}: {first['msg']}") from fault

    def _converse(self, request: Asked, timeout_s: float) -> Reply:
        request_id = request.request_id
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
                if isinstance(notice, Happened):
                    self._hear(notice)  # its state is that of then, which may be long ago
                    continue
                self.door = from_state(notice.state)
                if isinstance(notice, Reply):
                    self._replies[notice.request_id] = notice

    def _hear(self, happened: Happened) -> None:
        run, seq = self._told
        if happened.run == run and happened.seq <= seq:  # told again, because we had not said that it is written
            return
        self._told = (happened.run, happened.seq)
        self._happened.append(happened)


def _why(fault: OSError) -> str:
    return fault.strerror or str(fault)
