"""The recorder writes a trace: JSON lines in a file of its own, while somebody asks for it."""

from __future__ import annotations

import itertools
import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from appliance import manifest
from appliance.commissioning.clearance import clearance
from appliance.errors import ApplianceError, UsageError
from appliance.people.calibration import as_visits, own_tail
from appliance.people.gallery import Gallery
from appliance.pipeline.matching import operating_point
from appliance.records import Deny, Grant, Refer
from appliance.trace.lines import JUDGED_OF, Conditions, Full, Happening, Judgement, Look, Person, in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.access.subject import Subject
    from appliance.access.verdict import Judged
    from appliance.commands.options import Installation
    from appliance.config import DoorSettings, Settings
    from appliance.contract import Reason
    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Decision, Event, Frame, OperatingPoint, Presentation, Wait
    from appliance.trace.lines import Line

_log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
# Other values of these would give other scores than those that were written down.
SCORED_BY = (
    "recognition.detector",
    "recognition.embedder",
    "recognition.min_face_px",
    "recognition.reading_s",
    "liveness.models",
    "liveness.min_face_px",
)
TIMED_BY = ("unlock_s", "relock", "extended_s", "held_open_s", "warning_s", "rex", "on_fire")


class Trace:
    """Writes what it is told into a new file at `path`, mode 0600, until that is full or cannot be written.

    It never raises once it is open: the door's work does not depend on it. Belongs to the loop's thread.
    Raises UsageError where the file exists or cannot be made.
    """

    def __init__(self, path: Path, describe: Callable[[], Conditions], max_bytes: int = MAX_BYTES) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise UsageError(f"trace {path} cannot be written: {fault.strerror}") from fault
        self._path = path
        self._describe = describe
        self._left = max_bytes
        self._conditions: Conditions | None = None
        self._point: OperatingPoint | None = None
        self._visit = ""  # the latest; nobody is judged in the first frame of a visit
        self._writing = True

    def close(self) -> None:
        """Close the file; what is told afterwards is dropped."""
        self._writing = False
        os.close(self._descriptor)

    def look(self, _frame: Frame, step: Step, point: OperatingPoint) -> None:
        """Note what one frame came to."""
        if not self._writing or step.presentation is None:
            return
        self._note_conditions(point)
        visit = step.presentation
        self._visit = visit.presentation_id
        self._write(lambda: _look(step, visit, point))

    def verdict(self, judged: Judged) -> None:
        """Note a verdict of the rules about the visit that is going on."""
        self._write(lambda: _judgement(judged, self._visit))

    def event(self, sealed: AuditEvent) -> None:
        """Note an event."""
        if self._conditions is None:
            self._write(self._described)
        self._write(lambda: _happening(sealed.event))

    def _note_conditions(self, point: OperatingPoint) -> None:
        """Write down what has changed of the conditions; that the threshold is another than they give shows it."""
        if point == self._point:
            return
        self._point = point
        if self._conditions is None or threshold_of(self._conditions, point).threshold != point.threshold:
            self._write(self._described)

    def _described(self) -> Conditions:
        self._conditions = self._describe()
        return self._conditions

    def _write(self, line: Callable[[], Line]) -> None:
        """Write a line; the first that cannot be made, or written, is the end of the trace."""
        if not self._writing:
            return
        try:
            text, end = _as_bytes(line()), _as_bytes(Full(at=datetime.now(UTC)))
            fits = len(text) + len(end) <= self._left
            self._left -= len(text)
            whole = os.write(self._descriptor, text if fits else end) == len(text if fits else end)
            self._writing = fits and whole
        except (ApplianceError, OSError, ValueError) as fault:
            self._writing = False
            _log.warning("trace %s ends here: %s", self._path, str(fault).splitlines()[0])
            return
        if not self._writing:
            _log.warning("trace %s is full; nothing more is written into it", self._path)


def _as_bytes(line: Line) -> bytes:
    return line.model_dump_json().encode() + b"\n"


def conditions_of(installation: Installation) -> Conditions:
    """Return what the frames of this installation are read with, from now on. Raises ApplianceError."""
    settings = installation.settings
    cleared = clearance(installation)
    entry = manifest.embedder(settings.recognition, installation.models_folder)
    with Gallery(installation.gallery_file) as gallery:
        own = own_tail(gallery, entry.model_id)
    return Conditions(
        at=datetime.now(UTC),
        device_id=settings.device.id,
        door=settings.device.door,
        cleared=cleared.face_only and not cleared.skipped,
        settings=scored_by(settings),
        times=timed_by(settings.door),
        model_id=entry.model_id,
        measured=entry.measured.door,
        own=None if own is None else as_visits(own, entry.measured),
    )


def scored_by(settings: Settings) -> dict[str, str | float]:
    """Return the settings that scores depend on, by key."""
    sections = settings.model_dump(include={"recognition", "liveness"})
    found = {key: sections[key.partition(".")[0]][key.partition(".")[2]] for key in SCORED_BY}
    return {key: value if isinstance(value, str) else float(value) for key, value in found.items()}


def timed_by(settings: DoorSettings) -> dict[str, str | float]:
    """Return the settings that a door's alarms depend on, by key."""
    return settings.model_dump(include=set(TIMED_BY))


def threshold_of(conditions: Conditions, point: OperatingPoint) -> OperatingPoint:
    """Return the operating point that these conditions give for a point's target, margin and gallery size."""
    target, size, margin = point.target_fpir, point.gallery_size, point.margin
    return operating_point(conditions.measured, target, size, margin, conditions.own)


def _look(step: Step, visit: Presentation, point: OperatingPoint) -> Look:
    newest = visit.latest
    alone = sum(1 for _ in itertools.takewhile(lambda one: not one.others, reversed(visit.evidence)))
    answer, reason, person = _answer(step.decision)
    return Look(
        at=datetime.now(UTC),
        visit=visit.presentation_id,
        read_for_s=visit.read_for_s,
        seen=len(visit.evidence),
        alone=alone,
        frames_read=visit.frames_read,
        read_span_s=visit.read_span_s,
        fresh=newest.embedding is not None and newest.liveness is not None,
        bona_fide=float(visit.bona_fide),
        cues=visit.cues,
        flaws=visit.evidence[-1].flaws,
        candidates=tuple(
            (one.person_id, float(one.similarity), float(one.rival)) for one in step.candidates[:JUDGED_OF]
        ),
        size=point.gallery_size,
        answer=answer,
        reason=reason,
        person=person,
    )


def _happening(event: Event) -> Happening:
    who = f"{event.actor.kind} {event.actor.id}" if event.actor is not None else ""
    return Happening(
        at=event.at, event_type=event.event_type, reason=event.reason, who=who, visit=event.presentation_id
    )


def _answer(decision: Decision | Wait) -> tuple[Literal["grant", "deny", "refer", "wait"], Reason | None, str]:
    match decision:
        case Grant(person_id=person_id):
            return "grant", None, person_id
        case Deny(reason=reason):
            return "deny", reason, ""
        case Refer(reason=reason):
            return "refer", reason, ""
    return "wait", None, ""


def _judgement(judged: Judged, visit: str) -> Judgement:
    standing = judged.standing
    passage = standing.passage
    return Judgement(
        at=judged.moment.at,
        visit=visit,
        person=_person(judged.subject),
        clock_set=judged.moment.clock_set,
        door=standing.door,
        factors=tuple(sorted(standing.factors)),
        lockdown=standing.lockdown,
        doubt=standing.doubt,
        passed=None if passage is None else (passage.side, passage.at),
        companions=tuple(map(_person, standing.companions)),
        verdict=in_words(judged.verdict),
    )


def _person(subject: Subject) -> Person:
    return Person(
        id=subject.person_id,
        status=subject.status,
        valid_from=subject.valid_from,
        valid_until=subject.valid_until,
        groups=tuple(sorted(subject.groups)),
        always=subject.always,
        extended=subject.extended,
        factor=subject.factor,
    )
