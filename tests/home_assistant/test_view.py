"""What Home Assistant is shown, event by event; the broker is a list."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.audit import AuditLog
from appliance.broker_trust import Trust
from appliance.config import Settings
from appliance.contract import EventType, Reason, Topic
from appliance.drivers.mqtt import Incoming
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.desk import HomeDesk
from appliance.home_assistant.discovery import config_topic
from appliance.home_assistant.view import STIR_S, blank
from appliance.records import Actor, ActorKind, Event
from appliance.ticket import Ticket, View
from tests.home_assistant.test_discovery import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


NOW = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
HOUR_S = 3600.0


class Broker:
    """Remembers what was sent."""

    trust = Trust.GOOD

    def __init__(self) -> None:
        self.connects = 1
        self.sent: list[tuple[str, bytes, bool]] = []
        self.hearers: dict[str, Callable[[Incoming], None]] = {}

    def listen(self, topic: str, hear: Callable[[Incoming], None]) -> None:
        """Remember who hears a topic."""
        self.hearers[topic] = hear

    def publish(self, level: Topic, payload: bytes) -> None:
        """Remember what was sent to one of the door's own topics."""
        self.sent.append((level, payload, False))

    def publish_at(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Remember what was sent."""
        self.sent.append((topic, payload, retained))

    def take(self) -> list[tuple[str, bytes, bool]]:
        """Return what was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def kinds(self) -> list[str]:
        """Return the types of the events that were sent since the last call."""
        return [json.loads(payload)["event_type"] for topic, payload, _ in self.take() if topic == Topic.HA_EVENT]


@pytest.fixture
def broker() -> Broker:
    """Give a broker that was reached."""
    return Broker()


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Give an audit log."""
    with AuditLog(tmp_path / "audit.db", "front", "front") as log:
        yield log


def shown(of: Settings, folder: Path, broker: Broker) -> HomeDesk:
    """Return a desk that has described itself; that is taken from the broker's memory."""
    desk = HomeDesk(of, folder, broker)
    desk.tend()
    broker.take()
    return desk


def happened(desk: HomeDesk, audit: AuditLog, kind: EventType, ticket: Ticket | None = None, **fields: Any) -> None:  # noqa: ANN401
    """Have an event happen."""
    ticket_id = ticket.ticket_id if ticket is not None else ""
    desk.hear(audit.append(Event(kind, NOW, ticket_id=ticket_id, **fields)))


def ticket(name: str, to: tuple[str, ...] = ()) -> Ticket:
    """Return an open ticket with a picture of its own; `to` is who is rung."""
    view = View((), "live", "high", (), f"picture of {name}".encode())
    return Ticket(name, f"visit of {name}", Reason.UNKNOWN_FACE, view, 0.0, 30.0, NOW + timedelta(seconds=30), to=to)


def ask(desk: HomeDesk, audit: AuditLog, one: Ticket) -> None:
    """Have a ticket opened."""
    happened(desk, audit, EventType.APPROVAL_REQUESTED, one)
    desk.ask(one)


def test_the_picture_comes_before_the_question_and_goes_after_the_answer(
    tmp_path: Path, broker: Broker, audit: AuditLog
) -> None:
    """J2: while two wait the later one is shown, then the other, then nobody; nothing of it is retained."""
    desk = shown(settings(), tmp_path, broker)
    one, other = ticket("a"), ticket("b")
    ask(desk, audit, one)
    (picture, question) = broker.take()
    assert picture == (Topic.HA_IMAGE, one.view.crop, False)
    assert json.loads(question[1])["expires_at"] == "2026-01-31T08:15:30.000Z"
    ask(desk, audit, other)
    happened(desk, audit, EventType.APPROVAL_DENIED, other, reason=Reason.OPERATOR_DENIED)
    happened(desk, audit, EventType.APPROVAL_EXPIRED, one, reason=Reason.OPERATOR_TIMEOUT)
    pictures = [payload for topic, payload, _ in broker.sent if topic == Topic.HA_IMAGE]
    assert pictures == [other.view.crop, one.view.crop, blank()]
    assert not any(retained for _, _, retained in broker.sent)
    ask(desk, audit, ticket("c"))
    desk.close()
    assert broker.take()[-1] == (Topic.HA_IMAGE, blank(), False)


def test_it_is_rung_in_its_turn(tmp_path: Path, broker: Broker, audit: AuditLog) -> None:
    """J2: while attendant.order has others rung, nothing of the visitor is shown; once its turn comes, all of it is."""
    desk = shown(settings(), tmp_path, broker)
    ask(desk, audit, ticket("a", to=("desk",)))
    assert broker.take() == []
    happened(desk, audit, EventType.APPROVAL_ESCALATED, ticket("a"))
    desk.ask(ticket("a", to=("desk", CLIENT_ID)))
    assert broker.kinds() == ["approval_escalated", "approval_requested"]
    desk.ask(ticket("a", to=("desk", CLIENT_ID)))
    assert broker.kinds() == []  # shown anew, and not asked twice
    ask(desk, audit, ticket("b", to=("desk",)))
    happened(desk, audit, EventType.APPROVAL_DENIED, ticket("b"), reason=Reason.OPERATOR_DENIED)
    desk.ask(ticket("b", to=(CLIENT_ID,)))
    assert broker.kinds() == ["approval_denied"]


def test_what_is_told_of_an_event(tmp_path: Path, broker: Broker, audit: AuditLog) -> None:
    """G11, J3: duress is not, and of the rest no number, free text or place in the log; an access is told besides."""
    desk = shown(settings(), tmp_path, broker)
    person = Actor(ActorKind.PERSON, "0c6d")
    about: dict[str, Any] = {
        "actor": person,
        "method": "face+pin",
        "reason": Reason.OK,
        "liveness": 0.93,
        "detail": "x",
        "policy": "y",
    }
    happened(desk, audit, EventType.DURESS, None, **about)
    assert broker.take() == []
    happened(desk, audit, EventType.ACCESS_GRANTED, None, **about)
    (event, access) = (json.loads(payload) for _, payload, _ in broker.take())
    assert event == {
        "schema": 1,
        "event_type": "access_granted",
        "at": "2026-01-31T08:15:00.000Z",
        "device_id": "front",
        "door": "front",
        "actor": {"kind": "person", "id": "0c6d"},
        "method": "face+pin",
        "reason": "ok",
        "presentation_id": "",
        "ticket_id": "",
        "expires_at": None,
        "liveness": "",
        "quality": "",
    }
    assert access == {"schema": 1, "at": event["at"], "door": "front", "person_id": "0c6d", "method": "face+pin"}


def test_it_describes_itself_again(tmp_path: Path, broker: Broker, audit: AuditLog) -> None:
    """D16: once for each connection and each birth, within two seconds; births that rain are one, kept ones none."""
    of, now_s = settings(), [0.0]
    desk = HomeDesk(of, tmp_path, broker, clock=lambda: now_s[0])
    desk.tend()
    described = [one for one in broker.take() if one[2]]
    assert described[0][0] == config_topic(of)
    happened(desk, audit, EventType.ACCESS_GRANTED, actor=Actor(ActorKind.PERSON, "0c6d"), method="face")
    broker.take()
    for payload, retained in ((b"online", True), (b"offline", False)):
        broker.hearers["homeassistant/status"](Incoming("homeassistant/status", payload, retained))
    now_s[0] += HOUR_S
    desk.tend()
    assert broker.take() == []
    for _ in range(100):
        broker.hearers["homeassistant/status"](Incoming("homeassistant/status", b"online", retained=False))
    now_s[0] += STIR_S
    desk.tend()
    desk.tend()
    assert [topic for topic, _, _ in broker.take()] == [config_topic(of), Topic.HA_IMAGE, Topic.HA_ACCESS]
    broker.connects += 1
    desk.tend()
    assert [one for one in broker.take() if one[2]] == described


def test_it_takes_itself_back(tmp_path: Path, broker: Broker) -> None:
    """D16: turned off or renamed, the door leaves nothing of itself retained; never turned on, it says nothing."""
    HomeDesk(Settings(), tmp_path, broker).tend()
    assert broker.take() == []
    HomeDesk(settings("front"), tmp_path, broker).tend()
    broker.take()
    renamed = settings("back")
    HomeDesk(renamed, tmp_path, broker).tend()
    assert broker.take()[0] == (config_topic(settings("front")), b"", True)
    off = HomeDesk(Settings(), tmp_path, broker)
    broker.connects = 0
    off.tend()
    assert broker.take() == []  # while there is no broker, it is still to be done
    broker.connects = 1
    off.tend()
    off.tend()
    assert broker.take() == [(config_topic(renamed), b"", True)]


def test_a_disk_that_takes_nothing_costs_a_line(
    tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """F3, F4, F6: a note that cannot be read or written stops no turn; the device is described all the same."""
    (tmp_path / "home-assistant.topic").write_bytes(b"\xff\xfe")
    (tmp_path / f"home-assistant.topic.{os.getpid()}.tmp").mkdir()
    desk = HomeDesk(settings(), tmp_path, broker)
    for _ in range(3):
        desk.tend()
    assert [topic for topic, _, retained in broker.take() if retained] == [config_topic(settings())]
    assert caplog.text.count("cannot be read") == 1
    assert caplog.text.count("cannot be written") == 1
