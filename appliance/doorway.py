"""The reader's view of its door: what the controller tells is written down once and published, and the reader beats."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.contract import Alarm, EventType, Mode, Topic
from appliance.errors import DoorError
from appliance.records import Actor, ActorKind, DoorState, Event

if TYPE_CHECKING:
    from typing import Protocol

    from appliance.audit import AuditLog
    from appliance.door.link import ControllerLink
    from appliance.door.protocol import Happened
    from appliance.journal import Journal

    class Publish(Protocol):
        """How a payload goes out; returns at once and never raises."""

        def __call__(self, level: Topic, payload: str, *, retained: bool = False, leaf: str = "") -> None:
            """Send it."""


ALARMS = (Alarm.FORCED_OPEN, Alarm.HELD_OPEN, Alarm.TAMPER, Alarm.FIRE, Alarm.LOCK)  # that a controller raises
_LATEST = 1024  # entries of the audit log in which the newest event of the controller is looked for
_MARK = re.compile(r"\[([0-9a-f]{8})-(\d+)\]$")


class Doorway:
    """Belongs to the loop's thread. What cannot be written down raises StorageError, and is tried again."""

    def __init__(self, link: ControllerLink, journal: Journal, publish: Publish, device_id: str) -> None:
        self._link = link
        self._journal = journal
        self._publish = publish
        self._device_id = device_id
        self._waiting: deque[Happened] = deque()  # to be written down
        self._controlled = False  # whether the controller was there when we last looked
        self._published: dict[str, str] = {}
        self.state: DoorState | None = None  # None while no controller is there

    @property
    def connected(self) -> bool:
        """Whether a controller is there."""
        return self._link.connected

    def tend(self) -> tuple[Happened, ...]:
        """Beat; write down, publish and return what happened at the door since the last call."""
        self._waiting.extend(self._link.beat())
        self._show()
        written = []
        while self._waiting:
            self._write(self._waiting[0])
            written.append(self._waiting.popleft())
            self._link.written(written[-1])
        self._note_controller()
        return tuple(written)

    def lease(self, for_s: float) -> None:
        """Have the schedule hold the door unlocked for the next 0..60 s. Raises DoorError."""
        self._link.lease(for_s)
        self._show()

    @property
    def monitored(self) -> bool:
        """Whether a contact tells when somebody goes through."""
        return self.state is not None and self.state.contact is not None

    @property
    def lockdown(self) -> bool:
        """Whether entry is refused to all but the bypass group."""
        return self.state is not None and self.state.mode is Mode.EMERGENCY and Alarm.FIRE not in self.state.alarms

    def words(self) -> dict[str, Any]:
        """Return the door's state, ready for JSON; {} while no controller is there."""
        return {} if self.state is None else in_words(self.state)

    def _write(self, happened: Happened) -> None:
        age_s = max(0.0, time.monotonic() - happened.at_s)  # it may have happened while no reader was there
        self._journal.append(
            Event(
                event_type=happened.event_type,
                at=datetime.now(UTC) - timedelta(seconds=age_s),
                actor=_operator(happened.by) or Actor(ActorKind.DEVICE, self._device_id),
                presentation_id="" if _operator(happened.by) else happened.by,
                detail=f"{happened.cause} [{happened.run}-{happened.seq}]".lstrip(),
            )
        )

    def _note_controller(self) -> None:
        """Tell when the controller goes; when it is (again) there, ask it how the door is now."""
        if self._controlled and not self._link.connected:
            self._say_gone()
        self._controlled = self._link.connected
        if self._link.connected and self._link.door is None:
            with contextlib.suppress(DoorError):  # gone again: the next turn sees it
                self._link.state()
            self._show()

    def _say_gone(self) -> None:
        actor = Actor(ActorKind.DEVICE, self._device_id)
        detail = "the controller has gone; nothing can be opened until it is back"
        self._journal.append(Event(EventType.FAULT, datetime.now(UTC), actor, detail=detail))

    def _show(self) -> None:
        """Publish what changed; a disk that is full does not stop this."""
        state, before = self._link.door, self.state
        self.state = state
        if state is None or state == before:
            return
        self._keep(Topic.LOCK_STATE, state.lock.value)
        self._keep(Topic.DOOR_STATE, json.dumps(in_words(state)))
        if state.contact is not None:
            self._keep(Topic.DOOR_CONTACT, "ON" if state.contact else "OFF")
        for alarm in ALARMS:
            self._keep(Topic.ALARM, "ON" if alarm in state.alarms else "OFF", alarm.value)

    def _keep(self, level: Topic, payload: str, leaf: str = "") -> None:
        if self._published.get(f"{level}/{leaf}") != payload:
            self._publish(level, payload, retained=True, leaf=leaf)
            self._published[f"{level}/{leaf}"] = payload


def in_words(state: DoorState) -> dict[str, Any]:
    """Return the state as everybody reads it: times in seconds from now, ready for JSON."""
    left_s = None if state.until_s is None else round(max(0.0, state.until_s - time.monotonic()), 1)
    return {
        "mode": state.mode.value,
        "phase": state.phase.value,
        "lock": state.lock.value,
        "contact": "unmonitored" if state.contact is None else "open" if state.contact else "closed",
        "held": Alarm.HELD_OPEN in state.alarms,
        "forced": Alarm.FORCED_OPEN in state.alarms,
        "alarms": sorted(alarm.value for alarm in state.alarms),
        "by": state.by,
        "for_s": left_s,
    }


def latest_written(audit: AuditLog) -> tuple[str, int]:
    """Return run and number of the controller's event that was written down last; ("", 0) for none in the latest."""
    marks = (_MARK.search(sealed.event.detail) for sealed in audit.read(max(0, audit.head().seq - _LATEST)))
    found = [(mark[1], int(mark[2])) for mark in marks if mark is not None]
    return found[-1] if found else ("", 0)


def unmarked(detail: str) -> str:
    """Return what an event's detail says to people."""
    return _MARK.sub("", detail).rstrip()


def operator(actor: Actor) -> str:
    """Return what the controller calls somebody who uses a verb, such as `client:phone`."""
    return f"{actor.kind.value}:{actor.id}"


def _operator(by: str) -> Actor | None:
    kind, colon, name = by.partition(":")
    return Actor(ActorKind(kind), name) if colon and kind in set(ActorKind) else None
