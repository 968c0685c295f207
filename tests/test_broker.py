"""The private broker of a demonstration: real, on this machine only, and gone afterwards."""

from __future__ import annotations

import importlib.util
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.broker import Kind, find_mosquitto, private_broker
from appliance.drivers.mqtt import check_broker
from appliance.errors import BrokerError
from tests.broker import bystander

if TYPE_CHECKING:
    from pathlib import Path

_AMQTT = pytest.mark.skipif(not importlib.util.find_spec("amqtt"), reason="amqtt is the fallback and optional")


@pytest.mark.parametrize("kind", ["mosquitto", pytest.param("amqtt", marks=_AMQTT)])
def test_both_kinds_carry_messages_for_the_one_user_and_end_with_the_block(tmp_path: Path, kind: Kind) -> None:
    """D1: whoever has no password is refused; files are private; nothing listens afterwards."""
    with private_broker(tmp_path, kind) as broker:
        assert (broker.kind, broker.host) == (kind, "127.0.0.1")
        with bystander(broker.settings, "one", "a/+") as one:
            one.say("a/b", b"hello", retained=True)
            assert one.next().payload == b"hello"
            with bystander(broker.settings, "two", "a/#") as two:
                assert two.next().retained
        for wrong in ({"username": ""}, {"password_file": "/dev/null"}):
            with pytest.raises(BrokerError, match="refuses us"):
                check_broker(broker.settings.model_copy(update=wrong), 5)
        for name in ("broker.password", "broker.users"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((broker.host, broker.port), timeout=1).close()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """A broker that cannot start is one clear line that names its log."""
    assert find_mosquitto()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=r"did not start; .*broker\.log"), private_broker(tmp_path, port=port):
            pass
