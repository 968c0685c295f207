"""A real mosquitto with the configuration that `ostiary broker setup` writes: TLS, a user for each role, no guests."""

from __future__ import annotations

import getpass
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.schedule import Moment
from appliance.broker import find_mosquitto
from appliance.broker_rights import rights
from appliance.broker_setup import CONF, Broker, Users, write
from appliance.certificates import PRIVATE
from appliance.config import MqttSettings
from appliance.contract import Role
from appliance.pki import Authority, init
from tests.broker import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = Moment(datetime.now(UTC), clock_set=True)
DEVICE = "front"
CLIENTS = {role.value: role for role in Role}  # each role has one client, of its name


@dataclass(frozen=True, slots=True)
class SecuredBroker:
    """A running broker, and where its configuration and authority are."""

    folder: Path
    pki: Path
    port: int
    process: subprocess.Popen[bytes]

    def settings(self, user: str) -> MqttSettings:
        """Return what `[mqtt]` of this user must say."""
        client = self.pki / "client"
        return MqttSettings(
            enabled=True,
            host="127.0.0.1",
            port=self.port,
            tls=True,
            ca_file=str(self.folder / "ca.pem"),
            cert_file=str(client / f"{user}.pem"),
            key_file=str(client / f"{user}.key"),
        )


def authority(pki: Path) -> Authority:
    """Return an authority in the folder, made where it is missing."""
    if not pki.exists():
        init(pki, DEVICE, PRIVATE, NOW)
    return Authority(pki, str)


def configured(folder: Path, port: int, users: Users = "certificates") -> Broker:
    """Return what is to be written for a broker of the door `front`, bound to this machine."""
    return Broker(
        DEVICE,
        rights(DEVICE, CLIENTS, "homeassistant"),
        users,
        server="localhost",
        port=port,
        runs_at=folder,
        runs_as=getpass.getuser(),
        address="127.0.0.1",
        keeps_at=folder,
    )


@contextmanager
def mosquitto(conf: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run mosquitto with a configuration file while the block runs; its log lies beside that."""
    program = find_mosquitto()
    assert program
    with (conf.parent / "log").open("ab") as log:
        process = subprocess.Popen([program, "-c", str(conf)], stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or not _refused(port))
        assert process.poll() is None, (conf.parent / "log").read_text()
        yield process
    finally:
        process.terminate()
        process.wait(5)


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Run a broker for the door `front`, a client of each role, Home Assistant, and somebody without any right."""
    signs, port = authority(folder / "pki"), free_port()
    signs.issue_server(["localhost", "127.0.0.1"], NOW)
    for user in (DEVICE, "home-assistant", "nobody", "thief", *CLIENTS):
        signs.issue_client(user, NOW)
    signs.revoke("thief", NOW)
    at = folder / "broker"
    write(at, folder / "pki", configured(at, port))
    with mosquitto(at / CONF, port) as process:
        yield SecuredBroker(at, folder / "pki", port, process)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False
