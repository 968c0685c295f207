"""The attendant's desk: in time, once, and only for the visitor that the ticket is about."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from appliance.attendant import (
    MAX_OPEN,
    Approved,
    Denied,
    Desk,
    NotTaken,
    Refused,
    Ticket,
    Verdict,
    result_message,
    ticket_message,
)
from appliance.contract import Reason
from appliance.messages import reply

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TICKET_S = 30.0


@pytest.fixture
def desk() -> Desk:
    """Give an empty desk."""
    return Desk(TICKET_S, lambda: NOON)


def ask(desk: Desk, visit: str = "visit-1", now_s: float = 100.0) -> Ticket:
    """Open a ticket about `visit`."""
    return desk.open(
        presentation_id=visit,
        reason=Reason.UNKNOWN_FACE,
        candidates=("p1", "p2", "p3", "p4"),
        liveness="live",
        quality="high",
        crop=b"jpeg",
        now_s=now_s,
    )


def yes(desk: Desk, ticket_id: str, now_s: float, present: str | None) -> Verdict:
    """Approve the ticket."""
    return desk.answer(ticket_id, approve=True, now_s=now_s, present=present)


def test_an_approval_in_time_lets_the_same_visitor_in(desk: Desk) -> None:
    """Yes, in time, while the visitor of the ticket stands there: the one way to an approval."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, 129.9, "visit-1") == Approved(ticket)
    assert desk.tickets == ()


def test_a_denial_needs_nobody_before_the_camera(desk: Desk) -> None:
    """No is no, whoever stands there now."""
    ticket = ask(desk)
    assert desk.answer(ticket.ticket_id, approve=False, now_s=101.0, present=None) == Denied(ticket)


def test_an_answer_for_one_visitor_never_opens_for_another(desk: Desk) -> None:
    """D15: A's ticket is refused while B stands there, and is used up by that."""
    ticket = ask(desk, "visit-a")
    assert yes(desk, ticket.ticket_id, 101.0, "visit-b") == Refused(NotTaken.OTHER_VISITOR, ticket)
    assert yes(desk, ticket.ticket_id, 102.0, "visit-a") == Refused(NotTaken.ALREADY_ANSWERED)


def test_an_approval_after_the_visitor_left_is_refused(desk: Desk) -> None:
    """D14: nobody before the camera, nothing opens, and coming back does not revive the ticket."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, 101.0, None) == Refused(NotTaken.VISITOR_GONE, ticket)
    assert yes(desk, ticket.ticket_id, 102.0, "visit-1") == Refused(NotTaken.ALREADY_ANSWERED)


@pytest.mark.parametrize("now_s", [130.0, 131.0, 99.9, math.nan, math.inf, -math.inf])
def test_an_answer_out_of_time_is_refused(desk: Desk, now_s: float) -> None:
    """D14: at the deadline, after it, before the ticket, or at no time at all, an approval is too late."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, now_s, "visit-1") == Refused(NotTaken.TICKET_EXPIRED)
    assert desk.expire(110.0) == (ticket,)
    assert desk.expire(111.0) == ()


def test_a_ticket_opened_at_no_time_is_never_approved(desk: Desk) -> None:
    """A clock that is not a number gives a ticket that only times out."""
    ticket = ask(desk, now_s=math.nan)
    assert yes(desk, ticket.ticket_id, 100.0, "visit-1") == Refused(NotTaken.TICKET_EXPIRED)


def test_an_unknown_ticket_is_refused(desk: Desk) -> None:
    """An invented or forgotten ticket id has no effect."""
    assert yes(desk, "0" * 32, 100.0, "visit-1") == Refused(NotTaken.UNKNOWN_TICKET)


def test_one_visit_has_one_open_ticket(desk: Desk) -> None:
    """Asking again about the same visitor gives the same ticket; after an answer, a new one."""
    first = ask(desk)
    assert ask(desk, now_s=105.0) is first
    assert desk.ticket_of("visit-1") is first
    desk.answer(first.ticket_id, approve=False, now_s=106.0, present=None)
    assert desk.ticket_of("visit-1") is None
    assert ask(desk, now_s=107.0).ticket_id != first.ticket_id


def test_too_many_open_tickets_let_the_oldest_time_out(desk: Desk) -> None:
    """The desk stays small, and nothing is dropped without being told."""
    tickets = [ask(desk, f"visit-{n}", 100.0 + n) for n in range(MAX_OPEN + 1)]
    assert desk.tickets == tuple(tickets[1:])
    assert desk.expire(105.0) == (tickets[0],)
    assert yes(desk, tickets[0].ticket_id, 105.0, "visit-0") == Refused(NotTaken.TICKET_EXPIRED)


def test_a_ticket_says_what_the_attendant_needs_and_no_more(desk: Desk) -> None:
    """Top three ids, no score, no name; the time in UTC; the picture by its digest, not inside."""
    ticket = ask(desk)
    assert ticket.candidates == ("p1", "p2", "p3")
    assert json.loads(ticket_message(ticket, "front").json_bytes()) == {
        "schema": 1,
        "device_id": "front",
        "ticket_id": ticket.ticket_id,
        "presentation_id": "visit-1",
        "reason": "unknown_face",
        "candidates": ["p1", "p2", "p3"],
        "liveness": "live",
        "quality": "high",
        "expires_at": "2026-01-31T12:00:30.000Z",
        "image": {"topic": "ostiary/front/approval/image", "sha256": hashlib.sha256(b"jpeg").hexdigest()},
    }
    assert ticket_message(replace(ticket, crop=b""), "front").image is None
    assert "jpeg" not in repr(ticket)


def test_results_and_replies_say_who_and_why(desk: Desk) -> None:
    """The payloads of approval/result and reply/<client_id>, field by field."""
    ticket = ask(desk)
    assert json.loads(result_message(ticket, Reason.OK, "guard", NOON).json_bytes()) == {
        "schema": 1,
        "ticket_id": ticket.ticket_id,
        "presentation_id": "visit-1",
        "approved": True,
        "reason": "ok",
        "by": "guard",
        "at": "2026-01-31T12:00:00.000Z",
    }
    assert result_message(ticket, Reason.OPERATOR_TIMEOUT, "", NOON).approved is False
    done = {"schema": 1, "request_id": "r1", "ok": True, "error": "", "result": {}, "done": True}
    assert json.loads(reply("r1").json_bytes()) == done
    assert reply("r1", NotTaken.VISITOR_GONE).ok is False


class DeskMachine(RuleBasedStateMachine):
    """Any sequence of visits, answers, waits and departures."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(TICKET_S, lambda: NOON)
        self.now_s = 0.0
        self.present: str | None = None
        self.visits = 0
        self.deadline_s: dict[str, float] = {}  # the model: when each ticket dies at the latest
        self.done: dict[str, str] = {}  # the model: how each closed ticket ended

    @rule()
    def somebody_comes(self) -> None:
        """Another visitor takes the place before the camera."""
        self.visits += 1
        self.present = f"visit-{self.visits}"

    @rule()
    def everybody_leaves(self) -> None:
        """Nobody stands there."""
        self.present = None

    @rule(delay_s=st.sampled_from([0.0, 0.5, 5.0, 29.0, 30.0, 31.0]))
    def time_passes(self, delay_s: float) -> None:
        """Time only moves forward."""
        self.now_s += delay_s

    @rule(target=tickets)
    def somebody_is_referred(self) -> Ticket:
        """Refer whoever stands there, now and then someone who has just left."""
        ticket = ask(self.desk, self.present or "visit-0", self.now_s)
        self.deadline_s.setdefault(ticket.ticket_id, self.now_s + TICKET_S)
        return ticket

    @rule(ticket=tickets, approve=st.booleans(), broken_clock=st.sampled_from([False] * 9 + [True]))
    def an_answer_comes(self, ticket: Ticket, approve: bool, broken_clock: bool) -> None:
        """Answer any ticket there ever was."""
        now_s = math.nan if broken_clock else self.now_s
        verdict = self.desk.answer(ticket.ticket_id, approve=approve, now_s=now_s, present=self.present)
        if isinstance(verdict, Approved):
            assert approve
            assert verdict.ticket is ticket
            assert now_s < self.deadline_s[ticket.ticket_id], "approved after its deadline"
            assert self.present == ticket.presentation_id, "approved for another visitor"
        if not isinstance(verdict, Refused) or verdict.ticket is not None:
            self.close(ticket, "answered")

    @rule()
    def the_desk_is_swept(self) -> None:
        """Take the loop's turn."""
        for ticket in self.desk.expire(self.now_s):
            self.close(ticket, "timed out")

    def close(self, ticket: Ticket, how: str) -> None:
        """End a ticket, exactly once."""
        assert ticket.ticket_id not in self.done, "one ticket ended twice"
        self.done[ticket.ticket_id] = how

    @invariant()
    def the_desk_is_small_and_asks_once_about_each(self) -> None:
        """No visit has two open tickets, and no closed ticket is open."""
        visits = [ticket.presentation_id for ticket in self.desk.tickets]
        assert len(visits) == len(set(visits)) <= MAX_OPEN
        assert not {ticket.ticket_id for ticket in self.desk.tickets} & set(self.done)


def test_no_sequence_gives_a_second_late_or_foreign_approval() -> None:
    """D14, D15: whatever happens in whatever order, a ticket ends once, in time, for its own visitor."""
    run_state_machine_as_test(DeskMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
