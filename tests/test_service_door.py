"""The whole reader at a door with a contact, buttons and rules: what the door does comes into the log, and back."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from appliance.access.pin import hash_pin
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType, Mode, Phase, Reason
from appliance.door.child import simulated_controller
from appliance.door.hardware import Input
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.people.gallery import Gallery
from appliance.service import Hooks, Service
from tests.test_service import enrol, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.pipeline.reading import PhotoReader
    from appliance.records import AuditEvent, Event

__all__ = ["reader"]  # a fixture

SETTINGS = """
[camera]
source = "simulated"
[access]
clock = "trusted"
[inputs]
contact = "27 NC"
rex = "22 NO"
bell = "23 NO"
"""
PIN = "2580"


class Life:
    """A reader that lives in a thread of its own, at a live camera."""

    service: Service

    def __init__(self, installation: Installation, *visits: Visit) -> None:
        self._installation = installation
        self._script = Script(Scene(visits=visits))
        self.events: list[Event] = []
        self.world = SimulatedWorld(installation.state / "simulated-door")
        self.made = threading.Event()
        self.thread = threading.Thread(target=self._live, name="reader")

    def _live(self) -> None:
        # Its databases belong to the thread that opened them.
        camera = SimulatedCamera(self._script, self._installation.settings.camera)
        self.service = Service(self._installation, camera, Hooks(on_event=self._hear))
        self.service.link.connect(5.0)
        self.made.set()
        self.service.run()

    def _hear(self, sealed: AuditEvent) -> None:
        self.events.append(sealed.event)

    def kinds(self) -> list[EventType]:
        """Return the type of every event."""
        return [one.event_type for one in self.events]

    def until(self, there: Callable[[], bool], within_s: float = 20.0) -> None:
        """Wait until something is so; fail where it does not become so."""
        end_s = time.monotonic() + within_s
        while not there():
            assert time.monotonic() < end_s, self.kinds()
            time.sleep(0.02)

    def await_event(self, kind: EventType) -> Event:
        """Return the first event of this kind."""
        self.until(lambda: kind in self.kinds())
        return next(one for one in self.events if one.event_type is kind)


@contextmanager
def living(installation: Installation, *visits: Visit) -> Iterator[Life]:
    """Give a reader at work; it is stopped at the end."""
    life = Life(installation, *visits)
    life.thread.start()
    assert life.made.wait(20)
    try:
        yield life
    finally:
        life.service.stop()
        life.thread.join(20)
        assert not life.thread.is_alive()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a contact, an exit button, a bell, and a controller process of its own."""
    config = tmp_path / "appliance.toml"
    config.write_text(SETTINGS)
    with simulated_controller(tmp_path, config) as socket:
        yield open_installation(config, tmp_path).with_controller(socket)


def test_what_happens_at_the_door_is_in_the_log_once(installation: Installation) -> None:
    """J8: exit, bell, opening, closing and a forced door are each written down once, with what caused them."""
    with living(installation) as life:
        life.await_event(EventType.STARTED)
        life.world.press(Input.REX)
        life.await_event(EventType.DOOR_UNLOCKED)
        life.world.set(Input.CONTACT, active=True)
        life.await_event(EventType.DOOR_OPENED)
        life.world.set(Input.CONTACT, active=False)
        life.await_event(EventType.DOOR_CLOSED)
        life.world.press(Input.BELL)
        life.await_event(EventType.DOOR_LOCKED)
        time.sleep(0.6)
        life.world.set(Input.CONTACT, active=True)
        life.await_event(EventType.FORCED_OPEN)
        life.until(lambda: life.service.doorway.words()["forced"])
    told = [kind for kind in life.kinds() if kind not in {EventType.STARTED, EventType.STOPPED}]
    assert told == [
        EventType.REX,
        EventType.DOOR_UNLOCKED,
        EventType.DOOR_OPENED,
        EventType.DOOR_CLOSED,
        EventType.BELL,
        EventType.DOOR_LOCKED,
        EventType.DOOR_OPENED,
        EventType.FORCED_OPEN,
    ]


def test_a_second_reader_tells_nothing_twice(installation: Installation) -> None:
    """J8: what one reader wrote down the next one does not, and what happened between them is not lost."""
    with living(installation) as first:
        first.await_event(EventType.STARTED)
        first.world.press(Input.BELL)
        first.await_event(EventType.BELL)
    first.world.set(Input.CONTACT, active=True)
    time.sleep(0.3)
    with living(installation) as second:
        forced = second.await_event(EventType.FORCED_OPEN)
        second.await_event(EventType.STARTED)
        time.sleep(0.5)
    assert EventType.BELL not in second.kinds()
    assert second.kinds().count(EventType.FORCED_OPEN) == 1
    assert forced.at < next(one.at for one in second.events if one.event_type is EventType.STARTED)


def test_a_face_and_a_pin_open_and_who_went_in_is_known(installation: Installation, reader: PhotoReader) -> None:
    """A face that alone is not enough, its PIN, the pulse, the door opened: one visit, told with one presentation."""
    person_id = enrol(installation, reader, "astronaut")
    with Gallery(installation.gallery_file) as gallery:
        gallery.set_pin(person_id, hash_pin(PIN), "")
    with living(installation, Visit(for_s=30)) as life:
        life.until(lambda: life.service.reception.hint == "second_factor")
        life.service.enter_pin("1470")
        life.until(lambda: Reason.WRONG_PIN in {one.reason for one in life.events})
        life.service.enter_pin(PIN)
        granted = life.await_event(EventType.ACCESS_GRANTED)
        life.await_event(EventType.DOOR_UNLOCKED)
        life.world.set(Input.CONTACT, active=True)
        opened = life.await_event(EventType.DOOR_OPENED)
        life.world.set(Input.CONTACT, active=False)
        life.await_event(EventType.DOOR_CLOSED)
    assert granted.method == "face+pin"
    assert opened.presentation_id == granted.presentation_id
    assert EventType.GRANTED_NOT_ENTERED not in life.kinds()
    assert PIN not in repr(life.events)


def test_the_schedule_holds_the_door_while_a_reader_lives(installation: Installation, tmp_path: Path) -> None:
    """In the hours of its schedule the door stands unlocked, a changed file ends that, and so does the reader's end."""
    rules = 'time_zone = "UTC"\n[schedules.all]\nperiods = ["Mon-Sun 00:00-24:00"]\n[doors.front]\n'
    (tmp_path / "access.toml").write_text(f'{rules}unlock_schedule = "all"\n')
    with living(installation) as life:
        life.until(lambda: life.service.doorway.words().get("phase") == Phase.UNLOCKED)
        assert life.service.doorway.words()["mode"] == Mode.SCHEDULED
        (tmp_path / "access.toml").write_text("time_zone = 7\n")
        assert "the rules from before still hold" in life.await_event(EventType.FAULT).detail
        assert life.service.doorway.words()["mode"] == Mode.SCHEDULED
        (tmp_path / "access.toml").write_text(rules)
        life.await_event(EventType.CONFIG_CHANGED)
        life.until(lambda: life.service.doorway.words()["phase"] == Phase.SECURE)
        (tmp_path / "access.toml").write_text(f'{rules}unlock_schedule = "all"\n')
        life.until(lambda: life.service.doorway.words()["phase"] == Phase.UNLOCKED)
    assert life.kinds()[-1] is EventType.STOPPED
    assert life.kinds()[-2] is EventType.DOOR_LOCKED
