"""What attendants say about a visitor, with everything real around it but the door and the broker."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from appliance.access.pin import hash_pin
from appliance.access.schedule import Moment
from appliance.attendant import SHOW_S, Ended
from appliance.config import AttendantSettings, Settings
from appliance.contract import REFERRED, EventType, Hint, Reason, Role
from appliance.envelope import Command
from appliance.errors import RefusedError, StorageError
from appliance.pipeline import Step
from appliance.records import Cue, Flaw, Grade, Refer, Wait
from appliance.referrals import ADVICE_S, RETRY_S, SHOW_MOST_S, Answered
from appliance.usecases import UseCases, ticket_acts
from tests.asking import Answers
from tests.stand import ADA, BEA, POINT, Stand, presentation, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.ticket import Ticket

STRANGER = Refer(Reason.UNKNOWN_FACE)
TICKET_S = AttendantSettings().ticket_s


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception with real files."""
    with standing(tmp_path) as stand:
        yield stand


@contextlib.contextmanager
def asking(folder: Path, **attendant: str) -> Iterator[Stand]:
    """Give a reception whose `[attendant]` says this."""
    with standing(folder, Settings(attendant=AttendantSettings(**attendant))) as stand:  # type: ignore[arg-type]
        yield stand


def referred(stand: Stand, refer: Refer = STRANGER, name: str = "v1") -> Ticket:
    """Return the ticket about a visitor."""
    stand.see(refer, name=name)
    return stand.asked[-1]


def yes(stand: Stand, ticket: Ticket, by: str = "desk") -> Answered:
    """Approve."""
    return stand.reception.answer(ticket.ticket_id, by, approve=True)


def no(stand: Stand, ticket: Ticket, by: str = "desk") -> Answered:
    """Deny."""
    return stand.reception.answer(ticket.ticket_id, by, approve=False)


def order(client_id: str, verb: str, **args: str) -> Command:
    """Return a verified command of an operator."""
    return Command(client_id, Role.OPERATOR, verb, args, "r-1")


def look(stand: Stand, grade: Grade = Grade.HIGH, flaws: tuple[Flaw, ...] = (), cues: tuple[Cue, ...] = ()) -> None:
    """Show one more frame of the same visitor, seen so well; nobody enrolled is like them any more."""
    visit = presentation("v1", ADA, stand.now_s)
    quality = replace(visit.latest.quality, grade=grade, flaws=flaws)
    visit = replace(visit, latest=replace(visit.latest, quality=quality), cues=cues)
    stand.reception.see(Step((visit.latest.detection,), visit, (), STRANGER), POINT)


def hint(stand: Stand) -> Hint | None:
    """Return what the visitor is told now."""
    return stand.reception.hint


def at_the_door(stand: Stand, seconds: float) -> None:
    """Let the visitor stand there for a while, seen ten times a second."""
    for _ in range(round(10 * seconds)):
        stand.now_s += 0.1
        look(stand)
        stand.reception.tick()


def fill_disk(folder: Path) -> sqlite3.Connection:
    """Have the audit log take nothing any more, until the connection is closed."""
    db = sqlite3.connect(folder / "audit.db", isolation_level=None)
    db.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    return db


def make_room(db: sqlite3.Connection) -> None:
    """Let the audit log take entries again."""
    db.execute("DROP TRIGGER full")
    db.close()


def test_an_approval_is_in_the_log_before_the_door_moves(stand: Stand) -> None:
    """J8: request, approval and grant stand in the log once each, by whom, and then one pulse is asked for."""
    ticket = referred(stand)
    assert yes(stand, ticket) == Answered(ticket=replace(ticket, approved_by=("desk",)))
    assert stand.kinds() == [
        (EventType.APPROVAL_REQUESTED, Reason.UNKNOWN_FACE),
        (EventType.APPROVAL_GRANTED, Reason.OK),
        (EventType.ACCESS_GRANTED, Reason.OK),
    ]
    assert {event.ticket_id for event in stand.events} == {ticket.ticket_id}
    assert [event.actor and event.actor.id for event in stand.events] == [None, "desk", "desk"]
    assert [pulse.presentation_id for pulse in stand.door.pulses] == ["v1"]
    assert stand.told == [(ticket.ticket_id, Reason.OK, "desk")]


def test_whoever_comes_late_hears_who_was_first_and_with_what(stand: Stand) -> None:
    """D12: the second of two attendants is told, nothing more happens, and all are told of the first answer once."""
    ticket = referred(stand)
    no(stand, ticket, "guard")
    late = yes(stand, ticket)
    assert (late.error, late.ended) == ("already_answered", Ended(Reason.OPERATOR_DENIED, "guard"))
    assert stand.told == [(ticket.ticket_id, Reason.OPERATOR_DENIED, "guard")]
    assert stand.door.pulses == []
    stand.now_s += 60
    expired = referred(stand, name="v2")
    stand.now_s += TICKET_S
    assert yes(stand, expired).ended == Ended(Reason.OPERATOR_TIMEOUT, "")


def test_the_reply_to_a_late_answer_says_so(stand: Stand) -> None:
    """The error is the one code that clients know; who and what stand beside it."""
    answers, ticket = Answers(), referred(stand)
    use_cases = UseCases(ticket_acts(stand.reception))
    for client_id, verb in (("guard", "approve"), ("desk", "approve"), ("desk", "deny")):
        use_cases.carry_out(order(client_id, verb, ticket_id=ticket.ticket_id), answers)
    first, *late = answers.told
    assert (first[0]["awaits"], first[0]["round"], first[1]) == (0, 1, "")
    ended = {"ticket_id": ticket.ticket_id, "reason": "ok", "by": "guard"}
    assert late == [(ended, "already_answered", True)] * 2


def test_two_attendants_open_what_one_does_not(tmp_path: Path) -> None:
    """A policy of two: the first voice opens nothing and shows on the ticket, the second opens, both are in the log."""
    with asking(tmp_path, two_for="unknown_face") as stand:
        ticket = referred(stand)
        assert ticket.approvals == 2
        first = yes(stand, ticket, "guard")
        assert first.error == ""
        assert first.ticket is not None
        assert stand.door.pulses == []
        assert stand.asked[-1].approved_by == ("guard",)
        assert len(stand.pictures) == 1, "a picture that everybody has is not sent again"
        assert yes(stand, ticket, "guard").error == "second_attendant_needed"
        assert stand.door.pulses == []
        assert yes(stand, ticket, "desk").error == ""
        assert len(stand.door.pulses) == 1
        assert [kind for kind, _ in stand.kinds()] == [
            EventType.APPROVAL_REQUESTED,
            EventType.APPROVAL_PARTIAL,
            EventType.APPROVAL_GRANTED,
            EventType.ACCESS_GRANTED,
        ]
        assert [event.actor.id for event in stand.events[1:3] if event.actor] == ["guard", "desk"]
        assert stand.events[1].detail == "1 of 2"


def test_one_voice_of_two_runs_out_of_time(tmp_path: Path) -> None:
    """D14: where the second voice does not come, the ticket ends as a denial, and the first opens nothing later."""
    with asking(tmp_path, two_for="all") as stand:
        ticket = referred(stand)
        yes(stand, ticket, "guard")
        stand.now_s += TICKET_S
        stand.reception.tick()
        assert stand.kinds()[-2:] == [
            (EventType.APPROVAL_EXPIRED, Reason.OPERATOR_TIMEOUT),
            (EventType.ACCESS_DENIED, Reason.OPERATOR_TIMEOUT),
        ]
        assert yes(stand, ticket, "desk").error == "ticket_expired"
        assert stand.door.pulses == []


def test_two_are_needed_only_for_the_reasons_that_are_named(tmp_path: Path) -> None:
    """Whatever else a human is asked for, one voice is enough unless the policy names it."""
    with asking(tmp_path, two_for="unknown_face") as stand:
        for reason in REFERRED:
            stand.now_s += 60
            ticket = referred(stand, Refer(reason), name=reason.value)
            yes(stand, ticket)
            opened = reason.value in {pulse.presentation_id for pulse in stand.door.pulses}
            assert opened is (reason is not Reason.UNKNOWN_FACE)


def test_a_visitor_who_shows_themselves_again_is_seen_anew(stand: Stand) -> None:
    """Asked again, the hint changes; a moment later the ticket goes out with what stands there now, and its picture."""
    ticket = referred(stand, Refer(Reason.AMBIGUOUS_MATCH))
    assert ticket.view.candidates == (stand.ids["ada"],)
    asked = stand.reception.again(ticket.ticket_id, "desk")
    assert asked.ticket is not None
    assert (asked.error, asked.ticket.round) == ("", 2)
    stand.now_s += 0.1
    look(stand)
    assert hint(stand) is Hint.SHOW_AGAIN
    assert len(stand.asked) == 1, "the visitor has had no time to read that"
    stand.now_s += SHOW_S
    look(stand, Grade.MEDIUM, (Flaw.BLUR, Flaw.YAW))
    assert len(stand.asked) == 1, "a poor view is not what was asked for"
    stand.now_s += SHOW_MOST_S
    look(stand, Grade.MEDIUM, (Flaw.BLUR, Flaw.YAW), cues=(Cue.FLAT_INPUT,))
    anew = stand.asked[-1]
    assert (anew.ticket_id, anew.round, anew.reason) == (ticket.ticket_id, 2, Reason.AMBIGUOUS_MATCH)
    assert (anew.view.quality, anew.view.flaws) == ("medium", (Flaw.BLUR, Flaw.YAW))
    assert (anew.view.liveness, anew.view.candidates) == ("attack", ())
    assert len(stand.pictures) == 2
    assert hint(stand) is Hint.ASKING
    assert [kind for kind, _ in stand.kinds()] == [
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_AGAIN,
        EventType.APPROVAL_REQUESTED,
    ]
    assert [event.detail for event in stand.events] == ["", "round 2", "round 2"]
    at_the_door(stand, 3.0)
    assert len(stand.asked) == 2, "one view a round"


def test_nobody_else_is_seen_for_a_ticket(stand: Stand) -> None:
    """D15: whoever stands there instead gives the ticket no view, and cannot be let in by it."""
    ticket = referred(stand)
    stand.reception.again(ticket.ticket_id, "desk")
    for _ in range(60):
        stand.now_s += 0.1
        stand.see(Wait(), name="v2", probe=BEA)
        stand.reception.tick()
    assert stand.asked == [ticket]
    assert stand.reception.again(ticket.ticket_id, "desk").error == "other_visitor"
    assert yes(stand, ticket).error == "other_visitor"
    assert stand.door.pulses == []


def test_a_round_gives_more_time_once(stand: Stand) -> None:
    """D14: asking again keeps a ticket open for as long again, a third round does not, and then it is over."""
    ticket = referred(stand)
    stand.now_s += 1
    look(stand)
    stand.reception.again(ticket.ticket_id, "desk")
    at_the_door(stand, TICKET_S)
    assert stand.reception.again(ticket.ticket_id, "desk").error == ""
    at_the_door(stand, TICKET_S - 2)
    assert stand.reception.again(ticket.ticket_id, "desk").error == "no_more_rounds"
    at_the_door(stand, 1.1)
    assert yes(stand, ticket).error == "ticket_expired"
    assert stand.door.pulses == []


def test_what_is_said_is_shown_to_this_visitor_alone(stand: Stand, tmp_path: Path) -> None:
    """A line reaches the visitor of the ticket while they stand there and it is open; the log holds its length only."""
    ticket = referred(stand)
    assert stand.reception.say(ticket.ticket_id, "desk", " one\x1b moment,\n\u202eplease ").error == ""
    look(stand)
    assert stand.reception.said == "one moment, please"
    told = stand.events[-1]
    assert (told.event_type, told.actor and told.actor.id, told.detail) == (
        EventType.VISITOR_TOLD,
        "desk",
        "18 characters",
    )
    stand.now_s += 0.1
    stand.see(Wait(), name="v2", probe=BEA)
    assert stand.reception.said == ""
    stand.now_s += 0.1
    look(stand)
    assert stand.reception.said == "one moment, please"
    no(stand, ticket)
    assert stand.reception.said == ""
    assert stand.reception.say(ticket.ticket_id, "desk", "sorry").error == "already_answered"
    assert b"moment" not in (tmp_path / "audit.db").read_bytes() + (tmp_path / "audit.db-wal").read_bytes()


def test_nothing_to_show_is_refused(stand: Stand) -> None:
    """D8: a line of control characters alone is no line."""
    ticket = referred(stand)
    with pytest.raises(RefusedError, match="nothing that can be shown"):
        stand.reception.say(ticket.ticket_id, "desk", "\x00\u202e \n")


def test_the_order_is_rung_one_after_the_other_and_anybody_may_answer(tmp_path: Path) -> None:
    """Who is rung is on the ticket; who is not rung yet may answer all the same; each step is in the log, once."""
    with asking(tmp_path, order="desk, guard; manager") as stand:
        ticket = referred(stand)
        assert ticket.to == ("desk", "guard")
        at_the_door(stand, 9.0)
        assert len(stand.asked) == 1
        at_the_door(stand, 15.0)
        assert [one.to for one in stand.asked] == [("desk", "guard"), ("desk", "guard", "manager")]
        assert [one.detail for one in stand.events if one.event_type is EventType.APPROVAL_ESCALATED] == [
            "rung: desk, guard, manager"
        ]
        assert len(stand.pictures) == 2, "who is rung later needs the picture"
        assert yes(stand, ticket, "owner").error == ""


def test_in_quiet_hours_nobody_is_asked_and_the_visitor_is_told(tmp_path: Path) -> None:
    """With nobody on the rota a stranger is refused at once and told to ring; in the morning somebody is asked."""
    with asking(tmp_path, quiet="22:00-06:00") as stand:
        night = datetime(2030, 11, 20, tzinfo=UTC).astimezone()  # without rules: the machine's own time
        stand.moment = Moment(night.replace(hour=23), clock_set=True)
        stand.see(STRANGER)
        assert stand.asked == []
        assert stand.kinds() == [(EventType.ACCESS_DENIED, Reason.UNKNOWN_FACE)]
        assert stand.events[0].detail == "nobody is asked in quiet hours"
        assert hint(stand) is Hint.RING
        stand.now_s += 60
        stand.moment = Moment(night.replace(hour=8), clock_set=True)
        stand.see(STRANGER, name="v2")
        assert len(stand.asked) == 1


def test_quiet_hours_need_a_clock(tmp_path: Path) -> None:
    """H1: where the time of day is not to be believed, somebody is asked."""
    with asking(tmp_path, quiet="00:00-24:00") as stand:
        stand.moment = Moment(stand.moment.at, clock_set=False)
        stand.see(STRANGER)
        assert len(stand.asked) == 1


def test_nobody_is_asked_again_about_who_was_just_answered(stand: Stand) -> None:
    """However long the answer took, its visitor is not referred anew while they are still on their way in or out."""
    for approve in (True, False):
        stand.now_s += 60
        ticket = referred(stand)
        at_the_door(stand, TICKET_S - 1)
        stand.reception.answer(ticket.ticket_id, "desk", approve=approve)
        at_the_door(stand, stand.settings.recognition.cool_down_s - 1)
        assert stand.asked[-1] == ticket
    assert len(stand.door.pulses) == 1


def test_silence_is_a_refusal_with_advice(stand: Stand) -> None:
    """Nobody answers: denied, and the visitor is told for some seconds what they can do; an answer needs no advice."""
    referred(stand)
    at_the_door(stand, 1.0)
    assert hint(stand) is Hint.ASKING
    at_the_door(stand, TICKET_S)
    assert stand.kinds()[-1] == (EventType.ACCESS_DENIED, Reason.OPERATOR_TIMEOUT)
    assert hint(stand) is Hint.RING
    at_the_door(stand, ADVICE_S)
    assert hint(stand) is None
    stand.now_s += 60
    denied = referred(stand, name="v2")
    no(stand, denied)
    stand.now_s += 0.1
    stand.see(STRANGER, name="v2")
    assert hint(stand) is None


def test_advice_is_for_the_one_who_waited(stand: Stand) -> None:
    """The next visitor is not told to ring because somebody before them got no answer."""
    referred(stand)
    at_the_door(stand, TICKET_S + 0.1)
    assert hint(stand) is Hint.RING
    stand.see(Wait(), name="v2", probe=BEA)
    assert hint(stand) is None


def test_whoever_has_a_pin_is_told_to_use_it(stand: Stand) -> None:
    """Who may be somebody with a PIN is told of it where no human answers; nobody else is."""
    stand.gallery.set_pin(stand.ids["ada"], hash_pin("2468"), hash_pin("8642"))
    look_alike = Refer(Reason.AMBIGUOUS_MATCH)
    for _ in range(round(stand.settings.access.factor_s + TICKET_S) + 1):
        stand.see(look_alike)
        stand.reception.tick()
        stand.now_s += 1
    stand.see(look_alike)
    assert [one.reason for one in stand.asked] == [Reason.AMBIGUOUS_MATCH]
    assert hint(stand) is Hint.USE_PIN
    stand.now_s += 60
    stand.see(Refer(Reason.MULTIPLE_FACES), name="v2")
    stand.now_s += TICKET_S
    stand.see(Refer(Reason.MULTIPLE_FACES), name="v2")
    stand.reception.tick()
    assert hint(stand) is Hint.RING


@pytest.mark.parametrize("approve", [True, False])
def test_a_full_disk_takes_no_answer_and_loses_none(stand: Stand, tmp_path: Path, approve: bool) -> None:
    """J8, F3: an answer that cannot be written does nothing; the same one, once there is room, is in the log once."""
    ticket = referred(stand)
    before = stand.kinds()
    db = fill_disk(tmp_path)
    for _ in range(3):
        with pytest.raises(StorageError):
            stand.reception.answer(ticket.ticket_id, "desk", approve=approve)
    assert (stand.door.pulses, stand.told, stand.kinds()) == ([], [], before)
    make_room(db)
    assert stand.reception.answer(ticket.ticket_id, "desk", approve=approve).error == ""
    kind = EventType.APPROVAL_GRANTED if approve else EventType.APPROVAL_DENIED
    assert [one for one, _ in stand.kinds()].count(kind) == 1
    assert len(stand.door.pulses) == int(approve)
    assert len(stand.told) == 1


def test_a_full_disk_does_not_hide_that_time_ran_out(stand: Stand, tmp_path: Path) -> None:
    """J8, F3: a ticket that ends while nothing can be written opens nothing, and its end is written once, later."""
    ticket = referred(stand)
    db = fill_disk(tmp_path)
    stand.now_s += TICKET_S
    with pytest.raises(StorageError):
        stand.reception.tick()
    stand.now_s += RETRY_S / 2
    stand.reception.tick()  # the door has other things to do than to try this ten times a second
    assert yes(stand, ticket).error == "ticket_expired"
    assert stand.told == []
    make_room(db)
    for _ in range(30):
        stand.now_s += 0.1
        stand.reception.tick()
    kinds = [kind for kind, _ in stand.kinds()]
    assert kinds.count(EventType.APPROVAL_EXPIRED) == kinds.count(EventType.ACCESS_DENIED) == 1
    assert stand.told == [(ticket.ticket_id, Reason.OPERATOR_TIMEOUT, "")]


def test_a_client_is_told_that_nothing_could_be_written(stand: Stand, tmp_path: Path) -> None:
    """F3: with a full disk the reply is an error, and the loop hears of it too."""
    answers, ticket = Answers(), referred(stand)
    db = fill_disk(tmp_path)
    with pytest.raises(StorageError):
        UseCases(ticket_acts(stand.reception)).carry_out(order("desk", "approve", ticket_id=ticket.ticket_id), answers)
    assert answers.told == [({}, "storage_fault", True)]
    db.close()


def test_verbs_of_tickets_reach_the_visitor(stand: Stand) -> None:
    """`again` and `say` answer with how the ticket stands, and with one line where they have no effect."""
    answers, ticket = Answers(), referred(stand)
    use_cases = UseCases(ticket_acts(stand.reception))
    use_cases.carry_out(order("desk", "say", ticket_id=ticket.ticket_id, text="hello"), answers)
    use_cases.carry_out(order("desk", "again", ticket_id=ticket.ticket_id), answers)
    assert [(result["round"], result["awaits"], error) for result, error, _ in answers.told] == [(1, 1, ""), (2, 1, "")]
    assert stand.reception.said == "hello"
    with pytest.raises(RefusedError, match="already_asked"):
        use_cases.carry_out(order("desk", "again", ticket_id=ticket.ticket_id), answers)
    with pytest.raises(RefusedError, match=r"args\.text of say .* at most 120 characters"):
        use_cases.carry_out(order("desk", "say", ticket_id=ticket.ticket_id, text="x" * 121), answers)


def test_a_pulse_that_fails_is_told(stand: Stand, tmp_path: Path) -> None:
    """J8: where the door refuses after the grant, the attendants hear it, though not even that can be written."""
    ticket = referred(stand)
    stand.door.refuses = True
    with contextlib.closing(sqlite3.connect(tmp_path / "audit.db", isolation_level=None)) as db:
        fault = "NEW.body LIKE '%\"fault\"%'"
        db.execute(f"CREATE TRIGGER full BEFORE INSERT ON entry WHEN {fault} BEGIN SELECT RAISE(ABORT, 'full'); END")
        with pytest.raises(StorageError):
            yes(stand, ticket)
    assert stand.told == [(ticket.ticket_id, Reason.DEGRADED_MODE, "desk")]
