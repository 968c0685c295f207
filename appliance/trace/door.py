"""Replay of a door's inputs: which alarms the state machine of the door would have raised with other times."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.door.hardware import Input
from appliance.door.machine import Machine
from appliance.records import Pulse

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.config import DoorSettings
    from appliance.trace.lines import Happening

ALARMS = frozenset(
    {
        EventType.FORCED_OPEN,
        EventType.HELD_OPEN_WARNING,
        EventType.HELD_OPEN,
        EventType.GRANTED_NOT_ENTERED,
    }
)


class DoorReplay:
    """One door with these settings and a contact, closed at first. Alarms are kept by the event that came before."""

    def __init__(self, settings: DoorSettings) -> None:
        self._settings = settings
        self._machine = Machine(settings)
        self._machine.start({Input.CONTACT: False}, 0.0)
        self._began: datetime | None = None
        self._now_s = 0.0
        self._count = 0
        self.alarms: defaultdict[int, list[str]] = defaultdict(list)  # by number of the event

    def take(self, happening: Happening) -> None:
        """Let time pass until this event, and take it in as an input where it is one."""
        self._began = self._began or happening.at
        self._pass((happening.at - self._began).total_seconds())
        self._count += 1
        self._sense(happening)
        self._keep()

    def end(self) -> None:
        """Let every alarm come that is on its way, as if nothing more happened."""
        self._pass(math.inf)

    def _pass(self, until_s: float) -> None:
        """Do what is due until then, with a reader that is alive; a clock that was set back stands still."""
        while self._machine.wake_s < until_s:
            self._now_s = max(self._now_s, self._machine.wake_s)
            self._machine.hear(self._now_s)
            self._machine.tick(self._now_s)
            self._keep()
        self._now_s = max(self._now_s, until_s) if until_s < math.inf else self._now_s
        self._machine.hear(self._now_s)

    def _sense(self, happening: Happening) -> None:
        machine, now_s = self._machine, self._now_s
        match happening.event_type:
            case EventType.DOOR_OPENED | EventType.DOOR_CLOSED as kind:
                machine.sense(Input.CONTACT, active=kind is EventType.DOOR_OPENED, now_s=now_s)
            case EventType.REX:  # nobody told when it ended
                machine.sense(Input.REX, active=True, now_s=now_s)
                machine.sense(Input.REX, active=False, now_s=now_s)
            case EventType.ACCESS_GRANTED | EventType.REMOTE_UNLOCK:
                machine.tick(now_s)
                machine.enter(Pulse(self._settings.unlock_s, happening.visit, now_s + 1), now_s)
            case EventType.FIRE_RELEASE:
                machine.sense(Input.FIRE, active=True, now_s=now_s)
            case EventType.FIRE_CLEARED:
                machine.sense(Input.FIRE, active=False, now_s=now_s)
                machine.end_fire("", now_s)
            case EventType.LOCKDOWN:
                machine.lockdown("replay", now_s)
            case EventType.LOCKDOWN_CLEARED:
                machine.end_lockdown("replay", now_s)

    def _keep(self) -> None:
        for event in self._machine.take():
            if event.event_type in ALARMS:
                self.alarms[self._count].append(event.event_type.value)
