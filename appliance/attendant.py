"""The human in the loop: a ticket asks attendants about one visit, and only in time, once, about that visit.

Nothing here waits or speaks to anybody: time is given, and what is said goes out through the service. Each change
is first given to a `note`, which writes it down; what that raises passes through, and nothing has changed.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import Reason
from appliance.ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.rota import Groups
    from appliance.ticket import View

    Note = Callable[[Ticket], None]

MAX_OPEN = 4  # one attendant cannot look at more visitors than this before the first has left
MAX_AGAIN = 2  # times that a visitor is asked to show themselves again
SHOW_S = 1.5  # a visitor needs to read that, and to look up
_REMEMBERED = 256  # closed tickets whose late answers are told what happened; older ones are "unknown"


class NotTaken(StrEnum):
    """Why an attendant's word has no effect; the closed list of `error` in a reply to a verb on a ticket."""

    UNKNOWN_TICKET = "unknown_ticket"
    ALREADY_ANSWERED = "already_answered"
    TICKET_EXPIRED = "ticket_expired"
    VISITOR_GONE = "visitor_gone"
    OTHER_VISITOR = "other_visitor"
    SECOND_ATTENDANT_NEEDED = "second_attendant_needed"
    ALREADY_ASKED = "already_asked"
    NO_MORE_ROUNDS = "no_more_rounds"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a ticket was closed, for whoever comes late."""

    reason: Reason
    by: str  # client id; "" for nobody


@dataclass(frozen=True, slots=True)
class Approved:
    """The attendants let the visitor of this ticket in, who still stands there."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Awaiting:
    """One attendant of two lets the visitor of this ticket in; it takes another."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Denied:
    """The attendant keeps the visitor of this ticket out."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer has no effect. An approval that came too late for the visitor has used its ticket up."""

    why: NotTaken
    ticket: Ticket | None = None  # the ticket that this answer closed; None where it closed none
    ended: Ended | None = None  # how it was closed before; None where it was not, or is forgotten


Verdict = Approved | Awaiting | Denied | Refused


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Desk:
    """The open tickets of one door: at most one for a visit, at most `MAX_OPEN` in all.

    A ticket lives `ticket_s` seconds, and as many more once the visitor is asked to show themselves again. Times are
    those of one monotonic clock; a time that is not finite, or lies before the ticket, closes it rather than keeps
    it open. Without an answer the next of the order are rung every `escalate_s` seconds. `attends` tells whether a
    client may still answer: the voice of one who was revoked meanwhile counts no more.
    """

    def __init__(
        self,
        ticket_s: float,
        escalate_s: float = 10.0,
        utc_now: Callable[[], datetime] = _utc_now,
        attends: Callable[[str], bool] = lambda _client_id: True,
    ) -> None:
        self._attends = attends
        self._ticket_s = ticket_s
        self._escalate_s = escalate_s
        self._utc_now = utc_now
        self._open: OrderedDict[str, Ticket] = OrderedDict()  # by ticket id, oldest first
        self._rings: dict[str, deque[tuple[float, tuple[str, ...]]]] = {}  # by ticket id: when who is rung too
        self._closed: OrderedDict[str, Refused] = OrderedDict()  # by ticket id: what a late answer is told
        self._timed_out: deque[Ticket] = deque()  # closed without an answer and not yet written down

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """The open tickets, oldest first; () for none."""
        return tuple(self._open.values())

    def ticket_of(self, presentation_id: str) -> Ticket | None:
        """Return the open ticket about this visit; None for none."""
        return next((ticket for ticket in self._open.values() if ticket.presentation_id == presentation_id), None)

    def open(
        self,
        *,
        presentation_id: str,
        reason: Reason,
        view: View,
        now_s: float,
        note: Note,
        approvals: int = 1,
        groups: Groups = (),
    ) -> Ticket:
        """Return a new ticket about this visit, or the one that is open about it already.

        Where `MAX_OPEN` are open, the oldest times out and is told by the next `expire`.
        """
        self._close_overdue(now_s)
        before = self.ticket_of(presentation_id)
        if before is not None:
            return before
        ticket = Ticket(
            ticket_id=uuid.uuid4().hex,
            presentation_id=presentation_id,
            reason=reason,
            view=view,
            opened_at_s=now_s,
            expires_at_s=now_s + self._ticket_s,
            expires_at=self._utc_now() + timedelta(seconds=self._ticket_s),
            approvals=approvals,
            to=groups[0] if groups else (),
        )
        self._change(ticket, note)
        rings = ((now_s + count * self._escalate_s, group) for count, group in enumerate(groups[1:], start=1))
        self._rings[ticket.ticket_id] = deque(rings)
        if len(self._open) > MAX_OPEN:
            self._time_out(next(iter(self._open.values())))
        return ticket

    def answer(
        self,
        ticket_id: str,
        by: str,
        *,
        approve: bool,
        now_s: float,
        present: str | None,
        note: Callable[[Verdict], None],
    ) -> Verdict:
        """Return what the answer of the client `by` does; `present` is the visit before the camera now, None for none.

        An answer that arrives in time closes its ticket, so that no later one can have an effect; but for the first
        approval of two, and a second one of the same attendant, which has none.
        """
        found = self._find(ticket_id, now_s)
        if isinstance(found, Refused):
            return found
        found = replace(found, approved_by=tuple(filter(self._attends, found.approved_by)))
        verdict = _judged(found, by, approve=approve, present=present)
        note(verdict)
        match verdict:
            case Awaiting(ticket=ticket):
                self._open[ticket_id] = ticket
            case Approved():
                self._close(ticket_id, NotTaken.ALREADY_ANSWERED, Ended(Reason.OK, by))
            case Denied():
                self._close(ticket_id, NotTaken.ALREADY_ANSWERED, Ended(Reason.OPERATOR_DENIED, by))
            case Refused(ticket=Ticket()):
                self._close(ticket_id, NotTaken.ALREADY_ANSWERED, Ended(Reason.STALE, by))
        return verdict

    def again(self, ticket_id: str, *, now_s: float, present: str | None, note: Note) -> Ticket | Refused:
        """Begin another round of the ticket, at most `MAX_AGAIN`: its visitor is to show themselves once more.

        What was approved in the round before is worth nothing in this one.
        """
        found = self._find(ticket_id, now_s)
        if isinstance(found, Refused):
            return found
        why = _elsewhere(found, present) or _out_of_rounds(found)
        if why is not None:
            return Refused(why)
        more_s = self._ticket_s if found.round == 1 else 0.0
        anew = replace(
            found,
            round=found.round + 1,
            approved_by=(),
            view_due_s=now_s + SHOW_S,
            expires_at_s=found.expires_at_s + more_s,
            expires_at=found.expires_at + timedelta(seconds=more_s),
        )
        return self._change(anew, note)

    def show(self, ticket_id: str, view: View, *, now_s: float, note: Note) -> Ticket | Refused:
        """Give the ticket the view that this round was asked for."""
        found = self._find(ticket_id, now_s)
        return found if isinstance(found, Refused) else self._change(replace(found, view=view, view_due_s=None), note)

    def say(self, ticket_id: str, text: str, *, now_s: float, note: Note) -> Ticket | Refused:
        """Have the visitor of the ticket shown this, for as long as it is open."""
        found = self._find(ticket_id, now_s)
        return found if isinstance(found, Refused) else self._change(replace(found, said=text), note)

    def ring(self, now_s: float, note: Note) -> Ticket | None:
        """Ring whoever is due about the ticket that has waited longest for it; None where nobody is.

        One step of one ticket a call. A ticket that was approved by one of two is rung on about, too.
        """
        self._close_overdue(now_s)
        for ticket_id, rings in self._rings.items():
            if rings and now_s >= rings[0][0]:
                ticket = self._open[ticket_id]
                rung = self._change(replace(ticket, to=tuple(dict.fromkeys((*ticket.to, *rings[0][1])))), note)
                rings.popleft()
                return rung
        return None

    def expire(self, now_s: float, note: Note) -> Ticket | None:
        """Return the ticket that ran out of time first and was not told yet; None for none.

        Its reason is `operator_timeout`: silence is a refusal.
        """
        self._close_overdue(now_s)
        if not self._timed_out:
            return None
        note(self._timed_out[0])
        return self._timed_out.popleft()

    def _find(self, ticket_id: str, now_s: float) -> Ticket | Refused:
        self._close_overdue(now_s)
        return self._open.get(ticket_id) or self._closed.get(ticket_id) or Refused(NotTaken.UNKNOWN_TICKET)

    def _change(self, ticket: Ticket, note: Note) -> Ticket:
        note(ticket)
        self._open[ticket.ticket_id] = ticket
        return ticket

    def _close_overdue(self, now_s: float) -> None:
        for ticket in self.tickets:
            if not ticket.opened_at_s <= now_s < ticket.expires_at_s:  # this way round, NaN closes
                self._time_out(ticket)

    def _time_out(self, ticket: Ticket) -> None:
        self._close(ticket.ticket_id, NotTaken.TICKET_EXPIRED, Ended(Reason.OPERATOR_TIMEOUT, ""))
        self._timed_out.append(ticket)

    def _close(self, ticket_id: str, why: NotTaken, ended: Ended) -> None:
        del self._open[ticket_id]
        self._rings.pop(ticket_id, None)
        self._closed[ticket_id] = Refused(why, ended=ended)
        while len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)


def _judged(ticket: Ticket, by: str, *, approve: bool, present: str | None) -> Verdict:
    """Return what an answer in time comes to; the last line lets in."""
    if not approve:
        return Denied(ticket)
    why = _elsewhere(ticket, present)
    if why is not None:
        return Refused(why, ticket)
    if by in ticket.approved_by:
        return Refused(NotTaken.SECOND_ATTENDANT_NEEDED)
    heard = replace(ticket, approved_by=(*ticket.approved_by, by))
    if len(heard.approved_by) < ticket.approvals:
        return Awaiting(heard)
    return Approved(heard)


def _elsewhere(ticket: Ticket, present: str | None) -> NotTaken | None:
    """Return why the visitor of the ticket cannot be meant; None where they stand there."""
    if present is None:
        return NotTaken.VISITOR_GONE
    return None if present == ticket.presentation_id else NotTaken.OTHER_VISITOR


def _out_of_rounds(ticket: Ticket) -> NotTaken | None:
    if ticket.view_due_s is not None:
        return NotTaken.ALREADY_ASKED
    return NotTaken.NO_MORE_ROUNDS if ticket.round > MAX_AGAIN else None
