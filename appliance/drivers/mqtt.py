"""MQTT: the appliance's own place at the broker. Nothing here waits for the broker, and nothing reads a command."""

from __future__ import annotations

import math
import queue
import time
from typing import TYPE_CHECKING, Protocol, Self

from appliance.contract import MAX_COMMAND_BYTES, Topic, is_identifier, topic
from appliance.drivers.mqtt_connection import Connection, Incoming, Pace, check_broker
from appliance.drivers.mqtt_outbox import Message

if TYPE_CHECKING:
    from appliance.config import MqttSettings
    from appliance.drivers.mqtt_outbox import Backlog

__all__ = ["Connection", "Inbox", "Incoming", "Message", "MqttLink", "Pace", "check_broker"]


class Inbox(Protocol):
    """A bounded queue that the loop drains; `queue.Queue` is one."""

    def put_nowait(self, item: Incoming, /) -> None:
        """Take the message, or raise queue.Full."""


class MqttLink:
    """The appliance's own place at the broker. No call blocks or raises once it is started, but `check`.

    `availability` says online, `offline` by the broker's hand when we are lost, `stopped` on a clean stop.
    Commands go to `inbox` unread; what does not fit there is dropped and counted.
    """

    def __init__(
        self,
        settings: MqttSettings,
        device_id: str,
        inbox: Inbox,
        pace: Pace | None = None,
        *,
        backlog: Backlog | None = None,
    ) -> None:
        self._device_id = device_id
        self._inbox = inbox
        self._availability = topic(device_id, Topic.AVAILABILITY)
        self._commands = topic(device_id, Topic.CMD) + "/"
        self._besides: set[str] = set()  # topics that are heard besides commands
        self.dropped_commands = 0  # the inbox was full
        self.refused_commands = 0  # over 64 KiB, or under a topic that no verb can have
        will = Message(self._availability, b"offline", retained=True)
        subscribe = [self._commands + "+"]
        self._connection = Connection(
            settings, f"ostiary-{device_id}", subscribe, self._receive, will=will, backlog=backlog, pace=pace
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to connect, in the background; a broker that is not there yet is waited for."""
        self._connection.send(Message(self._availability, b"online", retained=True))
        self._connection.start()

    def listen(self, topic: str) -> None:
        """Hear this full topic too, which may lie outside ours; before `start`."""
        self._besides.add(topic)
        self._connection.hear(topic)

    def close(self) -> None:
        """Say `stopped`, send what is left and leave; waits a few seconds at most."""
        self._connection.send(Message(self._availability, b"stopped", retained=True))
        self._connection.close()

    @property
    def connected(self) -> bool:
        """Whether the broker hears us and passes commands on."""
        return self._connection.connected

    @property
    def connects(self) -> int:
        """How often the broker was reached; one that rises quickly means that two clients use one id (D9)."""
        return self._connection.connects

    @property
    def dropped(self) -> int:
        """Messages given up because they were too large, or too many."""
        return self._connection.dropped

    @property
    def expired(self) -> int:
        """Messages not sent because nobody would have been served by them any more."""
        return self._connection.expired

    def check(self, timeout_s: float) -> None:
        """Return once connected. Raises BrokerError, one line with what is wrong, after `timeout_s` seconds."""
        self._connection.check(timeout_s)

    def wake(self) -> None:
        """Have the backlog looked into; from any thread, and returns at once."""
        self._connection.wake()

    def publish(
        self,
        level: Topic,
        payload: bytes | str,
        *,
        retained: bool = False,
        leaf: str = "",
        within_s: float = math.inf,
    ) -> None:
        """Send the payload and return at once. Raises ValueError for a leaf that is no topic level.

        What is not sent `within_s` seconds is not sent any more, and with MQTT 5 the broker keeps it no longer either.
        """
        self.publish_at(topic(self._device_id, level, leaf), payload, retained=retained, within_s=within_s)

    def publish_at(
        self, topic: str, payload: bytes | str, *, retained: bool = False, within_s: float = math.inf
    ) -> None:
        """Send as `publish` does, to a full topic, which may lie outside ours."""
        raw = payload.encode() if isinstance(payload, str) else payload
        self._connection.send(Message(topic, raw, retained, time.monotonic() + within_s))

    def _receive(self, incoming: Incoming) -> None:
        if not incoming.payload:
            return  # our own clearing of a retained command comes back like this
        if incoming.topic in self._besides:
            self._take(incoming)
            return
        verb = incoming.topic.removeprefix(self._commands)
        if not all(is_identifier(part) for part in verb.split(".")):
            self.refused_commands += 1
            return
        if incoming.retained:  # told to the loop, which notes it, and taken from the broker (D3)
            self._connection.send(Message(incoming.topic, b"", retained=True))
        self._take(incoming)

    def _take(self, incoming: Incoming) -> None:
        if len(incoming.payload) > MAX_COMMAND_BYTES:
            self.refused_commands += 1
            return
        try:
            self._inbox.put_nowait(incoming)
        except queue.Full:
            self.dropped_commands += 1
