"""The web of one installation, really served, with a reader and a door where a test wants them."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from appliance.access.pin import HASHER
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import Role
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Scene
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.service import Hooks, Service
from appliance.web.accounts import Accounts, Kind
from appliance.web.serve import served
from tests.broker import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.records import AuditEvent

_TRUST = httpx.create_ssl_context()  # made once: it takes longer than a request
PASSWORD = "correct horse battery staple"  # noqa: S105 - of accounts that live as long as a test


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def installed(folder: Path, **sections: dict[str, Any]) -> Installation:
    """Return an installation in the folder whose web has a port of its own; `sections` are those of appliance.toml."""
    # A test asks more often than people do; those of the limits say what holds there.
    web = {"port": free_port(), "requests_per_s": 10_000, **sections.pop("web", {})}
    device = {"id": "front", "door": "front"}
    liveness = {"commissioned": "skipped"}
    settings = Settings.model_validate({"device": device, "liveness": liveness, "web": web, **sections})
    return Installation(settings, folder, None)


@dataclass
class Web:
    """A web that is being served. Each role has an account of its name, and PASSWORD."""

    installation: Installation
    url: str
    _sessions: dict[str, str] = field(default_factory=dict)

    def session(self, role: Role) -> str:
        """Return the secret of a session of this role's account, made without signing in."""
        if role not in self._sessions:
            with Accounts(self.installation.web_file) as accounts:
                self._sessions[role] = accounts.begin_session(role.value)
        return self._sessions[role]

    def client(self, role: Role | None) -> httpx.Client:
        """Return a browser-like client with a session of this role; None: with none. It follows no redirect."""
        cookies = {} if role is None else {"ostiary": self.session(role)}
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=20, verify=_TRUST)

    def csrf(self, role: Role) -> str:
        """Return what the forms of that session must hold."""
        with Accounts(self.installation.web_file) as accounts:
            who = accounts.session(self.session(role))
        assert who is not None
        return who.csrf

    def key(self, role: Role, name: str = "", answers_for: str = "") -> str:
        """Return the secret of a new API key of this role."""
        with Accounts(self.installation.web_file) as accounts:
            return accounts.add_key(name or f"{role.value}-key", role, answers_for)

    def connect(self) -> socket.socket:
        """Return a connection on which anything may be said."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname, address.port), timeout=10)

    def kiosk(self) -> str:
        """Return the secret of a session of the screen at the door."""
        with Accounts(self.installation.web_file) as accounts:
            return accounts.begin_session("kiosk", Kind.KIOSK)


@contextmanager
def web_of(installation: Installation) -> Iterator[Web]:
    """Serve the web of this installation while the block runs."""
    with Accounts(installation.web_file) as accounts:
        hashed = HASHER.hash(PASSWORD)
        for role in Role:
            accounts.add(role.value, role, hashed)
    with served(installation) as url:
        yield Web(installation, url)


class Door:
    """A reader and a controller that run beside the web; `script` says who comes."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.events: list[AuditEvent] = []
        self.service: Service | None = None
        self.faults: list[Exception] = []


@contextmanager
def door_of(installation: Installation) -> Iterator[Door]:
    """Run the whole reader on the simulated camera, and a real controller process, while the block runs.

    The state folder's path must be short: the reader listens on a socket in it.
    """
    door = Door(Script(Scene()))
    with ExitStack() as closing:
        joined = installation.with_controller(closing.enter_context(simulated_controller(installation.state)))
        thread = threading.Thread(target=_run, args=(door, joined), name="loop")
        thread.start()
        try:
            wait_for(lambda: joined.reader_socket.exists() or bool(door.faults), 30)
            yield door
        finally:
            if door.service is not None:
                door.service.stop()
            thread.join(20)
    assert door.faults == []


def _run(door: Door, installation: Installation) -> None:
    try:  # the service is made where it runs: its databases belong to that thread
        camera = SimulatedCamera(door.script, installation.settings.camera)
        door.service = Service(installation, camera, Hooks(on_event=door.events.append))
        door.service.link.connect(5.0)
        door.service.run()
    except Exception as fault:  # noqa: BLE001 - the test is told
        door.faults.append(fault)
