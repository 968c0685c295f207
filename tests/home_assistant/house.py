"""A broker of a house on this machine: a door, Home Assistant with no more rights than it needs, and an ear."""

from __future__ import annotations

import getpass
import secrets
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from appliance.broker import find_mosquitto
from appliance.broker_rights import rights
from appliance.broker_setup import password_line
from appliance.config import MqttSettings
from appliance.drivers.mqtt import check_broker
from appliance.errors import BrokerError
from appliance.home_assistant import CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EAR = "ear"  # hears everything, and may say nothing

_START_S = 10.0


@contextmanager
def house_broker(folder: Path, device_id: str) -> Iterator[dict[str, MqttSettings]]:
    """Run a mosquitto on 127.0.0.1 that knows three users by password, each with its rights; give their settings.

    Raises BrokerError where mosquitto is not installed or does not start.
    """
    program = find_mosquitto()
    if program is None:
        raise BrokerError("mosquitto is not installed; apt install mosquitto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    passwords = {user: secrets.token_urlsafe(16) for user in (device_id, CLIENT_ID, EAR)}
    granted = [f"user {EAR}", "topic read #"]
    for user, may in rights(device_id, {}, "homeassistant").items():
        granted += [f"user {user}", *(f"topic {one.way} {one.topics}" for one in may)]
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {_write(folder / 'users', ''.join(password_line(*one) for one in passwords.items()))}",
        f"acl_file {_write(folder / 'acl', chr(10).join(granted))}",
        "persistence false",
        "log_dest stderr",
        f"user {getpass.getuser()}",
    ]
    command = [program, "-c", str(_write(folder / "conf", "\n".join(lines) + "\n"))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        settings = {user: _settings(folder, port, user, password) for user, password in passwords.items()}
        _await(settings[device_id])
        yield settings
    finally:
        process.terminate()
        process.wait(_START_S)


def _settings(folder: Path, port: int, user: str, password: str) -> MqttSettings:
    file = _write(folder / f"{user}.password", password)
    return MqttSettings(enabled=True, host="127.0.0.1", port=port, username=user, password_file=str(file))


def _await(settings: MqttSettings) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection((settings.host, settings.port), timeout=1).close()
            check_broker(settings, 2)
        except (OSError, BrokerError):
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)
        else:
            return


def _write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path
