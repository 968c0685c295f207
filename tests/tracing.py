"""A trace without a camera: visits made up number by number, decided about as at the door, written by the recorder."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.judge import judge
from appliance.access.schedule import Moment
from appliance.access.verdict import Judged, Standing
from appliance.config import Settings
from appliance.manifest import Impostors
from appliance.pipeline import Step
from appliance.pipeline.matching import operating_point
from appliance.pipeline.policy import configured, decide
from appliance.pipeline.presentation import Presentations
from appliance.records import Candidate
from appliance.trace.lines import Conditions
from appliance.trace.recorder import MAX_BYTES, Trace, scored_by, timed_by
from tests.pipeline.faces import live_walk, observation

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.access.rules import Rules
    from appliance.access.subject import Subject
    from appliance.records import OperatingPoint

ADA, BO = "ada0" * 8, "b0b0" * 8
SETTINGS = Settings.model_validate({"liveness": {"commissioned": "skipped"}})
MONDAY = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
MEASURED = Impostors(
    data="a test", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.04, tail_scale_ci95=(0.03, 0.05)
)
CONDITIONS = Conditions(
    at=MONDAY,
    device_id="ostiary",
    door="front",
    cleared=False,
    settings=scored_by(SETTINGS),
    times=timed_by(SETTINGS.door),
    model_id="test-8",
    measured=MEASURED,
    own=None,
)


def point_for(size: int, settings: Settings = SETTINGS) -> OperatingPoint:
    """Return the operating point of these settings."""
    return operating_point(MEASURED, settings.recognition.target_fpir, size, settings.recognition.margin)


def steps(
    *candidates: Candidate, bona_fide: float = 0.8, frames: int = 20, size: int = 100, others: int = 0
) -> list[Step]:
    """Return what a visit comes to, frame by frame, under `SETTINGS`."""
    presentations = Presentations(SETTINGS.recognition.reading_s)
    rules = configured(SETTINGS, face_only=True)
    found = []
    for at_s, embedding in live_walk(frames):
        seen = presentations.observe(observation(at_s, embedding, bona_fide, others=others))
        found.append(Step((), seen, candidates, decide(seen, candidates, point_for(size), rules)))
    return found


def ada(similarity: float = 0.7, rival: float = 0.1) -> Candidate:
    """Return Ada as a candidate."""
    return Candidate(ADA, "r", similarity, rival)


class Recording:
    """A trace in the file at `path`, as a reader would have written it."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self.trace = Trace(path, lambda: CONDITIONS, max_bytes)

    def visit(self, seen: list[Step], size: int = 100) -> None:
        """Write the frames of a visit."""
        for step in seen:
            assert step.presentation is not None
            self.trace.look(step.presentation.latest.frame, step, point_for(size))

    def judged(self, subject: Subject, rules: Rules | None, at: datetime, standing: Standing) -> None:
        """Write a verdict about the visit."""
        moment = Moment(at, clock_set=True)
        self.trace.verdict(Judged(subject, moment, standing, judge(subject, rules, moment, standing)))

    def lines(self) -> list[str]:
        """Close the trace and return its lines."""
        with closing(self.trace):
            return self.path.read_text(encoding="utf-8").splitlines()
