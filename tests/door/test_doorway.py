"""The reader's view of its door: written down once, at the right time, and published when it changes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from appliance.audit import AuditLog
from appliance.contract import EventType, Topic
from appliance.door import ControllerLink
from appliance.door.hardware import Input
from appliance.doorway import Doorway, latest_written
from appliance.errors import StorageError
from appliance.journal import Journal
from appliance.records import Actor, ActorKind, Pulse
from tests.door.running import RunningController, soon, wired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.records import AuditEvent

E = EventType


class Reader:
    """A reader's doorway, its log, and all that it published, retained or not."""

    def __init__(self, state: Path, controller: RunningController) -> None:
        self.audit = AuditLog(state / "audit.db", "front", "door")
        self.link = ControllerLink(controller.socket)
        self.link.resume(*latest_written(self.audit))
        self.published: list[tuple[str, str, bool]] = []
        self.doorway = Doorway(self.link, Journal(self.audit, ()), self._publish, "front")

    def _publish(self, level: Topic, payload: str, *, retained: bool = False, leaf: str = "") -> None:
        self.published.append((f"{level}/{leaf}" if leaf else level.value, payload, retained))

    def said(self, level: str) -> list[str]:
        """Return every payload of this topic, oldest first."""
        return [payload for topic, payload, _ in self.published if topic == level]

    def entries(self) -> list[AuditEvent]:
        """Return everything that was written down, by any reader."""
        return list(self.audit.read())

    def types(self) -> list[EventType]:
        """Return the types of it."""
        return [one.event.event_type for one in self.entries()]

    def tend_until(self, event_type: EventType) -> None:
        """Tend until this was written down."""

        def tended() -> bool:
            self.doorway.tend()
            return event_type in self.types()

        soon(tended, within_s=5)

    def close(self) -> None:
        """Go."""
        self.link.close()
        self.audit.close()


@contextlib.contextmanager
def reader_of(state: Path, controller: RunningController) -> Iterator[Reader]:
    """Give a reader while the block runs."""
    reader = Reader(state, controller)
    try:
        yield reader
    finally:
        reader.close()


def settle(reader: Reader) -> None:
    """Tend for long enough that a beat has said what is written down."""
    end_s = time.monotonic() + 0.5
    while time.monotonic() < end_s:
        reader.doorway.tend()
        time.sleep(0.02)


def test_each_event_is_written_once_over_readers(state: Path) -> None:
    """J8: over three readers, one killed before it wrote and one after, each event of the door is in the log once."""
    with RunningController(state, *wired(state)) as controller:
        controller.world.set(Input.CONTACT, active=True)
        unwritten = controller.link()
        soon(lambda: any(one.event_type is E.FORCED_OPEN for one in unwritten.beat()))
        unwritten.close()
        with reader_of(state, controller) as reader:
            reader.tend_until(E.FORCED_OPEN)  # and goes before a beat could say so
        controller.world.set(Input.CONTACT, active=False)
        with reader_of(state, controller) as reader:
            reader.tend_until(E.DOOR_CLOSED)
            settle(reader)
            assert reader.types() == [E.DOOR_OPENED, E.FORCED_OPEN, E.DOOR_CLOSED]
            assert reader.audit.verify().count == 3


def test_what_happened_before_the_reader_came_has_its_own_time(state: Path) -> None:
    """J8: an event is dated when it happened, not when it was written down, though no reader was there then."""
    with RunningController(state, *wired(state)) as controller:
        rung_at = datetime.now(UTC)
        controller.world.press(Input.BELL, 0.05)
        time.sleep(1.5)
        with reader_of(state, controller) as reader:
            reader.tend_until(E.BELL)
            (bell,) = reader.entries()
            assert -0.05 < (bell.event.at - rung_at).total_seconds() < 0.5


def test_event_names_who_was_behind_it(state: Path) -> None:
    """A presentation stands as one, an operator as the actor, and nobody is the device itself."""
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        reader.doorway.tend()
        reader.link.pulse(Pulse(0.5, "visit-1", time.monotonic() + 1))
        reader.tend_until(E.DOOR_LOCKED)
        reader.link.lockdown("client:phone")
        reader.tend_until(E.LOCKDOWN)
        unlocked, _, lockdown = [one.event for one in reader.entries()]
        device, phone = Actor(ActorKind.DEVICE, "front"), Actor(ActorKind.CLIENT, "phone")
        assert (unlocked.actor, unlocked.presentation_id) == (device, "visit-1")
        assert (lockdown.actor, lockdown.presentation_id) == (phone, "")


def test_states_are_published_retained_and_only_when_they_change(state: Path) -> None:
    """D16: lock, contact, door and each alarm are retained, said at the start and then for each change, in order."""
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        settle(reader)
        controller.world.set(Input.CONTACT, active=True)
        reader.tend_until(E.FORCED_OPEN)
        settle(reader)
        controller.world.set(Input.CONTACT, active=False)
        reader.tend_until(E.DOOR_CLOSED)
        reader.link.release("operator:root", "forced")
        reader.tend_until(E.FORCED_OPEN_CLEARED)
        settle(reader)
        assert all(retained for _, _, retained in reader.published)
        assert reader.said("lock/state") == ["LOCKED"]
        assert reader.said("door/contact") == ["OFF", "ON", "OFF"]
        assert reader.said("alarm/forced_open") == ["OFF", "ON", "OFF"]
        assert reader.said("alarm/held_open") == reader.said("alarm/fire") == ["OFF"]
        phases = [json.loads(payload)["phase"] for payload in reader.said("door/state")]
        assert phases == ["SECURE", "FORCED", "FORCED", "SECURE"]


def test_full_disk_keeps_the_event_and_tells_it_again(state: Path) -> None:
    """F3: an event that cannot be written down is kept and written later, once; the alarm is published at once."""
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        settle(reader)
        with contextlib.closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # nobody else can write
            controller.world.set(Input.TAMPER, active=True)
            with pytest.raises(StorageError):
                reader.tend_until(E.TAMPER)
            assert reader.said("alarm/tamper") == ["OFF", "ON"]
            assert reader.types() == []
            other.execute("ROLLBACK")
        settle(reader)
        assert reader.types() == [E.TAMPER]
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        settle(reader)
        assert reader.types() == [E.TAMPER, E.TAMPER], "once by each run of the controller"


def test_controller_that_goes_is_told_once_and_found_again(state: Path) -> None:
    """A controller that dies is one fault in the log and no known state; its successor's state is published anew."""
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        settle(reader)
        assert reader.doorway.words()["phase"] == "SECURE"
        controller.process.kill()
        controller.process.wait()
        settle(reader)
        assert reader.doorway.words() == {}
        assert reader.types() == [E.FAULT]
        controller.world.set(Input.TAMPER, active=True)
        with RunningController(state, *wired(state)):
            reader.tend_until(E.TAMPER)
            settle(reader)
            assert reader.types() == [E.FAULT, E.TAMPER]
            assert reader.said("alarm/tamper") == ["OFF", "ON"]


def test_newest_mark_is_found_in_the_log(state: Path) -> None:
    """J8: a reader that starts finds what an earlier one wrote last, and nothing in a log without the door's events."""
    with contextlib.closing(AuditLog(state / "audit.db", "front", "door")) as audit:
        assert latest_written(audit) == ("", 0)
    with RunningController(state, *wired(state)) as controller, reader_of(state, controller) as reader:
        for active in (True, False, True):
            controller.world.set(Input.TAMPER, active=active)
            time.sleep(0.05)
        soon(lambda: reader.doorway.tend() is not None and len(reader.entries()) == 3)
        run, seq = latest_written(reader.audit)
        assert (len(run), seq) == (8, 3)
