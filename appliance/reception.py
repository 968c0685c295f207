"""Reception: what becomes of a decision. It is written down, then the door is asked, or a human is.

One visit is settled once: the same face is not decided about again until it has left or a cool-down is over.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.access.subject import Factor
from appliance.asking import Asked, Asking, recognised
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
from appliance.referrals import Answered, Outbox, Referrals, liveness_word
from appliance.rota import Rota

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from appliance.admission import Admission
    from appliance.clerk import Clerk
    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.records import Candidate, DoorState, Embedding, Grade
    from appliance.ticket import Ticket

LEFT_S = 1.0  # a face that is away for so long has left
OFFER_S = 120.0  # how long an approved visitor can still be enrolled from what the camera saw
HARDLY = 0.08  # cosine above the threshold up to which a face that needed another factor was hardly enough
MAX_RENEWALS = 8


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
    monotonic for a camera, the newest frame's time for a recording. `local_time` tells the time of day here, None
    where it cannot be believed.
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
        local_time: Callable[[], datetime | None] = lambda: None,
        attends: Callable[[str], bool] = lambda _client_id: True,
    ) -> None:
        self._settings = settings
        self._clerk = clerk
        self._admission = admission
        self._asking = asking
        self._referrals = Referrals(
            settings,
            clerk,
            admission,
            outbox=outbox,
            visitors=self,
            rota=Rota(settings.attendant, local_time),
            picture=picture,
            by_factor=asking.could_ask,
            attends=attends,
            clock=clock,
        )
        asking.refer = self._referrals.refer
        asking.proved = self._offer_renewal
        self._doubt = doubt
        self._clock = clock
        self._settled: _Settled | None = None
        self._present: Presentation | None = None
        self._offers: dict[str, tuple[float, list[tuple[Embedding, Grade]]]] = {}  # by ticket id; memory only
        self._renewals: dict[str, Renewal] = {}  # by offer id
        self._point: OperatingPoint | None = None  # of the newest frame

    @property
    def hint(self) -> Hint | None:
        """What the visitor is told now."""
        visit = self._in_sight()
        about = None if visit is None else self._referrals.hint(visit.presentation_id)
        return about or self._admission.hint

    @property
    def said(self) -> str:
        """What an attendant says to the visitor who is before the camera now; "" for nothing."""
        visit = self._in_sight()
        return "" if visit is None else self._referrals.said(visit.presentation_id)

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
            self._referrals.see(step, visit, point)
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
                self._referrals.refer(step, visit, refer, point)

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
        self._referrals.tick()
        self._asking.tick(present=self._id_in_sight())
        follower = self._admission.tailgating.due(now_s)
        if follower is not None and self._point is not None:
            self._clerk.visit(EventType.TAILGATING_SUSPECTED, Reason.MULTIPLE_FACES, follower, self._point)

    def enter_pin(self, text: str) -> str:
        """Take a PIN that was entered at the door, and return "" or why it had no effect.

        It counts only while the visitor who is asked for it is before the camera, and is in no log.
        """
        return self._asking.enter_pin(text, present=self._id_in_sight())

    @property
    def let_in(self) -> bool:
        """Whether the door was last unlocked for the visitor who is before the camera now."""
        return self._admission.opened_for != "" and self._admission.opened_for == self._id_in_sight()

    @property
    def unhurried(self) -> bool:
        """Whether the visitor who is before the camera now has asked for more time."""
        return self._admission.unhurried != "" and self._admission.unhurried == self._id_in_sight()

    def more_time(self, door: DoorState | None) -> bool:
        """Give the visitor before the camera more time, as `Admission.more_time`; tell whether somebody is there."""
        visit_id = self._id_in_sight()
        if visit_id is not None:
            self._admission.more_time(visit_id, door)
        return visit_id is not None

    def close(self) -> None:
        """Close every open ticket: silence is a refusal, also at the end."""
        self._referrals.close()

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """The open tickets, oldest first; () for none."""
        return self._referrals.open_ones

    def answer(self, ticket_id: str, client_id: str, *, approve: bool) -> Answered:
        """Carry out an attendant's verified answer; the ticket's own visit must be before the camera to be let in."""
        return self._referrals.answer(ticket_id, client_id, approve=approve, visit=self._in_sight())

    def again(self, ticket_id: str, client_id: str) -> Answered:
        """Have the visitor of the ticket, who must be before the camera, show themselves once more."""
        return self._referrals.again(ticket_id, client_id, self._in_sight())

    def say(self, ticket_id: str, client_id: str, text: str) -> Answered:
        """Show the visitor of the ticket a line of text. Raises RefusedError for one that cannot be shown."""
        return self._referrals.say(ticket_id, client_id, text)

    def approved(self, ticket: Ticket, visit: Presentation) -> None:
        """Keep what was read of a visitor whom attendants let in, for a while; nobody is enrolled from a picture."""
        self._settle_anew(ticket)
        if liveness_word(visit, self._settings.liveness.min_bona_fide) == "live":
            self._offers[ticket.ticket_id] = (self._clock() + OFFER_S, best_references(visit))

    def kept_out(self, ticket: Ticket) -> None:
        """Leave the visitor of this ticket alone for a while."""
        self._settle_anew(ticket)

    def _settle_anew(self, ticket: Ticket) -> None:
        """Decide nothing more about this visitor for a while: humans just have."""
        if self._settled is not None and self._settled.presentation_id == ticket.presentation_id:
            self._settled.until_s = self._clock() + self._settings.recognition.cool_down_s

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
        live = liveness_word(asked.visit, self._settings.liveness.min_bona_fide) == "live"
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
        return seen_at_s < last.until_s or self._referrals.of(visit) is not None

    def _settle(self, visit: Presentation) -> None:
        now_s = visit.latest.frame.captured_at_s
        until_s = now_s + self._settings.recognition.cool_down_s
        self._settled = _Settled(visit.presentation_id, visit.probe, until_s, now_s)

    def _admit(self, step: Step, visit: Presentation, person_id: str, point: OperatingPoint, doubt: str = "") -> None:
        needed = self._admission.admit(visit, person_id, point, doubt=doubt)
        if needed is not None:
            self._asking.ask(Asked(step, visit, Refer(Reason.SECOND_FACTOR_REQUIRED), point), needed.kinds)

    def _in_sight(self) -> Presentation | None:
        """Return the visit whose face was seen within the freshness deadline; None for nobody."""
        present = self._present
        return present if present is not None and self._admission.is_fresh(present) else None

    def _id_in_sight(self) -> str | None:
        visit = self._in_sight()
        return None if visit is None else visit.presentation_id


def _alike(one: Embedding | None, other: Embedding | None) -> bool:
    if one is None or other is None:
        return True  # a face not read yet in the same place counts as the same: no second decision in haste
    return float(one.vector @ other.vector) >= MIN_CONTINUITY
