"""A door to be shown: the real reader in a thread, a controller process, a simulated camera and lock."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.pin import hash_pin
from appliance.commands.options import Installation, open_installation
from appliance.door.child import simulated_controller
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Scene
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.home_assistant.code import CodeFile
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.reading import ModelStages, PhotoReader
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.broker_trust import Trust
    from appliance.config import MqttSettings
    from appliance.contract import EventType
    from appliance.records import AuditEvent, Event

# Long enough that no random id or time of day holds them by chance.
CODE, PIN, DURESS_PIN = "471193826504", "258046913702", "971308264135"
_SETTINGS = """
[device]
id = "front"
[camera]
source = "simulated"
[door]
unlock_s = 1.0
[access]
clock = "trusted"
[inputs]
contact = "27 NC"
bell = "23 NO"
[attendant]
ticket_s = 20.0
[home_assistant]
enabled = true
commands = true
hold_s = 60
[mqtt]
enabled = true
host = "{mqtt.host}"
port = {mqtt.port}
username = "{mqtt.username}"
password_file = "{mqtt.password_file}"
"""
_PATIENCE_S = 20.0


class Door:
    """A reader at work, and what happens at its door."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.script = Script(Scene())
        self.world = SimulatedWorld(installation.state / "simulated-door")
        self.events: list[Event] = []
        self._made = threading.Event()
        self._thread = threading.Thread(target=self._live, name="reader")
        self.service: Service

    def start(self) -> None:
        """Begin; returns when it has."""
        self._thread.start()
        if not self._made.wait(_PATIENCE_S):
            raise TimeoutError("the reader did not start")

    def stop(self) -> None:
        """End it cleanly."""
        self.service.stop()
        self._thread.join(_PATIENCE_S)

    def _live(self) -> None:
        camera = SimulatedCamera(self.script, self._installation.settings.camera)
        self.service = Service(self._installation, camera, Hooks(on_event=self._hear))
        self.service.link.connect(5.0)
        self._made.set()
        self.service.run()

    def _hear(self, sealed: AuditEvent) -> None:
        self.events.append(sealed.event)

    def kinds(self) -> list[EventType]:
        """Return the type of every event."""
        return [one.event_type for one in self.events]

    @property
    def trust(self) -> Trust:
        """What the reader thinks of its broker."""
        return self.service._switchboard.trust

    def levels(self) -> list[int]:
        """Return every level that the lock's pin was driven to."""
        return [level for _, level, _ in SimulatedDoorObserver(self._installation.state / "simulated-door").history()]

    def until(self, there: Callable[[], object], what: str) -> None:
        """Wait until something is so."""
        end_s = time.monotonic() + _PATIENCE_S
        while not there():
            if time.monotonic() > end_s:
                raise TimeoutError(f"{what} never came to be so; last were {self.kinds()[-9:]}")
            time.sleep(0.02)


def enrol(installation: Installation) -> str:
    """Enrol the one who comes in by face and PIN, with a duress PIN; return the person id."""
    reader = PhotoReader(ModelStages(installation.settings))
    embedding, quality = reader.read(read_photo(FACES / "astronaut.png"), "astronaut")
    with Gallery(installation.gallery_file) as gallery:
        consent = Consent("Ada", datetime.now(UTC))
        person = gallery.add("Ada", consent, [(gallery.protection.protect(embedding), quality.grade)])
        gallery.set_pin(person.person_id, hash_pin(PIN), hash_pin(DURESS_PIN))
    return person.person_id


@contextmanager
def installed(folder: Path, mqtt: MqttSettings) -> Iterator[Installation]:
    """Give an installation at this broker, with its code set and a controller at work."""
    folder.mkdir(exist_ok=True)
    config = folder / "appliance.toml"
    config.write_text(_SETTINGS.format(mqtt=mqtt))
    CodeFile(folder).set(CODE)
    with simulated_controller(folder, config) as socket:
        yield open_installation(config, folder).with_controller(socket)
