"""The human in the loop: a ticket asks an attendant about one visit, and only in time, once, about that visit.

Nothing here waits or speaks to anybody: time is given, and what is said goes out through the service.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from appliance.contract import Reason, Topic, topic
from appliance.messages import TicketImage, TicketMessage, TicketResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LivenessWord = Literal["live", "uncertain", "attack"]

MAX_OPEN = 4  # one attendant cannot look at more visitors than this before the first has left
MAX_CANDIDATES = 3
_REMEMBERED = 256  # closed tickets whose late answers are told what happened; older ones are "unknown"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One question to an attendant about one visit. It names nobody and holds no score."""

    ticket_id: str  # random, 32 hex digits
    presentation_id: str  # the only visit that an approval may open for
    reason: Reason  # why the machine does not decide by itself
    candidates: tuple[str, ...]  # person ids, most alike first, at most 3
    liveness: LivenessWord
    quality: str  # grade in words
    opened_at_s: float  # monotonic clock
    expires_at_s: float  # monotonic clock; an answer at this time is too late
    expires_at: datetime  # UTC, for people to read
    crop: bytes = field(repr=False)  # JPEG of the visitor; b"" for none


class NotTaken(StrEnum):
    """Why an answer has no effect; the closed list of `error` in a reply to approve and deny."""

    UNKNOWN_TICKET = "unknown_ticket"
    ALREADY_ANSWERED = "already_answered"
    TICKET_EXPIRED = "ticket_expired"
    VISITOR_GONE = "visitor_gone"
    OTHER_VISITOR = "other_visitor"


@dataclass(frozen=True, slots=True)
class Approved:
    """The attendant lets the visitor of this ticket in, who still stands there."""

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


Verdict = Approved | Denied | Refused


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Desk:
    """The open tickets of one door: at most one for a visit, at most `MAX_OPEN` in all.

    A ticket lives `ticket_s` seconds. Times are those of one monotonic clock; a time that is not finite, or
    lies before the ticket, closes it rather than keeps it open.
    """

    def __init__(self, ticket_s: float, utc_now: Callable[[], datetime] = _utc_now) -> None:
        self._ticket_s = ticket_s
        self._utc_now = utc_now
        self._open: OrderedDict[str, Ticket] = OrderedDict()  # by ticket id, oldest first
        self._closed: OrderedDict[str, NotTaken] = OrderedDict()  # what a late answer is told
        self._timed_out: list[Ticket] = []  # closed without an answer and not yet reported

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
        candidates: Sequence[str],
        liveness: LivenessWord,
        quality: str,
        crop: bytes,
        now_s: float,
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
            candidates=tuple(candidates[:MAX_CANDIDATES]),
            liveness=liveness,
            quality=quality,
            opened_at_s=now_s,
            expires_at_s=now_s + self._ticket_s,
            expires_at=self._utc_now() + timedelta(seconds=self._ticket_s),
            crop=crop,
        )
        if len(self._open) >= MAX_OPEN:
            self._time_out(next(iter(self._open.values())))
        self._open[ticket.ticket_id] = ticket
        return ticket

    def answer(self, ticket_id: str, *, approve: bool, now_s: float, present: str | None) -> Verdict:
        """Return what the answer does; `present` is the visit before the camera now, None for nobody.

        Any answer that arrives in time closes its ticket, so that no second one can have an effect.
        """
        self._close_overdue(now_s)
        ticket = self._open.pop(ticket_id, None)
        if ticket is None:
            return Refused(self._closed.get(ticket_id, NotTaken.UNKNOWN_TICKET))
        self._remember(ticket_id, NotTaken.ALREADY_ANSWERED)
        if not approve:
            return Denied(ticket)
        if present is None:
            return Refused(NotTaken.VISITOR_GONE, ticket)
        if present != ticket.presentation_id:
            return Refused(NotTaken.OTHER_VISITOR, ticket)
        return Approved(ticket)

    def expire(self, now_s: float) -> tuple[Ticket, ...]:
        """Return the tickets that ran out of time since the last call, each once, oldest first.

        Their reason is `operator_timeout`: silence is a refusal.
        """
        self._close_overdue(now_s)
        timed_out = tuple(self._timed_out)
        self._timed_out.clear()
        return timed_out

    def _close_overdue(self, now_s: float) -> None:
        for ticket in self.tickets:
            if not ticket.opened_at_s <= now_s < ticket.expires_at_s:  # this way round, NaN closes
                self._time_out(ticket)

    def _time_out(self, ticket: Ticket) -> None:
        del self._open[ticket.ticket_id]
        self._remember(ticket.ticket_id, NotTaken.TICKET_EXPIRED)
        self._timed_out.append(ticket)

    def _remember(self, ticket_id: str, answer: NotTaken) -> None:
        self._closed[ticket_id] = answer
        while len(self._closed) > _REMEMBERED:
            self._closed.popitem(last=False)


def ticket_message(ticket: Ticket, device_id: str) -> TicketMessage:
    """Return the payload of `approval/request`.

    `image` says which message on `approval/image` shows the visitor; None where the ticket has no picture.
    """
    image = None
    if ticket.crop:
        digest = hashlib.sha256(ticket.crop).hexdigest()
        image = TicketImage(topic=topic(device_id, Topic.APPROVAL_IMAGE), sha256=digest)
    return TicketMessage(
        device_id=device_id,
        ticket_id=ticket.ticket_id,
        presentation_id=ticket.presentation_id,
        reason=ticket.reason,
        candidates=ticket.candidates,
        liveness=ticket.liveness,
        quality=ticket.quality,
        expires_at=ticket.expires_at,
        image=image,
    )


def result_message(ticket: Ticket, reason: Reason, by: str, at: datetime) -> TicketResult:
    """Return the payload of `approval/result`: `ok` let in, any other reason kept out; `by` a client id or ""."""
    return TicketResult(
        ticket_id=ticket.ticket_id,
        presentation_id=ticket.presentation_id,
        approved=reason is Reason.OK,
        reason=reason,
        by=by,
        at=at,
    )
