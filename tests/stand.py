"""A reception with everything around it real, but for the door and the outbox, which remember."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.attempts import Attempts
from appliance.access.control import AccessControl
from appliance.access.ledger import Ledger
from appliance.access.rules_file import RulesFile
from appliance.access.schedule import Moment
from appliance.admission import Admission
from appliance.asking import Asking
from appliance.audit import AuditLog
from appliance.clerk import Clerk
from appliance.config import Settings
from appliance.contract import EventType, LockState, Reason
from appliance.errors import DoorError
from appliance.journal import Journal
from appliance.people.gallery import Consent, Gallery
from appliance.people.passes import PassBook, PassDesk
from appliance.pipeline import Step
from appliance.pipeline.embedding import unit
from appliance.reception import Reception
from appliance.records import (
    Candidate,
    DoorState,
    Embedding,
    Event,
    Evidence,
    FaceDetection,
    Frame,
    Geometry,
    Grade,
    Grant,
    Observation,
    OperatingPoint,
    Presentation,
    Pulse,
    Quality,
    Wait,
)
from appliance.second_factor import FactorDesk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.door.signals import Signal
    from appliance.records import AuditEvent, Decision
    from appliance.ticket import Ticket

POINT = OperatingPoint(0.4, 0.08, 1e-3, 2, "a test")
BOX = np.array([100, 100, 220, 220], np.float32)
ADA, BEA = (embedding for number in (0, 1) if (embedding := unit(np.eye(8)[number], "m")) is not None)
NOON = datetime(2030, 11, 20, 12, tzinfo=UTC)  # a Wednesday, later than any clock that runs this


class RememberingDoor:
    """A door that remembers what it was asked for."""

    def __init__(self) -> None:
        self.connected = True
        self.refuses = False
        self.pulses: list[Pulse] = []
        self.signals: list[Signal] = []

    def pulse(self, pulse: Pulse) -> DoorState:
        """Note the pulse, or refuse."""
        if self.refuses:
            raise DoorError("the controller refused the pulse: resting")
        self.pulses.append(pulse)
        return DoorState(LockState.UNLOCKED, None, pulse.presentation_id)

    def show(self, signal: Signal) -> None:
        """Note the lamp."""
        self.signals.append(signal)


class Stand:
    """A reception at a time that the test sets; Ada and Bea are enrolled."""

    def __init__(self, folder: Path, opening: ExitStack, settings: Settings) -> None:
        self.now_s = 100.0
        self.moment = Moment(NOON, clock_set=True)
        self.door = RememberingDoor()
        self.asked: list[Ticket] = []
        self.pictures: list[bytes] = []
        self.told: list[tuple[str, Reason, str]] = []
        self.events: list[Event] = []
        self.codes: tuple[str, ...] = ()
        self.settings = settings
        self.key = Ed25519PrivateKey.generate()
        self.gallery = opening.enter_context(Gallery(folder / "gallery.db"))
        self.book = opening.enter_context(PassBook(folder / "gallery.db"))
        self.ledger = opening.enter_context(Ledger(folder / "ledger.db"))
        audit = opening.enter_context(AuditLog(folder / "audit.db", "ostiary", "front"))
        given = [("Ada", ADA), ("Bea", BEA)]
        people = [self.gallery.add(name, Consent(name, NOON), [(one, Grade.HIGH)]).person_id for name, one in given]
        self.ids = dict(zip(("ada", "bea"), people, strict=True))
        access = AccessControl(
            self.settings,
            RulesFile(folder / "access.toml"),
            self.gallery,
            self.ledger,
            attempts=Attempts(liveness=False),
            clock=lambda: self.moment,
            now=lambda: self.now_s,
        )
        self.access = access
        self.audit, self.journal = audit, Journal(audit, (self.hear,))
        clerk = Clerk(self.journal, lambda: self.now_s, of_recording=False)
        self.admission = Admission(self.settings, clerk, self.door, access, lambda: self.now_s)
        passes = PassDesk(self.key.public_key(), "ostiary", "front", self.book, self.ledger)
        factors = FactorDesk(self.gallery, self.book, passes, self.settings.access.factor_s, unix_now=NOON.timestamp)
        self.reception = Reception(
            self.settings,
            clerk,
            self.admission,
            Asking(self.admission, factors, lambda _step: self.codes, lambda: self.now_s),
            outbox=self,
            picture=lambda _step: b"jpeg",
            clock=lambda: self.now_s,
            local_time=access.local_time,
        )

    def hear(self, sealed: AuditEvent) -> None:
        """Remember an event."""
        self.events.append(sealed.event)

    def ask(self, ticket: Ticket, *, picture: bool = True) -> None:
        """Remember a ticket, and its picture."""
        self.asked.append(ticket)
        if picture:
            self.pictures.append(ticket.view.crop)

    def tell(self, ticket: Ticket, reason: Reason, by: str) -> None:
        """Remember an outcome."""
        self.told.append((ticket.ticket_id, reason, by))

    def see(
        self, decision: Decision | Wait, name: str = "v1", probe: Embedding | None = ADA, age_s: float = 0.1
    ) -> None:
        """Show one frame, `age_s` old, that came to this decision about the visit `name`."""
        visit = presentation(name, probe, self.now_s - age_s)
        found = (Candidate(self.ids["ada"], "r1", 0.6), Candidate(self.ids["bea"], "r2", 0.1))
        self.reception.see(Step((visit.latest.detection,), visit, found, decision), POINT)

    def grant(self, who: str) -> Grant:
        """Return what policy says of somebody it has recognised."""
        return Grant(self.ids[who])

    def kinds(self) -> list[tuple[EventType, Reason | None]]:
        """Return type and reason of every event."""
        return [(one.event_type, one.reason) for one in self.events]


def presentation(name: str, probe: Embedding | None, at_s: float) -> Presentation:
    """Return a visit whose newest frame is of this time."""
    frame = Frame(np.zeros((480, 640, 3), np.uint8), at_s, 1)
    points = np.zeros((468, 2), np.float32)
    geometry = Geometry(points, points[:5], 0, 0, 0, 1, np.zeros((112, 112, 3), np.uint8))
    quality = Quality(Grade.HIGH, (), 120, 50, 0.1, 120, 1)
    seen = Observation(frame, FaceDetection(BOX, points[:6], 0.9), geometry, quality, None, probe)
    evidence = Evidence(at_s, Grade.HIGH, (), BOX, points, 0.99, probe, 0)
    return Presentation(name, at_s - 0.5, (evidence,), seen, probe, 0.99, (), 5, 0.4)


@contextmanager
def standing(folder: Path, settings: Settings | None = None) -> Iterator[Stand]:
    """Give a reception with its files in this folder."""
    with ExitStack() as opening:
        yield Stand(folder, opening, settings or Settings())
