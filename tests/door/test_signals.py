"""Lamps and sounders: what is on for each state, and that they never stay as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Alarm, EventType, LockState, Mode, Phase
from appliance.door.hardware import Output
from appliance.door.signals import OPENER_S, Signal, Signals
from appliance.records import DoorEvent, DoorState

NOW_S = 100.0


def door(phase: Phase, *alarms: Alarm, until_s: float | None = None) -> DoorState:
    """Return a door in this phase."""
    return DoorState(LockState.LOCKED, until_s, "", Mode.NORMAL, phase, None, frozenset(alarms))


def happened(event_type: EventType) -> list[DoorEvent]:
    """Return an event of this type."""
    return [DoorEvent(event_type, "", "", NOW_S)]


@pytest.mark.parametrize(
    ("state", "lit", "dark"),
    [
        (door(Phase.SECURE), {Output.RED}, set()),
        (door(Phase.UNLOCKED, until_s=NOW_S + 9), {Output.GREEN}, set()),
        (door(Phase.OPEN_WARNING), {Output.RED, Output.BUZZER}, {Output.BUZZER}),
        (door(Phase.HELD_OPEN, Alarm.HELD_OPEN), {Output.RED, Output.ALARM, Output.BUZZER}, {Output.RED}),
        (door(Phase.FORCED, Alarm.FORCED_OPEN), {Output.RED, Output.ALARM, Output.BUZZER}, {Output.RED}),
        (door(Phase.SECURE, Alarm.TAMPER), {Output.RED, Output.ALARM}, {Output.RED}),
        (door(Phase.UNLOCKED, Alarm.LOCK), {Output.RED, Output.ALARM}, {Output.RED}),
        (door(Phase.RELEASED, Alarm.FIRE), {Output.GREEN, Output.AUX}, {Output.GREEN}),
        (door(Phase.LOCKDOWN), {Output.RED}, {Output.RED}),
    ],
)
def test_each_state_has_its_lights(state: DoorState, lit: set[Output], dark: set[Output]) -> None:
    """What docs/door.md promises of each phase: all of it lit at first, and what blinks dark within a second."""
    signals = Signals("shunt" if Output.AUX in lit else "opener")
    assert signals.on(state, NOW_S) == lit
    seen = [signals.on(state, NOW_S + step / 100) for step in range(100)]
    assert {output for output in lit if any(output not in on for on in seen)} >= dark
    assert all(on <= lit for on in seen)


@pytest.mark.parametrize(
    ("signal", "output", "for_s"),
    [(Signal.READING, Output.BLUE, 1.0), (Signal.ASKING, Output.BLUE, 30.0), (Signal.DENIED, Output.RED, 2.0)],
)
def test_readers_signal_is_shown_for_a_moment(signal: Signal, output: Output, for_s: float) -> None:
    """The reader's wish is shown at once and is over by itself, though the reader never says another word."""
    signals = Signals("opener")
    signals.show(signal, NOW_S)
    assert output in signals.on(door(Phase.SECURE), NOW_S)
    assert signals.on(door(Phase.SECURE), NOW_S + for_s) == {Output.RED}


def test_alarm_is_not_covered_by_the_reader() -> None:
    """G10: no wish of the reader hides an alarm's fast red lamp."""
    signals = Signals("opener")
    signals.show(Signal.READING, NOW_S)
    assert Output.BLUE not in signals.on(door(Phase.SECURE, Alarm.TAMPER), NOW_S)


def test_unlocking_and_bell_sound_once() -> None:
    """A short beep tells of an unlocking, a longer one of the bell; each ends by itself."""
    for event_type, for_s in ((EventType.DOOR_UNLOCKED, 0.15), (EventType.BELL, 0.5)):
        signals = Signals("opener")
        signals.hear(happened(event_type), NOW_S)
        assert Output.BUZZER in signals.on(door(Phase.SECURE), NOW_S + for_s - 0.01)
        assert Output.BUZZER not in signals.on(door(Phase.SECURE), NOW_S + for_s)


def test_opener_gets_a_pulse_and_shunt_a_level() -> None:
    """The second relay closes for a second at each unlocking, or, as a shunt, while the door may be open."""
    opener, shunt = Signals("opener"), Signals("shunt")
    opener.hear(happened(EventType.DOOR_UNLOCKED), NOW_S)
    unlocked = door(Phase.UNLOCKED, until_s=NOW_S + 30)
    assert Output.AUX in opener.on(unlocked, NOW_S + OPENER_S - 0.01)
    assert Output.AUX not in opener.on(unlocked, NOW_S + OPENER_S)
    for phase in (Phase.OPEN, Phase.OPEN_WARNING, Phase.HELD_OPEN, Phase.RELEASED):
        assert Output.AUX in shunt.on(door(phase), NOW_S)
    for phase in (Phase.SECURE, Phase.FORCED, Phase.LOCKDOWN):
        assert Output.AUX not in shunt.on(door(phase), NOW_S)


STATES = st.builds(
    DoorState,
    st.sampled_from(LockState),
    st.none() | st.floats(0, 1e6),
    st.just(""),
    st.sampled_from(Mode),
    st.sampled_from(Phase),
    st.none() | st.booleans(),
    st.frozensets(st.sampled_from(Alarm)),
)


@given(
    states=st.lists(st.tuples(st.floats(0, 40), STATES, st.none() | st.sampled_from(Signal)), min_size=1, max_size=6),
    event=st.none() | st.sampled_from(EventType),
    aux=st.sampled_from(["opener", "shunt"]),
    start_s=st.floats(0, 1e7),
)
def test_nothing_stays_lit_past_its_time(
    states: list[tuple[float, DoorState, Signal | None]], event: EventType | None, aux: str, start_s: float
) -> None:
    """Whatever the state, asking again at `wake_s` alone shows what asking every 10 ms would show."""
    signals, now_s = Signals(aux), start_s
    for wait_s, state, signal in states:
        now_s += wait_s
        if signal is not None:
            signals.show(signal, now_s)
        if event is not None:
            signals.hear(happened(event), now_s)
        shown, wake_s = signals.on(state, now_s), signals.wake_s(state, now_s)
        assert wake_s > now_s
        for step in range(1, 150):
            later_s = now_s + step / 100
            while wake_s <= later_s:
                shown = signals.on(state, wake_s)
                wake_s = signals.wake_s(state, wake_s)
            assert shown in {signals.on(state, later_s - 0.002), signals.on(state, later_s)}, f"{step * 10} ms later"
        now_s += 1.5
