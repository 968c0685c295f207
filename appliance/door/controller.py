"""The controller: a thin shell of sockets, timers and one lock output around the pure core in `lock`.

One thread, one selector, no thread of its own. Whatever goes wrong, the line is locked first and the rest
is said afterwards; what cannot be locked ends the process, and with it the line's power.
"""

from __future__ import annotations

import logging
import selectors
from typing import TYPE_CHECKING

from appliance.door.guard import STEP_S
from appliance.door.lock import SILENCE_S, Cause, Lock, Refusal
from appliance.door.protocol import (
    Beat,
    Changed,
    Lines,
    LockRequest,
    ProtocolError,
    PulseRequest,
    Reply,
    Request,
    encode,
    read_request,
)
from appliance.errors import DoorError
from appliance.records import Pulse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from appliance.door.guard import Guard
    from appliance.door.hardware import LockOutput
    from appliance.door.lock import DoorChange

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
_IDLE_S = 0.5  # the loop turns at least this often, for the service manager's watchdog
_CHUNK_BYTES = 4096


class _Connection:
    """One peer: its socket and what it has said so far."""

    def __init__(self, peer: socket.socket) -> None:
        peer.settimeout(0)
        self.peer = peer
        self.lines = Lines()
        self.heard_s = 0.0


class Controller:
    """Serves the listening socket and drives the output until `stop` is called or a fault ends it."""

    def __init__(self, listening: socket.socket, output: LockOutput, guard: Guard, clock: Callable[[], float]) -> None:
        self._output = output
        self._guard = guard
        self._clock = clock
        self._lock = Lock()
        self._rearm_s = 0.0
        self._stopping = False
        self._reader: _Connection | None = None  # the only peer that may unlock
        self._connections: set[_Connection] = set()
        self._listening = listening
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ, self._accept)
        self._selector.register(guard.pipe, selectors.EVENT_READ, self._guardian_gone)

    def run(self, wake: socket.socket, notify: Callable[[str], object]) -> None:
        """Serve until `stop`, then lock; a byte on `wake` ends a wait.

        `notify` hears READY=1 once the line reads locked, WATCHDOG=1 every turn, STOPPING=1 at the end.
        Raises DoorError when the line does not lock or nobody guards it; by then it has been driven low as far
        as it can be.
        """
        self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(_CHUNK_BYTES))
        try:
            self._lock_line()
            notify("READY=1")
            while not self._stopping:
                notify("WATCHDOG=1")
                self._turn()
            self._relock(Cause.SHUTDOWN)
            notify("STOPPING=1")
        finally:
            try:
                self._output.lock()
            finally:
                for connection in tuple(self._connections):
                    self._forget(connection)
                self._selector.close()

    def stop(self) -> None:
        """Make `run` lock and return at its next turn; may be called by a signal handler."""
        self._stopping = True

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._wait_s()):
            key.data()
        ended = self._lock.tick(self._clock())
        if ended is not None:
            self._apply(ended)
            if ended.cause is Cause.READER_SILENT and self._reader is not None:
                _log.warning("the reader was dropped: silent for %.1f s", SILENCE_S)
                self._forget(self._reader)
        if self._lock.unlocked and self._clock() >= self._rearm_s:
            self._arm()

    def _wait_s(self) -> float:
        if self._lock.wake_s is None:
            return _IDLE_S
        return max(0.0, min(self._lock.wake_s, self._rearm_s) - self._clock())

    # Peers

    def _accept(self) -> None:
        try:
            peer, _ = self._listening.accept()
        except OSError:  # it hung up before we came, or no descriptor is free: the next turn tries again
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            peer.close()
            return
        connection = _Connection(peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._receive(connection))

    def _receive(self, connection: _Connection) -> None:
        if connection not in self._connections:  # dropped earlier in this turn
            return
        try:
            chunk = connection.peer.recv(_CHUNK_BYTES)
            if not chunk:
                self._drop(connection, Cause.READER_GONE, "hung up")
            for line in connection.lines.feed(chunk):
                self._obey(connection, read_request(line))
        except ProtocolError as fault:
            self._drop(connection, Cause.GARBAGE, str(fault))
        except OSError as fault:
            self._drop(connection, Cause.READER_GONE, str(fault.strerror))

    def _drop(self, connection: _Connection, cause: Cause, why: str) -> None:
        """Lock if this peer held the door, then forget it."""
        if connection is self._reader:
            _log.warning("the reader was dropped, %s: %s", cause.value, why)
            self._relock(cause)
        elif cause is Cause.GARBAGE:
            _log.warning("a peer was dropped: %s", why)
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._selector.unregister(connection.peer)
            connection.peer.close()
        if connection is self._reader:
            self._reader = None

    def _say(self, connection: _Connection, line: bytes) -> None:
        try:
            whole = connection.peer.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:  # a peer that does not read is a peer that hangs
            self._drop(connection, Cause.READER_GONE, "does not read")

    # Requests

    def _obey(self, connection: _Connection, request: Request) -> None:
        if connection not in self._connections:  # dropped by an earlier line of the same chunk
            return
        now_s = self._clock()
        connection.heard_s = now_s
        if connection is self._reader:
            self._lock.hear(now_s)
        if isinstance(request, Beat):
            self._is_reader(connection)
            return
        refusal = None
        if isinstance(request, PulseRequest):
            refusal = self._pulse(request, now_s) if self._is_reader(connection) else Refusal.OTHER_READER
        elif isinstance(request, LockRequest):
            self._relock(Cause.COMMAND)
        self._reply(connection, request.request_id, refusal)

    def _is_reader(self, connection: _Connection) -> bool:
        """Tell whether this peer may unlock; the place is free when nobody has it or its holder fell silent."""
        holder = self._reader
        if holder is None or (not self._lock.unlocked and not self._clock() < holder.heard_s + SILENCE_S):
            self._reader = connection
        return self._reader is connection

    def _pulse(self, request: PulseRequest, now_s: float) -> Refusal | None:
        answer = self._lock.pulse(
            request.request_id, Pulse(request.for_s, request.presentation_id, request.deadline_s), now_s
        )
        try:
            for change in answer.changes:
                self._apply(change)
        except _NotFollowedError as fault:
            _log.error("%s: locked", fault)
            answer = self._lock.retract(request.request_id, now_s)
            self._lock_line()
        return answer.refusal

    def _reply(self, connection: _Connection, request_id: str, refusal: Refusal | None) -> None:
        if connection not in self._connections:  # it did not take the notice of its own pulse
            return
        state = self._lock.state
        reply = Reply(
            request_id=request_id,
            accepted=refusal is None,
            reason="" if refusal is None else refusal.value,
            lock=state.lock,
            until_s=state.until_s,
            by=state.by,
        )
        self._say(connection, encode(reply))

    # The line

    def _apply(self, change: DoorChange) -> None:
        """Drive the line as `change` says, then tell everybody."""
        if change.until_s is None:
            self._lock_line()
        else:
            self._unlock_line()
        _log.info("%s by %s (%s)", change.lock.value, change.by, change.cause.value)
        line = encode(
            Changed(lock=change.lock, until_s=change.until_s, by=change.by, at_s=change.at_s, cause=change.cause)
        )
        for connection in tuple(self._connections):
            self._say(connection, line)

    def _relock(self, cause: Cause) -> None:
        change = self._lock.relock(cause, self._clock())
        if change is not None:
            self._apply(change)

    def _unlock_line(self) -> None:
        self._arm()
        try:
            self._output.unlock()
        except DoorError as fault:
            raise _NotFollowedError(str(fault)) from fault
        if not self._output.is_unlocked():
            msg = "the lock output does not follow: driven to unlocked, it reads locked"
            raise _NotFollowedError(msg)

    def _lock_line(self) -> None:
        self._output.lock()
        if self._output.is_unlocked():
            msg = "the lock output does not follow: driven to locked, it reads unlocked"
            raise DoorError(msg)
        self._guard.disarm()

    def _arm(self) -> None:
        now_s = self._clock()
        self._guard.arm(min(now_s + STEP_S, self._lock.state.until_s or now_s))
        self._rearm_s = now_s + STEP_S / 3

    def _guardian_gone(self) -> None:
        msg = "the guardian process has gone: locked"
        raise DoorError(msg)


class _NotFollowedError(DoorError):
    """The line did not unlock; it is to be locked and the pulse refused."""
