"""The controller's side of the socket: who is connected, what each has said, and which of them is the reader."""

from __future__ import annotations

import logging
import selectors
from typing import TYPE_CHECKING

from appliance.door.lock import SILENCE_S, Cause
from appliance.door.protocol import Lines, ProtocolError, read_request

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from appliance.door.protocol import Request

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
_CHUNK_BYTES = 4096


class Peer:
    """One connection: its socket and what it has said so far."""

    def __init__(self, wire: socket.socket) -> None:
        wire.settimeout(0)
        self.wire = wire
        self.lines = Lines()
        self.heard_s = 0.0


class Peers:
    """All connections. `obey` is called for each request, `lost` when the reader goes, before it is forgotten."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listening: socket.socket,
        clock: Callable[[], float],
        *,
        obey: Callable[[Peer, Request], None],
        lost: Callable[[Cause], None],
    ) -> None:
        self._selector = selector
        self._listening = listening
        self._clock = clock
        self._obey = obey
        self._lost = lost
        self._peers: set[Peer] = set()
        self._reader: Peer | None = None  # the only peer on whose word somebody is let in
        selector.register(listening, selectors.EVENT_READ, self._accept)

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._peers

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._peers))

    @property
    def reader(self) -> Peer | None:
        """The peer that is the reader, if it has been heard within the silence that is allowed."""
        alive = self._reader is not None and self._clock() < self._reader.heard_s + SILENCE_S
        return self._reader if alive else None

    def claims(self, peer: Peer, *, may_replace: bool) -> bool:
        """Tell whether this peer is the reader now: the place is free when nobody has it, or its holder fell silent."""
        if self._reader is None or (may_replace and self.reader is None):
            self._reader = peer
        return self._reader is peer

    def is_reader(self, peer: Peer) -> bool:
        """Tell whether this peer holds the reader's place."""
        return peer is self._reader

    def drop_reader(self, cause: Cause, why: str) -> None:
        """Hang up on the reader, if there is one."""
        if self._reader is not None:
            self.drop(self._reader, cause, why)

    def say(self, peer: Peer, line: bytes) -> None:
        """Send a whole line, or drop the peer: who does not read is a peer that hangs."""
        try:
            whole = peer.wire.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            self.drop(peer, Cause.READER_GONE, "does not read")

    def say_reader(self, line: bytes) -> None:
        """Send a whole line to the reader, if there is one; silence does not stop it, only a full socket does."""
        if self._reader is not None:
            self.say(self._reader, line)

    def drop(self, peer: Peer, cause: Cause, why: str) -> None:
        """Hang up; where the peer is the reader, what rests on its word ends first."""
        if peer not in self._peers:
            return
        self._peers.remove(peer)
        if peer is self._reader:
            _log.warning("the reader was dropped, %s: %s", cause.value, why)
            self._reader = None
            self._lost(cause)
        elif cause is Cause.GARBAGE:
            _log.warning("a peer was dropped: %s", why)
        self._selector.unregister(peer.wire)
        peer.wire.close()

    def close(self) -> None:
        """Hang up on everybody."""
        self._reader = None
        for peer in self:
            self.drop(peer, Cause.SHUTDOWN, "")

    def _accept(self) -> None:
        try:
            wire, _ = self._listening.accept()
        except OSError:  # it hung up before we came, or no descriptor is free: the next turn tries again
            return
        if len(self._peers) >= MAX_CONNECTIONS:
            wire.close()
            return
        peer = Peer(wire)
        self._peers.add(peer)
        self._selector.register(wire, selectors.EVENT_READ, lambda: self._receive(peer))

    def _receive(self, peer: Peer) -> None:
        if peer not in self._peers:  # dropped earlier in this turn
            return
        try:
            chunk = peer.wire.recv(_CHUNK_BYTES)
            if not chunk:
                self.drop(peer, Cause.READER_GONE, "hung up")
            for line in peer.lines.feed(chunk):
                request = read_request(line)
                if peer in self._peers:  # not dropped by an earlier line of the same chunk
                    peer.heard_s = self._clock()
                    self._obey(peer, request)
        except ProtocolError as fault:
            self.drop(peer, Cause.GARBAGE, str(fault))
        except OSError as fault:
            self.drop(peer, Cause.READER_GONE, str(fault.strerror))
