"""The ticket: one question to humans about one visit, and how it is told to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from appliance.contract import Reason, Topic, topic
from appliance.messages import TicketImage, TicketMessage, TicketResult, TicketState

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.records import Flaw

LivenessWord = Literal["live", "uncertain", "attack"]
GradeWord = Literal["low", "medium", "high"]

MAX_CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class View:
    """What the machine makes of a visitor at one moment, in words: no name and no score."""

    candidates: tuple[str, ...]  # person ids, most alike first, at most `MAX_CANDIDATES`
    liveness: LivenessWord
    quality: GradeWord
    flaws: tuple[Flaw, ...]  # what is wrong with the view, worst first
    crop: bytes = field(repr=False)  # JPEG of the visitor; b"" for none


@dataclass(frozen=True, slots=True)
class Ticket:
    """One question about one visit, as it stands. A change makes another of the same id."""

    ticket_id: str  # random, 32 hex digits
    presentation_id: str  # the only visit that an approval may open for
    reason: Reason  # why the machine does not decide by itself; one of `REFERRED`
    view: View
    opened_at_s: float  # monotonic clock
    expires_at_s: float  # monotonic clock; an answer at this time is too late
    expires_at: datetime  # UTC, for people to read
    approvals: int = 1  # how many different attendants must approve
    approved_by: tuple[str, ...] = ()  # client ids that have, in this round
    round: int = 1  # how often the visitor was looked at for it
    view_due_s: float | None = None  # monotonic clock from which the next round's view is taken; None for not asked
    to: tuple[str, ...] = ()  # client ids that are rung; () for everybody
    said: str = ""  # to the visitor, by an attendant


def ticket_message(ticket: Ticket, device_id: str) -> TicketMessage:
    """Return the payload of `approval/request`.

    `image` says which message on `approval/image` shows the visitor; None where the ticket has no picture.
    """
    view, image = ticket.view, None
    if view.crop:
        digest = hashlib.sha256(view.crop).hexdigest()
        image = TicketImage(topic=topic(device_id, Topic.APPROVAL_IMAGE), sha256=digest)
    return TicketMessage(
        device_id=device_id,
        ticket_id=ticket.ticket_id,
        presentation_id=ticket.presentation_id,
        reason=ticket.reason,
        candidates=view.candidates,
        liveness=view.liveness,
        quality=view.quality,
        flaws=view.flaws,
        round=ticket.round,
        approvals=ticket.approvals,
        approved_by=ticket.approved_by,
        to=ticket.to,
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
        approved_by=ticket.approved_by,
        at=at,
    )


def ticket_state(ticket: Ticket) -> TicketState:
    """Return the result of a verb on the ticket: how it stands now."""
    return TicketState(
        ticket_id=ticket.ticket_id,
        round=ticket.round,
        awaits=ticket.approvals - len(ticket.approved_by),
        expires_at=ticket.expires_at,
    )
