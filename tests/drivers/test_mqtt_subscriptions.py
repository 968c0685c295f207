"""A broker that does not let us hear everything: what is needed, and what can be done without."""

from __future__ import annotations

import queue
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from appliance.config import MqttSettings
from appliance.drivers.mqtt import MqttLink
from appliance.errors import BrokerError
from tests.broker import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def choosy_broker(*codes: int) -> Iterator[MqttSettings]:
    """Run a broker of MQTT 3.1.1 that takes everybody, and answers a subscription with these codes; 128 is no."""

    def serve(server: socket.socket) -> None:
        caller, _ = server.accept()
        with caller:
            while packet := caller.recv(4096):
                if packet[0] >> 4 == 1:
                    caller.sendall(b"\x20\x02\x00\x00")
                elif packet[0] >> 4 == 8:
                    caller.sendall(bytes([0x90, 2 + len(codes), *packet[2:4], *codes]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield MqttSettings(enabled=True, host="127.0.0.1", port=server.getsockname()[1], version="3.1.1")
        thread.join(5)


def test_a_topic_that_can_be_done_without_is_not_missed(caplog: pytest.LogCaptureFixture) -> None:
    """D10: a broker that keeps Home Assistant's status from us has us all the same, and the log names the topic."""
    with choosy_broker(1, 128) as settings:
        link = MqttLink(settings, "front", queue.Queue(), QUICK)
        link.listen("homeassistant/status")
        with link:
            link.check(5)
    assert "does not let us hear homeassistant/status" in caplog.text


def test_without_its_commands_the_door_is_not_connected() -> None:
    """D10: where the commands are kept from us, nobody is told that we are there."""
    with choosy_broker(128, 1) as settings:
        link = MqttLink(settings, "front", queue.Queue(), QUICK)
        link.listen("homeassistant/status")
        with link, pytest.raises(BrokerError, match="refuses our subscription"):
            link.check(5)
