"""Orders of Home Assistant: what must be right before one is carried out, whatever else is."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.audit import AuditLog
from appliance.broker_trust import Trust
from appliance.contract import EventType, Reason, Role
from appliance.drivers.mqtt import Incoming
from appliance.errors import RefusedError
from appliance.home_assistant.code import FREE, CodeFile
from appliance.home_assistant.orders import MAX_BYTES, WAITING, Orders
from appliance.journal import Journal
from tests.home_assistant.test_discovery import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.envelope import Command
    from appliance.records import AuditEvent, Event
    from appliance.usecases import Answer

CODE = "471193"
LOCK, ANSWER = "ostiary/front/ha/lock", "ostiary/front/ha/answer"
NOW = 1_800_000_000.0
NO_ORDERS = (
    b"",
    b"UNLOCK",
    b"\xff\xfe",
    b"[" * 900,
    b'{"command":"UNLOCK","at":1800000000.0}',
    b'{"command":"UNLOCK","code":null,"at":1800000000.0}',
    b'{"command":"UNLOCK","code":471193,"at":1800000000.0}',
    b'{"command":"unlock","code":"471193","at":1800000000.0}',
    b'{"command":"UNLOCK","code":"471193","at":"1800000000.0"}',
    b'{"command":"UNLOCK","code":"471193","at":NaN}',
    b'{"command":"UNLOCK","code":"471193","at":1e999}',
    b'{"command":"UNLOCK","code":"471193","at":1800000000.0,"for_s":86400}',
    b'{"command":["UNLOCK"],"code":"471193","at":1800000000.0}',
    b'{"ticket_id":"t1","answer":"approve","code":"471193","at":1800000000.0}',
    b'{"command":"UNLOCK","code":"471193","at":1800000000.0}' + b" " * MAX_BYTES,
)


class Desk:
    """Orders at a broker that a test sets, with a journal on disk; it remembers what was carried out."""

    def __init__(self, folder: Path, audit: AuditLog) -> None:
        self.now = NOW
        self.trust = Trust.GOOD
        self.cleared: list[tuple[str, bytes, bool]] = []
        self.done: list[Command] = []
        self.events: list[Event] = []
        self.refuses = ""
        self._hearers: dict[str, Callable[[Incoming], None]] = {}
        self.code = CodeFile(folder)
        self.code.set(CODE)
        journal = Journal(audit, (self._note,))
        self.orders = Orders(
            settings(commands=True), self.code, self, act=self._act, journal=journal, now=lambda: self.now
        )

    def listen(self, topic: str, hear: Callable[[Incoming], None]) -> None:
        """Remember who hears a topic."""
        self._hearers[topic] = hear

    def publish_at(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Remember what was sent."""
        self.cleared.append((topic, payload, retained))

    def _note(self, sealed: AuditEvent) -> None:
        self.events.append(sealed.event)

    def _act(self, command: Command, answer: Answer) -> None:
        if self.refuses:
            raise RefusedError(self.refuses)
        self.done.append(command)
        answer()

    def hear(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Have a message come in."""
        self._hearers[topic](Incoming(topic, payload, retained))

    def order(self, topic: str = LOCK, **fields: Any) -> None:  # noqa: ANN401 - any JSON value
        """Have an order come in, good but for what is named, and wait until its code was looked at."""
        good: dict[str, Any] = {"code": CODE, "at": self.now}
        good |= {"command": "UNLOCK"} if topic == LOCK else {"ticket_id": "t1", "answer": "approve"}
        self.hear(topic, json.dumps(good | fields).encode())
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is looked at any more."""
        end_s = time.monotonic() + 10
        while self.orders.busy:
            assert time.monotonic() < end_s
            time.sleep(0.002)
            self.orders.tend()

    def verbs(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what was carried out."""
        return [(one.verb, dict(one.args)) for one in self.done]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give a desk whose code is set, at a good broker."""
    with AuditLog(tmp_path / "audit.db", "front", "front") as audit:
        desk = Desk(tmp_path, audit)
        yield desk
        desk.orders.close()


def test_orders_become_an_operators_commands(desk: Desk) -> None:
    """J8: with everything right, each order is one command by home-assistant, and no more than one of an operator."""
    for n, word in enumerate(("UNLOCK", "LOCK", "OPEN")):
        desk.order(command=word, at=NOW + n / 10)
    desk.order(ANSWER, at=NOW + 1)
    desk.order(ANSWER, answer="deny", at=NOW + 2)
    assert desk.verbs() == [
        ("unlock", {"for_s": 300}),
        ("lock", {"for_s": 300}),
        ("open", {}),
        ("approve", {"ticket_id": "t1"}),
        ("deny", {"ticket_id": "t1"}),
    ]
    assert {(one.client_id, one.role) for one in desk.done} == {("home-assistant", Role.OPERATOR)}
    assert desk.events == []  # what the commands do is written down where they do it


def test_a_retained_order_is_cleared_and_comes_to_nothing(desk: Desk) -> None:
    """D3: what the broker had kept was not said now; it is taken from the broker."""
    payload = json.dumps({"command": "UNLOCK", "code": CODE, "at": NOW}).encode()
    desk.hear(LOCK, payload, retained=True)
    desk.settle()
    assert desk.done == []
    assert desk.cleared == [(LOCK, b"", True)]


def test_an_order_of_another_time_comes_to_nothing(desk: Desk) -> None:
    """D6, D5: what waited while a connection was away, and what a clock far ahead says, opens nothing."""
    for age_s in (10.1, 3600.0, -5.1):
        desk.order(at=NOW - age_s)
        assert desk.done == []
    desk.order(at=NOW - 9.9)
    assert len(desk.done) == 1


def test_the_same_order_again_comes_to_nothing(desk: Desk) -> None:
    """D5, D12: a captured order, or a second delivery of one, is carried out once."""
    desk.order(at=NOW)
    desk.order(at=NOW)
    desk.order(at=NOW - 1, command="OPEN")
    assert desk.verbs() == [("unlock", {"for_s": 300})]


def test_a_broker_that_is_not_good_is_not_obeyed(desk: Desk) -> None:
    """D2: with the right code, too, nothing happens while strangers might have sent it or read it."""
    for desk.trust in (one for one in Trust if one is not Trust.GOOD):
        desk.order()
        assert desk.done == []
    desk.trust = Trust.GOOD
    desk.order(at=NOW + 1)
    assert len(desk.done) == 1


def test_wrong_codes_open_nothing_and_are_written_down(desk: Desk) -> None:
    """E10, J8, J3: each wrong code is in the audit log, a pause is once, and no code ever is."""
    for n in range(FREE + 3):
        desk.order(code="582914", at=NOW + n / 100)
    desk.order(at=NOW + 1)
    assert desk.done == []
    assert [(one.event_type, one.reason) for one in desk.events] == [
        *[(EventType.ACCESS_DENIED, Reason.WRONG_PIN)] * FREE,
        (EventType.ACCESS_DENIED, Reason.TOO_MANY_ATTEMPTS),
    ]
    assert "582914" not in repr(desk.events)
    assert {one.actor.id for one in desk.events if one.actor is not None} == {"home-assistant"}
    desk.now = NOW + 40
    desk.order()
    assert desk.verbs() == [("unlock", {"for_s": 300})]


def test_what_is_no_order(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """D6, D8: missing, of another type, unknown or too long: nothing is looked at; a flood is one line."""
    for payload in NO_ORDERS:
        caplog.clear()
        for _ in range(100):
            desk.hear(LOCK, payload)
        assert not desk.orders.busy, payload
        assert caplog.text.count("is not obeyed") <= 1
        assert CODE not in caplog.text
    assert desk.done == []
    assert desk.events == []


def test_a_flood_waits_for_no_code(desk: Desk) -> None:
    """D13: at most four orders are looked at at once, and hearing the rest costs next to nothing."""
    payload = json.dumps({"command": "OPEN", "code": "582914", "at": NOW}).encode()
    for _ in range(2000):
        desk.hear(LOCK, payload)
    desk.settle()
    assert len(desk.events) <= WAITING
    assert desk.done == []


def test_a_refused_command_is_no_fault(desk: Desk) -> None:
    """D15: where the door refuses what an operator may not do either, the next order is taken all the same."""
    desk.refuses = "other_visitor"
    desk.order(ANSWER)
    desk.refuses = ""
    desk.order(ANSWER, at=NOW + 1)
    assert desk.verbs() == [("approve", {"ticket_id": "t1"})]
