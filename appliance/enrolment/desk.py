"""Guided enrolment at this door: one newcomer at a time, from the frames that the door's own pipeline has read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from appliance.contract import EventType, Hint, Reason
from appliance.enrolment.guided import LIMIT_S, Glimpse, Pose, Session, View, Why, advance, glimpse, stop
from appliance.errors import ApplianceError, RefusedError
from appliance.people.enrolment import (
    CLI,
    NOTHING_SAID,
    Enrolled,
    Particulars,
    checked,
    checked_consent,
    checked_name,
    enrol_looks,
)
from appliance.people.person import Source
from appliance.people.references import Look
from appliance.records import Event, Grade

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.people.gallery import Gallery
    from appliance.people.person import Consent
    from appliance.people.recorded import EventSink
    from appliance.people.references import Standard
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules
    from appliance.records import Actor, Embedding, FaceDetection, Frame, Presentation

WAITED_S = 1.0  # for a frame beyond the limit, which would end it well
IN_WORDS = {
    Why.ATTACK: "it is not a living face; nobody is enrolled from a picture",
    Why.TIME: f"after {LIMIT_S:.0f} s too few views were seen of one living person alone",
    Why.STOPPED: "it was stopped",
}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who is to be enrolled, as whoever asked for it has said."""

    name: str
    consent: Consent
    particulars: Particulars = NOTHING_SAID
    accept_alike: bool = False  # an admin answers for a twin of somebody enrolled
    source: Source = Source.DOOR
    actor: Actor = CLI
    method: str = "cli"


@dataclass(frozen=True, slots=True)
class Told:
    """How far it has come. The last one says whom it enrolled, or why nobody."""

    hint: Hint
    views: int
    enrolled: Enrolled | None = None
    refused: str = ""  # one line

    @property
    def ended(self) -> bool:
        """Whether nothing more will be told."""
        return self.enrolled is not None or bool(self.refused)


class Templates(Protocol):
    """Reads a template from one whole frame, better than from one crop in passing."""

    def template(self, frame: Frame, face: FaceDetection, /) -> Embedding | None:
        """Return the template; None where the model gave none."""
        ...


@dataclass(slots=True)
class _Course:
    """The enrolment that is going on."""

    newcomer: Newcomer
    hear: Callable[[Told], None]
    session: Session
    redeem: Callable[[], None]
    looks: dict[Pose, Look] = field(default_factory=dict)  # of the session's views


class GuidedDesk:
    """Belongs to the loop's thread; `clock` is the frames' own. `portrait` gives what is kept where consent allows it.

    While it is busy nobody is decided about. Views are in memory only, until the person is enrolled or it has ended.
    """

    def __init__(
        self,
        gallery: Gallery,
        audit: EventSink,
        templates: Templates,
        *,
        standard: Standard,
        rules: Rules,
        near_px: float,
        portrait: Callable[[Step], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._gallery = gallery
        self._audit = audit
        self._templates = templates
        self._standard = standard
        self._rules = rules
        self._near_px = near_px
        self._portrait = portrait
        self._clock = clock
        self._course: _Course | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is being enrolled."""
        return self._course is not None

    @property
    def hint(self) -> Hint | None:
        """What the person is told now; None while nobody is enrolled."""
        return None if self._course is None else self._course.session.hint

    def begin(
        self, newcomer: Newcomer, hear: Callable[[Told], None], redeem: Callable[[], None] = lambda: None
    ) -> None:
        """Start; `hear` is told of every change, and at the last of how it ended.

        `redeem` is called before anybody is enrolled; where it raises RefusedError, nobody is.
        Raises RefusedError where somebody else is being enrolled, and for a newcomer who could not be taken.
        """
        if self._course is not None:
            raise RefusedError("somebody is being enrolled at this door already")
        checked_name(newcomer.name, "name")
        checked_consent(newcomer.consent)
        checked(newcomer.particulars)
        self._course = _Course(newcomer, hear, Session(self._clock()), redeem)
        hear(Told(self._course.session.hint, 0))

    def see(self, step: Step, at_s: float) -> None:
        """Take in what the frame of this time came to. Raises StorageError where somebody cannot be written down."""
        course = self._course
        if course is None:
            return
        session = advance(course.session, glimpse(step, at_s, self._rules, self._near_px))
        have = {view.pose for view in session.views}
        course.looks = {pose: look for pose, look in course.looks.items() if pose in have}
        if len(session.views) > len(course.looks) and step.presentation is not None:
            course.looks[session.views[-1].pose] = self._read(step, step.presentation, session.views[-1])
        self._note(course, session, step.presentation)

    def tick(self) -> None:
        """End what is over its time, also when no frame comes any more."""
        course = self._course
        if course is not None and self._clock() >= course.session.began_s + LIMIT_S + WAITED_S:
            self._note(course, advance(course.session, Glimpse(self._clock())), None)

    def stop(self) -> None:
        """End what is going on, if anything is, without a person."""
        if self._course is not None:
            self._note(self._course, stop(self._course.session), None)

    def _read(self, step: Step, visit: Presentation, view: View) -> Look:
        """Read the view that was just taken once more, as well as a photo is read."""
        template = self._templates.template(visit.latest.frame, visit.latest.detection) or view.embedding
        keeps = self._course is not None and self._course.newcomer.consent.photos
        return Look(f"the view {view.pose}", template, Grade.HIGH, (), self._portrait(step) if keeps else b"")

    def _note(self, course: _Course, session: Session, visit: Presentation | None) -> None:
        """Tell of what has changed, and enrol where it is complete."""
        before, course.session = course.session, session
        if not session.ended:
            if session.hint is not before.hint or len(session.views) != len(before.views):
                course.hear(Told(session.hint, len(session.views)))
            return
        self._course = None
        if session.refused is Why.ATTACK:
            self._say_attack(course.newcomer, visit)
        if session.refused is not None:
            course.hear(Told(session.hint, 0, refused=IN_WORDS[session.refused]))
        else:
            self._enrol(course)

    def _enrol(self, course: _Course) -> None:
        newcomer, looks = course.newcomer, tuple(course.looks.values())
        try:
            course.redeem()
            enrolled = enrol_looks(
                self._gallery,
                self._audit,
                looks,
                newcomer.name,
                consent=newcomer.consent,
                standard=dataclasses.replace(self._standard, accept_alike=newcomer.accept_alike),
                particulars=newcomer.particulars,
                source=newcomer.source,
                actor=newcomer.actor,
                method=newcomer.method,
            )
        except ApplianceError as fault:
            course.hear(Told(Hint.ENROLMENT, 0, refused=str(fault)))
            if not isinstance(fault, RefusedError):
                raise
            return
        course.hear(Told(Hint.ENROLLED, len(looks), enrolled))

    def _say_attack(self, newcomer: Newcomer, visit: Presentation | None) -> None:
        event = Event(
            EventType.SPOOF_SUSPECTED,
            datetime.now(UTC),
            newcomer.actor,
            newcomer.method,
            reason=Reason.LIVENESS_FAILED,
            presentation_id="" if visit is None else visit.presentation_id,
            detail="at an enrolment, which was refused",
        )
        self._audit.append(event)
