"""What the door's lamps and sounders do, as a pure function of its state and of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.contract import Alarm, EventType, Phase
from appliance.door.hardware import Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.records import DoorEvent, DoorState

_LEAST_S = 0.001  # floats round: a lamp that is all but to switch is asked for again so soon
OPENER_S = 1.0  # how long a door operator's input is closed for


class Signal(StrEnum):
    """What the reader wants shown for a moment."""

    READING = "reading"
    ASKING = "asking"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """On for `on_s` of every `every_s`; all the time where the two are the same."""

    on_s: float
    every_s: float

    def at(self, since_s: float) -> bool:
        return since_s % self.every_s < self.on_s

    def change_s(self, since_s: float) -> float:
        """Return how long until it switches; inf for never."""
        if self.on_s == self.every_s:
            return math.inf
        phase_s = since_s % self.every_s
        return (self.on_s if phase_s < self.on_s else self.every_s) - phase_s


STEADY = _Pattern(1.0, 1.0)
SLOW = _Pattern(0.5, 1.0)
FAST = _Pattern(0.125, 0.25)
BLIP = _Pattern(0.1, 1.0)
LOUD = _Pattern(0.5, 0.75)

# Any of these calls for somebody: the siren and the fast red lamp.
_ALARMING = {Alarm.FORCED_OPEN, Alarm.HELD_OPEN, Alarm.TAMPER, Alarm.LOCK}
_LAMPS = {
    Signal.READING: (Output.BLUE, STEADY, 1.0),
    Signal.ASKING: (Output.BLUE, SLOW, 30.0),
    Signal.DENIED: (Output.RED, FAST, 2.0),
}
_SOUNDS = {EventType.DOOR_UNLOCKED: 0.15, EventType.BELL: 0.5}  # once, for so many seconds


class Signals:
    """What is on now. The caller tells of events and of the reader's wishes, and asks again at `wake_s`."""

    def __init__(self, aux_follows: str) -> None:
        self._aux_follows = aux_follows
        self._began_s = 0.0
        self._phase: Phase | None = None
        self._signal: Signal | None = None
        self._signal_s = -math.inf
        self._sound_until_s = -math.inf
        self._opener_until_s = -math.inf

    def show(self, signal: Signal, now_s: float) -> None:
        """Show this for a moment, unless the door itself has something to say."""
        self._signal, self._signal_s = signal, now_s

    def hear(self, events: Iterable[DoorEvent], now_s: float) -> None:
        """Take in what happened."""
        for event in events:
            self._sound_until_s = max(self._sound_until_s, now_s + _SOUNDS.get(event.event_type, -math.inf))
            if event.event_type is EventType.DOOR_UNLOCKED:
                self._opener_until_s = now_s + OPENER_S
                self._signal = None

    def on(self, state: DoorState, now_s: float) -> frozenset[Output]:
        """Return every output that is to be on."""
        if state.phase is not self._phase:
            self._phase, self._began_s = state.phase, now_s
        lit = {output for output, pattern, since_s in self._patterns(state, now_s) if pattern.at(now_s - since_s)}
        if now_s < self._sound_until_s:
            lit.add(Output.BUZZER)
        if state.alarms & _ALARMING:
            lit.add(Output.ALARM)
        if self._aux(state, now_s):
            lit.add(Output.AUX)
        return frozenset(lit)

    def wake_s(self, state: DoorState, now_s: float) -> float:
        """Return when `on` has to be asked again; inf for never."""
        changes_s = [pattern.change_s(now_s - since_s) for _, pattern, since_s in self._patterns(state, now_s)]
        times = [now_s + max(change_s, _LEAST_S) for change_s in changes_s]
        ends = [self._sound_until_s, self._opener_until_s]
        if self._signal is not None:
            ends.append(self._signal_s + _LAMPS[self._signal][2])
        return min((time for time in (*times, *ends) if time > now_s), default=math.inf)

    def _patterns(self, state: DoorState, now_s: float) -> Iterator[tuple[Output, _Pattern, float]]:
        yield self._lamp(state, now_s)
        if state.phase is Phase.OPEN_WARNING:
            yield Output.BUZZER, BLIP, self._began_s
        elif state.alarms & {Alarm.FORCED_OPEN, Alarm.HELD_OPEN}:
            yield Output.BUZZER, LOUD, self._began_s

    def _lamp(self, state: DoorState, now_s: float) -> tuple[Output, _Pattern, float]:
        if state.phase is Phase.RELEASED:
            return Output.GREEN, SLOW, self._began_s
        if state.alarms & _ALARMING:
            return Output.RED, FAST, self._began_s
        if state.until_s is not None:
            return Output.GREEN, STEADY, self._began_s
        if self._signal is not None:
            output, pattern, for_s = _LAMPS[self._signal]
            if now_s < self._signal_s + for_s:
                return output, pattern, self._signal_s
        return Output.RED, SLOW if state.phase is Phase.LOCKDOWN else STEADY, self._began_s

    def _aux(self, state: DoorState, now_s: float) -> bool:
        if self._aux_follows == "opener":
            return now_s < self._opener_until_s
        # "shunt": closed while the door may be open, for a burglar alarm to look away.
        may_be_open = state.phase in {Phase.OPEN, Phase.OPEN_WARNING, Phase.HELD_OPEN}
        return state.until_s is not None or state.phase is Phase.RELEASED or may_be_open
