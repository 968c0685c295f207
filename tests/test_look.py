"""A look through the door's camera: real reader, real controller, shipped models, simulated visitors."""

from __future__ import annotations

import base64
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.commands.options import Installation
from appliance.config import CameraSettings, LivenessSettings, Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.photo import decode_photo
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.enrolment.requests import Look
from appliance.errors import RefusedError
from appliance.local_socket import Call, Caller, ask
from appliance.look import LookDesk
from appliance.pipeline.policy import configured
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Event, Frame, OperatingPoint

SETTINGS = Settings(camera=CameraSettings(frame_rate=10), liveness=LivenessSettings(commissioned="skipped"))
ASKED = Look(by="key:bank", for_s=60, picture=True)


@dataclass
class Played:
    """What became of a script: the events, and what each of those who looked was told."""

    events: list[Event] = field(default_factory=list)
    said: list[list[dict[str, Any]]] = field(default_factory=list)

    def reasons(self) -> list[tuple[EventType, Reason | None]]:
        """Return what was decided about visitors."""
        return [(one.event_type, one.reason) for one in self.events if one.presentation_id]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a controller process of its own."""
    with simulated_controller(tmp_path) as listening:
        yield Installation(SETTINGS, tmp_path, None).with_controller(listening)


def play(installation: Installation, *visits: Visit, looks: int = 1) -> Played:
    """Play the visits, with so many looks asked for at the first frame."""
    played = Played()
    calls: list[Call] = []

    def on_step(_frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        while len(calls) < looks:
            call = ask(installation.reader_socket, ASKED.model_dump(mode="json"), 5.0)
            assert call is not None
            calls.append(call)

    def hear(event: AuditEvent) -> None:
        played.events.append(event.event)

    camera = SimulatedCamera(Script(Scene(visits=visits)), installation.settings.camera, paced=False)
    service = Service(installation, camera, Hooks(on_event=hear, on_step=on_step))
    service.link.connect(5.0)
    service.run()
    for call in calls:
        with call:
            played.said.append(list(call))
    return played


def test_a_look_tells_of_a_living_visitor_and_lets_nobody_in(installation: Installation) -> None:
    """B8: life, template and picture are of one visitor; the door decides about them as if nobody had looked."""
    played = play(installation, Visit(for_s=3), looks=2)
    (began, told), refused = played.said
    assert began == {"looking": True}
    assert told["life"] == "real"
    vector = np.frombuffer(base64.b64decode(told["vector"]), "<f4")
    assert float(vector @ vector) == pytest.approx(1.0, abs=1e-3)
    picture = decode_photo(base64.b64decode(told["picture"]), "told")
    assert max(picture.shape) <= 480
    assert refused == [{"error": "the door's camera is looked through by another session; try again when it is over"}]
    assert played.reasons()[0] == (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE)
    driven = SimulatedDoorObserver(installation.state / "simulated-door").history()
    assert [level for _, level, _ in driven] == [0]


def test_a_look_tells_a_picture_from_a_visitor(installation: Installation) -> None:
    """B1: a print that is held before the door is told as one, and the log has it as ever."""
    played = play(installation, Visit(shows="print", for_s=3))
    assert played.said[0][-1]["life"] == "spoof"
    assert (EventType.SPOOF_SUSPECTED, Reason.LIVENESS_FAILED) in played.reasons()


@dataclass
class Asker:
    """Both ends of a line, as one who asks and the reader's side of it."""

    ends: tuple[socket.socket, socket.socket] = field(
        default_factory=lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    )

    def caller(self) -> Caller:
        """Return the reader's side."""
        return Caller(self.ends[1])

    def heard(self) -> bytes:
        """Return the next thing that was said; b"" once it was hung up."""
        return self.ends[0].recv(4096)


def test_a_look_ends_by_itself() -> None:
    """B12: when nobody comes in time, and when whoever asked has gone, the camera is free for the next one."""
    now = [0.0]
    desk = LookDesk(configured(SETTINGS, face_only=False), lambda _step: b"", lambda: now[0])
    first, second, third = Asker(), Asker(), Asker()
    desk.begin(first.caller(), ASKED)
    now[0] = 59.9
    with pytest.raises(RefusedError, match="another session"):
        desk.begin(second.caller(), ASKED)
    now[0] = 60.0
    desk.tend()
    assert first.heard() == b'{"looking": true}'
    assert b"within 60 s" in first.heard()
    assert first.heard() == b""
    gone = second.caller()
    desk.begin(gone, ASKED)
    gone.end()
    desk.begin(third.caller(), ASKED)
    assert third.heard() == b'{"looking": true}'
    for one in (first, second, third):
        one.ends[0].close()
    now[0] = 1e9
    desk.tend()  # closes the reader's side of the last
