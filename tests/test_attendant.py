"""The attendant's desk: in time, once, by as many as it takes, and only for the visitor that the ticket is about."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from appliance.attendant import (
    MAX_AGAIN,
    MAX_OPEN,
    SHOW_S,
    Approved,
    Awaiting,
    Denied,
    Desk,
    Ended,
    NotTaken,
    Refused,
    Verdict,
)
from appliance.contract import Reason
from appliance.errors import StorageError
from appliance.messages import reply
from appliance.records import Flaw
from appliance.ticket import Ticket, View, result_message, ticket_message, ticket_state

if TYPE_CHECKING:
    from appliance.rota import Groups

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TICKET_S, ESCALATE_S = 30.0, 10.0
VIEW = View(("p1", "p2", "p3"), "live", "high", (), b"jpeg")
LATER_VIEW = View((), "uncertain", "medium", (Flaw.BLUR, Flaw.YAW), b"jpeg, later")
PEOPLE = ("desk", "guard", "manager")


class Book:
    """What is written down; a full one takes nothing."""

    def __init__(self) -> None:
        self.full = False
        self.entries: list[Ticket | Verdict] = []
        self.expired: list[str] = []  # ids of tickets

    def note(self, change: Ticket | Verdict) -> None:
        """Write down a change, or raise StorageError."""
        if self.full:
            raise StorageError("disk full")
        self.entries.append(change)

    def note_expiry(self, ticket: Ticket) -> None:
        """Write down that a ticket ran out of time, or raise StorageError."""
        self.note(ticket)
        self.expired.append(ticket.ticket_id)


@pytest.fixture
def desk() -> Desk:
    """Give an empty desk."""
    return Desk(TICKET_S, ESCALATE_S, lambda: NOON)


def unnoted(_change: object) -> None:
    """Write nothing down."""


def ask(
    desk: Desk,
    visit: str = "visit-1",
    now_s: float = 100.0,
    approvals: int = 1,
    groups: Groups = (),
) -> Ticket:
    """Open a ticket about `visit`."""
    return desk.open(
        presentation_id=visit,
        reason=Reason.UNKNOWN_FACE,
        view=VIEW,
        now_s=now_s,
        note=unnoted,
        approvals=approvals,
        groups=groups,
    )


def yes(desk: Desk, ticket_id: str, now_s: float, present: str | None, by: str = "desk") -> Verdict:
    """Approve the ticket."""
    return desk.answer(ticket_id, by, approve=True, now_s=now_s, present=present, note=unnoted)


def no(desk: Desk, ticket_id: str, now_s: float, by: str = "desk") -> Verdict:
    """Deny the ticket."""
    return desk.answer(ticket_id, by, approve=False, now_s=now_s, present=None, note=unnoted)


def again(desk: Desk, ticket_id: str, now_s: float, present: str | None = "visit-1") -> Ticket:
    """Ask for another round, which must be possible."""
    asked = desk.again(ticket_id, now_s=now_s, present=present, note=unnoted)
    assert isinstance(asked, Ticket)
    return asked


def expired(desk: Desk, now_s: float) -> list[Ticket]:
    """Return every ticket that is told to have run out of time."""
    found: list[Ticket] = []
    while (ticket := desk.expire(now_s, unnoted)) is not None:
        found.append(ticket)
    return found


def approved(ticket: Ticket, *by: str) -> Ticket:
    """Return the ticket as it is once these have approved it."""
    return replace(ticket, approved_by=by)


ANSWERED = Refused(NotTaken.ALREADY_ANSWERED, ended=Ended(Reason.STALE, "desk"))
TOO_LATE = Refused(NotTaken.TICKET_EXPIRED, ended=Ended(Reason.OPERATOR_TIMEOUT, ""))


def test_an_approval_in_time_lets_the_same_visitor_in(desk: Desk) -> None:
    """Yes, in time, while the visitor of the ticket stands there: the one way to an approval."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, 129.9, "visit-1") == Approved(approved(ticket, "desk"))
    assert desk.tickets == ()


def test_a_denial_needs_nobody_before_the_camera(desk: Desk) -> None:
    """No is no, whoever stands there now."""
    ticket = ask(desk)
    assert no(desk, ticket.ticket_id, 101.0) == Denied(ticket)


def test_an_answer_for_one_visitor_never_opens_for_another(desk: Desk) -> None:
    """D15: A's ticket is refused while B stands there, and is used up by that."""
    ticket = ask(desk, "visit-a")
    assert yes(desk, ticket.ticket_id, 101.0, "visit-b") == Refused(NotTaken.OTHER_VISITOR, ticket)
    assert yes(desk, ticket.ticket_id, 102.0, "visit-a") == ANSWERED


def test_an_approval_after_the_visitor_left_is_refused(desk: Desk) -> None:
    """D14: nobody before the camera, nothing opens, and coming back does not revive the ticket."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, 101.0, None) == Refused(NotTaken.VISITOR_GONE, ticket)
    assert yes(desk, ticket.ticket_id, 102.0, "visit-1") == ANSWERED


@pytest.mark.parametrize("now_s", [130.0, 131.0, 99.9, math.nan, math.inf, -math.inf])
def test_an_answer_out_of_time_is_refused(desk: Desk, now_s: float) -> None:
    """D14: at the deadline, after it, before the ticket, or at no time at all, an approval is too late."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, now_s, "visit-1") == TOO_LATE
    assert expired(desk, 110.0) == [ticket]
    assert expired(desk, 111.0) == []


def test_a_ticket_opened_at_no_time_is_never_approved(desk: Desk) -> None:
    """A clock that is not a number gives a ticket that only times out."""
    ticket = ask(desk, now_s=math.nan)
    assert yes(desk, ticket.ticket_id, 100.0, "visit-1") == TOO_LATE


def test_an_unknown_ticket_is_refused(desk: Desk) -> None:
    """An invented or forgotten ticket id has no effect, whatever is asked of it."""
    unknown = Refused(NotTaken.UNKNOWN_TICKET)
    assert yes(desk, "0" * 32, 100.0, "visit-1") == unknown
    assert desk.again("0" * 32, now_s=100.0, present="visit-1", note=unnoted) == unknown
    assert desk.say("0" * 32, "hello", now_s=100.0, note=unnoted) == unknown


def test_the_first_answer_wins_and_the_others_are_told_whose(desk: Desk) -> None:
    """D12: of several attendants one answer has an effect; every later one hears who was first, and with what."""
    ticket = ask(desk)
    assert yes(desk, ticket.ticket_id, 101.0, "visit-1", "guard") == Approved(approved(ticket, "guard"))
    late = Refused(NotTaken.ALREADY_ANSWERED, ended=Ended(Reason.OK, "guard"))
    assert yes(desk, ticket.ticket_id, 101.1, "visit-1") == late
    assert no(desk, ticket.ticket_id, 101.2) == late
    denied = ask(desk, "visit-2")
    no(desk, denied.ticket_id, 102.0, "desk")
    late = Refused(NotTaken.ALREADY_ANSWERED, ended=Ended(Reason.OPERATOR_DENIED, "desk"))
    assert yes(desk, denied.ticket_id, 102.1, "visit-2", "guard") == late


def test_one_visit_has_one_open_ticket(desk: Desk) -> None:
    """Asking again about the same visitor gives the same ticket; after an answer, a new one."""
    first = ask(desk)
    assert ask(desk, now_s=105.0) is first
    assert desk.ticket_of("visit-1") is first
    no(desk, first.ticket_id, 106.0)
    assert desk.ticket_of("visit-1") is None
    assert ask(desk, now_s=107.0).ticket_id != first.ticket_id


def test_too_many_open_tickets_let_the_oldest_time_out(desk: Desk) -> None:
    """The desk stays small, and nothing is dropped without being told."""
    tickets = [ask(desk, f"visit-{n}", 100.0 + n) for n in range(MAX_OPEN + 1)]
    assert desk.tickets == tuple(tickets[1:])
    assert expired(desk, 105.0) == [tickets[0]]
    assert yes(desk, tickets[0].ticket_id, 105.0, "visit-0") == TOO_LATE


def test_two_voices_are_two_people(desk: Desk) -> None:
    """Where two must approve, the first opens nothing, nor does it twice; the second, of somebody else, does."""
    ticket = ask(desk, approvals=2)
    one = approved(ticket, "guard")
    assert yes(desk, ticket.ticket_id, 101.0, "visit-1", "guard") == Awaiting(one)
    assert yes(desk, ticket.ticket_id, 102.0, "visit-1", "guard") == Refused(NotTaken.SECOND_ATTENDANT_NEEDED)
    assert desk.tickets == (one,)
    both = approved(ticket, "guard", "desk")
    assert yes(desk, ticket.ticket_id, 129.0, "visit-1", "desk") == Approved(both)
    assert yes(desk, ticket.ticket_id, 129.1, "visit-1", "manager").ended == Ended(Reason.OK, "desk")  # type: ignore[union-attr]


def test_one_no_outweighs_one_yes(desk: Desk) -> None:
    """Where two must approve, a single denial ends it, and so does time, whatever the first has said (D14)."""
    ticket = ask(desk, approvals=2)
    yes(desk, ticket.ticket_id, 101.0, "visit-1", "guard")
    assert no(desk, ticket.ticket_id, 102.0) == Denied(approved(ticket, "guard"))
    slow = ask(desk, "visit-2", approvals=2)
    yes(desk, slow.ticket_id, 101.0, "visit-2", "guard")
    assert yes(desk, slow.ticket_id, 130.0, "visit-2", "desk") == TOO_LATE


def test_voice_of_somebody_revoked_counts_no_more() -> None:
    """Where two must approve, whoever was revoked after the first word is no longer one of them."""
    known = {"desk", "guard", "boss"}
    desk = Desk(30.0, attends=known.__contains__)
    ticket = ask(desk, approvals=2)
    assert isinstance(yes(desk, ticket.ticket_id, 101.0, "visit-1", "desk"), Awaiting)
    known.remove("desk")
    second = yes(desk, ticket.ticket_id, 102.0, "visit-1", "guard")
    assert isinstance(second, Awaiting)
    assert second.ticket.approved_by == ("guard",)
    assert isinstance(yes(desk, ticket.ticket_id, 103.0, "visit-1", "boss"), Approved)


def test_a_second_voice_for_somebody_else_opens_nothing(desk: Desk) -> None:
    """D15: also the second of two approvals needs the very visitor of the ticket."""
    ticket = ask(desk, approvals=2)
    yes(desk, ticket.ticket_id, 101.0, "visit-1", "guard")
    one = approved(ticket, "guard")
    assert yes(desk, ticket.ticket_id, 102.0, "visit-2", "desk") == Refused(NotTaken.OTHER_VISITOR, one)


def test_another_round_gives_time_once_and_forgets_approvals(desk: Desk) -> None:
    """Asked again: as many seconds more the first time only, at most two rounds more, and what was approved is void."""
    ticket = ask(desk, approvals=2)
    yes(desk, ticket.ticket_id, 101.0, "visit-1", "guard")
    second = again(desk, ticket.ticket_id, 120.0)
    assert (second.round, second.approved_by, second.view_due_s) == (2, (), 120.0 + SHOW_S)
    assert second.expires_at_s == ticket.expires_at_s + TICKET_S
    assert (second.expires_at - ticket.expires_at).total_seconds() == TICKET_S
    wait = desk.again(ticket.ticket_id, now_s=121.0, present="visit-1", note=unnoted)
    assert wait == Refused(NotTaken.ALREADY_ASKED)
    shown = desk.show(ticket.ticket_id, LATER_VIEW, now_s=122.0, note=unnoted)
    assert shown == replace(second, view=LATER_VIEW, view_due_s=None)
    third = again(desk, ticket.ticket_id, 123.0)
    assert (third.round, third.expires_at_s) == (1 + MAX_AGAIN, second.expires_at_s)
    desk.show(ticket.ticket_id, VIEW, now_s=124.0, note=unnoted)
    over = desk.again(ticket.ticket_id, now_s=125.0, present="visit-1", note=unnoted)
    assert over == Refused(NotTaken.NO_MORE_ROUNDS)
    last = approved(replace(third, view=VIEW, view_due_s=None), "guard")
    assert yes(desk, ticket.ticket_id, 126.0, "visit-1", "guard") == Awaiting(last)
    assert yes(desk, ticket.ticket_id, 160.0, "visit-1", "desk") == TOO_LATE


@pytest.mark.parametrize(("present", "why"), [(None, NotTaken.VISITOR_GONE), ("visit-2", NotTaken.OTHER_VISITOR)])
def test_a_round_needs_the_visitor_and_costs_nothing_without(desk: Desk, present: str | None, why: NotTaken) -> None:
    """D15: nobody else is asked to show themselves for this ticket, which stays as it was."""
    ticket = ask(desk)
    assert desk.again(ticket.ticket_id, now_s=101.0, present=present, note=unnoted) == Refused(why)
    assert desk.tickets == (ticket,)


def test_what_is_said_lasts_as_long_as_the_ticket(desk: Desk) -> None:
    """The newest line is on the ticket until that is closed; afterwards nothing can be said any more."""
    ticket = ask(desk)
    assert desk.say(ticket.ticket_id, "one moment", now_s=101.0, note=unnoted) == replace(ticket, said="one moment")
    assert desk.say(ticket.ticket_id, "come in", now_s=102.0, note=unnoted) == replace(ticket, said="come in")
    assert desk.say(ticket.ticket_id, "too late", now_s=130.0, note=unnoted) == TOO_LATE
    assert desk.ticket_of("visit-1") is None


def test_the_next_of_the_order_are_rung_in_time(desk: Desk) -> None:
    """First the first group, then every ten seconds the next as well, each once, and nobody after an answer."""
    groups = (("desk", "guard"), ("manager", "desk"), ("owner",))
    ticket = ask(desk, groups=groups)
    assert ticket.to == ("desk", "guard")
    assert desk.ring(109.9, unnoted) is None
    rung = desk.ring(110.0, unnoted)
    assert rung is not None
    assert rung.to == ("desk", "guard", "manager")
    assert desk.ring(110.0, unnoted) is None
    no(desk, ticket.ticket_id, 111.0)
    assert desk.ring(120.0, unnoted) is None
    other = ask(desk, "visit-2", 200.0, groups=groups)
    late = [desk.ring(225.0, unnoted), desk.ring(225.0, unnoted), desk.ring(225.0, unnoted)]
    assert [one and one.to for one in late] == [("desk", "guard", "manager"), (*PEOPLE[:2], "manager", "owner"), None]
    assert yes(desk, other.ticket_id, 226.0, "visit-2", "stranger to the order") != TOO_LATE


def test_what_cannot_be_written_down_does_not_happen(desk: Desk) -> None:
    """J8, F3: with a full disk no ticket opens, is answered, goes round, rings or ends; afterwards each does, once."""
    book = Book()
    ticket = ask(desk, groups=(("desk",), ("manager",)))
    before = desk.tickets
    book.full = True
    with pytest.raises(StorageError):
        desk.open(presentation_id="v2", reason=Reason.UNKNOWN_FACE, view=VIEW, now_s=101.0, note=book.note)
    for approve in (True, False):
        with pytest.raises(StorageError):
            desk.answer(ticket.ticket_id, "desk", approve=approve, now_s=101.0, present="visit-1", note=book.note)
    with pytest.raises(StorageError):
        desk.again(ticket.ticket_id, now_s=101.0, present="visit-1", note=book.note)
    with pytest.raises(StorageError):
        desk.say(ticket.ticket_id, "wait", now_s=101.0, note=book.note)
    with pytest.raises(StorageError):
        desk.ring(115.0, book.note)
    assert desk.tickets == before
    with pytest.raises(StorageError):
        desk.expire(130.0, book.note)
    assert yes(desk, ticket.ticket_id, 129.0, "visit-1") == TOO_LATE, "it may not be told yet, but it is over"
    book.full = False
    assert desk.expire(131.0, book.note) == ticket
    assert desk.expire(131.0, book.note) is None
    assert book.entries == [ticket]


def test_a_ticket_says_what_the_attendant_needs_and_no_more(desk: Desk) -> None:
    """J2: top three ids, liveness and quality in words, no score, no name; UTC; the picture by its digest."""
    opened = ask(desk, approvals=2, groups=(("desk",),))
    yes(desk, opened.ticket_id, 101.0, "visit-1", "guard")
    ticket = replace(desk.tickets[0], view=replace(VIEW, flaws=(Flaw.BLUR,)))
    assert json.loads(ticket_message(ticket, "front").json_bytes()) == {
        "schema": 1,
        "device_id": "front",
        "ticket_id": ticket.ticket_id,
        "presentation_id": "visit-1",
        "reason": "unknown_face",
        "candidates": ["p1", "p2", "p3"],
        "liveness": "live",
        "quality": "high",
        "flaws": ["blur"],
        "round": 1,
        "approvals": 2,
        "approved_by": ["guard"],
        "to": ["desk"],
        "expires_at": "2026-01-31T12:00:30.000Z",
        "image": {"topic": "ostiary/front/approval/image", "sha256": hashlib.sha256(b"jpeg").hexdigest()},
    }
    assert ticket_message(replace(ticket, view=replace(VIEW, crop=b"")), "front").image is None
    assert "jpeg" not in repr(ticket)
    assert ticket_state(ticket).model_dump(mode="json") == {
        "ticket_id": ticket.ticket_id,
        "round": 1,
        "awaits": 1,
        "expires_at": "2026-01-31T12:00:30.000Z",
    }


def test_results_and_replies_say_who_and_why(desk: Desk) -> None:
    """The payloads of approval/result and reply/<client_id>, field by field."""
    ticket = approved(ask(desk), "guard")
    assert json.loads(result_message(ticket, Reason.OK, "guard", NOON).json_bytes()) == {
        "schema": 1,
        "ticket_id": ticket.ticket_id,
        "presentation_id": "visit-1",
        "approved": True,
        "reason": "ok",
        "by": "guard",
        "approved_by": ["guard"],
        "at": "2026-01-31T12:00:00.000Z",
    }
    assert result_message(ticket, Reason.OPERATOR_TIMEOUT, "", NOON).approved is False
    told = json.loads(reply("r1").json_bytes())
    assert told == {"schema": 1, "request_id": "r1", "ok": True, "error": "", "result": {}, "done": True}
    assert reply("r1", NotTaken.VISITOR_GONE).ok is False


class DeskMachine(RuleBasedStateMachine):
    """Any sequence of visits, answers of several attendants, rounds, waits, departures and full disks."""

    tickets: Bundle[str] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(TICKET_S, ESCALATE_S, lambda: NOON)
        self.book = Book()
        self.now_s = 0.0
        self.present: str | None = None
        self.visits = 0
        # The model, by ticket id: whom it is about, when it dies at the latest, how many must approve, who has.
        self.about: dict[str, str] = {}
        self.deadline_s: dict[str, float] = {}
        self.needed: dict[str, int] = {}
        self.voices: dict[str, set[str]] = {}
        self.rounds: dict[str, int] = {}
        self.done: dict[str, str] = {}  # how each closed ticket ended
        self.newest = "none"

    @rule()
    def somebody_comes(self) -> None:
        """Another visitor takes the place before the camera."""
        self.visits += 1
        self.present = f"visit-{self.visits}"

    @rule()
    def everybody_leaves(self) -> None:
        """Nobody stands there."""
        self.present = None

    @rule(delay_s=st.sampled_from([0.5, 5.0, 12.0, 29.0, 31.0]))
    def time_passes(self, delay_s: float) -> None:
        """Time only moves forward."""
        self.now_s += delay_s

    @rule(full=st.sampled_from([False] * 3 + [True]))
    def disk_fills_or_empties(self, full: bool) -> None:
        """Fill the disk, or make room."""
        self.book.full = full

    @rule(target=tickets, approvals=st.sampled_from([2, 2, 1]), groups=st.sampled_from([(), (("desk",), ("guard",))]))
    def somebody_is_referred(self, approvals: int, groups: Groups) -> str:
        """Refer whoever stands there, now and then someone who has just left."""
        visit = self.present or "visit-0"
        try:
            ticket = self.desk.open(
                presentation_id=visit,
                reason=Reason.UNKNOWN_FACE,
                view=VIEW,
                now_s=self.now_s,
                note=self.book.note,
                approvals=approvals,
                groups=groups,
            )
        except StorageError:
            return "none"
        if ticket.ticket_id not in self.about:
            self.about[ticket.ticket_id] = visit
            self.deadline_s[ticket.ticket_id] = self.now_s + TICKET_S
            self.needed[ticket.ticket_id] = approvals
            self.voices[ticket.ticket_id] = set()
            self.rounds[ticket.ticket_id] = 1
        self.newest = ticket.ticket_id
        return ticket.ticket_id

    @rule()
    def who_was_asked_about_stands_there(self) -> None:
        """Put the visitor of the newest ticket before the camera."""
        self.present = self.about.get(self.newest)

    @rule(voices=st.lists(st.sampled_from(PEOPLE[:2]), min_size=1, max_size=2), between=st.booleans())
    def the_newest_is_approved(self, voices: list[str], between: bool) -> None:
        """Let whoever came last in, by one or two, or the same twice, perhaps with another round between."""
        for by in voices:
            self.an_answer(self.newest, by, approve=True, now_s=self.now_s)
            if between:
                self.another_round(self.newest)
                self.a_view_comes_for(self.newest)

    @rule(
        ticket_id=tickets,
        by=st.sampled_from(PEOPLE),
        approve=st.booleans(),
        broken=st.sampled_from([False] * 9 + [True]),
    )
    def an_answer_comes(self, ticket_id: str, by: str, approve: bool, broken: bool) -> None:
        """Answer any ticket there ever was, now and then by a clock that is none."""
        self.an_answer(ticket_id, by, approve=approve, now_s=math.nan if broken else self.now_s)

    def an_answer(self, ticket_id: str, by: str, *, approve: bool, now_s: float) -> None:
        """Answer, and hold what comes of it to the model."""
        try:
            verdict = self.desk.answer(
                ticket_id, by, approve=approve, now_s=now_s, present=self.present, note=self.book.note
            )
        except StorageError:
            return
        if isinstance(verdict, Approved | Awaiting):
            assert approve
            assert now_s < self.deadline_s[ticket_id], "heard after its deadline"
            assert self.present == self.about[ticket_id], "heard for another visitor"
            assert by not in self.voices[ticket_id], "one voice counted twice"
            self.voices[ticket_id].add(by)
        if isinstance(verdict, Approved):
            assert len(self.voices[ticket_id]) >= self.needed[ticket_id], "one voice where two are needed"
            assert self.book.entries[-1] == verdict, "nobody has written that down"
            self.close(ticket_id, "approved")
        elif isinstance(verdict, Denied) or (isinstance(verdict, Refused) and verdict.ticket is not None):
            self.close(ticket_id, "denied")

    @rule(ticket_id=tickets, newest=st.booleans())
    def another_round_is_asked_for(self, ticket_id: str, newest: bool) -> None:
        """Ask the visitor of any ticket to show themselves again."""
        self.another_round(self.newest if newest else ticket_id)

    def another_round(self, ticket_id: str) -> None:
        """Ask for a round, and hold what comes of it to the model."""
        try:
            asked = self.desk.again(ticket_id, now_s=self.now_s, present=self.present, note=self.book.note)
        except StorageError:
            return
        if isinstance(asked, Ticket):
            assert self.present == self.about[ticket_id], "somebody else was asked"
            assert self.now_s < self.deadline_s[ticket_id]
            self.deadline_s[ticket_id] += TICKET_S if self.rounds[ticket_id] == 1 else 0.0
            self.rounds[ticket_id] += 1
            self.voices[ticket_id].clear()
            assert self.rounds[ticket_id] <= 1 + MAX_AGAIN

    @rule(ticket_id=tickets)
    def a_view_comes(self, ticket_id: str) -> None:
        """Show another view for any ticket."""
        self.a_view_comes_for(ticket_id)

    def a_view_comes_for(self, ticket_id: str) -> None:
        """Show another view for this ticket."""
        try:
            self.desk.show(ticket_id, LATER_VIEW, now_s=self.now_s, note=self.book.note)
        except StorageError:
            return

    @rule()
    def the_desk_is_swept(self) -> None:
        """Take the loop's turn."""
        try:
            while (ticket := self.desk.expire(self.now_s, self.book.note_expiry)) is not None:
                self.close(ticket.ticket_id, "timed out")
            while self.desk.ring(self.now_s, self.book.note) is not None:
                pass
        except StorageError:
            return

    def teardown(self) -> None:
        """Make room and close the desk: every ticket that was ever opened has ended, and that once."""
        self.book.full = False
        self.now_s = math.inf
        self.the_desk_is_swept()
        self.each_end_is_written_once()
        assert set(self.done) == set(self.about)

    def close(self, ticket_id: str, how: str) -> None:
        """End a ticket, exactly once."""
        assert ticket_id not in self.done, "one ticket ended twice"
        self.done[ticket_id] = how

    @invariant()
    def the_desk_is_small_and_asks_once_about_each(self) -> None:
        """No visit has two open tickets, no closed ticket is open, and none opened for more than its voices."""
        visits = [ticket.presentation_id for ticket in self.desk.tickets]
        assert len(visits) == len(set(visits)) <= MAX_OPEN
        assert not {ticket.ticket_id for ticket in self.desk.tickets} & set(self.done)
        for ticket in self.desk.tickets:
            assert set(ticket.approved_by) == self.voices[ticket.ticket_id]
            assert len(ticket.approved_by) < ticket.approvals
            assert ticket.expires_at_s == self.deadline_s[ticket.ticket_id]

    @invariant()
    def each_end_is_written_once(self) -> None:
        """J8: of every ticket that ended there is one entry that says so, and of no other."""
        closing = [entry for entry in self.book.entries if isinstance(entry, Approved | Denied | Refused)]
        ends = [entry.ticket.ticket_id for entry in closing if entry.ticket is not None] + self.book.expired
        assert sorted(ends) == sorted(self.done)


def test_no_sequence_gives_a_second_late_or_foreign_approval() -> None:
    """D14, D15, J8: in any order, a ticket ends once, in time, for its own visitor, by enough voices, on record."""
    run_state_machine_as_test(DeskMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
