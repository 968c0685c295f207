"""The real Home Assistant, run in a root of its own and spoken to as a browser does: no part of it is replaced."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.config import MqttSettings

PORT = 18123
URL = f"http://127.0.0.1:{PORT}"
PATIENCE_S = 60.0
_INSIDE = """
mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" env --ignore-environment \
PATH=/srv/hass/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 TZ=UTC hass --config /srv/config --skip-pip
"""
_LISTENER = f"""
http:
  server_host: 127.0.0.1
  server_port: {PORT}
"""


class Hass:
    """A Home Assistant with one user; every call raises where it says no."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.token = ""
        self.events: list[dict[str, Any]] = []  # all of its bus, from `listen` on

    def call(self, path: str, body: object = None, form: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask the API: GET, or POST where there is a body or a form; return its JSON."""
        data = json.dumps(body).encode() if body is not None else None
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
        return json.loads(self.raw(path, data, "application/json" if form is None else ""))

    def raw(self, path: str, data: bytes | None = None, kind: str = "") -> bytes:
        """Return the bytes that the API answers with."""
        asked = urllib.request.Request(URL + path, data, {"Content-Type": kind} if kind else {})  # noqa: S310 - ours
        if self.token:
            asked.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - as above
                return bytes(answer.read())
        except urllib.error.HTTPError as fault:
            raise HassError(
                fault.code, f"{path}: {fault.code} {fault.read()[:400].decode(errors='replace')}"
            ) from fault

    def act(self, action: str, **data: Any) -> None:  # noqa: ANN401 - JSON
        """Carry out an action, such as lock.unlock."""
        self.call(f"/api/services/{action.replace('.', '/')}", data)

    def state(self, entity_id: str) -> dict[str, Any] | None:
        """Return an entity; None where there is none."""
        try:
            return dict(self.call(f"/api/states/{entity_id}"))
        except HassError as fault:
            if fault.code == 404:
                return None
            raise

    def entities(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Return the entities whose ids have this after the dot, by id."""
        return {one["entity_id"]: one for one in self.call("/api/states") if f".{prefix}" in one["entity_id"]}

    def picture(self, entity_id: str) -> bytes:
        """Return what an image entity shows, as a browser or a phone fetches it."""
        return self.raw(f"/api/image_proxy/{entity_id}")

    def until(self, entity_id: str, fits: Callable[[dict[str, Any]], object], within_s: float = 20.0) -> dict[str, Any]:
        """Return the entity once it is there and fits."""
        end_s = time.monotonic() + within_s
        while True:
            found = self.state(entity_id)
            if found is not None and fits(found):
                return found
            if time.monotonic() > end_s:
                raise TimeoutError(f"{entity_id} never came to be so; it is {found}")
            time.sleep(0.05)

    def await_event(
        self, kind: str, fits: Callable[[dict[str, Any]], object], within_s: float = 20.0
    ) -> dict[str, Any]:
        """Return the data of the first event of its bus that is of this type and fits."""
        end_s = time.monotonic() + within_s
        while True:
            for event in list(self.events):
                if event["event_type"] == kind and fits(event["data"]):
                    return dict(event["data"])
            if time.monotonic() > end_s:
                raise TimeoutError(f"no event {kind} that fits")
            time.sleep(0.05)

    def log(self) -> str:
        """Return everything it has logged."""
        return (self.config / "home-assistant.log").read_text() + (self.config / "said").read_text()

    def listen(self) -> None:
        """Keep every event of its bus from now on."""
        threading.Thread(target=self._listen, name="bus", daemon=True).start()
        end_s = time.monotonic() + PATIENCE_S
        while not self.events:  # it has an event of ours to know by that it listens
            self.call("/api/events/is_heard", {})
            time.sleep(0.1)
            if time.monotonic() > end_s:
                raise TimeoutError("the bus is silent")

    def _listen(self) -> None:
        asked = urllib.request.Request(f"{URL}/api/stream", headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310
        with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=600) as stream:  # noqa: S310
            for line in stream:
                if line.startswith(b"data: {"):
                    self.events.append(json.loads(line[6:]))

    def onboard(self) -> None:
        """Make the first user, as its welcome page does, and log in."""
        who = {"client_id": f"{URL}/", "language": "en"}
        user = {"name": "House", "username": "house", "password": secrets.token_urlsafe()}
        code = self.call("/api/onboarding/users", who | user)["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": f"{URL}/"}
        self.token = str(self.call("/auth/token", form=form)["access_token"])

    def add_broker(self, broker: MqttSettings, password: str) -> None:
        """Set the MQTT integration up, as its dialog does."""
        flow = self.call("/api/config/config_entries/flow", {"handler": "mqtt"})
        given = {"broker": broker.host, "port": broker.port, "username": broker.username, "password": password}
        done = self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", given)
        if done["type"] != "create_entry":
            raise HassError(0, f"the MQTT dialog answers {done}")


class HassError(Exception):
    """It said no; `code` is that of HTTP."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


@contextlib.contextmanager
def home_assistant(root: Path, configuration: str, blueprint: Path) -> Iterator[Hass]:
    """Run Home Assistant in `root` with this configuration, from nothing; give it onboarded."""
    config = root / "srv" / "config"
    shutil.rmtree(config, ignore_errors=True)
    folder = config / "blueprints" / "automation" / "ostiary"
    folder.mkdir(parents=True)
    shutil.copy(blueprint, folder / blueprint.name)
    (config / "configuration.yaml").write_text(_LISTENER + configuration)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _INSIDE, str(root)]
    with (config / "said").open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    hass = Hass(config)
    try:
        _await(hass, process)
        hass.onboard()
        yield hass
    finally:
        process.terminate()
        process.wait(60)


def _await(hass: Hass, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            hass.call("/api/onboarding")
        except (OSError, HassError):
            if process.poll() is not None or time.monotonic() > end_s:
                raise
            time.sleep(0.2)
        else:
            return
