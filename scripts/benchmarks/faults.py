"""A disk that fails under a running reader, at its n-th write and for each n: what is opened, lost or half done.

The reader is the service itself on a disk of ours (`tests/durability/disk.py`), with a real controller behind it. In
each round somebody comes and is let in, somebody is enrolled, somebody erased and an event sealed, so often that the
n-th write comes; after the disk is well again one more round must go as if nothing had been.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np

from appliance.commands.options import Installation
from appliance.config import CameraSettings, DoorSettings, LivenessSettings, RecognitionSettings, Settings
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Visit
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.errors import DoorError, StorageError
from appliance.people.gallery import Consent
from appliance.records import Embedding, Event, Grade, frozen
from appliance.service import Hooks, Service
from tests.durability.cuts import SCRATCH
from tests.durability.disk import WRITES, Disk, Fails, no_fault

from . import report
from .endless import DIMENSION, HEIGHT_PX, NEAR, RATE, WIDTH_PX, Film, answer_again, enrol_astronaut
from .kills import Outcome as Judged
from .kills import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.people.gallery import Gallery
    from appliance.records import AuditEvent

_VISIT = Visit(face="astronaut", for_s=2.4, nearness=NEAR)
_EMPTY = 40  # frames of nobody before each visit
_ROUND = _EMPTY + round(_VISIT.for_s * RATE)  # frames
_REST_S = 0.3  # a lock that has locked is not unlocked sooner
_FEW = 3  # people who stay
_TIMES = 5  # that everything is done in a round: some 300 writes
_TELL_EVERY = 50
_MOST = 10**9  # frames: the trials end by themselves


@dataclass(frozen=True, slots=True)
class Kind:
    """How the disk fails: at one request of these, and with `until_healed` at all that follow."""

    name: str
    verbs: tuple[str, ...]
    code: int
    until_healed: bool


KINDS = (
    Kind("full (ENOSPC), until there is room", ("xWrite",), apsw.SQLITE_FULL, until_healed=True),
    Kind("one write fails (EIO)", WRITES, apsw.SQLITE_IOERR_WRITE, until_healed=False),
    Kind("all writes and syncs fail (EIO)", (*WRITES, "xSync"), apsw.SQLITE_IOERR_WRITE, until_healed=True),
)


@dataclass
class Outcome:
    """What the trials of one kind showed."""

    met: int = 0  # faults that came
    refused: int = 0  # changes that were refused while the disk was bad
    made: int = 0  # changes that were acknowledged while it was bad, or before
    log: Judged = field(default_factory=Judged)  # what the lock did, against the audit log
    faults: list[str] = field(default_factory=list)


def run(writes: int) -> int:
    """Let each of so many writes fail in each way, and print what came of it; 1 where anything went wrong."""
    rows, line, wrong = [], dict[str, Any]({"bench": "faults", "writes": writes}), list[str]()
    for kind in KINDS:
        outcome = fail(kind, writes)
        wrong += [f"{kind.name}: {fault}" for fault in outcome.faults]
        counts = (outcome.met, outcome.refused, outcome.made, outcome.log.pulses, outcome.log.entries)
        rows.append((kind.name, *(f"{count:,}" for count in counts), str(len(outcome.faults))))
        words = ("met", "refused", "made", "pulses", "entries", "faults")
        line[kind.name] = dict(zip(words, (*counts, len(outcome.faults)), strict=True))
    columns = (
        "disk",
        "faults met",
        "changes refused",
        "changes made",
        "pulses, each written before",
        "entries",
        "wrong",
    )
    report.show(f"the n-th request fails under a running reader, n from 1 to {writes}", columns, rows)
    report.name("things went wrong", wrong)
    report.finish(line)
    return 1 if wrong else 0


def fail(kind: Kind, writes: int) -> Outcome:
    """Return what came of a disk that fails so at its first, second, ... request."""
    settings = Settings(
        camera=CameraSettings(width_px=WIDTH_PX, height_px=HEIGHT_PX),
        liveness=LivenessSettings(commissioned="skipped", min_face_px=60),
        recognition=RecognitionSettings(cool_down_s=2.5),
        door=DoorSettings(unlock_s=0.5),
    )
    outcome, film = Outcome(), Film(_MOST, (_VISIT,), _EMPTY)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as made, tempfile.TemporaryDirectory(dir=SCRATCH) as elsewhere:
        installation, disk = Installation(settings, Path(made), None), Disk(Path(made))
        model_id = enrol_astronaut(installation)
        with simulated_controller(Path(elsewhere)) as door, disk.mounted(), _bugs(outcome.faults):
            trials = _Trials(kind, Plan(writes, model_id), disk, film, outcome)
            hooks = Hooks(on_event=trials.hear, on_turn=trials.turn)
            trials.service = service = Service(installation.with_controller(door), film, hooks)
            service.link.connect(5.0)
            answer_again(service, film)
            service.run()
        _look(installation, model_id, SimulatedDoorObserver(Path(elsewhere) / "simulated-door"), outcome)
    return outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried."""

    writes: int  # each of so many requests fails
    model_id: str  # of the templates


class _Trials:
    """Arms the disk, works beside the visits, and looks at what is left; all in the loop's thread."""

    service: Service

    def __init__(self, kind: Kind, plan: Plan, disk: Disk, film: Film, outcome: Outcome) -> None:
        self._kind, self._plan, self._disk, self._film, self._outcome = kind, plan, disk, film, outcome
        self._round = 0
        self._number = 0  # of the request that fails in the present trial
        self._fails: Fails | None = None  # while the disk is not well
        self._bad_rounds = 0  # since it failed
        self._people: set[str] = set()  # who was enrolled here, and not erased
        self._doubtful: set[str] = set()  # of those: whose erasure was refused
        self._granted = self._refused = 0  # in this round
        self._chance = np.random.default_rng(1)

    def hear(self, event: AuditEvent) -> None:
        """Count who is let in."""
        self._granted += event.event.event_type is EventType.ACCESS_GRANTED

    def turn(self) -> None:
        """Do what is due: once a round, when the visitor has left."""
        if self._film.sequence < self._round * _ROUND + _EMPTY // 2:
            return
        self._round += 1
        self._work()
        with contextlib.suppress(DoorError):
            self.service.link.lock()
        time.sleep(_REST_S)
        if self._fails is None:
            if self._round > 1:
                self._demand_well()
            self._disk.trace.clear()
            self._number += 1
            if self._number % _TELL_EVERY == 0:
                print(f"{self._kind.name}: {self._number} of {self._plan.writes}", flush=True)
            self._disk.fault = self._fails = Fails(
                self._kind.verbs, self._number, self._kind.code, until_healed=self._kind.until_healed
            )
            if self._number > self._plan.writes:
                self._disk.fault = no_fault
                self.service.stop()
        elif self._fails.left <= 0:
            self._bad_rounds += 1
            if self._bad_rounds > self._kind.until_healed:  # a visit too, where it goes on failing
                self._disk.fault, self._fails, self._bad_rounds = no_fault, None, 0
                self._outcome.met += 1
        self._granted = self._refused = 0

    def _work(self) -> None:
        """Enrol somebody, erase somebody and seal an event; some times over on the way to the request that fails."""
        gallery, ahead = self.service.gallery, self._fails is not None and self._fails.left > 0
        times = _TIMES if ahead else 1
        for change in (self._enrol, self._erase, self._ring) * times:
            try:
                change(gallery)
            except StorageError as fault:
                self._refused += 1
                if "\n" in str(fault):
                    self._outcome.faults.append(f"request {self._number}: refused in more than a line: {fault}")
            else:
                self._outcome.made += 1
        self._outcome.refused += self._refused

    def _enrol(self, gallery: Gallery) -> None:
        template = self._chance.normal(size=DIMENSION).astype(np.float32)
        reference = Embedding(frozen(template / np.linalg.norm(template)), self._plan.model_id)
        agreed = Consent("bench", datetime.now(UTC))
        self._people.add(gallery.add(f"person {self._round}", agreed, [(reference, Grade.HIGH)]).person_id)

    def _erase(self, gallery: Gallery) -> None:
        sure = sorted(self._people - self._doubtful)
        if len(sure) > _FEW:
            self._doubtful.add(sure[0])
            gallery.remove(sure[0])
            self._people.discard(sure[0])
            self._doubtful.discard(sure[0])

    def _ring(self, _gallery: Gallery) -> None:
        self.service.journal.append(Event(EventType.BELL, datetime.now(UTC)))

    def _demand_well(self) -> None:
        """Note what is not as it should be after a round on a disk that is well."""
        found = {one.person_id for one in self.service.gallery.people() if one.name != "astronaut"}
        where = f"after request {self._number}"
        if not self._people - self._doubtful <= found <= self._people:
            self._outcome.faults.append(f"{where}: {len(found ^ self._people)} people differ from what was told")
        if self._granted != 1 or self._refused:
            self._outcome.faults.append(f"{where}: well again, yet {self._granted} grants, {self._refused} refusals")
        self._people, self._doubtful = found, set()


@contextlib.contextmanager
def _bugs(found: list[str]) -> Iterator[None]:
    """Note each turn that fails as only a bug does."""

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    listening = Listening(logging.ERROR)
    logging.getLogger("appliance").addHandler(listening)
    try:
        yield
    finally:
        logging.getLogger("appliance").removeHandler(listening)


def _look(installation: Installation, model_id: str, door: SimulatedDoorObserver, outcome: Outcome) -> None:
    """Look at everything once more with Python's own SQLite, and hold every pulse against the log."""
    judge(installation, door, outcome.log)
    outcome.faults += outcome.log.faults
    for path in installation.state.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as db:
            if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                outcome.faults.append(f"{path.name}: {found}")
    with installation.open_gallery() as gallery:
        outcome.faults += [str(one) for one in gallery.findings(model_id, DIMENSION)]
