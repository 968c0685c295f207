"""An appliance's databases at work, one change after the other, and what they say of themselves."""

from __future__ import annotations

import random
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from appliance.access.ledger import LEDGER, Ledger
from appliance.access.passback import Passage, Side
from appliance.access.subject import Status, Subject
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.people.gallery import Consent, Gallery
from appliance.people.person import Source
from appliance.records import Embedding, Event, Grade
from appliance.storage import named_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from appliance.people.gallery import Details
    from appliance.people.keyring import Tombstone
    from appliance.records import AuditEvent

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
MODEL, D = "m", 8


class People(NamedTuple):
    """Everything that a gallery says."""

    people: tuple[tuple[Details, Hashable, Hashable], ...]  # details, references and photos of each
    vectors: frozenset[tuple[str, str, bytes]]  # person, reference and numbers
    findings: Hashable  # what is wrong with any reference
    erased: tuple[Tombstone, ...]


class Kept(NamedTuple):
    """Everything that the databases of one appliance say, each in its own words."""

    gallery: People
    audit: tuple[tuple[AuditEvent, ...], int | None]  # every entry, and where the chain breaks
    ledger: tuple[frozenset[Hashable], str, tuple[tuple[str, str], ...]]  # who passed, the day, the passes used


class Appliance:
    """The databases in one folder. Raises StorageError as they do."""

    def __init__(self, folder: Path) -> None:
        self._open = ExitStack()
        try:
            self.gallery = self._open.enter_context(open_gallery(folder))
            self.audit = self._open.enter_context(open_audit(folder))
            self.ledger = self._open.enter_context(open_ledger(folder))
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self._open.close()

    def kept(self) -> Kept:
        """Return everything that the databases say; of what is damaged or half there, that it is."""
        return Kept(gallery_says(self.gallery), audit_says(self.audit), ledger_says(self.ledger))


def open_gallery(folder: Path) -> Gallery:
    """Return the gallery in this folder."""
    return Gallery(folder / "gallery.db")


def open_audit(folder: Path) -> AuditLog:
    """Return the audit log in this folder."""
    return AuditLog(folder / "audit.db", "ostiary", "front")


def open_ledger(folder: Path) -> Ledger:
    """Return the ledger in this folder."""
    return Ledger(folder / "ledger.db")


def gallery_says(gallery: Gallery) -> People:
    """Return everybody with everything kept of them."""
    seen = gallery.snapshot(MODEL, D)
    rows = zip(seen.person_ids, seen.reference_ids, seen.matrix, strict=True)
    vectors = frozenset((person_id, reference_id, row.tobytes()) for person_id, reference_id, row in rows)
    ids = [person.person_id for person in gallery.people()]
    people = tuple((gallery.details(one), gallery.references(one), gallery.photos(one)) for one in ids)
    return People(people, vectors, gallery.findings(MODEL, D), gallery.tombstones())


def audit_says(audit: AuditLog) -> tuple[tuple[AuditEvent, ...], int | None]:
    """Return every entry, and where the chain breaks."""
    return tuple(audit.read()), audit.verify().first_bad


def ledger_says(ledger: Ledger) -> tuple[frozenset[Hashable], str, tuple[tuple[str, str], ...]]:
    """Return who passed, the day, and the passes that are used."""
    passages: frozenset[Hashable] = frozenset((person_id, ledger.passage(person_id)) for person_id in ledger.people())
    with named_faults(LEDGER, ledger.path):
        used = tuple(ledger._db.execute("SELECT * FROM used_pass ORDER BY pass_id").fetchall())
    return passages, ledger.begun(), used


class Work:
    """Changes of every kind, in an order that chance gives and anybody can have again."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - an order, not a secret
        self._at = 0
        self._of_people: tuple[Callable[[Appliance], None], ...] = (
            self.enrol,
            self.enrol,
            self.enrol_two,
            self._set_rights,
            self._set_pin,
            self._set_details,
            self._add_reference,
            self._withdraw,
            self._seen,
            self._turn,
            self.erase,
            self.erase,
            self.erase,
        )
        self._of_days: tuple[Callable[[Appliance], None], ...] = (
            self.happen,
            self.happen,
            self._pass_used,
            self._person_passed,
            self._passage_forgotten,
            self.day,
        )

    def change(self, appliance: Appliance) -> None:
        """Make one change; it is acknowledged when this returns."""
        self._at += 1
        kind = self._of_people if self._chance.random() < 0.4 else self._of_days
        self._chance.choice(kind)(appliance)

    def change_all(self, appliance: Appliance) -> None:
        """Make one change in each of the files."""
        self._at += 1
        for change in (self.enrol, self.happen, self.day):
            change(appliance)

    def _somebody(self, appliance: Appliance) -> str | None:
        people = sorted(person.person_id for person in appliance.gallery.people())
        return self._chance.choice(people) if people else None

    def enrol(self, appliance: Appliance) -> None:
        """Enrol somebody with one to three references and a photo."""
        references = [self._reference() for _ in range(self._chance.randint(1, 3))]
        photo = self._chance.randbytes(600)
        appliance.gallery.add(f"person {self._at}", Consent("Ada", NOON, photos=True), references, photos=[photo])

    def _reference(self) -> tuple[Embedding, Grade]:
        row = np.random.default_rng(self._chance.randrange(2**32)).normal(size=D)
        return Embedding((row / np.linalg.norm(row)).astype(np.float32), MODEL), Grade.HIGH

    def enrol_two(self, appliance: Appliance) -> None:
        """Enrol two people in one change."""
        with appliance.gallery.transaction():
            self.enrol(appliance)
            self.enrol(appliance)

    def erase(self, appliance: Appliance) -> None:
        """Erase somebody, where there is anybody."""
        if person_id := self._somebody(appliance):
            appliance.gallery.remove(person_id)

    def _set_rights(self, appliance: Appliance) -> None:
        if person_id := self._somebody(appliance):
            status = self._chance.choice(tuple(Status))
            appliance.gallery.set_access(Subject(person_id, "", status, groups=frozenset({f"group {self._at}"})))

    def _set_pin(self, appliance: Appliance) -> None:
        if person_id := self._somebody(appliance):
            appliance.gallery.set_pin(person_id, f"hash {self._at}", "")

    def _set_details(self, appliance: Appliance) -> None:
        if person_id := self._somebody(appliance):
            appliance.gallery.set_details(person_id, notes=f"note {self._at}", tags=[f"tag {self._at}"])

    def _add_reference(self, appliance: Appliance) -> None:
        for person in appliance.gallery.people():
            if not person.withdrawn:
                appliance.gallery.add_references(person.person_id, [self._reference()], source=Source.DOOR)
                return

    def _withdraw(self, appliance: Appliance) -> None:
        if person_id := self._somebody(appliance):
            appliance.gallery.withdraw(person_id, NOON)

    def _seen(self, appliance: Appliance) -> None:
        if person_id := self._somebody(appliance):
            appliance.gallery.seen(person_id, NOON.date() + timedelta(self._at))

    def _turn(self, appliance: Appliance) -> None:
        appliance.gallery.renew_protection()

    def happen(self, appliance: Appliance) -> None:
        """Seal an event."""
        event = Event(EventType.BELL, NOON + timedelta(seconds=self._at), detail="x" * self._chance.randrange(3000))
        appliance.audit.append(event)

    def _pass_used(self, appliance: Appliance) -> None:
        appliance.ledger.use(f"pass {self._at}", LATER)

    def _person_passed(self, appliance: Appliance) -> None:
        side = self._chance.choice(tuple(Side))
        appliance.ledger.passed(f"person {self._chance.randrange(4)}", Passage(side, NOON + timedelta(self._at)))

    def _passage_forgotten(self, appliance: Appliance) -> None:
        appliance.ledger.forget(f"person {self._chance.randrange(4)}")

    def day(self, appliance: Appliance) -> None:
        """Begin a day."""
        appliance.ledger.begin_day(f"day {self._at}")
