"""Referrals: humans are asked about a visitor, and what they say is done. Everything is written down before that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from appliance.attendant import Approved, Awaiting, Denied, Desk, Ended, Refused, Verdict
from appliance.contract import EventType, Hint, Reason
from appliance.errors import RefusedError
from appliance.plain_text import cleaned
from appliance.records import Grade
from appliance.ticket import MAX_CANDIDATES, GradeWord, LivenessWord, Ticket, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.admission import Admission
    from appliance.clerk import Clerk
    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.records import OperatingPoint, Presentation, Refer
    from appliance.rota import Rota

NEAR_MISS = 0.12  # cosine under the threshold down to which a ticket names candidates: a stranger gets no name
SHOW_MOST_S = 2.0  # who was asked to show themselves again is waited for so long; then any view will do
ADVICE_S = 6.0  # how long a visitor whom nobody answered reads what they can do
RETRY_S = 1.0  # a ticket whose end could not be written down is tried again so often
_WORDS: Mapping[Grade, GradeWord] = MappingProxyType({Grade.LOW: "low", Grade.MEDIUM: "medium", Grade.HIGH: "high"})
_FACTOR = frozenset({Reason.SECOND_FACTOR_REQUIRED, Reason.AMBIGUOUS_MATCH})  # settled by a PIN, where there is one


class Outbox(Protocol):
    """Where tickets go."""

    def ask(self, ticket: Ticket, /, *, picture: bool = True) -> None:
        """Show the ticket to the attendants, as it stands now; its picture with it unless they have that."""
        ...

    def tell(self, ticket: Ticket, reason: Reason, by: str, /) -> None:
        """Tell the attendants what became of it."""
        ...


class Visitors(Protocol):
    """Whoever keeps account of the visits."""

    def approved(self, ticket: Ticket, visit: Presentation, /) -> None:
        """Hear that attendants let the visitor of the ticket in."""
        ...

    def kept_out(self, ticket: Ticket, /) -> None:
        """Hear that the visitor of the ticket stays outside."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What an attendant's word came to."""

    error: str = ""  # why it had no effect; "" where it had
    ticket: Ticket | None = None  # as it stands now, or stood last; None where nothing is known of it
    ended: Ended | None = None  # who was first, and with what


@dataclass(frozen=True, slots=True)
class _Advice:
    presentation_id: str
    hint: Hint
    until_s: float


class Referrals:
    """The tickets of one door. Belongs to the loop's thread; `clock` is the frames' own.

    `picture` makes the JPEG of a step's visitor. `by_factor` tells whether one of these people has a PIN or a pass,
    `attends` whether a client may still answer.
    """

    def __init__(
        self,
        settings: Settings,
        clerk: Clerk,
        admission: Admission,
        *,
        outbox: Outbox,
        visitors: Visitors,
        rota: Rota,
        picture: Callable[[Step], bytes],
        by_factor: Callable[[Sequence[str]], bool],
        attends: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._clerk = clerk
        self._admission = admission
        self._outbox = outbox
        self._visitors = visitors
        self._rota = rota
        self._picture = picture
        self._by_factor = by_factor
        self._clock = clock
        self._desk = Desk(settings.attendant.ticket_s, settings.attendant.escalate_s, attends=attends)
        self._advice: _Advice | None = None
        self._retry_s = -math.inf

    @property
    def open_ones(self) -> tuple[Ticket, ...]:
        """The open tickets, oldest first; () for none."""
        return self._desk.tickets

    def of(self, visit: Presentation) -> Ticket | None:
        """Return the open ticket about this visitor; None for none."""
        return self._desk.ticket_of(visit.presentation_id)

    def hint(self, presentation_id: str) -> Hint | None:
        """Return what this visitor is told of their ticket, or of what they can do without; None for nothing."""
        ticket = self._desk.ticket_of(presentation_id)
        if ticket is not None:
            return Hint.ASKING if ticket.view_due_s is None else Hint.SHOW_AGAIN
        advice = self._advice
        heeded = advice is not None and advice.presentation_id == presentation_id and self._clock() < advice.until_s
        return advice.hint if advice is not None and heeded else None

    def said(self, presentation_id: str) -> str:
        """Return what an attendant says to this visitor; "" for nothing."""
        ticket = self._desk.ticket_of(presentation_id)
        return "" if ticket is None else ticket.said

    def refer(self, step: Step, visit: Presentation, refer: Refer, point: OperatingPoint) -> None:
        """Ask the attendants who are on the rota about this visitor; where none is, keep them out at once."""
        groups = self._rota.groups()
        if groups is None:
            self._admission.deny(visit, refer.reason, point, "nobody is asked in quiet hours")
            self._advise(visit.presentation_id, refer.reason, _named(step, point))
            return

        def note(ticket: Ticket) -> None:
            self._clerk.visit(EventType.APPROVAL_REQUESTED, refer.reason, visit, point, ticket_id=ticket.ticket_id)

        ticket = self._desk.open(
            presentation_id=visit.presentation_id,
            reason=refer.reason,
            view=self._view(step, visit, point),
            approvals=self._settings.attendant.approvals(refer.reason),
            groups=groups,
            now_s=self._clock(),
            note=note,
        )
        self._admission.count(visit, refer.reason)
        self._outbox.ask(ticket)
        self._admission.ask(Hint.ASKING)

    def see(self, step: Step, visit: Presentation, point: OperatingPoint) -> None:
        """Take a new view of a visitor who was asked to show themselves again, once it is good, or has been awaited."""
        ticket, now_s = self.of(visit), self._clock()
        if ticket is None or ticket.view_due_s is None or now_s < ticket.view_due_s:
            return
        if visit.latest.quality.grade is not Grade.HIGH and now_s < ticket.view_due_s + SHOW_MOST_S:
            return

        def note(anew: Ticket) -> None:
            detail, ticket_id = f"round {anew.round}", anew.ticket_id
            self._clerk.visit(
                EventType.APPROVAL_REQUESTED, anew.reason, visit, point, ticket_id=ticket_id, detail=detail
            )

        shown = self._desk.show(ticket.ticket_id, self._view(step, visit, point), now_s=now_s, note=note)
        if isinstance(shown, Ticket):
            self._outbox.ask(shown)

    def answer(self, ticket_id: str, by: str, *, approve: bool, visit: Presentation | None) -> Answered:
        """Carry out a verified answer; `visit` is what was before the camera within the freshness deadline.

        An approval opens once, in time, and only while the ticket's own visit is there. Raises StorageError where it
        cannot be written down; then nothing has happened.
        """
        connected = self._admission.connected
        verdict = self._desk.answer(
            ticket_id,
            by,
            approve=approve,
            now_s=self._clock(),
            present=_id_of(visit),
            note=lambda verdict: self._note(verdict, by, connected=connected),
        )
        match verdict:
            case Approved(ticket=ticket) if visit is not None and connected:
                return self._let_in(ticket, visit, by)
            case Approved(ticket=ticket):
                return self._keep_out(ticket, Reason.DEGRADED_MODE, by, "door_fault")
            case Denied(ticket=ticket):
                return self._keep_out(ticket, Reason.OPERATOR_DENIED, by)
            case Awaiting(ticket=ticket):
                self._outbox.ask(ticket, picture=False)
                return Answered(ticket=ticket)
            case Refused(why=why, ticket=Ticket() as ticket):
                return self._keep_out(ticket, Reason.STALE, by, why.value)
            case Refused() as refused:
                return _without_effect(refused)

    def again(self, ticket_id: str, by: str, visit: Presentation | None) -> Answered:
        """Have the visitor of the ticket show themselves once more. Raises as `answer`."""

        def note(anew: Ticket) -> None:
            self._clerk.ticket(anew, by, (EventType.APPROVAL_AGAIN, Reason.OK), detail=f"round {anew.round}")

        anew = self._desk.again(ticket_id, now_s=self._clock(), present=_id_of(visit), note=note)
        if isinstance(anew, Refused):
            return _without_effect(anew)
        self._admission.ask(Hint.SHOW_AGAIN)
        return Answered(ticket=anew)

    def say(self, ticket_id: str, by: str, text: str) -> Answered:
        """Show the visitor of the ticket a line of text, for as long as it is open. Raises as `answer`.

        Raises RefusedError for a text in which there is nothing to be shown.
        """
        line = cleaned(text)
        if not line:
            raise RefusedError("args.text of say holds nothing that can be shown")

        def note(told: Ticket) -> None:
            detail = f"{len(line)} characters"  # of what was said, the log holds no more
            self._clerk.ticket(told, by, (EventType.VISITOR_TOLD, Reason.OK), detail=detail)

        told = self._desk.say(ticket_id, line, now_s=self._clock(), note=note)
        return _without_effect(told) if isinstance(told, Refused) else Answered(ticket=told)

    def tick(self) -> None:
        """Ring whoever is next, and close what ran out of time. Raises StorageError where that cannot be written."""
        now_s = self._clock()
        if now_s < self._retry_s:
            return
        self._retry_s = now_s + RETRY_S  # unless all goes well: with a full disk the door has other things to do
        self._close_until(now_s)
        while (ticket := self._desk.ring(now_s, self._note_ring)) is not None:
            self._outbox.ask(ticket)
        self._retry_s = -math.inf

    def close(self) -> None:
        """Close every open ticket: silence is a refusal, also at the end. Raises as `tick`."""
        self._close_until(math.inf)

    def _close_until(self, now_s: float) -> None:
        while (ticket := self._desk.expire(now_s, self._note_expired)) is not None:
            self._keep_out(ticket, Reason.OPERATOR_TIMEOUT, "")
            self._advise(ticket.presentation_id, ticket.reason, ticket.view.candidates)

    def _let_in(self, ticket: Ticket, visit: Presentation, by: str) -> Answered:
        opened = False
        try:
            opened = self._admission.approve(visit)
        finally:  # whatever went wrong, the attendants are told how it ended
            self._outbox.tell(ticket, Reason.OK if opened else Reason.DEGRADED_MODE, by)
        self._visitors.approved(ticket, visit)
        return Answered("" if opened else "door_fault", ticket)

    def _keep_out(self, ticket: Ticket, reason: Reason, by: str, error: str = "") -> Answered:
        self._outbox.tell(ticket, reason, by)
        self._visitors.kept_out(ticket)
        return Answered(error, ticket)

    def _note(self, verdict: Verdict, by: str, *, connected: bool) -> None:
        """Write down what an answer comes to, before it does."""
        match verdict:
            case Approved(ticket=ticket):
                kind, reason = EventType.ACCESS_GRANTED, Reason.OK
                if not connected:
                    kind, reason = EventType.ACCESS_DENIED, Reason.DEGRADED_MODE
                self._clerk.ticket(ticket, by, (EventType.APPROVAL_GRANTED, Reason.OK), (kind, reason))
            case Awaiting(ticket=ticket):
                detail = f"{len(ticket.approved_by)} of {ticket.approvals}"
                self._clerk.ticket(ticket, by, (EventType.APPROVAL_PARTIAL, Reason.OK), detail=detail)
            case Denied(ticket=ticket):
                why = Reason.OPERATOR_DENIED
                self._clerk.ticket(ticket, by, (EventType.APPROVAL_DENIED, why), (EventType.ACCESS_DENIED, why))
            case Refused(ticket=Ticket() as ticket):
                self._clerk.ticket(ticket, by, (EventType.ACCESS_DENIED, Reason.STALE))

    def _note_expired(self, ticket: Ticket) -> None:
        why = Reason.OPERATOR_TIMEOUT
        self._clerk.ticket(ticket, "", (EventType.APPROVAL_EXPIRED, why), (EventType.ACCESS_DENIED, why))

    def _note_ring(self, ticket: Ticket) -> None:
        detail = f"rung: {', '.join(ticket.to)}"
        self._clerk.ticket(ticket, "", (EventType.APPROVAL_ESCALATED, ticket.reason), detail=detail)

    def _advise(self, presentation_id: str, reason: Reason, people: Sequence[str]) -> None:
        hint = Hint.USE_PIN if reason in _FACTOR and self._by_factor(people) else Hint.RING
        self._advice = _Advice(presentation_id, hint, self._clock() + ADVICE_S)

    def _view(self, step: Step, visit: Presentation, point: OperatingPoint) -> View:
        quality = visit.latest.quality
        return View(
            candidates=_named(step, point),
            liveness=liveness_word(visit, self._settings.liveness.min_bona_fide),
            quality=_WORDS[quality.grade],
            flaws=quality.flaws,
            crop=self._picture(step),
        )


def liveness_word(visit: Presentation, min_bona_fide: float) -> LivenessWord:
    """Return what is thought of a visit's liveness, for people to read."""
    if visit.cues:
        return "attack"
    return "live" if visit.bona_fide >= min_bona_fide else "uncertain"


def _named(step: Step, point: OperatingPoint) -> tuple[str, ...]:
    near = (one.person_id for one in step.candidates if one.similarity >= point.threshold - NEAR_MISS)
    return tuple(near)[:MAX_CANDIDATES]


def _id_of(visit: Presentation | None) -> str | None:
    return None if visit is None else visit.presentation_id


def _without_effect(refused: Refused) -> Answered:
    return Answered(refused.why.value, refused.ticket, refused.ended)
