"""What waits to be sent: live messages, bounded, and the newest payload of every retained topic."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_WAITING = 1000
MAX_WAITING_BYTES = 16 * 1024 * 1024
MAX_PAYLOAD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One message to be published with QoS 1."""

    topic: str
    payload: bytes
    retained: bool = False
    until_s: float = math.inf  # on the monotonic clock; from then on nobody is served by it


class Backlog(Protocol):
    """Messages that are kept elsewhere and sent behind all others. Called in the connection's thread, and quick."""

    def take(self) -> Message | None:
        """Return the next message; None for none now."""

    def settled(self, refusal: str) -> None:
        """Take note that the broker has the oldest message that was taken, or why it refuses it."""

    def lost(self) -> None:
        """Give everything that was taken and not settled once more."""


class Outbox:
    """Messages of one client; any thread may put, one takes. No call blocks for longer than a copy.

    A retained topic is a state: only its newest payload counts, it is never dropped, and it is sent again after
    every reconnection, because a broker may have lost it. Of the live messages those that are worthless by now are
    not sent any more, and where too many wait the oldest give way.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._live: deque[Message] = deque()
        self._live_bytes = 0
        self._state: dict[str, Message] = {}
        self._unsent: dict[str, None] = {}  # retained topics whose newest payload is still to be sent, in order
        self.dropped = 0  # messages that were given up: too large, or too many
        self.expired = 0  # messages that nobody would have been served by any more

    def put(self, message: Message) -> None:
        """Take a message; one over `MAX_PAYLOAD_BYTES` is dropped and counted."""
        with self._lock:
            if len(message.payload) > MAX_PAYLOAD_BYTES:
                self.dropped += 1
            elif message.retained and message.payload:
                self._state[message.topic] = message
                self._unsent[message.topic] = None
            else:  # an empty retained payload clears its topic, once
                self._live.append(message)
                self._live_bytes += len(message.payload)
                self._trim()

    def take(self) -> Message | None:
        """Return the next message, states first; None for none."""
        with self._lock:
            for topic in self._unsent:
                del self._unsent[topic]
                return self._state[topic]
            self._expire()
            return self._next() if self._live else None

    def give_back(self, messages: Iterable[Message]) -> None:
        """Take back what was not acknowledged, oldest first; it goes out before what came later."""
        with self._lock:
            live = [message for message in messages if not message.retained or not message.payload]
            self._live.extendleft(reversed(live))
            self._live_bytes += sum(len(message.payload) for message in live)
            self._trim()

    def state_again(self) -> None:
        """Send every retained topic again."""
        with self._lock:
            self._unsent = dict.fromkeys(self._state)

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._live or self._unsent)

    def _next(self) -> Message:
        message = self._live.popleft()
        self._live_bytes -= len(message.payload)
        return message

    def _expire(self) -> None:
        while self._live and self._live[0].until_s <= self._clock():
            self._next()
            self.expired += 1

    def _trim(self) -> None:
        self._expire()  # from the front alone: the others are as long-lived, or are met there later
        while len(self._live) > MAX_WAITING or self._live_bytes > MAX_WAITING_BYTES:
            self._next()
            self.dropped += 1
