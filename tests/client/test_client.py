"""The attendant's side, against a real broker and a doorway that decides as the service does."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from appliance.attendant import Approved, Denied, NotTaken, Refused
from appliance.broker import private_broker
from appliance.clients import Registry
from appliance.contract import Reason, Role, Topic, topic
from appliance.envelope import Fault
from appliance.errors import BrokerError
from appliance.signing import new_key, read_key
from ostiary_client import UNANSWERED, Client, Reply
from tests.broker import QUICK, bystander, wait_for
from tests.doorway import Doorway, doorway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.broker import PrivateBroker


@pytest.fixture
def door(broker: PrivateBroker, tmp_path: Path) -> Iterator[Doorway]:
    """Give a doorway that knows the operator `guard`."""
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, new_key(tmp_path / "guard.key"))
    with doorway(broker.settings, tmp_path / "clients.db", 5.0) as door:
        yield door


@pytest.fixture
def guard(door: Doorway, broker: PrivateBroker, tmp_path: Path) -> Iterator[Client]:
    """Give the guard at work."""
    with Client(broker.settings, "front", "guard", read_key(tmp_path / "guard.key"), pace=QUICK) as client:
        yield client


def test_a_ticket_comes_with_its_picture_and_is_answered(door: Doorway, guard: Client) -> None:
    """From the door to the attendant and back: what is shown is the visitor, what is answered takes effect."""
    for number, approve in enumerate((True, False)):
        opened = door.ask(f"visit-{number}", Reason.AMBIGUOUS_MATCH)
        ticket = guard.next_ticket(5)
        assert ticket is not None
        assert (ticket.ticket_id, ticket.reason) == (opened.ticket_id, Reason.AMBIGUOUS_MATCH)
        assert ticket.candidates == ("ada", "bob")
        assert ticket.image == opened.view.crop
        assert 0 < ticket.seconds_left() <= 5
        reply = guard.approve(ticket.ticket_id) if approve else guard.deny(ticket.ticket_id)
        assert reply == Reply(ok=True, error="", result={})
        wait_for(partial(guard.outcome, ticket.ticket_id))
        outcome = guard.outcome(ticket.ticket_id)
        assert outcome is not None
        assert (outcome.approved, outcome.by) == (approve, "guard")
    assert [type(verdict) for verdict in door.verdicts] == [Approved, Denied]


def test_nothing_is_answered_twice_or_for_another(door: Doorway, guard: Client) -> None:
    """D14, D15: over the wire too, and the attendant is told why."""
    ticket = door.ask("visit-a")
    door.present = "visit-b"
    assert guard.approve(ticket.ticket_id).error == NotTaken.OTHER_VISITOR
    assert guard.approve(ticket.ticket_id).error == NotTaken.ALREADY_ANSWERED
    assert guard.approve("nothing").error == NotTaken.UNKNOWN_TICKET
    assert all(isinstance(verdict, Refused) for verdict in door.verdicts)


def test_a_captured_answer_has_no_second_effect(door: Doorway, guard: Client, broker: PrivateBroker) -> None:
    """D5, D12: whoever listened and says it again is refused, in the same second too."""
    with bystander(broker.settings, "thief", "ostiary/front/cmd/+") as thief:
        ticket = door.ask("visit-a")
        assert guard.approve(ticket.ticket_id).ok
        captured = thief.next()
        thief.say(captured.topic, captured.payload)
        thief.say(topic("front", Topic.CMD, "deny"), captured.payload)
        wait_for(lambda: len(door.refusals) == 2)
    assert [refusal.why for refusal in door.refusals] == [Fault.REPLAYED, Fault.WRONG_TOPIC]
    assert [type(verdict) for verdict in door.verdicts] == [Approved]


def test_who_is_not_known_gets_no_word(door: Doorway, broker: PrivateBroker, tmp_path: Path) -> None:
    """D6: an unknown client, and a known id with another key, open nothing and learn nothing."""
    new_key(tmp_path / "other.key")
    for name in ("nobody", "guard"):
        with Client(broker.settings, "front", name, read_key(tmp_path / "other.key"), pace=QUICK) as client:
            assert client.approve("t", timeout_s=0.5).error == "no_reply"
    assert [refusal.why for refusal in door.refusals] == [Fault.UNKNOWN_CLIENT, Fault.BAD_SIGNATURE]
    assert door.verdicts == []


def test_a_role_is_held_to(door: Doorway, guard: Client) -> None:
    """An operator may ask for the status and may not enrol anybody."""
    assert guard.send("status", {}).ok
    assert guard.send("person.add", {"name": "Eve"}).error == Fault.VERB_NOT_ALLOWED


def test_a_silent_door_is_told(guard: Client, door: Doorway) -> None:
    """No reply is no success, and it comes in time."""
    door.stop()
    assert guard.approve("t", timeout_s=0.2) == Reply(ok=False, error="no_reply", result={})


def test_many_answers_at_once_all_get_through(door: Doorway, guard: Client) -> None:
    """Nonces rise in the order of sending, whichever thread sends."""
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(guard.send("status", {}))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [reply.ok for reply in replies] == [True] * 20


def test_nonsense_on_the_wire_is_passed_over(guard: Client, door: Doorway, broker: PrivateBroker) -> None:
    """D6, D7: broken tickets, results and replies are nothing; the next good ticket is shown."""
    with bystander(broker.settings, "mouth") as mouth:
        for level in ("approval/request", "approval/result", "approval/image", "reply/guard"):
            for payload in (b"", b"\xff", b"[]", b"null", b"{}", b"[" * 100_000, b'{"request_id":1,"ticket_id":[]}'):
                mouth.say(f"ostiary/front/{level}", payload)
        bad = {"ticket_id": "../../etc/x", "presentation_id": "v", "reason": "ok", "candidates": [], "liveness": "live"}
        mouth.say("ostiary/front/approval/request", json.dumps(bad).encode())
        wait_for(lambda: not mouth.connection._outbox and not mouth.connection._waiting)
    opened = door.ask("visit-a")
    ticket = guard.next_ticket(5)
    assert ticket is not None
    assert ticket.ticket_id == opened.ticket_id


def test_no_broker_is_one_clear_line(broker: PrivateBroker, tmp_path: Path) -> None:
    """Nothing is left running where there is nobody to talk to."""
    new_key(tmp_path / "guard.key")
    nowhere = broker.settings.model_copy(update={"port": 1})
    client = Client(nowhere, "front", "guard", read_key(tmp_path / "guard.key"), pace=QUICK)
    with pytest.raises(BrokerError, match="cannot be reached"):
        client.connect(0.3)
    assert not any(thread.name == "mqtt-ostiary-client-guard" for thread in threading.enumerate())


def test_a_broker_that_lets_nobody_say_it_is_named(tmp_path: Path) -> None:
    """D2: where the broker's access list lacks the client's rights, that is the answer, and not the door's silence."""
    with private_broker(tmp_path, "mosquitto", topics=topic("front", Topic.REPLY, "guard")) as strict:
        new_key(tmp_path / "guard.key")
        with Client(strict.settings, "front", "guard", read_key(tmp_path / "guard.key"), tickets=False) as guard:
            reply = guard.send("status", timeout_s=0.5)
    assert reply.error == "broker_refuses"
    assert "broker setup" in UNANSWERED[reply.error]
