"""Replay: what was seen is decided about again under other settings, by the same functions that decide at the door."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from appliance.access.judge import judge
from appliance.access.schedule import Moment
from appliance.config import DoorSettings
from appliance.pipeline.matching import operating_point
from appliance.pipeline.policy import configured, decide
from appliance.records import (
    Candidate,
    Deny,
    Embedding,
    Evidence,
    FaceDetection,
    Frame,
    Geometry,
    Grade,
    Grant,
    Liveness,
    Observation,
    Presentation,
    Quality,
    Refer,
    Wait,
    frozen,
)
from appliance.trace.door import DoorReplay
from appliance.trace.lines import Conditions, Happening, Judgement, Look, in_words, standing_of, subject_of
from appliance.trace.recorder import scored_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from appliance.access.rules import Rules as AccessRules
    from appliance.config import Settings
    from appliance.records import Decision, OperatingPoint
    from appliance.trace.lines import Line

# In the place of what a trace does not hold and policy does not look at.
_NO_NUMBERS = frozen(np.empty(0, np.float32))
_NO_PIXELS = frozen(np.empty((0, 0, 3), np.uint8))
_FACE = FaceDetection(_NO_NUMBERS, _NO_NUMBERS, math.nan)
_GEOMETRY = Geometry(_NO_NUMBERS, _NO_NUMBERS, math.nan, math.nan, math.nan, math.nan, _NO_PIXELS)
_ALONE, _BESIDE = (Evidence(math.nan, Grade.LOW, (), _NO_NUMBERS, _NO_NUMBERS, None, None, others) for others in (0, 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """One decision that would have been another."""

    at: datetime
    visit: str  # presentation id; "" where none is known
    person: str  # id; "" for nobody
    was: str
    would_be: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay came to."""

    differences: tuple[Difference, ...]  # oldest first
    visits: int
    frames: int
    verdicts: int  # of the rules of access, judged again
    moved_s: tuple[float, ...]  # by how much the same decision of a visit would have come later; negative is sooner
    notes: tuple[str, ...]  # what could not be replayed, one line each

    def in_words(self) -> str:
        """Return one line."""
        later, sooner = ([abs(one) for one in self.moved_s if (one > 0) is way] for way in (True, False))
        line = f"{self.visits} visits, {self.frames} frames, {self.verdicts} verdicts of the rules: "
        parts = [f"{len(self.differences)} would differ"]
        for moved, way in ((later, "later"), (sooner, "sooner")):
            if moved:
                parts.append(f"{len(moved)} the same, but {way} (median {statistics.median(moved):.2f} s)")
        return line + "; ".join(parts)


@dataclass(slots=True)
class _Visit:
    """What was and would be decided first about a visit."""

    at: datetime
    was: Decision | None = None
    would_be: Decision | None = None
    was_s: float = math.nan
    would_be_s: float = math.nan
    last_s: float = 0.0


@dataclass
class TraceReplay:
    """Takes the lines of a trace, in their order, and decides about each again. `access` None leaves verdicts out."""

    settings: Settings
    access: AccessRules | None
    _conditions: Conditions | None = None
    _visits: dict[str, _Visit] = field(default_factory=dict)
    _doors: tuple[DoorReplay, DoorReplay] | None = None  # as it was, and as it would be
    _events: list[Happening] = field(default_factory=list)
    _differences: list[Difference] = field(default_factory=list)
    _points: dict[int, OperatingPoint] = field(default_factory=dict)  # by size of the gallery
    _notes: dict[str, None] = field(default_factory=dict)
    _frames: int = 0
    _verdicts: int = 0

    def take(self, line: Line) -> None:
        """Take one line. Raises ValueError for a frame before any conditions."""
        match line:
            case Conditions():
                self._begin(line)
            case Look():
                self._look(line)
            case Judgement():
                self._judge(line)
            case Happening() if self._doors is not None:
                self._events.append(line)
                for door in self._doors:
                    door.take(line)

    def outcome(self) -> Outcome:
        """Return what all of it came to."""
        differences = [*self._differences, *(_differing(key, visit) for key, visit in self._visits.items())]
        differences += self._alarms()
        moved = [visit.would_be_s - visit.was_s for visit in self._visits.values() if visit.was == visit.would_be]
        return Outcome(
            tuple(sorted((one for one in differences if one is not None), key=lambda one: one.at)),
            len(self._visits),
            self._frames,
            self._verdicts,
            tuple(one for one in moved if one != 0 and math.isfinite(one)),
            tuple(self._notes),
        )

    def _begin(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._points.clear()
        if self._doors is None:
            was = DoorSettings.model_validate(conditions.times)
            self._doors = DoorReplay(was), DoorReplay(self.settings.door)
        for key, value in scored_by(self.settings).items():
            recorded = conditions.settings.get(key)
            if recorded != value:
                self._notes[f"{key} was {recorded!r}, {value!r} is not replayed: scores are as they were recorded"] = (
                    None
                )
        if not (conditions.cleared or self._skipped):
            self._notes["a face alone opens nothing here: attacks were not tried at this door"] = None

    @property
    def _skipped(self) -> bool:
        return self.settings.liveness.commissioned == "skipped"

    def _look(self, look: Look) -> None:
        if self._conditions is None:
            raise ValueError("a frame stands before the conditions that it was read under")
        self._frames += 1
        visit = self._visits.setdefault(look.visit, _Visit(look.at))
        visit.last_s = look.read_for_s
        was = _recorded(look)
        if visit.was is None and was is not None:
            visit.at, visit.was, visit.was_s = look.at, was, look.read_for_s
        if visit.would_be is None:
            rules = configured(self.settings, face_only=self._conditions.cleared or self._skipped)
            again = decide(presentation_of(look), candidates_of(look), self._point(self._conditions, look.size), rules)
            if not isinstance(again, Wait):
                visit.would_be, visit.would_be_s = again, look.read_for_s

    def _point(self, conditions: Conditions, size: int) -> OperatingPoint:
        if size not in self._points:
            recognition = self.settings.recognition
            self._points[size] = operating_point(
                conditions.measured, recognition.target_fpir, size, recognition.margin, conditions.own
            )
        return self._points[size]

    def _alarms(self) -> Iterator[Difference]:
        """Give each event of the door after which other alarms would have come. The replay ends with it."""
        if self._doors is None:
            return
        for door in self._doors:
            door.end()
        was, would_be = (door.alarms for door in self._doors)
        for number, event in enumerate(self._events, start=1):
            if was[number] != would_be[number]:
                told = (", ".join(alarms[number]) or "no alarm" for alarms in (was, would_be))
                yield Difference(event.at, event.visit, "", *(f"{event.event_type}, then {words}" for words in told))

    def _judge(self, line: Judgement) -> None:
        if self.access is None:
            self._notes["no rules of access are given: their verdicts are not replayed"] = None
            return
        self._verdicts += 1
        moment = Moment(line.at, line.clock_set)
        again = in_words(judge(subject_of(line.person), self.access, moment, standing_of(line)))
        if again != line.verdict:
            self._differences.append(Difference(line.at, line.visit, line.person.id, line.verdict, again))


def presentation_of(look: Look) -> Presentation:
    """Return the visit as policy saw it; of what policy does not look at there is nothing in it."""
    beside = (_BESIDE,) if look.alone < look.seen else ()
    evidence = (*(_ALONE,) * (look.seen - look.alone - len(beside)), *beside, *(_ALONE,) * look.alone)
    newest = replace(evidence[-1], flaws=look.flaws)
    embedding, liveness = (Embedding(_NO_NUMBERS, ""), Liveness(math.nan, "")) if look.fresh else (None, None)
    quality = Quality(Grade.LOW, look.flaws, math.nan, math.nan, math.nan, math.nan, math.nan)
    frame = Frame(_NO_PIXELS, look.read_for_s, 0)
    return Presentation(
        presentation_id=look.visit,
        started_at_s=0.0,
        evidence=(*evidence[:-1], newest),
        latest=Observation(frame, _FACE, _GEOMETRY, quality, liveness, embedding),
        probe=None,
        bona_fide=look.bona_fide,
        cues=look.cues,
        frames_read=look.frames_read,
        read_span_s=look.read_span_s,
    )


def candidates_of(look: Look) -> tuple[Candidate, ...]:
    """Return who the visitor may have been, most alike first."""
    return tuple(Candidate(person, "", similarity, rival) for person, similarity, rival in look.candidates)


def _recorded(look: Look) -> Decision | None:
    if look.answer == "grant":
        return Grant(look.person)
    if look.reason is None or look.answer == "wait":
        return None
    return Deny(look.reason) if look.answer == "deny" else Refer(look.reason)


def _differing(key: str, visit: _Visit) -> Difference | None:
    if visit.was == visit.would_be:
        return None
    persons = [one.person_id for one in (visit.was, visit.would_be) if isinstance(one, Grant)]
    words = (_decided(one, visit.last_s) for one in (visit.was, visit.would_be))
    return Difference(visit.at, key, persons[0] if persons else "", *words)


def _decided(decision: Decision | None, last_s: float) -> str:
    match decision:
        case Grant():
            return "recognised"
        case Deny(reason=reason):
            return f"refused ({reason})"
        case Refer(reason=reason):
            return f"a human is asked ({reason})"
    return f"nothing is decided in the {last_s:.1f} s of the visit"
