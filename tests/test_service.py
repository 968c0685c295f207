"""The whole reader with a real controller process: simulated camera and lock, shipped models, real databases."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.schedule import Moment
from appliance.audit import AuditLog
from appliance.commands.options import Installation
from appliance.config import LivenessSettings, Settings
from appliance.contract import EventType, Reason
from appliance.door.child import simulated_controller
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import StorageError
from appliance.people.gallery import Consent, Gallery
from appliance.pipeline.embedding import unit
from appliance.pipeline.reading import ModelStages, PhotoReader
from appliance.privacy.purge import DailyPurge
from appliance.privacy.retention import Rules
from appliance.records import Actor, ActorKind, Grade
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Event, Frame, OperatingPoint

ADA = Consent("Ada", datetime(2026, 1, 1, tzinfo=UTC))
FACE_ONLY = Settings(liveness=LivenessSettings(commissioned="skipped"))


@pytest.fixture(scope="module")
def reader() -> PhotoReader:
    """Give the shipped stages, loaded once."""
    return PhotoReader(ModelStages(Settings()))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Give an installation with a controller process of its own."""
    with simulated_controller(tmp_path) as socket:
        yield Installation(FACE_ONLY, tmp_path, None).with_controller(socket)


def enrol(installation: Installation, reader: PhotoReader, face: str) -> str:
    """Enrol one of the two portraits; return the person id."""
    embedding, quality = reader.read(read_photo(FACES / f"{face}.png"), face)
    with Gallery(installation.gallery_file) as gallery:
        return gallery.add(face, ADA, [(gallery.protection.protect(embedding), quality.grade)]).person_id


def test_threshold_of_one_persons_own_is_kept(installation: Installation, reader: PhotoReader) -> None:
    """C14: somebody for whom a far lower false-positive rate was set is asked for more than the door's own threshold.

    The portrait is moved away from its own template until the visit clears the door's threshold, and no higher one.
    """
    embedding, _ = reader.read(read_photo(FACES / "astronaut.png"), "astronaut")
    other = np.random.default_rng(7).normal(size=embedding.vector.shape).astype(np.float32)
    less_like = unit(embedding.vector + 0.62 * other / np.linalg.norm(other), embedding.model_id)
    assert less_like is not None
    with Gallery(installation.gallery_file) as gallery:
        ada = gallery.add("Ada", ADA, [(gallery.protection.protect(less_like), Grade.HIGH)]).person_id
    assert kinds(play(installation, Visit(for_s=5))) == [(EventType.ACCESS_GRANTED, Reason.OK)]
    with Gallery(installation.gallery_file) as gallery:
        gallery.set_details(ada, max_fpir=1e-12)
    events = play(installation, Visit(for_s=5))
    assert EventType.ACCESS_GRANTED not in [kind for kind, _ in kinds(events)]
    assert kinds(events)[0] == (EventType.APPROVAL_REQUESTED, Reason.SECOND_FACTOR_REQUIRED)


def test_person_whose_rights_were_edited_is_refused_and_written_down(
    installation: Installation, reader: PhotoReader
) -> None:
    """F6, J8: a row that was altered opens nothing, and the log says who was kept out and why."""
    ada = enrol(installation, reader, "astronaut")
    with contextlib.closing(sqlite3.connect(installation.gallery_file, isolation_level=None)) as db:
        db.execute("UPDATE person SET always = 1 WHERE person_id = ?", [ada])
    assert kinds(play(installation, Visit(for_s=5))) == [(EventType.ACCESS_DENIED, Reason.DEGRADED_MODE)]


def enrol_look_alikes(installation: Installation, reader: PhotoReader) -> None:
    """Enrol a portrait, and somebody made up whose template is within the margin of it."""
    embedding, _ = reader.read(read_photo(FACES / "astronaut.png"), "astronaut")
    twin = np.random.default_rng(7).normal(size=embedding.vector.shape).astype(np.float32)
    near = unit(embedding.vector + 0.3 * twin / np.linalg.norm(twin), embedding.model_id)
    assert near is not None
    with Gallery(installation.gallery_file) as gallery:
        protect = gallery.protection.protect
        gallery.add("Ada", ADA, [(protect(embedding), Grade.HIGH)])
        gallery.add("Bea", ADA, [(protect(near), Grade.HIGH)])


def play(
    installation: Installation, *visits: Visit, on_event: Callable[[AuditEvent], None] | None = None
) -> list[Event]:
    """Play the visits to the reader as fast as it can see them; return every event."""
    events: list[AuditEvent] = []

    def hear(event: AuditEvent) -> None:
        events.append(event)
        if on_event is not None:
            on_event(event)

    camera = SimulatedCamera(Script(Scene(visits=visits)), installation.settings.camera, paced=False)
    service = Service(installation, camera, Hooks(on_event=hear))
    service.link.connect(5.0)
    service.run()
    return [one.event for one in events]


def kinds(events: list[Event]) -> list[tuple[EventType, Reason | None]]:
    """Return type and reason of each event, without start, stop and the lock's own."""
    apart = {EventType.STARTED, EventType.STOPPED, EventType.DOOR_LOCKED, EventType.DOOR_UNLOCKED}
    return [(one.event_type, one.reason) for one in events if one.event_type not in apart]


def levels(installation: Installation) -> list[int]:
    """Return every level the lock's line was driven to."""
    return [level for _, level, _ in SimulatedDoorObserver(installation.state / "simulated-door").history()]


def test_enrolled_face_opens_the_door(installation: Installation, reader: PhotoReader) -> None:
    """Web down: with no web server, somebody enrolled and live is granted once, and the lock driven once."""
    person = enrol(installation, reader, "astronaut")
    events = play(installation, Visit(for_s=5))
    assert kinds(events) == [(EventType.ACCESS_GRANTED, Reason.OK)]
    granted = next(one for one in events if one.event_type is EventType.ACCESS_GRANTED)
    assert granted.actor is not None
    assert granted.actor.id == person
    assert levels(installation) == [0, 1, 0]


def test_stranger_moves_nothing(installation: Installation, reader: PhotoReader) -> None:
    """However live, someone outside the gallery is referred, and silence leaves the lock untouched."""
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit(face="official", for_s=6))
    assert kinds(events) == [
        (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE),
        (EventType.APPROVAL_EXPIRED, Reason.OPERATOR_TIMEOUT),
        (EventType.ACCESS_DENIED, Reason.OPERATOR_TIMEOUT),
    ]
    assert levels(installation) == [0]


def test_empty_gallery_opens_for_nobody(installation: Installation) -> None:
    """With nobody enrolled everybody is a stranger (C6)."""
    events = play(installation, Visit(for_s=4))
    assert kinds(events)[0] == (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE)
    assert levels(installation) == [0]


@pytest.mark.parametrize("shows", ["print", "phone"])
def test_picture_of_an_enrolled_face_is_an_attack(installation: Installation, reader: PhotoReader, shows: str) -> None:
    """A print or a phone with the right face on it is refused as an attack, and no human is asked (B3)."""
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit.model_validate({"shows": shows, "for_s": 6.0}))
    assert kinds(events) == [
        (EventType.SPOOF_SUSPECTED, Reason.LIVENESS_FAILED),
        (EventType.ACCESS_DENIED, Reason.LIVENESS_FAILED),
    ]
    assert levels(installation) == [0]


def test_live_stranger_cannot_lend_life_to_a_picture(installation: Installation, reader: PhotoReader) -> None:
    """A live stranger who then shows a print of somebody enrolled gets neither in (B7)."""
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit(face="official", for_s=1.2, pause_s=0.1), Visit(shows="print", pause_s=0.0))
    assert EventType.ACCESS_GRANTED not in {one.event_type for one in events}
    assert (EventType.ACCESS_DENIED, Reason.LIVENESS_FAILED) in kinds(events)
    assert levels(installation) == [0]


def test_one_visit_is_decided_once(installation: Installation, reader: PhotoReader) -> None:
    """A face that stays is not decided about again before it has left or the cool-down is over."""
    enrol(installation, reader, "astronaut")
    assert kinds(play(installation, Visit(for_s=9))) == [(EventType.ACCESS_GRANTED, Reason.OK)]


def test_leaving_arms_again(installation: Installation, reader: PhotoReader) -> None:
    """Somebody who has left and comes back is let in again."""
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit(for_s=4), Visit(for_s=4, pause_s=2.0))
    assert kinds(events) == [(EventType.ACCESS_GRANTED, Reason.OK)] * 2


def test_erased_person_is_a_stranger_at_once(installation: Installation, reader: PhotoReader) -> None:
    """Somebody erased by another process between two visits is unknown at the second."""
    person = enrol(installation, reader, "astronaut")

    def erase(event: AuditEvent) -> None:
        if event.event.event_type is EventType.ACCESS_GRANTED:
            with Gallery(installation.gallery_file) as gallery:
                gallery.remove(person)

    events = play(installation, Visit(for_s=4), Visit(for_s=4, pause_s=2.0), on_event=erase)
    assert kinds(events)[:2] == [
        (EventType.ACCESS_GRANTED, Reason.OK),
        (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE),
    ]


def test_two_people_too_alike_are_referred(installation: Installation, reader: PhotoReader) -> None:
    """Where a second person is within the margin of the first, a human is asked (B10)."""
    enrol_look_alikes(installation, reader)
    events = play(installation, Visit(for_s=7))
    assert kinds(events)[0] == (EventType.APPROVAL_REQUESTED, Reason.AMBIGUOUS_MATCH)
    assert levels(installation) == [0]


class CutShort:
    """A recording that breaks off after so many frames."""

    live = False
    identity = ""

    def __init__(self, whole: SimulatedCamera, frames: int) -> None:
        self._whole = whole
        self._left = frames

    def read(self) -> Frame | None:
        """Return the next frame until it breaks off."""
        self._left -= 1
        return self._whole.read() if self._left >= 0 else None

    def close(self) -> None:
        """Let the recording go."""
        self._whole.close()


def test_recording_that_breaks_off_ends_with_a_decision(installation: Installation, reader: PhotoReader) -> None:
    """A visit that was read and not decided when its recording ends is refused or referred with the reason."""
    enrol_look_alikes(installation, reader)
    whole = SimulatedCamera(
        Script(Scene(visits=(Visit(for_s=9, pause_s=0.1),))), installation.settings.camera, paced=False
    )
    events: list[AuditEvent] = []
    Service(installation, CutShort(whole, 30), Hooks(on_event=events.append)).run()
    assert kinds([one.event for one in events]) == [
        (EventType.APPROVAL_REQUESTED, Reason.AMBIGUOUS_MATCH),
        (EventType.APPROVAL_EXPIRED, Reason.OPERATOR_TIMEOUT),
        (EventType.ACCESS_DENIED, Reason.OPERATOR_TIMEOUT),
    ]


def test_grant_is_written_down_before_the_door_moves(installation: Installation, reader: PhotoReader) -> None:
    """When the grant is announced it is in the file already, and the line is still low."""
    enrol(installation, reader, "astronaut")
    seen: list[tuple[int, str]] = []

    def look(event: AuditEvent) -> None:
        if event.event.event_type is EventType.ACCESS_GRANTED:
            with sqlite3.connect(f"file:{installation.audit_file}?mode=ro", uri=True) as db:
                count = db.execute("SELECT count(*) FROM entry WHERE seq = ?", [event.seq]).fetchone()[0]
            db.close()
            seen.append((count, str(levels(installation))))

    play(installation, Visit(for_s=4), on_event=look)
    assert seen == [(1, "[0]")]


def test_audit_that_cannot_be_written_keeps_the_door_shut(installation: Installation, reader: PhotoReader) -> None:
    """Disk full: a grant that cannot be written down opens nothing (F3)."""
    enrol(installation, reader, "astronaut")
    with AuditLog(installation.audit_file, "ostiary", "front"):
        pass
    blocker = sqlite3.connect(installation.audit_file, check_same_thread=False)
    started = threading.Event()

    def block(event: AuditEvent) -> None:
        if event.event.event_type is EventType.STARTED:
            blocker.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            blocker.commit()
            started.set()

    events = play(installation, Visit(for_s=4), on_event=block)
    blocker.close()
    assert started.is_set()
    assert kinds(events) == []
    assert levels(installation) == [0]


def test_no_controller_no_grant(tmp_path: Path, reader: PhotoReader) -> None:
    """Controller down: without a controller the right face is refused as degraded mode, in one event."""
    installation = Installation(FACE_ONLY, tmp_path, None)
    enrol(installation, reader, "astronaut")
    events: list[AuditEvent] = []
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=4),))), installation.settings.camera, paced=False)
    Service(installation, camera, Hooks(on_event=events.append)).run()
    assert kinds([one.event for one in events]) == [(EventType.ACCESS_DENIED, Reason.DEGRADED_MODE)]


def test_controller_that_goes_is_told(tmp_path: Path) -> None:
    """Controller down: a controller that goes away is one event, and the reader lives on."""
    events: list[AuditEvent] = []
    with contextlib.ExitStack() as controller:
        socket = controller.enter_context(simulated_controller(tmp_path))
        installation = Installation(FACE_ONLY, tmp_path, None).with_controller(socket)
        turns = itertools.count()

        def turn() -> None:
            number = next(turns)
            if number == 5:
                controller.close()
            if number == 15:
                service.stop()

        camera = SimulatedCamera(Script(Scene()), installation.settings.camera)
        service = Service(installation, camera, Hooks(on_event=events.append, on_turn=turn))
        service.link.connect(5.0)
        service.run()
    assert [one.event.event_type for one in events] == [EventType.STARTED, EventType.FAULT, EventType.STOPPED]
    assert "controller" in events[1].event.detail


def test_audit_chain_holds_after_all_of_it(installation: Installation, reader: PhotoReader) -> None:
    """The events of a run are the audit chain, in order, and it verifies."""
    enrol(installation, reader, "astronaut")
    events = play(installation, Visit(for_s=4), Visit(shows="print", for_s=4))
    with AuditLog(installation.audit_file, "ostiary", "front") as log:
        assert log.verify().ok
        assert [one.event.event_type for one in log.read()] == [one.event_type for one in events]


def test_broken_gallery_stops_the_start(installation: Installation) -> None:
    """Database damaged: a database that is none stops the service with one line, before the camera is looked at."""
    installation.gallery_file.write_bytes(b"not a database" * 300)
    with pytest.raises(StorageError, match=r"gallery\.db"):
        Service(installation)


def test_camera_that_goes_and_comes_back(installation: Installation) -> None:
    """Camera unplugged: it is told within a second, the door keeps shut, and it is opened again by itself (A2)."""
    events: list[AuditEvent] = []
    scene = installation.state / "empty.json"
    scene.write_text(Scene().model_dump_json())
    camera = SimulatedCamera(Script(Scene()), installation.settings.camera)
    service = Service(installation.with_source(f"simulated:{scene}"), camera, Hooks(on_event=events.append))
    pulled: list[datetime] = []

    def pull() -> None:
        pulled.append(datetime.now(UTC))
        camera.unplugged = True

    threading.Timer(0.5, pull).start()
    stopper = threading.Timer(3.0, service.stop)
    stopper.start()
    service.run()
    stopper.join()
    told = [one.event for one in events if one.event.event_type in {EventType.CAMERA_FAULT, EventType.CAMERA_RESTORED}]
    assert [one.event_type for one in told] == [EventType.CAMERA_FAULT, EventType.CAMERA_RESTORED]
    assert (told[0].at - pulled[0]).total_seconds() <= 1.0


def test_without_a_camera_nobody_is_kept_for_longer(installation: Installation, reader: PhotoReader) -> None:
    """J6, A2: who is due is erased on the day, though the camera failed while somebody stood before it."""
    ada = enrol(installation, reader, "astronaut")
    camera = SimulatedCamera(Script(Scene(visits=(Visit(face="official", for_s=60.0),))), installation.settings.camera)

    def seen(_frame: Frame, step: Step, _point: OperatingPoint) -> None:
        camera.unplugged = camera.unplugged or step.presentation is not None

    def heard(event: AuditEvent) -> None:
        if event.event.event_type is EventType.CAMERA_FAULT:  # and the day on which Ada is due begins
            service._purge = DailyPurge(service.gallery, service.journal, rules, actor=device, clock=lambda: later)
        erased.extend([event.event.actor] if event.event.event_type is EventType.ERASED else [])
        if erased:
            service.stop()

    erased: list[object] = []
    rules, device = Rules(never_seen_days=30), Actor(ActorKind.DEVICE, "door")
    later = Moment(datetime.now(UTC) + timedelta(days=400), clock_set=True)
    service = Service(installation.with_source("simulated:none.json"), camera, Hooks(on_event=heard, on_step=seen))
    stopper = threading.Timer(15.0, service.stop)
    stopper.start()
    service.run()
    stopper.cancel()
    assert erased == [device]
    with Gallery(installation.gallery_file) as gallery:
        assert gallery.tombstones()[0].person_id == ada
    assert levels(installation) == [0]
