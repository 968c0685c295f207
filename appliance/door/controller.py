"""The controller: a thin shell of sockets, timers and lines around the pure core in `machine`.

One thread, one selector, no thread of its own. Whatever goes wrong, the line is locked first and the rest
is said afterwards; what cannot be locked ends the process, and with it the line's power.
"""

from __future__ import annotations

import logging
import math
import selectors
from typing import TYPE_CHECKING

from appliance.door.debounce import Debounce
from appliance.door.hardware import Edge, Output
from appliance.door.line import GuardedLine, NotFollowedError
from appliance.door.lock import SILENCE_S, Cause, Refusal
from appliance.door.machine import Machine
from appliance.door.memory import Answers
from appliance.door.notices import Notices
from appliance.door.peers import Peer, Peers
from appliance.door.protocol import (
    Asked,
    Beat,
    FireTestRequest,
    HoldRequest,
    LeaseRequest,
    LockdownRequest,
    LockRequest,
    OpenRequest,
    PulseRequest,
    ReleaseRequest,
    Reply,
    Request,
    SignalRequest,
    as_state,
    encode,
)
from appliance.door.signals import Signals
from appliance.errors import DoorError
from appliance.records import Pulse

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from appliance.config import Settings
    from appliance.door.guard import Guard
    from appliance.door.hardware import DoorHardware
    from appliance.door.latches import LatchFile

_log = logging.getLogger(__name__)

_IDLE_S = 0.5  # the loop turns at least this often, for the service manager's watchdog and for edges that got lost
_RETRY_S = 1.0  # a line that did not follow is tried again so often where a fire wants it
_CHUNK_BYTES = 4096


class Controller:
    """Serves the listening socket and drives the door until `stop` is called or a fault ends it."""

    def __init__(
        self,
        listening: socket.socket,
        hardware: DoorHardware,
        guard: Guard,
        clock: Callable[[], float],
        *,
        settings: Settings,
        latches: LatchFile,
    ) -> None:
        self._hardware = hardware
        self._line = GuardedLine(hardware.lock, guard, clock)
        self._clock = clock
        self._latches = latches
        self._machine = Machine(settings.door, latches.load())
        self._debounce = Debounce(settings.inputs.debounce_s)
        self._signals = Signals(settings.outputs.aux_follows)
        self._answers = Answers()
        self._retry_s = -math.inf
        self._levels_s = 0.0
        self._lit: frozenset[Output] = frozenset()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(guard.pipe, selectors.EVENT_READ, self._guardian_gone)
        self._selector.register(hardware.inputs.fileno(), selectors.EVENT_READ, self._take_edges)
        self._peers = Peers(self._selector, listening, clock, obey=self._obey, lost=self._lose_reader)
        self._notices = Notices(self._peers)

    def run(self, wake: socket.socket, notify: Callable[[str], object]) -> None:
        """Serve until `stop`, then lock; a byte on `wake` ends a wait.

        `notify` hears READY=1 once the line reads locked, WATCHDOG=1 every turn, STOPPING=1 at the end.
        Raises DoorError when the line does not lock, nobody guards it, or the inputs cannot be read; by then it
        has been driven low as far as it can be.
        """
        self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(_CHUNK_BYTES))
        try:
            self._line.lock()
            self._begin()
            notify("READY=1")
            while not self._stopping:
                notify("WATCHDOG=1")
                self._turn()
            self._machine.lose_reader(Cause.SHUTDOWN, self._clock())
            self._machine.lock(self._clock(), Cause.SHUTDOWN)
            self._apply()
            notify("STOPPING=1")
        finally:
            try:
                self._hardware.lock.lock()
            finally:
                self._peers.close()
                self._selector.close()

    def stop(self) -> None:
        """Make `run` lock and return at its next turn; may be called by a signal handler."""
        self._stopping = True

    def _begin(self) -> None:
        levels = self._hardware.inputs.levels()
        for input_, active in levels.items():
            self._debounce.begin(input_, active=active)
        self._machine.start(levels, self._clock())
        self._apply()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._wait_s()):
            key.data()
        now_s = self._clock()
        if now_s >= self._levels_s:
            self._levels_s = now_s + _IDLE_S
            self._debounce.feed(self._missed(now_s), now_s)
        self._tick(now_s)
        for edge in self._debounce.settled(now_s):
            self._machine.sense(edge.input, active=edge.active, now_s=now_s)
        self._apply()
        if self._line.high and self._clock() >= self._line.rearm_s:
            self._line.rearm(self._machine.limit_s)

    def _tick(self, now_s: float) -> None:
        """Do what is due, down to the line: whatever releases it next finds that it was locked."""
        self._machine.tick(now_s)
        self._apply()

    def _wait_s(self) -> float:
        now_s = self._clock()
        due_s = min(self._machine.wake_s, self._debounce.wake_s, self._signals.wake_s(self._machine.state, now_s))
        if self._line.high:
            due_s = min(due_s, self._line.rearm_s)
        elif self._machine.released:
            due_s = min(due_s, self._retry_s)
        return min(_IDLE_S, max(0.0, due_s - now_s))

    # Inputs

    def _take_edges(self) -> None:
        now_s = self._clock()
        self._debounce.feed(self._hardware.inputs.edges(), now_s)

    def _missed(self, now_s: float) -> tuple[Edge, ...]:
        """Return how the inputs are as edges: whatever got lost on the way is made good."""
        return tuple(Edge(input_, active, now_s) for input_, active in self._hardware.inputs.levels().items())

    # Requests

    def _obey(self, peer: Peer, request: Request) -> None:
        now_s = self._clock()
        self._tick(now_s)  # a word that comes too late finds the door locked
        if peer not in self._peers:
            return
        if self._peers.is_reader(peer):
            self._machine.hear(now_s)
        if isinstance(request, Beat):
            if self._claims(peer):
                self._notices.written(request)
        elif isinstance(request, SignalRequest):
            if self._peers.is_reader(peer):
                self._signals.show(request.signal, now_s)
        else:
            self._answer(peer, request, now_s)

    def _answer(self, peer: Peer, request: Asked, now_s: float) -> None:
        known = request.request_id in self._answers
        if known:
            refusal = self._answers[request.request_id]
        else:
            refusal = self._carry_out(peer, request, now_s)
            if not self._apply() and refusal is None:
                refusal = Refusal.LOCK_FAULT
            self._answers.remember(request.request_id, refusal)
        if peer in self._peers:  # it may not have taken the notice of its own pulse
            self._peers.say(peer, encode(self._reply(request.request_id, refusal)))

    def _carry_out(self, peer: Peer, request: Asked, now_s: float) -> Refusal | None:  # noqa: PLR0911 - one a verb
        match request:
            case PulseRequest(presentation_id=by, for_s=for_s, deadline_s=deadline_s):
                pulse = Pulse(for_s, by, deadline_s, request.extended, request.bypass)
                return self._machine.enter(pulse, now_s) if self._claims(peer) else Refusal.OTHER_READER
            case LeaseRequest(for_s=for_s):
                return self._machine.lease(for_s, now_s) if self._claims(peer) else Refusal.OTHER_READER
            case OpenRequest(by=by, for_s=for_s, deadline_s=deadline_s):
                return self._machine.enter(Pulse(for_s, by, deadline_s), now_s, Cause.OPERATOR)
            case HoldRequest(hold=hold, by=by, for_s=for_s):
                return self._machine.hold(hold, by, for_s, now_s)
            case LockdownRequest(by=by):
                self._machine.lockdown(by, now_s)
            case ReleaseRequest(of=of, by=by):
                return self._release(of, by, now_s)
            case FireTestRequest(by=by, for_s=for_s):
                return self._machine.test_fire(by, for_s, now_s)
            case LockRequest():
                self._machine.lock(now_s)
        return None

    def _release(self, of: str, by: str, now_s: float) -> Refusal | None:
        ends = {
            "operator": self._machine.end_hold,
            "lockdown": self._machine.end_lockdown,
            "fire": self._machine.end_fire,
            "forced": self._machine.acknowledge,
        }
        return ends[of](by, now_s)

    def _claims(self, peer: Peer) -> bool:
        # While somebody is let in on its word, a reader that falls silent loses the door first and its place then.
        before = self._peers.is_reader(peer)
        after = self._peers.claims(peer, may_replace=not self._machine.rests_on_reader)
        if after and not before:
            self._notices.begin()
        return after

    def _lose_reader(self, cause: Cause) -> None:
        self._machine.lose_reader(cause, self._clock())
        self._apply()

    def _reply(self, request_id: str, refusal: Refusal | None) -> Reply:
        return Reply(
            request_id=request_id,
            accepted=refusal is None,
            reason="" if refusal is None else refusal.value,
            reader=self._peers.reader is not None,
            state=as_state(self._machine.state),
        )

    # Lines

    def _apply(self) -> bool:
        """Drive the lines as the machine wants them, then tell what happened; False where the lock did not follow."""
        followed = self._drive()
        self._latches.save(self._machine.latches)
        events = self._machine.take()
        now_s = self._clock()
        self._signals.hear(events, now_s)
        self._light(self._signals.on(self._machine.state, now_s))
        for event in events:
            _log.info("%s", " ".join(word for word in (event.event_type.value, event.cause, event.by) if word))
        self._notices.tell(events, self._machine.state)
        if any(event.cause == Cause.READER_SILENT for event in events):
            self._peers.drop_reader(Cause.READER_SILENT, f"silent for {SILENCE_S:.1f} s")
        return followed

    def _drive(self) -> bool:
        if not self._machine.released:
            self._retry_s = -math.inf
            if self._line.high:
                self._line.lock()
            return True
        if self._line.high:
            return True
        now_s = self._clock()
        if now_s < self._retry_s:
            return True
        try:
            self._line.unlock(self._machine.limit_s)
        except NotFollowedError as fault:
            _log.error("%s: locked", fault)
            self._line.lock()
            self._machine.retract(now_s)
            # Only a fire still wants it; whatever else was refused must not open the door later.
            self._retry_s = now_s + _RETRY_S if self._machine.released else -math.inf
            return False
        self._machine.follow()
        return True

    def _light(self, lit: frozenset[Output]) -> None:
        for output in Output:
            if (output in lit) != (output in self._lit):
                self._hardware.outputs.drive(output, on=output in lit)
        self._lit = lit

    def _guardian_gone(self) -> None:
        msg = "the guardian process has gone: locked"
        raise DoorError(msg)
