"""Reception: what becomes of a decision. It is written down, then the door is asked, or a human is.

One visit is settled once: the same face is not decided about again until it has left or a cool-down is over.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.access.subject import Factor
from appliance.asking import Asked, Asking, recognised
from appliance.attendant import Approved, Denied, Desk, LivenessWord, Ticket
from appliance.attendant import Refused as NoEffect
from appliance.contract import EventType, Hint, Reason
from appliance.errors import RefusedError
from appliance.pipeline.presentation import MIN_CONTINUITY, best_references
from appliance.records import (
    Actor,
    ActorKind,
    Deny,
    Grant,
    OperatingPoint,
    Presentation,
    Refer,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.admission import Admission
    from appliance.clerk import Clerk
    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.records import Candidate, Embedding, Grade

LEFT_S = 1.0  # a face that is away for so long has left
OFFER_S = 120.0  # how long an approved visitor can still be enrolled from what the camera saw
HARDLY = 0.08  # cosine above the threshold up to which a face that needed another factor was hardly enough
MAX_RENEWALS = 8
NEAR_MISS = 0.12  # cosine under the threshold down to which a ticket names candidates: a stranger gets no name


class Outbox(Protocol):
    """Where tickets go."""

    def ask(self, ticket: Ticket, /) -> None:
        """Show the ticket to the attendants."""
        ...

    def tell(self, ticket: Ticket, reason: Reason, by: str, /) -> None:
        """Tell the attendants what became of it."""
        ...


@dataclass(slots=True)
class _Settled:
    """The visit that was decided about last."""

    presentation_id: str
    probe: Embedding | None
    until_s: float  # no new decision about this face before
    seen_at_s: float


@dataclass(frozen=True, slots=True)
class Renewal:
    """Somebody enrolled whose face was hardly enough, as they were seen while another factor proved them. RAM only."""

    offer_id: str
    person_id: str
    references: list[tuple[Embedding, Grade]]
    until_s: float  # the frames' clock


class Reception:
    """Turns decisions into events, pulses and tickets. Belongs to the loop's thread.

    `doubt` says why a face that may be granted will not do for this very person. `clock` is the frames' own:
    monotonic for a camera, the newest frame's time for a recording.
    """

    def __init__(
        self,
        settings: Settings,
        clerk: Clerk,
        admission: Admission,
        asking: Asking,
        *,
        outbox: Outbox,
        picture: Callable[[Step], bytes],
        doubt: Callable[[Candidate], str] = lambda _best: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clerk = clerk
        self._admission = admission
        self._outbox = outbox
        self._asking = asking
        asking.refer = self._refer
        asking.proved = self._offer_renewal
        self._picture = picture
        self._doubt = doubt
        self._clock = clock
        self._desk = Desk(settings.attendant.ticket_s)
        self._settled: _Settled | None = None
        self._present: Presentation | None = None
        self._offers: dict[str, tuple[float, list[tuple[Embedding, Grade]]]] = {}  # by ticket id; memory only
        self._renewals: dict[str, Renewal] = {}  # by offer id
        self._point: OperatingPoint | None = None  # of the newest frame

    @property
    def hint(self) -> Hint | None:
        """What the visitor is told now."""
        return self._admission.hint

    def see(self, step: Step, point: OperatingPoint) -> None:
        """Take in what one frame came to, and act where it is a decision that was not taken yet."""
        self._present = step.presentation or self._present
        self._point = point
        visit = step.presentation
        if visit is None:
            self._admission.hint = None
            return
        self._admission.tailgating.see(visit)
        if self._asking.of(visit):
            self._asking.see(step, visit)
        elif self._is_settled(visit):
            self._admission.hint = None
        elif isinstance(step.decision, Wait):
            self._admission.read(step.decision.hint)
        else:
            self._settle(visit)
            self._decide(step, visit, point)

    def _decide(self, step: Step, visit: Presentation, point: OperatingPoint) -> None:
        paused = self._admission.paused(visit, recognised=recognised(step) is not None)
        if paused is not None:
            self._admission.deny(visit, paused, point)
            return
        match step.decision:
            case Grant(person_id=person_id):
                self._admit(step, visit, person_id, point, self._doubt(step.candidates[0]))
            case Deny(reason=reason):
                self._admission.deny(visit, reason, point)
            case Refer(reason=Reason.SECOND_FACTOR_REQUIRED):
                self._admit(step, visit, step.candidates[0].person_id, point, "a face alone does not open this door")
            case Refer(reason=Reason.AMBIGUOUS_MATCH) as refer:
                self._asking.ask(Asked(step, visit, refer, point), frozenset(Factor))
            case Refer() as refer:
                self._refer(step, visit, refer, point)

    def set_aside(self, visit: Presentation | None, hint: Hint | None) -> None:
        """Decide nothing about this visit, for as long as it lasts: somebody is being enrolled."""
        if visit is not None:
            self._settled = _Settled(visit.presentation_id, visit.probe, math.inf, visit.latest.frame.captured_at_s)
        self._admission.read(hint)

    def tick(self) -> None:
        """Close tickets and offers that ran out of time; call it several times a second."""
        now_s = self._clock()
        self._offers = {key: offer for key, offer in self._offers.items() if now_s < offer[0]}
        self._renewals = {key: offer for key, offer in self._renewals.items() if now_s < offer.until_s}
        for ticket in self._desk.expire(now_s):
            self._expired(ticket)
        self._asking.tick(present=self._in_sight())
        follower = self._admission.tailgating.due(now_s)
        if follower is not None and self._point is not None:
            self._clerk.visit(EventType.TAILGATING_SUSPECTED, Reason.MULTIPLE_FACES, follower, self._point)

    def enter_pin(self, text: str) -> str:
        """Take a PIN that was entered at the door, and return "" or why it had no effect.

        It counts only while the visitor who is asked for it is before the camera, and is in no log.
        """
        return self._asking.enter_pin(text, present=self._in_sight())

    def close(self) -> None:
        """Close every open ticket: silence is a refusal, also at the end."""
        for ticket in self._desk.expire(math.inf):
            self._expired(ticket)

    def answer(self, ticket_id: str, client_id: str, *, approve: bool) -> str:
        """Carry out an attendant's verified answer and return "" or why it had no effect.

        An approval opens once, in time, and only while the ticket's own visit is before the camera.
        """
        verdict = self._desk.answer(ticket_id, approve=approve, now_s=self._clock(), present=self._in_sight())
        if isinstance(verdict, Approved):
            return self._let_in(verdict.ticket, client_id)
        if isinstance(verdict, Denied):
            self._clerk.ticket(EventType.APPROVAL_DENIED, Reason.OPERATOR_DENIED, verdict.ticket, client_id)
            self._refuse_ticket(verdict.ticket, Reason.OPERATOR_DENIED, client_id)
            return ""
        return self._without_effect(verdict, client_id)

    def offer(self, ticket_id: str) -> list[tuple[Embedding, Grade]]:
        """Return what may be enrolled of an approved visitor. Raises RefusedError where nothing is kept."""
        _, references = self._offers.get(ticket_id, (0.0, []))
        if not references:
            within = f"approved within the last {OFFER_S:.0f} s, of a live visitor, and not enrolled yet"
            raise RefusedError(f"ticket {ticket_id} has nothing to enrol: it must be {within}")
        return references

    def taken(self, ticket_id: str) -> None:
        """Note that the visitor of this ticket is enrolled: what was kept for it is forgotten."""
        self._offers.pop(ticket_id, None)

    @property
    def renewals(self) -> tuple[Renewal, ...]:
        """Who may be enrolled once more, where an admin or enroller says so; nobody is without being asked."""
        return tuple(self._renewals.values())

    def renewal(self, offer_id: str) -> Renewal:
        """Return one offer. Raises RefusedError where there is none, or no longer."""
        if offer_id not in self._renewals:
            raise RefusedError(f"offer {offer_id[:40]!r} is not open; one is for {OFFER_S:.0f} s, and is taken once")
        return self._renewals[offer_id]

    def renewed(self, offer_id: str) -> None:
        """Note that the offer was taken: what was kept for it is forgotten."""
        self._renewals.pop(offer_id, None)

    def _offer_renewal(self, asked: Asked, person_id: str) -> None:
        """Offer to enrol somebody once more who has shown who they are, and whose face was hardly enough."""
        alike = max((one.similarity for one in asked.step.candidates if one.person_id == person_id), default=math.nan)
        hardly = asked.refer.reason is Reason.AMBIGUOUS_MATCH or alike < asked.point.threshold + HARDLY
        live = _liveness_word(asked.visit, self._settings.liveness.min_bona_fide) == "live"
        references = best_references(asked.visit)
        if not (hardly and live and references) or len(self._renewals) >= MAX_RENEWALS:
            return
        offer_id = secrets.token_hex(8)
        self._renewals[offer_id] = Renewal(offer_id, person_id, references, self._clock() + OFFER_S)
        actor = Actor(ActorKind.PERSON, person_id)
        self._clerk.visit(
            EventType.RENEWAL_OFFERED, Reason.OK, asked.visit, asked.point, actor=actor, ticket_id=offer_id
        )

    def _is_settled(self, visit: Presentation) -> bool:
        """Tell whether this visit was decided about; the same face is until it has left or cooled down."""
        last, seen_at_s = self._settled, visit.latest.frame.captured_at_s
        if last is None:
            return False
        same = visit.presentation_id == last.presentation_id or (
            seen_at_s - last.seen_at_s <= LEFT_S and _alike(visit.probe, last.probe)
        )
        if not same:
            return False
        last.seen_at_s = seen_at_s
        return seen_at_s < last.until_s or self._desk.ticket_of(visit.presentation_id) is not None

    def _settle(self, visit: Presentation) -> None:
        now_s = visit.latest.frame.captured_at_s
        until_s = now_s + self._settings.recognition.cool_down_s
        self._settled = _Settled(visit.presentation_id, visit.probe, until_s, now_s)

    def _admit(self, step: Step, visit: Presentation, person_id: str, point: OperatingPoint, doubt: str = "") -> None:
        needed = self._admission.admit(visit, person_id, point, doubt=doubt)
        if needed is not None:
            self._asking.ask(Asked(step, visit, Refer(Reason.SECOND_FACTOR_REQUIRED), point), needed.kinds)

    def _refer(self, step: Step, visit: Presentation, refer: Refer, point: OperatingPoint) -> None:
        named = [one.person_id for one in step.candidates if one.similarity >= point.threshold - NEAR_MISS]
        ticket = self._desk.open(
            presentation_id=visit.presentation_id,
            reason=refer.reason,
            candidates=named,
            liveness=_liveness_word(visit, self._settings.liveness.min_bona_fide),
            quality=visit.latest.quality.grade.name.lower(),
            crop=self._picture(step),
            now_s=self._clock(),
        )
        self._admission.count(visit, refer.reason)
        self._clerk.visit(EventType.APPROVAL_REQUESTED, refer.reason, visit, point, ticket_id=ticket.ticket_id)
        self._outbox.ask(ticket)
        self._admission.ask(Hint.ASKING)

    def _let_in(self, ticket: Ticket, client_id: str) -> str:
        visit = self._present
        if visit is None or visit.presentation_id != ticket.presentation_id:  # the desk saw to it; doubt keeps shut
            return "visitor_gone"
        self._clerk.ticket(EventType.APPROVAL_GRANTED, Reason.OK, ticket, client_id)
        if not self._admission.connected:
            self._refuse_ticket(ticket, Reason.DEGRADED_MODE, client_id)
            return "door_fault"
        self._clerk.ticket(EventType.ACCESS_GRANTED, Reason.OK, ticket, client_id)
        opened = self._admission.approve(visit)
        self._outbox.tell(ticket, Reason.OK if opened else Reason.DEGRADED_MODE, client_id)
        if _liveness_word(visit, self._settings.liveness.min_bona_fide) == "live":  # nobody is enrolled from a picture
            self._offers[ticket.ticket_id] = (self._clock() + OFFER_S, best_references(visit))
        return "" if opened else "door_fault"

    def _without_effect(self, refused: NoEffect, client_id: str) -> str:
        if refused.ticket is not None:
            self._clerk.ticket(EventType.ACCESS_DENIED, Reason.STALE, refused.ticket, client_id)
            self._outbox.tell(refused.ticket, Reason.STALE, client_id)
        return refused.why.value

    def _expired(self, ticket: Ticket) -> None:
        self._clerk.ticket(EventType.APPROVAL_EXPIRED, Reason.OPERATOR_TIMEOUT, ticket, "")
        self._refuse_ticket(ticket, Reason.OPERATOR_TIMEOUT, "")

    def _refuse_ticket(self, ticket: Ticket, reason: Reason, by: str) -> None:
        self._clerk.ticket(EventType.ACCESS_DENIED, reason, ticket, by)
        self._outbox.tell(ticket, reason, by)
        if self._settled is not None and self._settled.presentation_id == ticket.presentation_id:
            self._settled.until_s = self._clock() + self._settings.recognition.cool_down_s

    def _in_sight(self) -> str | None:
        """Return the visit whose face was seen within the freshness deadline; None for nobody."""
        present = self._present
        return present.presentation_id if present is not None and self._admission.is_fresh(present) else None


def _alike(one: Embedding | None, other: Embedding | None) -> bool:
    if one is None or other is None:
        return True  # a face not read yet in the same place counts as the same: no second decision in haste
    return float(one.vector @ other.vector) >= MIN_CONTINUITY


def _liveness_word(visit: Presentation, min_bona_fide: float) -> LivenessWord:
    if visit.cues:
        return "attack"
    return "live" if visit.bona_fide >= min_bona_fide else "uncertain"
