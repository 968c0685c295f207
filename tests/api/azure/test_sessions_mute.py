"""A session at the door whose reader has stopped in its tracks, or hangs up."""

from __future__ import annotations

import socket
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.api.azure import sessions_work
from appliance.contract import Role
from tests.web.running import installed, web_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def reader() -> Iterator[tuple[httpx.Client, socket.socket]]:
    """Give a client of the interface, and the socket at which its reader would be asked."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = installed(Path(folder))
        with (
            web_of(installation) as web,
            closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as listening,
            httpx.Client(base_url=f"{web.url}/face/v1.2", timeout=10) as client,
        ):
            listening.bind(str(installation.reader_socket))
            listening.listen()
            client.headers["Ocp-Apim-Subscription-Key"] = web.key(Role.ENROLLER)
            yield client, listening


def refused(client: httpx.Client) -> None:
    """Hold a session at the door to be refused, and to be gone."""
    wish = {"livenessOperationMode": "Passive", "deviceCorrelationId": "front"}
    answer = client.post("detectLiveness-sessions", json=wish)
    assert (answer.status_code, set(answer.json())) == (503, {"error"})
    assert client.get("detectLiveness/singleModal/sessions").json() == []


def test_reader_that_says_nothing_or_hangs_up(
    reader: tuple[httpx.Client, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the reader is stopped, or hangs up, a session at the door is refused in seconds and is not left behind."""
    client, listening = reader
    monkeypatch.setattr(sessions_work, "BEGINS_S", 0.2)
    refused(client)  # nobody takes the call
    monkeypatch.undo()
    listening.accept()[0].close()

    def hang_up() -> None:
        listening.accept()[0].close()

    hanging = threading.Thread(target=hang_up)
    hanging.start()
    refused(client)
    hanging.join()
