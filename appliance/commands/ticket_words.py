"""Tickets in words, for a terminal. What a door says came over a broker: it is shown as text and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.contract import Reason
from appliance.plain_text import cleaned
from ostiary_client import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ostiary_client import Outcome, Reply, Ticket

REASONS = {
    Reason.UNKNOWN_FACE: "the face is not enrolled, or not alike enough",
    Reason.AMBIGUOUS_MATCH: "two enrolled people are nearly as alike",
    Reason.LIVENESS_UNCERTAIN: "it is not certain that this is a living face",
    Reason.MULTIPLE_FACES: "several people stand before the camera",
    Reason.SECOND_FACTOR_REQUIRED: "the face alone is not enough here",
}
REFUSALS = {
    **UNANSWERED,
    "ticket_expired": "too late, the time had run out",
    "unknown_ticket": "the door does not know this ticket",
    "visitor_gone": "the visitor has left",
    "other_visitor": "somebody else stands there now",
    "second_attendant_needed": "you have approved already; somebody else must too",
    "already_asked": "the visitor is being asked already",
    "no_more_rounds": "the visitor has shown themselves often enough",
    "storage_fault": "the door cannot write it down, so nothing was done",
    "door_fault": "it is written down, but the lock did not move",
    "verb_not_allowed": "this client's role may not answer tickets",
    "future": "this machine's clock is ahead of the door's",
    "expired": "this machine's clock is behind the door's, or the way took too long",
}
_ENDS = {
    Reason.OK: "{by} let them in",
    Reason.OPERATOR_DENIED: "{by} kept them out",
    Reason.OPERATOR_TIMEOUT: "nobody answered in time",
    Reason.STALE: "{by} answered when they had left",
    Reason.DEGRADED_MODE: "{by} let them in, but the lock did not move",
}


def shown(ticket: Ticket, before: Ticket | None, picture: str) -> Iterator[str]:
    """Give the lines about a ticket, or about what is new in it; `picture` says where it is, "" for nothing new."""
    if before is None:
        yield REASONS.get(ticket.reason, ticket.reason)
    for name, said in _said(ticket).items():
        if said and (before is None or _said(before)[name] != said):
            yield f"{name:10} {said}"
    if picture:
        yield f"picture    {picture}"
    if before is None or before.expires_at != ticket.expires_at:
        yield f"time left  {max(0.0, ticket.seconds_left()):.0f} s, until {ticket.expires_at:%H:%M:%S} UTC"


def ended_in_words(outcome: Outcome | None) -> str:
    """Return how a ticket ended; None is without a word from the door."""
    return "its time ran out" if outcome is None else _end(outcome.reason, outcome.by)


def refused_in_words(reply: Reply) -> str:
    """Return why the door did not do what was asked."""
    if reply.error == "already_answered":
        reason, by = (str(reply.result.get(name, "")) for name in ("reason", "by"))
        return f"too late: {_end(reason, by)}"
    return f"refused: {REFUSALS.get(reply.error, cleaned(reply.error))}"


def round_of(ticket: Ticket) -> int:
    """Return how often the visitor was looked at for it, 1 for once."""
    told = ticket.fields.get("round")
    return told if isinstance(told, int) and told > 0 else 1


def rung(ticket: Ticket) -> tuple[str, ...]:
    """Return who is rung; () for everybody."""
    return _names(ticket, "to")


def _said(ticket: Ticket) -> dict[str, str]:
    """Return what a ticket says, by what it is about; "" for nothing."""
    flaws, approved_by = _names(ticket, "flaws"), _names(ticket, "approved_by")
    quality = cleaned(ticket.quality)
    two = ticket.fields.get("approvals") == 2
    approvals = f"two are needed; {_listed(approved_by)} approved" if approved_by else "two are needed"
    return {
        "perhaps": _listed([cleaned(one) for one in ticket.candidates]),
        "liveness": cleaned(ticket.liveness),
        "quality": f"{quality}: {', '.join(one.replace('_', ' ') for one in flaws)}" if flaws else quality,
        "round": str(round_of(ticket)) if round_of(ticket) > 1 else "",
        "approvals": approvals if two else "",
        "rung": _listed(rung(ticket)) if rung(ticket) else "",
    }


def _names(ticket: Ticket, field: str) -> tuple[str, ...]:
    told = ticket.fields.get(field)
    return tuple(cleaned(str(one)) for one in told) if isinstance(told, list) else ()


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names) or "nobody"


def _end(reason: str, by: str) -> str:
    return _ENDS.get(Reason(reason) if reason in list(Reason) else Reason.OPERATOR_TIMEOUT, "it was ended").format(
        by=cleaned(by) or "the door"
    )
