"""A human decides over a real broker: real reader, real controller, simulated camera and lock."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from appliance.broker_trust import WORDS, Trust
from appliance.clients import Registry
from appliance.commands.options import Installation
from appliance.config import AttendantSettings, DeviceSettings, DoorSettings, LivenessSettings, Settings
from appliance.contract import EventType, Reason, Role, Topic, topic
from appliance.door.child import simulated_controller
from appliance.drivers.mqtt import Connection, Incoming
from appliance.drivers.photo import decode_photo
from appliance.drivers.scene import Renderer, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.people.gallery import Gallery
from appliance.picture import portrait
from appliance.pipeline.presentation import MIN_CONTINUITY
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame
from appliance.service import Hooks, Service
from appliance.signing import new_key, read_key
from ostiary_client import Client
from tests.broker import bystander
from tests.eavesdropping import findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from appliance.broker import PrivateBroker
    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Event, FaceDetection, OperatingPoint
    from ostiary_client import Ticket

PATIENCE_S = 20.0
NAME = "Ada Lovelace"


class Door:
    """A door with somebody in reach: the reader in a thread, an attendant, and the visitors of a script."""

    def __init__(self, installation: Installation, client: Client) -> None:
        self.installation = installation
        self.client = client
        self.script = Script(Scene())
        self.events: list[Event] = []
        self.embeddings: list[NDArray[np.float32]] = []
        self.companion = False  # somebody smaller stands beside the visitor
        self.crowd: tuple[Frame, Step] | None = None
        self._heard: queue.Queue[Event] = queue.Queue()

    def hear(self, sealed: AuditEvent) -> None:
        """Take an event in from the loop's thread."""
        self.events.append(sealed.event)
        self._heard.put(sealed.event)

    def look(self, frame: Frame, step: Step, _point: OperatingPoint) -> None:
        """Keep every embedding that was read, and the newest frame in which more than one face is."""
        if len(step.faces) > 1:
            self.crowd = (frame, step)
        if step.presentation is not None and step.presentation.latest.embedding is not None:
            self.embeddings.append(step.presentation.latest.embedding.vector)

    def expect(self, kind: EventType) -> Event:
        """Return the next event of the kind; fails after a while without one."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            event = self._heard.get(timeout=max(0.01, end_s - time.monotonic()))
            if event.event_type is kind:
                return event

    def ticket(self) -> Ticket:
        """Return the next ticket that reaches the attendant."""
        ticket = self.client.next_ticket(PATIENCE_S)
        assert ticket is not None
        return ticket

    def levels(self) -> list[int]:
        """Return every level the lock's line was driven to."""
        return [level for _, level, _ in SimulatedDoorObserver(self.installation.state / "simulated-door").history()]


class AccompaniedCamera(SimulatedCamera):
    """A simulated camera before which somebody else may stand beside the visitor, further away."""

    def __init__(self, door: Door) -> None:
        super().__init__(door.script, door.installation.settings.camera)
        self._door = door
        self._companion = Renderer(640, 480).draw(Visit(face="official", for_s=60, nearness=0.45), 2.0)

    def read(self) -> Frame | None:
        """Return the next frame in time."""
        frame = super().read()
        if frame is None or not self._door.companion:
            return frame
        pixels = frame.pixels.copy()
        pixels[146:286, 415:545] = self._companion[146:286, 255:385]
        return replace(frame, pixels=pixels)


@pytest.fixture
def door(tmp_path: Path, broker: PrivateBroker) -> Iterator[Door]:
    """Give a running door whose tickets live four seconds; whoever heard all of it has learnt of nobody (J2)."""
    settings = Settings(
        device=DeviceSettings(id=f"door-{tmp_path.name[-20:].replace('_', '-')}"),
        liveness=LivenessSettings(commissioned="skipped"),
        door=DoorSettings(unlock_s=1.0),
        attendant=AttendantSettings(ticket_s=4.0),
        mqtt=broker.settings,
    )
    public = new_key(tmp_path / "desk.key")
    plain = Installation(settings, tmp_path, None)
    with Registry(plain.clients_file) as registry:
        registry.add("desk", Role.ADMIN, public)
    with simulated_controller(tmp_path) as socket, contextlib.ExitStack() as closing:
        key = read_key(tmp_path / "desk.key")
        client = closing.enter_context(Client(settings.mqtt, settings.device.id, "desk", key))
        door = Door(plain.with_controller(socket), client)
        root = f"ostiary/{settings.device.id}/"
        ear = closing.enter_context(bystander(settings.mqtt, f"ear-{settings.device.id}", f"{root}#"))
        end = _start(door)
        closing.callback(end)
        door.expect(EventType.STARTED)
        end_s = time.monotonic() + PATIENCE_S
        while not client.send("status", {}, 0.5).ok:  # the door's own connection may still be on its way
            assert time.monotonic() < end_s
        yield door
        end()
        heard = [ear.heard.get_nowait() for _ in range(ear.heard.qsize())]
        assert findings(heard, door.embeddings, [NAME], root) == []


def _start(door: Door) -> Callable[[], None]:
    stop = threading.Event()

    def work() -> None:
        camera = AccompaniedCamera(door)
        hooks = Hooks(on_event=door.hear, on_step=door.look, on_turn=lambda: _end(service, stop))
        service = Service(door.installation, camera, hooks)
        service.link.connect(5.0)
        service.run()

    thread = threading.Thread(target=work, name="loop")
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(PATIENCE_S)

    return end


def _end(service: Service, stop: threading.Event) -> None:
    if stop.is_set():
        service.stop()


def test_approval_opens_once(door: Door) -> None:
    """An approved visitor is let in once; the same answer again has no effect (D12, D15)."""
    door.script.play(Visit(for_s=8, pause_s=0.1))
    ticket = door.ticket()
    assert ticket.reason is Reason.UNKNOWN_FACE
    assert ticket.candidates == ()
    assert ticket.image is not None
    assert door.client.approve(ticket.ticket_id).ok
    assert door.expect(EventType.ACCESS_GRANTED).method == "attendant"
    assert door.client.approve(ticket.ticket_id).error == "already_answered"
    door.expect(EventType.DOOR_LOCKED)
    assert door.levels() == [0, 1, 0]


def test_nobody_but_the_visitor_is_shown(door: Door) -> None:
    """J2: of two faces in view the attendant sees the visitor's; the other, which can be told in the frame, is gone."""
    stages = ModelStages(Settings())
    door.companion = True
    door.script.play(Visit(for_s=4, pause_s=0.1, nearness=1.3))
    ticket = door.ticket()
    assert ticket.image is not None
    assert door.crowd is not None
    frame, step = door.crowd
    visitor, companion = (read(stages, frame.pixels, face) for face in step.faces)
    sent = decode_photo(ticket.image, "ticket")
    shown = [read(stages, sent, face) for face in stages.detect(Frame(sent, 0.0, 0))]
    assert max(float(one @ visitor) for one in shown) > 0.8
    assert max(float(one @ companion) for one in shown) < MIN_CONTINUITY
    bare = portrait(frame.pixels, step.faces[0], (), 320)  # what would have been sent without a cover
    told = [read(stages, bare, face) for face in stages.detect(Frame(bare, 0.0, 0))]
    assert max(float(one @ companion) for one in told) > 0.8


def read(stages: ModelStages, pixels: NDArray[np.uint8], face: FaceDetection) -> NDArray[np.float32]:
    """Return the template of a face in a picture."""
    embedding = stages.embed(stages.align(Frame(pixels, 0.0, 0), face).crop)
    assert embedding is not None
    return embedding.vector


def test_an_attendant_looks_twice_and_lets_in(door: Door) -> None:
    """J8: seen again on request, spoken to, and let in: over a real broker, each step on the record, once."""
    door.script.play(Visit(for_s=10, pause_s=0.1))
    first = door.ticket()
    assert (first.fields["round"], first.fields["approvals"], first.fields["to"]) == (1, 1, [])
    asked = door.client.again(first.ticket_id)
    assert asked.ok, asked.error
    assert door.client.say(first.ticket_id, "please look up").ok
    second = door.ticket()
    assert (second.ticket_id, second.fields["round"]) == (first.ticket_id, 2)
    assert second.image not in (None, first.image)
    assert second.expires_at > first.expires_at
    assert door.client.approve(first.ticket_id).ok
    late = door.client.deny(first.ticket_id)
    assert (late.error, late.result["by"], late.result["reason"]) == ("already_answered", "desk", "ok")
    door.expect(EventType.DOOR_LOCKED)
    assert door.levels() == [0, 1, 0]
    about = [one.event_type for one in door.events if one.ticket_id == first.ticket_id]
    assert about == [
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_AGAIN,
        EventType.VISITOR_TOLD,
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_GRANTED,
        EventType.ACCESS_GRANTED,
    ]


def test_refusal_keeps_shut(door: Door) -> None:
    """A refused visitor stays outside, and the ticket cannot be turned round afterwards."""
    door.script.play(Visit(for_s=5, pause_s=0.1))
    ticket = door.ticket()
    assert door.client.deny(ticket.ticket_id).ok
    assert door.expect(EventType.ACCESS_DENIED).reason is Reason.OPERATOR_DENIED
    assert door.client.approve(ticket.ticket_id).error == "already_answered"
    assert door.levels() == [0]


def test_silence_is_a_refusal(door: Door) -> None:
    """Attendant absent: a ticket that nobody answers in time ends as a denial, and a late yes opens nothing (D14)."""
    door.script.play(Visit(for_s=9, pause_s=0.1))
    ticket = door.ticket()
    assert door.expect(EventType.ACCESS_DENIED).reason is Reason.OPERATOR_TIMEOUT
    assert door.client.approve(ticket.ticket_id).error == "ticket_expired"
    assert door.levels() == [0]


def test_yes_after_the_visitor_left_opens_nothing(door: Door) -> None:
    """An approval works only while that visit is before the camera (D14)."""
    door.script.play(Visit(for_s=2.2, pause_s=0.1))
    ticket = door.ticket()
    door.script.wait_until_empty()
    assert door.client.approve(ticket.ticket_id).error == "visitor_gone"
    assert door.levels() == [0]


def test_yes_for_one_visitor_does_not_let_in_the_next(door: Door) -> None:
    """An answer for the first visitor's ticket never opens for somebody else who stands there now (D15)."""
    door.script.play(Visit(for_s=1.8, pause_s=0.1))
    door.script.play(Visit(for_s=6, pause_s=0.0, face="official"))
    first = door.ticket()
    second = door.ticket()
    reply = door.client.approve(first.ticket_id)
    assert reply.error == "other_visitor"
    assert first.presentation_id != second.presentation_id
    assert door.levels() == [0]


def test_approved_visitor_can_be_enrolled_with_consent(door: Door) -> None:
    """Who was approved and consents is enrolled from that visit, once, and known afterwards (J5) by their id (J2)."""
    door.script.play(Visit(for_s=2.4, pause_s=0.1))
    ticket = door.ticket()
    args = {"name": NAME, "ticket_id": ticket.ticket_id}
    assert not door.client.send("person.add", args | {"consent_by": NAME}).ok
    assert door.client.approve(ticket.ticket_id).ok
    assert "consent_by" in door.client.send("person.add", args).error
    assert door.client.send("person.add", args | {"consent_by": NAME}).ok
    assert not door.client.send("person.add", args | {"consent_by": NAME}).ok
    with Gallery(door.installation.gallery_file) as gallery:
        assert [person.name for person in gallery.people()] == [NAME]
    enrolled = door.expect(EventType.ENROLLED).actor
    assert enrolled is not None
    (listed,) = door.client.send("person.list", {}).result["people"]
    assert listed["name"] == NAME
    door.script.play(Visit(for_s=2.5, pause_s=1.5))
    granted = door.expect(EventType.ACCESS_GRANTED)
    assert door.embeddings
    assert granted.method == "face"
    assert granted.actor is not None
    assert granted.actor.id == listed["person_id"]


def test_stranger_leaves_no_biometrics(door: Door) -> None:
    """Whoever is refused is in no table and no file of the state folder afterwards, only as an event."""
    door.script.play(Visit(for_s=3.5, pause_s=0.1))
    door.client.deny(door.ticket().ticket_id)
    door.expect(EventType.ACCESS_DENIED)
    with Gallery(door.installation.gallery_file) as gallery:
        assert gallery.people() == ()
    assert not [path for path in door.installation.state.rglob("*") if path.suffix in {".jpg", ".png", ".npy"}]


def test_status_tells_health_to_every_role(door: Door) -> None:
    """D2: `status` answers with words and counts; that the broker has no access list is told there and in the log."""
    told = door.expect(EventType.FAULT)
    assert told.detail.endswith(WORDS[Trust.NO_ACCESS_CONTROL])
    reply = door.client.send("status", {})
    assert reply.ok
    assert reply.result["controller"] == "ok"
    assert reply.result["broker"] == Trust.NO_ACCESS_CONTROL.value


def test_an_operators_signed_order_moves_the_door(door: Door) -> None:
    """D3, G12: a signed unlock holds the door over a real broker, a lockdown ends it, and what is retained says so."""
    heard: queue.Queue[Incoming] = queue.Queue()
    settings, device_id = door.installation.settings.mqtt, door.installation.settings.device.id
    watcher = Connection(settings, "watcher", [topic(device_id, Topic.DOOR_STATE)], heard.put)
    with contextlib.closing(watcher):
        watcher.start()
        watcher.check(PATIENCE_S)
        reply = door.client.send("unlock", {"for_s": 60})
        assert reply.ok, reply.error
        door.expect(EventType.DOOR_UNLOCKED)
        assert door.client.send("lockdown", {}).ok
        door.expect(EventType.LOCKDOWN)
        refused = door.client.send("open", {})
        assert "a lockdown rules this door" in refused.error
        end_s, state = time.monotonic() + PATIENCE_S, dict[str, object]()
        while state.get("phase") != "LOCKDOWN":
            state = json.loads(heard.get(timeout=max(0.01, end_s - time.monotonic())).payload)
    assert state["mode"] == "EMERGENCY"
    assert door.levels() == [0, 1, 0]
