"""Enrolment at a running door: real reader, real controller, shipped models, a simulated person who turns the head."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from appliance.commands.options import Installation
from appliance.config import CameraSettings, LivenessSettings, Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.photo import decode_photo
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.enrolment.desk import Newcomer
from appliance.enrolment.requests import Start, read_request
from appliance.errors import HardwareError, RefusedError
from appliance.local_socket import MAX_BYTES, MAX_CALLERS, Call, Caller, LocalSocket, answer, ask
from appliance.people.enrolment import Particulars
from appliance.people.gallery import Gallery
from appliance.people.person import Consent
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Event, Frame, OperatingPoint

FACE_ONLY = Settings(camera=CameraSettings(frame_rate=10), liveness=LivenessSettings(commissioned="skipped"))
CONSENT = Consent("Ada", datetime(2026, 3, 1, tzinfo=UTC), "en", "1", "ab" * 32, photos=True, recorded_by="root")
ADA = Newcomer("Ada", CONSENT, Particulars("E17", tags=frozenset({"floor2"}), groups=frozenset({"staff"})))


@dataclass
class Played:
    """What became of a script: the events, and what whoever asked was told."""

    events: list[Event] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)

    def kinds(self) -> list[tuple[EventType, Reason | None]]:
        """Return type and reason of each event, without start, stop and the lock's own."""
        apart = {EventType.STARTED, EventType.STOPPED, EventType.DOOR_LOCKED, EventType.DOOR_UNLOCKED}
        return [(one.event_type, one.reason) for one in self.events if one.event_type not in apart]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a controller process of its own."""
    with simulated_controller(tmp_path) as listening:
        yield Installation(FACE_ONLY, tmp_path, None).with_controller(listening)


def play(installation: Installation, *visits: Visit, hang_up: bool = False) -> Played:
    """Have Ada's enrolment asked for with the first frame, and play the visits."""
    played = Played()
    calls: list[Call] = []

    def on_step(_frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        if not calls:
            call = ask(installation.reader_socket, Start.of(ADA).model_dump(mode="json"), 5.0)
            assert call is not None
            calls.append(call)
            if hang_up:
                call.__exit__()

    def hear(event: AuditEvent) -> None:
        played.events.append(event.event)

    camera = SimulatedCamera(Script(Scene(visits=visits)), installation.settings.camera, paced=False)
    service = Service(installation, camera, Hooks(on_event=hear, on_step=on_step))
    service.link.connect(5.0)
    service.run()
    with calls[0] as call:
        played.said += [] if hang_up else list(call)
    return played


def levels(installation: Installation) -> list[int]:
    """Return every level the lock's line was driven to."""
    return [level for _, level, _ in SimulatedDoorObserver(installation.state / "simulated-door").history()]


def test_a_person_is_enrolled_at_the_door_and_let_in_only_the_next_time(installation: Installation) -> None:
    """B14: who is enrolled at the door is not let in by that visit, and is known when they return."""
    played = play(installation, Visit(face="official", for_s=9.6, poses=True), Visit(face="official", for_s=2.5))
    assert played.kinds() == [(EventType.ENROLLED, None), (EventType.ACCESS_GRANTED, Reason.OK)]
    assert levels(installation) == [0, 1, 0]
    last = played.said[-1]
    assert (last["hint"], last["views"], last["look_alike"]) == ("enrolled", 5, {})
    hints = [one["hint"] for one in played.said]
    assert hints[:2] == ["enrolment", "look_straight"]
    with Gallery(installation.gallery_file) as gallery:
        (ada,) = gallery.people()
        assert (ada.name, ada.external_id, ada.groups, ada.references) == ("Ada", "E17", ("staff",), last["references"])
        details, facts = gallery.details(ada.person_id), gallery.references(ada.person_id)
        assert details.consent == CONSENT
        assert details.tags == {"floor2"}
        assert {one.source for one in facts} == {"door"}
        assert last["references"] == len(facts) >= 3
        photos = gallery.photos(ada.person_id)
    assert len(photos) == len(facts)
    assert all(max(decode_photo(photo, "kept").shape) <= 480 for photo in photos)


def test_nobody_is_enrolled_from_a_picture(installation: Installation) -> None:
    """B14: a print held up during an enrolment is refused as an attack, written down, and leaves nobody behind."""
    played = play(installation, Visit(shows="print", for_s=3))
    assert played.said[-1] == {"error": "it is not a living face; nobody is enrolled from a picture"}
    assert played.kinds()[0] == (EventType.SPOOF_SUSPECTED, Reason.LIVENESS_FAILED)
    assert EventType.ENROLLED not in [kind for kind, _ in played.kinds()]
    with Gallery(installation.gallery_file) as gallery:
        assert gallery.people() == ()
    assert levels(installation) == [0]


def test_enrolment_ends_with_whoever_asked(installation: Installation) -> None:
    """Whoever asked has gone: nobody is enrolled, and the door decides about the next visit as ever."""
    played = play(installation, Visit(for_s=3), hang_up=True)
    assert played.kinds()[0] == (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE)
    with Gallery(installation.gallery_file) as gallery:
        assert gallery.people() == ()


def serve_once(listening: LocalSocket, client: socket.socket) -> list[dict[str, Any]]:
    """Return the requests that reach the reader of what the client has sent."""
    heard: list[dict[str, Any]] = []
    for _ in range(3):
        listening.serve(lambda _caller, request: heard.append(request))
    client.close()
    return heard


def connected(path: Path, *packets: bytes) -> socket.socket:
    """Return a client that has sent these packets."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(os.fspath(path))
    for packet in packets:
        client.send(packet)
    return client


def test_only_the_readers_own_user_may_ask(short_folder: Path) -> None:
    """The socket is its owner's alone; one that a dead reader left is replaced, another kind of file is not."""
    path = short_folder / "reader.sock"
    LocalSocket(path)._listening.close()  # type: ignore[union-attr]
    listening = LocalSocket(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert serve_once(listening, connected(path, b'{"verb": "x"}')) == [{"verb": "x"}]
    listening.close()
    assert not path.exists()
    path.write_text("mine")
    LocalSocket(path).close()
    assert path.read_text() == "mine"
    assert ask(short_folder / "nobody.sock", {}, 1.0) is None


@pytest.mark.parametrize("packet", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 10_000, b"x" * (MAX_BYTES + 1)])
def test_what_is_no_request_ends_the_call(short_folder: Path, packet: bytes) -> None:
    """D6: nonsense on the socket is hung up on, and the next caller is served."""
    path = short_folder / "reader.sock"
    listening = LocalSocket(path)
    assert serve_once(listening, connected(path, packet)) == []
    assert serve_once(listening, connected(path, b"{}")) == [{}]
    listening.close()


def test_many_callers_and_silent_ones_hold_nothing_up(short_folder: Path) -> None:
    """At most twelve are heard at once; who does not listen is hung up on, and the reader never waits."""
    path = short_folder / "reader.sock"
    listening = LocalSocket(path)
    crowd = []
    for _ in range(MAX_CALLERS + 4):
        crowd.append(connected(path))
        listening.serve(lambda _caller, _request: None)
    assert len(listening._callers) == MAX_CALLERS == 12
    for caller in listening._callers:
        for _ in range(10_000):
            caller.say({"hint": "hold_still"})
        assert caller.gone
    for client in crowd:
        client.close()
    listening.close()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "wrong at verb"),
        ({"verb": "open"}, "wrong at"),
        (Start.of(ADA).model_dump(mode="json") | {"extra": 1}, "extra"),
        (Start.of(ADA).model_dump(mode="json") | {"given_at": "2026-03-01T00:00:00"}, "given_at"),
        ({"verb": "enrol.start", "name": "Ada"}, "given_by"),
    ],
)
def test_request_that_cannot_be_is_refused_in_one_line(request_: dict[str, Any], why: str) -> None:
    """J5: nothing is begun without a consent, or by a request with anything in it that we do not know."""
    with pytest.raises(RefusedError, match=why) as fault:
        read_request(request_)
    assert "\n" not in str(fault.value)


def test_a_request_arrives_as_it_was_made() -> None:
    """What is asked for over the socket is what the command was told, consent and particulars alike."""
    assert Start.model_validate_json(Start.of(ADA).model_dump_json()).newcomer() == ADA


def test_a_reader_that_refuses_or_hangs_up_is_told(short_folder: Path) -> None:
    """A refusal of the reader ends a command with exit code 1, a reader that dies with 3."""
    path = short_folder / "reader.sock"
    listening = LocalSocket(path)
    said = ask(path, {"verb": "x"}, 1.0)
    assert said is not None

    def refuse(caller: Caller, _request: dict[str, Any]) -> None:
        caller.say({"error": "no"})
        caller.end()

    listening.serve(refuse)
    with said:
        assert list(said) == [{"error": "no"}]
    with pytest.raises(HardwareError, match="does not answer"):
        answer(path, {"verb": "x"}, 0.05)
    listening.close()
    assert answer(path, {"verb": "x"}, 1.0) is None
