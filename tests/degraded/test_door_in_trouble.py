"""The whole reader in trouble, with a real controller process: what is not sure opens nothing, and it comes back."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from appliance.camera_integrity import LEARN_LOOKS, MOVED_WORDS, CameraIntegrity
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.camera import checked
from appliance.drivers.scene import Renderer, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.pipeline.reading import ModelStages, PhotoReader
from appliance.records import Pulse
from appliance.service import Hooks, Service
from tests.door.running import RunningController
from tests.test_service import enrol, levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.records import AuditEvent

SETTINGS = Settings.model_validate({"liveness": {"commissioned": "skipped"}, "camera": {"moved_s": 1.0}})
WITHIN_S = 60.0  # far more than it takes, on a machine with much else to do


@pytest.fixture(scope="module")
def reader() -> PhotoReader:
    """Give the shipped stages, loaded once."""
    return PhotoReader(ModelStages(Settings()))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a controller process of its own, which has learnt the simulated hall."""
    renderer = Renderer(640, 480)
    integrity = CameraIntegrity(tmp_path / "camera.json", SETTINGS.camera)
    for number in range(LEARN_LOOKS + 1):
        integrity.see(checked(renderer.draw(None, 0.0), float(number), number), "simulated", nobody=True)
    assert integrity.words == "ok"
    with simulated_controller(tmp_path) as socket:
        yield Installation(SETTINGS, tmp_path, None).with_controller(socket)


class Door:
    """A reader that looks at a scene, which a test changes between its turns."""

    def __init__(self, installation: Installation, story: Callable[[Door], Iterator[bool]]) -> None:
        self.script = Script(Scene())
        self.events: list[AuditEvent] = []
        self._story = story(self)
        self._end_s = time.monotonic() + WITHIN_S
        camera = SimulatedCamera(self.script, installation.settings.camera)
        self.service = Service(installation, camera, Hooks(on_event=self.events.append, on_turn=self._turn))
        self.service.link.connect(5.0)
        self.service.run()

    def _turn(self) -> None:
        """Go on with the story, whose every step waits until it yields true; it stops the reader at its end."""
        if next(self._story, None) is None or time.monotonic() > self._end_s:
            self.service.stop()

    def told(self, *kinds: EventType) -> list[tuple[EventType, Reason | None]]:
        """Return type and reason of the events of these kinds so far."""
        return [(one.event.event_type, one.event.reason) for one in self.events if one.event.event_type in kinds]

    def until(self, true: Callable[[], bool]) -> Iterator[bool]:
        """Let turns pass until it has become true."""
        while not true():
            yield False

    def pause(self, for_s: float) -> Iterator[bool]:
        """Let turns pass for so long."""
        end_s = time.monotonic() + for_s
        return self.until(lambda: time.monotonic() > end_s)


CAMERA = (EventType.CAMERA_FAULT, EventType.CAMERA_RESTORED)
VISITS = (EventType.ACCESS_GRANTED, EventType.APPROVAL_REQUESTED, EventType.ACCESS_DENIED)


def test_camera_in_doubt_lets_nobody_in_and_comes_back(installation: Installation, reader: PhotoReader) -> None:
    """Camera moved, camera replaced, A2: an enrolled face opens nothing until the camera is as it was, then it does."""
    enrol(installation, reader, "astronaut")
    in_doubt: list[tuple[bool, str]] = []

    def story(door: Door) -> Iterator[bool]:
        door.script.condition = "moved"
        yield from door.until(lambda: bool(door.told(*CAMERA)))
        door.script.play(Visit(for_s=4.5, pause_s=0.0))
        for camera_id in ("another", "simulated"):
            yield from door.pause(2.3)  # a grant takes about one
            in_doubt.append((door.service.vitals().camera_ok, door.service.integrity.fault))
            door.script.condition, door.script.camera_id = "sound", camera_id
        yield from door.until(lambda: len(door.told(*CAMERA)) > 1)
        door.script.play(Visit(for_s=WITHIN_S, pause_s=0.0))
        yield from door.until(lambda: bool(door.told(EventType.ACCESS_GRANTED)))

    door = Door(installation, story)
    another = "camera is another, and simulated was taken for this door; run: ostiary camera accept"
    assert in_doubt == [(False, MOVED_WORDS), (False, another)]
    assert door.told(*CAMERA, *VISITS) == [
        (EventType.CAMERA_FAULT, Reason.DEGRADED_MODE),
        (EventType.CAMERA_RESTORED, None),
        (EventType.ACCESS_GRANTED, Reason.OK),
    ]
    assert levels(installation) == [0, 1, 0]


def test_busy_processors_keep_no_door_unlocked(tmp_path: Path) -> None:
    """CPU busy, H5: with every processor taken twice over, a pulse is given, and the door locks again by itself."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        with RunningController(tmp_path) as controller:
            link = controller.link()
            link.pulse(Pulse(0.5, "v" * 8, time.monotonic() + 5.0))
            end_s = time.monotonic() + WITHIN_S
            while [level for _, level, _ in controller.observer.history()] != [0, 1, 0]:
                link.beat()
                assert time.monotonic() < end_s
                time.sleep(0.05)
            link.close()
    finally:
        for one in burning:
            one.kill()
            one.wait()
