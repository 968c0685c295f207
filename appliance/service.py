"""The service: wiring, threads and signals; the only place that joins drivers to the core.

Threads: `capture` reads the camera, `loop` (the caller's) decides what is done and writes, `reading` runs the models
on one frame while the loop waits for it or for an order, `liveness` scores beside it where there is a second core, the
broker link has its own.
Whatever goes wrong in one turn is logged, written down and survived; the door keeps shut meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.access_desk import AccessDesk
from appliance.admission import Admission
from appliance.asking import Asking
from appliance.audit import AuditLog
from appliance.board_watch import BoardWatch
from appliance.camera_integrity import CameraIntegrity
from appliance.capture import Capture
from appliance.clerk import Clerk
from appliance.clock import WallClock
from appliance.commissioning.clearance import clearance
from appliance.contract import Alarm, EventType, Reason, Topic
from appliance.door.link import ControllerLink
from appliance.doorway import Doorway, latest_written
from appliance.drivers.board import read_board
from appliance.drivers.camera import open_camera
from appliance.drivers.faiss_index import indexed
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.photo_child import decode_apart
from appliance.drivers.qr import read_codes
from appliance.enrolment.photo_desk import PhotoDesk
from appliance.errors import ApplianceError, DoorError, StorageError
from appliance.feed import feed_acts
from appliance.front_desk import FrontDesk
from appliance.home_assistant.desk import HomeDesk
from appliance.journal import Journal
from appliance.operating import DoorVerbs
from appliance.pairing_desk import Pair
from appliance.people.calibration import door_point, own_tail
from appliance.people.gallery import Gallery
from appliance.people_desk import PeopleDesk
from appliance.picture import kept_of, visitor
from appliance.pipeline import Pipeline
from appliance.pipeline.attended import AttendedPipeline
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.policy import configured
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages, open_face_reader
from appliance.preview import Mirror
from appliance.privacy.purge import DailyPurge
from appliance.privacy.retention import Rules, rules_of
from appliance.reception import Reception
from appliance.records import Actor, ActorKind, Event
from appliance.switchboard import Switchboard
from appliance.upgrade.door import lazy_upgrade
from appliance.usecases import UseCases, door_acts, record_acts, ticket_acts
from appliance.vitals import Vitals
from appliance.web.accounts import Accounts
from appliance.web.asked import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.verdict import Judged
    from appliance.commands.options import Installation
    from appliance.drivers.camera import Camera
    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Candidate, Frame, GallerySnapshot, OperatingPoint
    from appliance.upgrade.lazy import LazyUpgrade

_log = logging.getLogger(__name__)

TURN_S = 0.1  # the longest a turn waits for a frame; the controller hears from us several times a second


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who else wants to know: each is called in the loop's thread and must be quick."""

    on_event: Callable[[AuditEvent], None] = lambda _event: None
    on_step: Callable[[Frame, Step, OperatingPoint], None] = lambda _frame, _step, _point: None
    on_verdict: Callable[[Judged], None] = lambda _judged: None
    on_ready: Callable[[], None] = lambda: None
    on_turn: Callable[[], None] = lambda: None


class Service:
    """The reader. `run` returns when a recording has ended or `stop` was called.

    `camera` is open already; without one, the configured camera is waited for. Making a service loads the
    models and opens the databases, and raises ApplianceError where any of them is unusable.
    """

    def __init__(self, installation: Installation, camera: Camera | None = None, hooks: Hooks = Hooks()) -> None:
        self.settings = installation.settings
        self._hooks = hooks
        self._stopping = False
        self._camera = camera
        self._camera_fault = ""
        self._live = camera is None or camera.live
        self._frame_s: float | None = None  # time of the newest frame of a recording
        self._unfinished: Step | None = None
        self._nobody = True  # before the camera
        self._upgrade: LazyUpgrade | None = None
        self._pins: queue.Queue[str] = queue.Queue(4)
        self.clearance = clearance(installation)
        self._presentations = Presentations(self.settings.recognition.reading_s)
        mirror = Mirror()
        self._capture = Capture(lambda: open_camera(self.settings.camera), self.settings.camera.stall_s, mirror.offer)
        self._board, self.integrity = (
            BoardWatch(read_board),
            CameraIntegrity(installation.camera_file, self.settings.camera),
        )
        self.link = ControllerLink(installation.controller_socket)
        device = self.settings.device
        with contextlib.ExitStack() as opening:
            beside = opening.enter_context(ThreadPoolExecutor(1, "liveness")) if cores() > 1 else None
            self.gallery = opening.enter_context(Gallery(installation.gallery_file, indexed))
            protect = self.gallery.protection.protect
            self._stages = ModelStages(self.settings, installation.models_folder, protect)
            rules = configured(self.settings, face_only=self.clearance.face_only)
            self._pipeline = opening.enter_context(
                AttendedPipeline(Pipeline(FollowingStages(self._stages), self._presentations, rules, beside))
            )
            audit = opening.enter_context(AuditLog(installation.audit_file, device.id, device.door))
            self._accounts = opening.enter_context(Accounts(installation.web_file))
            self._switchboard = opening.enter_context(contextlib.closing(Switchboard(installation, self._wake)))
            self._snapshot: GallerySnapshot = self._present_gallery()
            self._own = own_tail(self.gallery, self._snapshot.model_id)
            self._access = AccessDesk(
                installation,
                self.gallery,
                opening,
                liveness=self.clearance.face_only,
                impostors=self._stages.measured.impostors,
                now=self._now,
                told=hooks.on_verdict,
            )
            self._closing = opening.pop_all()
        self._home = HomeDesk(self.settings, installation.state, self._switchboard)
        self._closing.callback(self._home.close)
        self._switchboard.on_ask = self._home.ask
        self.journal = Journal(audit, (self._switchboard.announce, self._home.hear, self._hear, hooks.on_event))
        self.link.resume(*latest_written(audit))
        self.doorway = Doorway(self.link, self.journal, self._switchboard.publish, device.id)
        clerk = Clerk(self.journal, self._now, of_recording=not self._live)
        self._admission = Admission(self.settings, clerk, self.link, self._access.control, self._now)
        self.reception = Reception(
            self.settings,
            clerk,
            self._admission,
            Asking(self._admission, self._access.factors, _codes, self._now),
            outbox=self._switchboard,
            picture=lambda step: encode_jpeg(visitor(step)),
            doubt=self._doubt,
            clock=self._now,
            local_time=self._access.control.local_time,
            attends=lambda voice: self._switchboard.attends(voice) or self._accounts.attends(voice),
        )
        self._front = FrontDesk(
            self.settings,
            self.gallery,
            self.journal,
            self.doorway,
            self.reception,
            mirror=mirror,
            rules=rules,
            do=lambda caller, asked: carry_out(self._use_cases, caller, asked),
            fault=lambda: self._camera_fault,
            enrolling=lambda: self._people.at_the_door.busy,
            clock=self._now,
        )
        self._closing.callback(self._front.close)
        self._people = PeopleDesk(
            installation,
            self.gallery,
            self.journal,
            self.reception,
            self._stages,
            rules=rules,
            photos=PhotoDesk(partial(open_face_reader, self.settings, installation.models_folder), decode_apart),
            invitations=self._access.invitations,
            others={Pair: self._switchboard.pairing(self.journal).begin, **self._front.others},
            codes=_codes,
            portrait=lambda step: encode_jpeg(kept_of(step)),
            point=self._point,
            clock=self._now,
        )
        self._closing.callback(self._people.close)
        self._use_cases = UseCases(
            ticket_acts(self.reception),
            door_acts(DoorVerbs(self.link, self.journal), self.settings.door.unlock_s),
            self._people.acts,
            record_acts(self._status, self.settings),
            feed_acts(audit),
        )
        self._purge = DailyPurge(
            self.gallery,
            self.journal,
            rules_of(self.settings.retention) if self._live else Rules(),  # a recording ages nobody
            actor=Actor(ActorKind.DEVICE, device.id),
            clock=WallClock(self.settings.access.clock),
        )
        self._closing.callback(self._purge.close)
        self._upgrade = lazy_upgrade(installation, self.gallery, self.journal) if self._live else None
        self._home.obey(self._use_cases.carry_out, self.journal)

    def enter_pin(self, text: str) -> None:
        """Take what somebody has typed at the door; from any thread. What comes too fast is dropped."""
        with contextlib.suppress(queue.Full):
            self._pins.put_nowait(text)

    def stop(self) -> None:
        """End `run` after the present turn; safe from any thread and from a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Read the camera until stopped, or a recording has ended, and close everything.

        Raises StorageError where not even the start can be written down, CameraError for a broken recording.
        """
        with self._closing:
            self._closing.callback(self.link.close)
            self._switchboard.start()
            self._show_camera(faulty=False)
            self._closing.callback(self._capture.stop)
            self._capture.start(self._camera)
            if self.clearance.skipped or not self.clearance.face_only:
                _log.warning("%s", self.clearance.words)
            gallery = f"gallery of {self._snapshot.size}, {self._snapshot.model_id}"
            self._say(EventType.STARTED, f"version {__version__}; {gallery}; {self.clearance.words}")
            ready = False
            while not self._stopping and not self._capture.ended:
                if self._turn() and not ready:
                    ready = True
                    self._hooks.on_ready()
                self._hooks.on_turn()
            self._finish()
        if self._capture.failed is not None:
            raise self._capture.failed

    def _turn(self) -> bool:
        """Do everything once; tell whether a frame was read. A fault is written down, never the end."""
        try:
            frame = self._capture.take(TURN_S)
            relied_on = frame is not None and self._may_rely_on(frame)
            self._tend()
            if frame is None or not relied_on:
                self._front.show(None)
                return frame is not None
            self._frame_s = frame.captured_at_s
            step = self._pipeline.step(frame, self._snapshot, self._point(), self._serve)
            self._see(step, frame)
            self._front.show(step)
            if self._upgrade is not None:
                self._upgrade.see(step, self._snapshot, self._point())
            self._nobody = step.presentation is None
            self._hooks.on_step(frame, step, self._point())
        except ApplianceError as fault:
            _log.error("%s", fault)
            return False
        except Exception:  # noqa: BLE001 - the one place: a bug costs this turn and keeps the door shut
            _log.exception("a turn failed")
            self._presentations.forget()
            return False
        return True

    def _may_rely_on(self, frame: Frame) -> bool:
        """Tell whether this is the camera that was taken for this door, in its place; a recording is."""
        return not self._live or self.integrity.see(frame, self._capture.identity, nobody=self._nobody)

    def _wake(self) -> None:
        """Have the loop look at what came in, whether it waits for a frame or for the models; from any thread."""
        self._capture.wake()
        self._pipeline.wake()

    def _serve(self) -> None:
        self._switchboard.serve(self._use_cases)

    def _see(self, step: Step, frame: Frame) -> None:
        self._front.look(step)
        if self._people.see(step, frame.captured_at_s):
            self._unfinished = None
            return
        self.reception.see(step, self._point())
        self._remember(step)

    def _tend(self) -> None:
        """Everything that is due whether or not there is a frame."""
        self._tend_door()
        self._note_camera()
        for line in self._switchboard.news():
            self._say(EventType.FAULT, line)
        for line, begun in self._board.news(time.monotonic()):
            self._say(EventType.FAULT, line if begun else f"over: {line}")
        self._load_gallery()
        self._serve()
        self._home.tend()
        self._people.tend()
        self.reception.tick()
        if self._nobody or self._camera_fault:  # nobody has to wait for it
            self._purge.tend(time.monotonic())

    def _tend_door(self) -> None:
        for happened in self.doorway.tend():
            if happened.event_type is EventType.DOOR_OPENED:
                self._admission.passed(happened.by)
        self._admission.lockdown, self._admission.monitored = self.doorway.lockdown, self.doorway.monitored
        self._access.tend(self.journal, self.doorway)
        with contextlib.suppress(queue.Empty):
            said = self.reception.enter_pin(self._pins.get_nowait())
            _log.info("a PIN was entered: %s", said or "taken")

    def _remember(self, step: Step) -> None:
        """Keep the newest read frame of the visit that a recording may end in; nothing of a live camera."""
        if self._live or step.presentation is None:
            self._unfinished = None
        elif step.presentation.latest.embedding is not None:
            self._unfinished = step

    def _now(self) -> float:
        """Return the frames' clock: monotonic, or a recording's own time."""
        return time.monotonic() if self._live or self._frame_s is None else self._frame_s

    def _point(self) -> OperatingPoint:
        return door_point(self._stages.measured, self._own, self.settings.recognition, self._snapshot.size)

    def _doubt(self, best: Candidate) -> str:
        """Return "" unless a higher threshold was set for this person than the door's, and is not reached."""
        try:
            subject = self.gallery.subject(best.person_id)
        except StorageError:  # the rules of access refuse them, and say so in the log
            return ""
        if subject is None or subject.max_fpir is None:
            return ""
        recognition = self.settings.recognition
        lower = min(recognition.target_fpir, subject.max_fpir)
        own = recognition.model_copy(update={"target_fpir": lower})
        point = door_point(self._stages.measured, self._own, own, self._snapshot.size)
        return "" if best.similarity >= point.threshold else "the threshold set for this person was not reached"

    def _present_gallery(self) -> GallerySnapshot:
        embedder = self._stages.embedder
        return self.gallery.current(embedder.model_id, embedder.dimension)

    def _load_gallery(self) -> None:
        """Take in what was changed of the gallery or its calibration, here or by another process."""
        if (snapshot := self._present_gallery()) is not self._snapshot:
            self._snapshot, self._own = snapshot, own_tail(self.gallery, snapshot.model_id)

    def _hear(self, event: AuditEvent) -> None:
        self._front.hear(event)
        if self._upgrade is not None:
            self._upgrade.hear(event)

    def _note_camera(self) -> None:
        # One of a recording ends the run.
        fault = (self._capture.fault() or self.integrity.fault) if self._live else ""
        if bool(fault) != bool(self._camera_fault):
            what = (EventType.CAMERA_FAULT, Reason.DEGRADED_MODE) if fault else (EventType.CAMERA_RESTORED, None)
            self._say(what[0], fault, what[1])
            self._show_camera(faulty=bool(fault))
        self._camera_fault = fault

    def _show_camera(self, *, faulty: bool) -> None:
        self._switchboard.publish(Topic.ALARM, "ON" if faulty else "OFF", retained=True, leaf=Alarm.CAMERA.value)

    def _status(self) -> dict[str, Any]:
        """Return the state of health in words and counts."""
        counters = self._capture.counters
        return {
            "camera": self._camera_fault or "ok",
            "camera_integrity": self.integrity.words if self._live else "off",
            "controller": "ok" if self.link.connected else "not connected",
            "door": self.doorway.words(),
            "broker": self._switchboard.trust.value,
            "face_only": self.clearance.words,
            "references": self._snapshot.size,
            "frames_dropped": counters.dropped,
        }

    def vitals(self) -> Vitals:
        """Return how the reader is; from any thread, and without holding it up."""
        counters = self._capture.counters
        return Vitals(
            not self._camera_fault,
            self.link.connected,
            self.doorway.state,
            self._snapshot.size,
            counters.dropped,
            counters.out_of_order + counters.repeated,
            counters.reopened,
            self._switchboard.vitals(),
            self._board.now,
        )

    def _say(self, kind: EventType, detail: str = "", reason: Reason | None = None) -> None:
        actor = Actor(ActorKind.DEVICE, self.settings.device.id)
        now = datetime.now(UTC)
        self.journal.append(Event(kind, now, actor, reason=reason, detail=detail))

    def _finish(self) -> None:
        """Leave nothing open: no visit of a recording, no ticket, no unlocked door."""
        if self._unfinished is not None:
            self.reception.see(self._pipeline.conclude(self._unfinished, self._point()), self._point())
        with contextlib.suppress(StorageError):  # a full disk must not keep us from locking, nor from stopping
            self.reception.close()
        with contextlib.suppress(DoorError):  # no controller: then nothing of ours is unlocked
            self._access.end(self.doorway)
            self.link.lock()
        self.doorway.tend()
        with contextlib.suppress(StorageError):  # a full disk must not keep us from stopping
            self._say(EventType.STOPPED)


def _codes(step: Step) -> tuple[str, ...]:
    """Return what the QR codes in view say."""
    return () if step.presentation is None else read_codes(step.presentation.latest.frame.pixels)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0))
