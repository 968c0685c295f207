"""A session at the door whose reader has stopped in its tracks."""

from __future__ import annotations

import socket
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from appliance.api.azure import sessions_work
from appliance.contract import Role
from tests.web.running import installed, web_of

if TYPE_CHECKING:
    import pytest


def test_reader_that_says_nothing_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reader is stopped, making a session at the door ends in seconds, and leaves none behind."""
    monkeypatch.setattr(sessions_work, "BEGINS_S", 0.2)
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        installation = installed(Path(folder))
        with (
            web_of(installation) as web,
            closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as mute,
            httpx.Client(base_url=f"{web.url}/face/v1.2", timeout=10) as client,
        ):
            mute.bind(str(installation.reader_socket))
            mute.listen()  # and nobody takes the call
            client.headers["Ocp-Apim-Subscription-Key"] = web.key(Role.ENROLLER)
            wish = {"livenessOperationMode": "Passive", "deviceCorrelationId": "front"}
            answer = client.post("detectLiveness-sessions", json=wish)
            assert (answer.status_code, set(answer.json())) == (503, {"error"})
            assert client.get("detectLiveness/singleModal/sessions").json() == []
