"""The clerk writes down what became of a visit or a ticket: the event's every field, in one place."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.records import Actor, ActorKind, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.contract import Reason
    from appliance.journal import Journal
    from appliance.records import OperatingPoint, Presentation
    from appliance.ticket import Ticket


class Clerk:
    """Writes into the journal; each method raises StorageError where that cannot be done.

    `clock` is the frames' own; `of_recording` adds the moment of a recording to what is written.
    """

    def __init__(self, journal: Journal, clock: Callable[[], float], *, of_recording: bool) -> None:
        self._journal = journal
        self._clock = clock
        self._of_recording = of_recording

    def visit(
        self,
        kind: EventType,
        reason: Reason,
        visit: Presentation,
        point: OperatingPoint,
        *,
        actor: Actor | None = None,
        ticket_id: str = "",
        detail: str = "",
        method: str = "face",
    ) -> None:
        """Write down a decision about what stands before the camera."""
        read_at = [one.captured_at_s for one in visit.evidence if one.embedding is not None]
        event = Event(
            event_type=kind,
            at=datetime.now(UTC),
            actor=actor,
            method=method,
            reason=reason,
            presentation_id=visit.presentation_id,
            ticket_id=ticket_id,
            liveness=visit.bona_fide if math.isfinite(visit.bona_fide) else None,
            quality=visit.latest.quality.grade.name.lower(),
            frames=visit.frames_read,
            decision_ms=round(1000 * (self._clock() - read_at[0]), 1) if read_at else None,
            policy=in_words(point),
            detail=self._with_moment(detail, visit.latest.frame.captured_at_s),
        )
        self._journal.append(event)

    def ticket(self, ticket: Ticket, by: str, *what: tuple[EventType, Reason], detail: str = "") -> None:
        """Write down what became of a ticket, all of it or nothing; `by` is who is behind it, "" for nobody."""
        events = [
            Event(
                event_type=kind,
                at=datetime.now(UTC),
                actor=_attendant(by),
                method="attendant",
                reason=reason,
                presentation_id=ticket.presentation_id,
                ticket_id=ticket.ticket_id,
                detail=detail,
            )
            for kind, reason in what
        ]
        self._journal.append_all(events)

    def fault(self, detail: str, presentation_id: str) -> None:
        """Write down what went wrong with a visit's pulse."""
        self._journal.append(Event(EventType.FAULT, datetime.now(UTC), presentation_id=presentation_id, detail=detail))

    def _with_moment(self, detail: str, at_s: float) -> str:
        moment = f"at {at_s:.2f} s of the recording" if self._of_recording else ""
        return "; ".join(part for part in (detail, moment) if part)


def _attendant(by: str) -> Actor | None:
    """Return who answered: a client, or an account or key of the web, in whose voice alone there is a colon."""
    if not by:
        return None
    return Actor(ActorKind.OPERATOR if ":" in by else ActorKind.CLIENT, by)


def in_words(point: OperatingPoint) -> str:
    """Return what the threshold was and what it was derived from; no score of anybody."""
    return (
        f"threshold {point.threshold:.3f}, margin {point.margin:.3f}, "
        f"target FPIR {point.target_fpir:g}, N {point.gallery_size}"
    )
