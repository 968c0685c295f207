"""The client itself: one thread for the network, and calls that any thread may make."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import uuid
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from appliance.contract import Topic, topic
from appliance.drivers.mqtt_connection import Connection, Incoming, Pace
from appliance.drivers.mqtt_outbox import Message
from appliance.envelope import sign
from ostiary_client.feed import Feed
from ostiary_client.heard import (
    UNREADABLE,
    Availability,
    Event,
    Outcome,
    Reply,
    Ticket,
    read_event,
    read_outcome,
    read_reply,
    read_ticket,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.config import MqttSettings

_TTL_S = 20
_MAX_MESSAGE_BYTES = 1024 * 1024
_KEPT = 16  # pictures and outcomes that may still be asked for
_WAITING = 1024  # events and replies that nobody has taken yet; what is lost of the feed is asked for again
_NO_REPLY = Reply(ok=False, error="no_reply", result={})
_BROKER_REFUSES = Reply(ok=False, error="broker_refuses", result={})


class Client:
    """One client of the door `device_id`, with the key that the door knows it by.

    With `events` it hears the feed, without `tickets` no tickets: a broker that grants each role its own topics turns
    away who asks for more. Its methods may be called from any thread; the network has a thread of its own.
    """

    def __init__(
        self,
        settings: MqttSettings,
        device_id: str,
        client_id: str,
        key: Ed25519PrivateKey,
        *,
        tickets: bool = True,
        events: bool = False,
        pace: Pace | None = None,
    ) -> None:
        self._device_id = device_id
        self._client_id = client_id
        self._key = key
        self._tickets: queue.Queue[Ticket] = queue.Queue(_KEPT)
        self._events: queue.Queue[Event] = queue.Queue(_WAITING)
        self._images: OrderedDict[str, bytes] = OrderedDict()  # by SHA-256, newest last
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._replies: dict[str, queue.Queue[Reply]] = {}  # by the request that waits
        self._availability = Availability.UNKNOWN
        self._lock = threading.Lock()
        self._nonce = 0
        self._closed = threading.Event()
        hear: dict[Topic, Callable[[bytes], None]] = {Topic.AVAILABILITY: self._take_availability}
        if tickets:
            hear[Topic.APPROVAL_IMAGE] = self._take_image
            hear[Topic.APPROVAL_REQUEST] = self._take_ticket
            hear[Topic.APPROVAL_RESULT] = self._take_outcome
        if events:
            hear[Topic.EVENT_FEED] = self._take_event
        self._hear = {topic(device_id, level): take for level, take in hear.items()}
        self._hear[topic(device_id, Topic.REPLY, client_id)] = self._take_reply
        self._state = topic(device_id, Topic.AVAILABILITY)
        # The appliance's own id is ostiary-<device>; a client must not take its place at the broker.
        name = f"ostiary-client-{client_id}"
        self._connection = Connection(
            settings, name, list(self._hear), self._receive, max_bytes=_MAX_MESSAGE_BYTES, pace=pace
        )

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def connect(self, timeout_s: float = 5.0) -> None:
        """Return when the broker has taken us; later losses are mended in the background.

        Raises BrokerError, one line with what is wrong, after `timeout_s` seconds.
        """
        self._connection.start()
        try:
            self._connection.check(timeout_s)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Leave the broker; whoever waits for an event is let go."""
        self._closed.set()
        self._connection.close()

    @property
    def availability(self) -> Availability:
        """What the broker last said of the door; UNKNOWN while we have lost the broker."""
        return self._availability if self._connection.connected else Availability.UNKNOWN

    def next_ticket(self, timeout_s: float) -> Ticket | None:
        """Return the next ticket, oldest first; None when none came within `timeout_s`."""
        try:
            return self._tickets.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def outcome(self, ticket_id: str) -> Outcome | None:
        """Return how the ticket ended; None while it is open, or long forgotten."""
        return self._outcomes.get(ticket_id)

    def approve(self, ticket_id: str, timeout_s: float = 5.0) -> Reply:
        """Let the visitor of the ticket in, and return what the door says to it."""
        return self.send("approve", {"ticket_id": ticket_id}, timeout_s)

    def deny(self, ticket_id: str, timeout_s: float = 5.0) -> Reply:
        """Keep the visitor of the ticket out."""
        return self.send("deny", {"ticket_id": ticket_id}, timeout_s)

    def again(self, ticket_id: str, timeout_s: float = 5.0) -> Reply:
        """Have the visitor of the ticket show themselves once more; the ticket comes anew."""
        return self.send("again", {"ticket_id": ticket_id}, timeout_s)

    def say(self, ticket_id: str, text: str, timeout_s: float = 5.0) -> Reply:
        """Show the visitor of the ticket a line of text."""
        return self.send("say", {"ticket_id": ticket_id, "text": text}, timeout_s)

    def events(self, after: int, quiet_s: float | None = None) -> Iterator[Event]:
        """Give every event with a sequence number above `after`, in order, each once and none left out.

        There is one such iterator at a time. It ends when the client is closed, or when nothing has come for `quiet_s`
        seconds. What did not arrive is asked for with the verb `feed`. Raises RefusedError where the door refuses
        that, or its log has a hole.
        """
        return Feed(self._events, self.send, self._closed.is_set).events(after, quiet_s)

    def send(
        self,
        verb: str,
        args: Mapping[str, Any] | None = None,
        timeout_s: float = 5.0,
        progress: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> Reply:
        """Send a signed command and return the door's last word on it.

        What it says on the way goes to `progress`. The error is one of `UNANSWERED` after `timeout_s` of silence.
        Raises ValueError for args that no door takes.
        """
        request_id, box = uuid.uuid4().hex, queue.Queue[Reply](_WAITING)
        with self._lock:
            place, payload = self._signed(verb, args or {}, request_id)
            self._replies[request_id] = box
            self._connection.send(Message(place, payload))
        try:
            while not (reply := box.get(timeout=timeout_s)).done:
                if progress is not None:
                    progress(reply.result)
        except queue.Empty:
            # Only MQTT 5 tells that it was the broker's doing.
            return _BROKER_REFUSES if self._connection.refused(place) else _NO_REPLY
        finally:
            with self._lock:
                del self._replies[request_id]
        return reply

    def _signed(self, verb: str, args: Mapping[str, Any], request_id: str) -> tuple[str, bytes]:
        # By the clock, so that it rises over restarts too; in microseconds it stays below 2**53 until 2255.
        self._nonce = max(self._nonce + 1, time.time_ns() // 1000)
        place = topic(self._device_id, Topic.CMD, verb)
        return place, sign(
            self._key,
            topic=place,
            device_id=self._device_id,
            client_id=self._client_id,
            verb=verb,
            args=args,
            now=time.time(),
            ttl_s=_TTL_S,
            nonce=self._nonce,
            request_id=request_id,
        )

    def _receive(self, incoming: Incoming) -> None:
        take = self._hear.get(incoming.topic)
        # Only the door's state is ever retained: a retained ticket, picture, event or reply was not said now.
        if take is None or (incoming.retained and incoming.topic != self._state):
            return
        # Not of this contract, or more than anybody takes: a ticket times out at the door, the feed is asked again.
        with suppress(*UNREADABLE, queue.Full):
            take(incoming.payload)

    def _take_availability(self, payload: bytes) -> None:
        self._availability = Availability(payload.decode()) if payload else Availability.UNKNOWN

    def _take_image(self, payload: bytes) -> None:
        _keep(self._images, hashlib.sha256(payload).hexdigest(), payload)

    def _take_ticket(self, payload: bytes) -> None:
        self._tickets.put_nowait(read_ticket(payload, self._images))

    def _take_outcome(self, payload: bytes) -> None:
        outcome = read_outcome(payload)
        _keep(self._outcomes, outcome.ticket_id, outcome)

    def _take_event(self, payload: bytes) -> None:
        self._events.put_nowait(read_event(payload))

    def _take_reply(self, payload: bytes) -> None:
        request_id, reply = read_reply(payload)
        with self._lock:
            box = self._replies.get(request_id)
        if box is not None:
            box.put_nowait(reply)


def _keep(kept: OrderedDict[str, Any], name: str, value: object) -> None:
    kept[name] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
