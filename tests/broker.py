"""Another client at a test's broker, which sees and says what the test wants."""

from __future__ import annotations

import queue
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from appliance.drivers.mqtt import Connection, Incoming, Message, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.config import MqttSettings

QUICK = Pace(first_s=0.1, most_s=0.4, keepalive_s=1, connect_s=1.0)


class Bystander:
    """A client that keeps all it hears."""

    def __init__(self, settings: MqttSettings, name: str, *topics: str) -> None:
        self.heard: queue.Queue[Incoming] = queue.Queue()
        self.connection = Connection(settings, name, topics, self.heard.put, pace=QUICK)

    def say(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Publish."""
        self.connection.send(Message(topic, payload, retained))

    def next(self, timeout_s: float = 5.0) -> Incoming:
        """Return the next message heard; queue.Empty after the timeout."""
        return self.heard.get(timeout=timeout_s)

    def until(self, topic: str, payload: bytes, timeout_s: float = 30.0) -> Incoming:
        """Return the first message with this payload under this topic, passing over others."""
        end_s = time.monotonic() + timeout_s
        while True:
            incoming = self.next(max(0.01, end_s - time.monotonic()))
            if (incoming.topic, incoming.payload) == (topic, payload):
                return incoming


@contextmanager
def bystander(settings: MqttSettings, name: str, *topics: str) -> Iterator[Bystander]:
    """Give a connected client that hears `topics`."""
    other = Bystander(settings, name, *topics)
    other.connection.start()
    try:
        other.connection.check(5)
        yield other
    finally:
        other.connection.close()


def wait_for(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return once the condition holds; fails the test when it never does."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.01)
