"""A private MQTT broker for a demonstration or a test: on this machine only, for as long as the block lasts.

It is not the broker of a house: docs/broker.md says how to set that up.
"""

from __future__ import annotations

import getpass
import importlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.broker_setup import password_line
from appliance.config import MqttSettings
from appliance.drivers.mqtt import check_broker
from appliance.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind = Literal["mosquitto", "amqtt"]

_USERNAME = "ostiary"
_START_S = 10.0
_STOP_S = 3.0
_ATTEMPTS = 3  # another program may take the free port before the broker does


@dataclass(frozen=True, slots=True)
class PrivateBroker:
    """Where the private broker listens, and who may connect."""

    kind: Kind  # whose program it is
    settings: MqttSettings  # what `[mqtt]` must say to use it
    process_id: int

    @property
    def host(self) -> str:
        """Where it listens: this machine only."""
        return self.settings.host

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.settings.port


@contextmanager
def private_broker(
    folder: Path, kind: Kind | None = None, port: int | None = None, topics: str = "#"
) -> Iterator[PrivateBroker]:
    """Run a broker that listens on 127.0.0.1 for one user with a random password; it ends with the block.

    `folder` exists and is private; the broker's settings, password and log are written there, and a password of
    an earlier run is kept, so that clients come back. Without `kind`, Debian's mosquitto is taken, or the Python
    package amqtt where there is none; without `port`, a free one. Its user may say and hear what lies under `topics`.
    Raises BrokerError where there is neither, or it does not start.
    """
    kind = kind or _available()
    password_file = folder / "broker.password"
    if not password_file.exists():
        _write(password_file, secrets.token_urlsafe(16))
    process, settings = _started(folder, kind, password_file, port, topics)
    try:
        yield PrivateBroker(kind, settings, process.pid)
    finally:
        _stop(process)


def find_mosquitto() -> str | None:
    """Return the path of the mosquitto program; None where there is none."""
    # Debian keeps daemons in /usr/sbin, which is not on the PATH of users.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _available() -> Kind:
    if find_mosquitto():
        return "mosquitto"
    if importlib.util.find_spec("amqtt"):
        return "amqtt"
    raise BrokerError("no MQTT broker is installed; apt install mosquitto, or pip install amqtt")


def _started(
    folder: Path, kind: Kind, password_file: Path, port: int | None, topics: str
) -> tuple[subprocess.Popen[bytes], MqttSettings]:
    prepare, password = _mosquitto if kind == "mosquitto" else _amqtt, password_file.read_text(encoding="utf-8")
    for _ in range(1 if port else _ATTEMPTS):
        settings = MqttSettings(
            enabled=True,
            host="127.0.0.1",
            port=port or _free_port(),
            username=_USERNAME,
            password_file=str(password_file),
            version="5" if kind == "mosquitto" else "3.1.1",  # amqtt 0.12 hangs at a greeting of MQTT 5
        )
        command = prepare(folder, settings.port, password, topics)
        with (folder / "broker.log").open("ab") as log:
            # A session of its own: Ctrl-C ends the demonstration, which then ends the broker.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        if _answers(process, settings):
            return process, settings
        _stop(process)
    raise BrokerError(f"the private broker ({kind}) did not start; {folder / 'broker.log'} says why")


def _mosquitto(folder: Path, port: int, password: str, topics: str) -> list[str]:
    program = find_mosquitto()
    if program is None:
        raise BrokerError("mosquitto is not installed; apt install mosquitto")
    users = _write(folder / "broker.users", password_line(_USERNAME, password))
    rights = _write(folder / "broker.acl", f"user {_USERNAME}\ntopic readwrite {topics}\n")
    settings = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {users}",
        f"acl_file {rights}",
        "persistence false",
        "set_tcp_nodelay true",  # else a reply waits for the acknowledgement before it: 44 ms, measured, instead of 3
        "log_dest stderr",
        f"user {getpass.getuser()}",  # started by root, it would change to a user who cannot read our folder
    ]
    return [program, "-c", str(_write(folder / "broker.conf", "\n".join(settings) + "\n"))]


def _amqtt(folder: Path, port: int, password: str, topics: str) -> list[str]:
    if not importlib.util.find_spec("amqtt"):
        raise BrokerError("amqtt is not installed; pip install amqtt")
    digest = importlib.import_module("argon2").PasswordHasher().hash(password)  # amqtt brings argon2 with it
    users = _write(folder / "broker.users", f"{_USERNAME}:{digest}\n")
    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(users)},
            "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {
                way: {_USERNAME: [topics]} for way in ("publish_acl", "acl")
            },
        },
    }
    conf = _write(folder / "broker.yaml", json.dumps(settings))  # every JSON text is a YAML text
    return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(conf)]


def _write(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], settings: MqttSettings) -> bool:
    """Tell whether this broker takes our user: another program on its port would not."""
    until_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until_s:
        try:
            socket.create_connection((settings.host, settings.port), timeout=1).close()
            check_broker(settings, 2)
        except (OSError, BrokerError):
            time.sleep(0.02)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
