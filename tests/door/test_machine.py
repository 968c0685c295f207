"""The door's machine by example: each transition of the drawing in docs/door.md, with times to the moment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from appliance.config import DoorSettings
from appliance.contract import Alarm, EventType, LockState, Mode, Phase
from appliance.door.bond import SETTLE_S
from appliance.door.hardware import Input
from appliance.door.leaf import GRACE_S
from appliance.door.lock import (
    DEADLINE_AHEAD_S,
    MAX_FIRE_TEST_S,
    MAX_HOLD_S,
    MAX_LEASE_S,
    MAX_UNLOCKED_S,
    MIN_HOLD_S,
    MIN_PULSE_S,
    REST_S,
    SILENCE_S,
    Cause,
    Hold,
    Refusal,
)
from appliance.door.machine import RINGS_EVERY_S, Latches, Machine
from appliance.records import Pulse

if TYPE_CHECKING:
    from appliance.records import DoorState

E = EventType
START_S = 1000.0
NOTHING_LATCHED = Latches()


class Door:
    """A machine with a clock, ticked when it asks for it; the reader beats unless it is told not to."""

    def __init__(self, *fitted: Input, latches: Latches = NOTHING_LATCHED, **settings: Any) -> None:  # noqa: ANN401 - any key
        self.machine = Machine(DoorSettings(**{"held_open_s": 30, "warning_s": 10, **settings}), latches)
        self.now_s = START_S
        self.beating = True
        self.machine.start(dict.fromkeys(fitted, False), self.now_s)

    @property
    def state(self) -> DoorState:
        """The state now."""
        return self.machine.state

    def phase(self) -> Phase:
        """Return what the door is doing."""
        return self.state.phase

    def lock(self) -> LockState:
        """Return how the lock is."""
        return self.state.lock

    def mode(self) -> Mode:
        """Return who rules."""
        return self.state.mode

    def alarms(self) -> set[Alarm]:
        """Return what needs somebody to look."""
        return set(self.state.alarms)

    def released(self) -> bool:
        """Tell whether the line should be energised."""
        return self.machine.released

    def wait(self, for_s: float) -> None:
        """Let time pass."""
        end_s = self.now_s + for_s
        while self.now_s < end_s:
            beat_s = self.now_s + 0.5 if self.beating else math.inf
            self.now_s = min(end_s, beat_s, max(self.machine.wake_s, math.nextafter(self.now_s, math.inf)))
            self.machine.tick(self.now_s)
            if self.beating:
                self.machine.hear(self.now_s)

    def pulse(self, for_s: float = 5.0, by: str = "p1", **more: bool) -> Refusal | None:
        """Let somebody in."""
        return self.machine.enter(Pulse(for_s, by, self.now_s + 1, **more), self.now_s)

    def hold(self, hold: Hold, for_s: float = 60.0) -> Refusal | None:
        """Set how the door stands."""
        return self.machine.hold(hold, "client:phone", for_s, self.now_s)

    def turn(self, input_: Input, *, on: bool) -> None:
        """Change an input."""
        self.machine.sense(input_, active=on, now_s=self.now_s)

    def swing(self, *, wide: bool) -> None:
        """Open or close the leaf."""
        self.turn(Input.CONTACT, on=wide)

    def press(self, for_s: float = 0.1) -> None:
        """Ask to leave."""
        self.turn(Input.REX, on=True)
        self.wait(for_s)
        self.turn(Input.REX, on=False)

    def told(self) -> list[tuple[EventType, str, str]]:
        """Return type, cause and originator of what happened since the last call."""
        return [(event.event_type, event.cause, event.by) for event in self.machine.take()]

    def types(self) -> list[EventType]:
        """Return only the types."""
        return [event.event_type for event in self.machine.take()]


# Grants


def test_grant_unlocks_and_time_locks() -> None:
    """SECURE, grant, UNLOCKED, timeout, SECURE: for its time and not a moment longer, told with who was behind it."""
    door = Door()
    assert (door.phase(), door.lock(), door.state.until_s) == (Phase.SECURE, LockState.LOCKED, None)
    assert door.pulse(0.8) is None
    assert (door.phase(), door.lock(), door.state.until_s) == (
        Phase.UNLOCKED,
        LockState.UNLOCKED,
        START_S + 0.8,
    )
    door.machine.tick(START_S + 0.799)
    assert door.released()
    door.machine.tick(START_S + 0.8)
    assert not door.released()
    assert door.told() == [(E.DOOR_UNLOCKED, "pulse", "p1"), (E.DOOR_LOCKED, "timeout", "p1")]
    assert (door.phase(), door.state.by) == (Phase.SECURE, "")


@pytest.mark.parametrize(("asked_s", "given_s"), [(0.01, MIN_PULSE_S), (7.0, 7.0), (1e9, MAX_UNLOCKED_S)])
def test_pulse_is_clamped(asked_s: float, given_s: float) -> None:
    """A pulse lasts at least 0.5 s and at most 30 s, whatever was asked."""
    door = Door()
    door.pulse(asked_s)
    assert door.state.until_s == START_S + given_s


@pytest.mark.parametrize(
    ("pulse", "refusal"),
    [
        (Pulse(5.0, "p1", START_S - 0.001), Refusal.STALE),
        (Pulse(5.0, "p1", math.nan), Refusal.STALE),
        (Pulse(5.0, "p1", math.inf), Refusal.DEADLINE_TOO_FAR),
        (Pulse(5.0, "p1", START_S + DEADLINE_AHEAD_S + 1), Refusal.DEADLINE_TOO_FAR),
        (Pulse(math.nan, "p1", START_S + 1), Refusal.NOT_A_TIME),
        (Pulse(math.inf, "p1", START_S + 1), Refusal.NOT_A_TIME),
        (Pulse(0.0, "p1", START_S + 1), Refusal.NOT_A_TIME),
        (Pulse(-1.0, "p1", START_S + 1), Refusal.NOT_A_TIME),
    ],
)
def test_doubtful_pulse_keeps_the_door_shut(pulse: Pulse, refusal: Refusal) -> None:
    """A stale pulse, one without an honest deadline and one without an honest time unlock nothing."""
    door = Door()
    assert door.machine.enter(pulse, START_S) is refusal
    assert not door.released()
    assert door.told() == []


def test_further_grants_extend_to_a_limit() -> None:
    """G5: pulses while unlocked extend it, never shorten it, and 30 s in one piece is the end."""
    door = Door()
    door.pulse(5.0)
    door.wait(1)
    door.pulse(1.0)
    assert door.state.until_s == START_S + 5
    for _ in range(29):
        door.pulse(5.0, "p2")
        door.wait(1)
    assert not door.released()
    assert door.now_s == START_S + MAX_UNLOCKED_S
    assert door.types() == [E.DOOR_UNLOCKED, E.DOOR_LOCKED]


def test_storm_of_grants_has_a_duty() -> None:
    """G5: 1,000 pulses a second for 65 s unlock in pieces of at most 30 s with a rest of 0.25 s between."""
    door = Door()
    for beat in range(65_000):
        door.now_s = START_S + beat / 1000
        door.machine.tick(door.now_s)
        door.pulse()
    events = door.machine.take()
    assert [event.event_type for event in events] == [E.DOOR_UNLOCKED, E.DOOR_LOCKED] * 2 + [E.DOOR_UNLOCKED]
    up, down, again, *_ = (event.at_s for event in events)
    assert down - up == pytest.approx(MAX_UNLOCKED_S)
    assert again - down >= REST_S - 1e-6


def test_storm_of_every_verb_lets_the_lock_rest() -> None:
    """G5: leases, holds, lockdowns and fire tests begun and ended without pause toggle at most every 0.25 s."""
    door = Door()
    for step in range(4000):
        door.now_s = START_S + step / 500
        door.machine.tick(door.now_s)
        match step % 8:
            case 0:
                door.machine.lease(60, door.now_s)
            case 1:
                door.machine.lease(0, door.now_s)
            case 2:
                door.hold(Hold.UNLOCKED)
            case 3:
                door.hold(Hold.LOCKED)
            case 4:
                door.machine.test_fire("client:phone", 1, door.now_s)
            case 5:
                door.machine.end_fire("client:phone", door.now_s)
            case 6:
                door.machine.lockdown("client:phone", door.now_s)
            case 7:
                door.machine.end_lockdown("client:phone", door.now_s)
                door.machine.end_hold("client:phone", door.now_s)
    moved = [event for event in door.machine.take() if event.event_type in {E.DOOR_UNLOCKED, E.DOOR_LOCKED}]
    rests = [up.at_s - down.at_s for down, up in zip(moved[1::2], moved[2::2], strict=False)]
    assert len(rests) > 10
    assert min(rests) >= REST_S - 1e-6


def test_extended_unlock_gives_more_time_for_both() -> None:
    """Somebody who needs more time has what the reader asks to enter, and 10 s more before warning and alarm."""
    door = Door(Input.CONTACT)
    door.pulse(15.0, extended=True)
    assert door.state.until_s == START_S + 15
    door.swing(wide=True)
    door.wait(29)
    assert door.phase() is Phase.OPEN
    door.wait(1.5)
    assert door.phase() is Phase.OPEN_WARNING
    door.wait(9)
    assert Alarm.HELD_OPEN not in door.alarms()
    door.wait(1)
    assert door.phase() is Phase.HELD_OPEN
    door.swing(wide=False)
    door.wait(1)
    door.pulse(5.0)
    door.swing(wide=True)
    door.wait(30)
    assert door.phase() is Phase.HELD_OPEN, "the next visitor has the usual time"


def test_granted_not_entered() -> None:
    """UNLOCKED, timeout, SECURE: whoever did not open is told by name, once, as soon as a late hand can be excluded."""
    door = Door(Input.CONTACT)
    door.pulse(5.0)
    door.wait(5)
    assert E.GRANTED_NOT_ENTERED not in door.types()
    door.wait(GRACE_S)
    assert door.told() == [(E.GRANTED_NOT_ENTERED, "timeout", "p1")]
    door.wait(60)
    assert door.told() == []


def test_next_grant_tells_that_the_last_one_did_not_enter() -> None:
    """Two people granted one after the other while nobody opens: each is told, the first as the second is let in."""
    door = Door(Input.CONTACT)
    door.pulse(5.0, "p1")
    door.wait(1)
    door.pulse(5.0, "p1")
    door.pulse(5.0, "p2")
    assert door.told() == [(E.DOOR_UNLOCKED, "pulse", "p1"), (E.GRANTED_NOT_ENTERED, "", "p1")]
    door.wait(6)
    assert (E.GRANTED_NOT_ENTERED, "timeout", "p2") in door.told()


def test_passing_names_who_was_let_in() -> None:
    """UNLOCKED, contact open, OPEN, close, SECURE: the opening names the visitor and raises nothing."""
    door = Door(Input.CONTACT)
    door.pulse(5.0)
    door.wait(1)
    door.swing(wide=True)
    assert (door.phase(), door.lock(), door.state.contact) == (Phase.OPEN, LockState.OPEN, True)
    door.wait(10)
    assert (door.phase(), door.lock()) == (Phase.OPEN, LockState.LOCKED)
    door.swing(wide=False)
    door.wait(60)
    assert door.phase() is Phase.SECURE
    assert door.told() == [
        (E.DOOR_UNLOCKED, "pulse", "p1"),
        (E.DOOR_OPENED, "", "p1"),
        (E.DOOR_LOCKED, "timeout", "p1"),
        (E.DOOR_CLOSED, "", ""),
    ]


def test_nobody_is_expected_of_a_door_that_stands_unlocked() -> None:
    """Once anybody may pass, an opening names nobody who was granted before, and nobody is told as not entered."""
    door = Door(Input.CONTACT)
    door.pulse(5.0)
    door.machine.lease(60, door.now_s)
    door.wait(50)
    door.swing(wide=True)
    door.swing(wide=False)
    door.wait(30)
    assert [(event, by) for event, _, by in door.told()] == [
        (E.DOOR_UNLOCKED, "p1"),
        (E.DOOR_OPENED, ""),
        (E.DOOR_CLOSED, ""),
        (E.DOOR_LOCKED, ""),
    ]


@pytest.mark.parametrize(
    ("relock", "opened", "closed"), [("timeout", True, True), ("on_open", False, False), ("on_close", True, False)]
)
def test_relock_policies(relock: str, opened: bool, closed: bool) -> None:
    """The lock falls at its time, or as soon as the leaf opens, or as soon as it has closed again; never later."""
    door = Door(Input.CONTACT, relock=relock)
    door.pulse(5.0)
    door.swing(wide=True)
    assert door.released() is opened
    door.wait(1)
    door.swing(wide=False)
    assert door.released() is closed
    door.wait(4)
    assert not door.released()
    cause = {"timeout": "timeout", "on_open": "door_opened", "on_close": "door_closed"}[relock]
    assert (E.DOOR_LOCKED, cause, "p1") in door.told()
    assert door.alarms() == set()


@pytest.mark.parametrize("relock", ["on_open", "on_close"])
def test_relock_of_a_door_that_stands_unlocked_is_not_for_passers(relock: str) -> None:
    """A hold or a schedule is not ended by the leaf: relocking is for what was released for a moment."""
    door = Door(Input.CONTACT, relock=relock)
    door.hold(Hold.UNLOCKED)
    door.swing(wide=True)
    door.swing(wide=False)
    assert door.released()


# The way out


def test_push_rex_unlocks_without_a_reader() -> None:
    """G6: SECURE, rex, UNLOCKED: a request to exit unlocks for door.unlock_s though no reader was ever heard."""
    door = Door(Input.CONTACT, Input.REX)
    door.beating = False
    door.press()
    assert door.released()
    door.wait(1.5)
    door.swing(wide=True)
    door.swing(wide=False)
    door.wait(5 - 1.6)
    assert not door.released()
    assert door.types() == [E.REX, E.DOOR_UNLOCKED, E.DOOR_OPENED, E.DOOR_CLOSED, E.DOOR_LOCKED]


def test_non_push_rex_only_excuses() -> None:
    """A motion detector or handle leaves the lock alone: opening then is no break-in, and is one 5 s after its end."""
    door = Door(Input.CONTACT, Input.REX, rex="non_push")
    door.press(for_s=2)
    assert not door.released()
    door.wait(4.9)
    door.swing(wide=True)
    door.swing(wide=False)
    assert door.types() == [E.REX, E.DOOR_OPENED, E.DOOR_CLOSED]
    door.wait(GRACE_S)
    door.swing(wide=True)
    assert door.types() == [E.DOOR_OPENED, E.FORCED_OPEN]


def test_stuck_rex_hides_no_break_in_for_ever() -> None:
    """G8: a request to exit that never ends unlocks once, and excuses openings for door.held_open_s only."""
    door = Door(Input.CONTACT, Input.REX)
    door.turn(Input.REX, on=True)
    door.wait(29)
    assert not door.released()
    door.swing(wide=True)
    door.swing(wide=False)
    door.wait(2)
    door.swing(wide=True)
    assert door.types() == [
        E.REX, E.DOOR_UNLOCKED, E.DOOR_LOCKED, E.DOOR_OPENED, E.DOOR_CLOSED, E.DOOR_OPENED, E.FORCED_OPEN,
    ]  # fmt: skip


def test_exits_in_a_chain_have_a_limit() -> None:
    """G5: a button pressed without end, alone or among grants, unlocks for 30 s in one piece at most."""
    door = Door(Input.REX)
    door.pulse(5.0)
    while door.now_s < START_S + 29.9:
        door.press(for_s=0.3)
    assert door.state.until_s == START_S + MAX_UNLOCKED_S
    door.wait(START_S + MAX_UNLOCKED_S - door.now_s)
    assert not door.released()
    door.press()
    assert door.released(), "the way out needs no rest"


def test_exit_during_an_entry_is_of_the_same_piece() -> None:
    """G5: whoever leaves as an entry ends, or enters as an exit ends, does not start the 30 s anew."""
    door = Door(Input.REX)
    door.pulse(30.0)
    door.wait(29)
    door.press()
    assert door.state.until_s == START_S + MAX_UNLOCKED_S
    door.wait(31)
    began_s = door.now_s
    door.press()
    door.wait(4)
    door.pulse(30.0)
    assert door.state.until_s == began_s + MAX_UNLOCKED_S


def test_exit_outlives_the_reader() -> None:
    """A reader that dies takes its own grant along and not the exit that somebody inside asked for."""
    door = Door(Input.REX)
    door.pulse(5.0)
    door.press()
    door.machine.lose_reader(Cause.READER_GONE, door.now_s)
    assert door.released()
    assert door.state.by == ""
    door.wait(5)
    assert door.types() == [E.DOOR_UNLOCKED, E.REX, E.DOOR_LOCKED]


# Forced and held


def test_opening_without_a_cause_is_forced() -> None:
    """G8: SECURE, contact open without grant or rex: FORCED, latched until closed AND acknowledged, in this order."""
    door = Door(Input.CONTACT)
    door.wait(10)
    door.swing(wide=True)
    assert (door.phase(), door.alarms()) == (Phase.FORCED, {Alarm.FORCED_OPEN})
    door.swing(wide=False)
    door.wait(3600)
    assert door.phase() is Phase.FORCED
    assert door.machine.acknowledge("operator:root", door.now_s) is None
    assert (door.phase(), door.alarms()) == (Phase.SECURE, set())
    assert door.told() == [
        (E.DOOR_OPENED, "", ""),
        (E.FORCED_OPEN, "", ""),
        (E.DOOR_CLOSED, "", ""),
        (E.FORCED_OPEN_CLEARED, "operator", "operator:root"),
    ]
    assert door.machine.acknowledge("operator:root", door.now_s) is Refusal.NOT_HELD


def test_forced_acknowledged_while_open_ends_when_closed() -> None:
    """G8: acknowledged first, the alarm stands until the leaf closes; from then on the open leaf counts as held."""
    door = Door(Input.CONTACT)
    door.wait(1)
    door.swing(wide=True)
    door.wait(100)
    assert E.HELD_OPEN not in door.types()
    door.machine.acknowledge("operator:root", door.now_s)
    assert door.phase() is Phase.FORCED
    door.wait(20)
    door.machine.acknowledge("operator:root", door.now_s)  # again: starts nothing anew
    door.wait(10)
    assert door.alarms() == {Alarm.FORCED_OPEN, Alarm.HELD_OPEN}
    door.swing(wide=False)
    assert door.types() == [
        E.HELD_OPEN_WARNING, E.HELD_OPEN, E.DOOR_CLOSED, E.HELD_OPEN_CLEARED, E.FORCED_OPEN_CLEARED,
    ]  # fmt: skip


def test_each_break_in_is_told() -> None:
    """G8: a second opening without a cause while the first still stands is told too, and needs its own look."""
    door = Door(Input.CONTACT)
    door.wait(1)
    door.swing(wide=True)
    door.machine.acknowledge("operator:root", door.now_s)
    door.swing(wide=False)
    door.told()
    door.wait(GRACE_S)
    door.swing(wide=True)
    door.swing(wide=False)
    door.swing(wide=True)
    door.swing(wide=False)
    assert door.types() == [E.DOOR_OPENED, E.FORCED_OPEN, E.DOOR_CLOSED] * 2
    door.machine.acknowledge("operator:root", door.now_s)
    assert door.types() == [E.FORCED_OPEN_CLEARED]


@pytest.mark.parametrize("bounces", [1, 3, 9])
def test_bouncing_leaf_is_not_forced(bounces: int) -> None:
    """G8: a leaf that bounces in its frame after a grant, the lock fallen meanwhile, raises nothing."""
    door = Door(Input.CONTACT, relock="on_close")
    door.pulse(5.0)
    door.swing(wide=True)
    door.wait(2)
    for _ in range(bounces):
        door.swing(wide=False)
        door.wait(0.05)
        door.swing(wide=True)
        door.wait(0.05)
    door.swing(wide=False)
    assert E.FORCED_OPEN not in door.types()


def test_hand_that_pulled_in_time_is_not_forced() -> None:
    """G8: a leaf that opens within half a second after the lock fell was under way; later it is forced."""
    for late_s, forced in ((GRACE_S - 0.01, False), (GRACE_S + 0.01, True)):
        door = Door(Input.CONTACT)
        door.pulse(1.0)
        door.wait(1.0 + late_s)
        door.swing(wide=True)
        assert (E.FORCED_OPEN in door.types()) is forced


def test_held_open_warns_first() -> None:
    """OPEN, pre-alarm, OPEN_WARNING, timeout, HELD_OPEN, close, SECURE: at 20 s and 30 s by the defaults."""
    door = Door(Input.CONTACT)
    door.pulse(5.0)
    door.swing(wide=True)
    opened_s = door.now_s
    door.wait(60)
    door.swing(wide=False)
    at_s = {event.event_type: event.at_s - opened_s for event in door.machine.take()}
    assert (at_s[E.HELD_OPEN_WARNING], at_s[E.HELD_OPEN]) == (20, 30)
    assert at_s[E.HELD_OPEN_CLEARED] == 60
    assert (door.phase(), door.alarms()) == (Phase.SECURE, set())


def test_grant_through_an_open_door_starts_its_time_anew() -> None:
    """Whoever is let in while the leaf still is open has the whole time; once it is held, only closing ends that."""
    door = Door(Input.CONTACT)
    door.pulse(5.0)
    door.swing(wide=True)
    door.wait(25)
    assert door.pulse(5.0) is None
    door.wait(29)
    assert door.phase() is Phase.OPEN_WARNING
    door.wait(1)
    assert door.phase() is Phase.HELD_OPEN
    door.pulse(5.0)
    assert door.phase() is Phase.HELD_OPEN


def test_without_a_warning_time_there_is_no_warning() -> None:
    """door.warning_s of 0 leaves the alarm alone; one longer than the time warns at once."""
    door = Door(Input.CONTACT, warning_s=0)
    door.pulse(5.0)
    door.swing(wide=True)
    door.wait(31)
    assert door.types() == [E.DOOR_UNLOCKED, E.DOOR_OPENED, E.DOOR_LOCKED, E.HELD_OPEN]
    door = Door(Input.CONTACT, warning_s=60)
    door.pulse(5.0)
    door.swing(wide=True)
    door.wait(0.1)
    assert door.phase() is Phase.OPEN_WARNING


def test_open_at_the_start_counts_from_then() -> None:
    """G8: a leaf found open at the start was forced by nobody that was seen; it counts as held from then on."""
    machine = Machine(DoorSettings())
    machine.start({Input.CONTACT: True}, START_S)
    assert machine.state.phase is Phase.OPEN
    machine.tick(START_S + 30)
    assert [event.event_type for event in machine.take()] == [E.HELD_OPEN_WARNING, E.HELD_OPEN]


def test_door_without_a_contact_is_unmonitored() -> None:
    """No contact fitted: held, forced and not entered are off, and the state says None for the contact."""
    door = Door(Input.REX)
    door.pulse(1.0)
    door.wait(100)
    assert door.types() == [E.DOOR_UNLOCKED, E.DOOR_LOCKED]
    assert door.state.contact is None
    assert door.machine.wake_s == math.inf


# Fire


def test_fire_releases_until_an_operator_locks() -> None:
    """G7: any state, fire, RELEASED: latched when the input is quiet again, and only an operator's word locks."""
    door = Door(Input.CONTACT, Input.FIRE)
    door.turn(Input.FIRE, on=True)
    assert (door.phase(), door.mode(), door.lock()) == (Phase.RELEASED, Mode.EMERGENCY, LockState.UNLOCKED)
    assert door.state.until_s is None
    assert door.machine.limit_s == math.inf
    assert door.machine.end_fire("operator:root", door.now_s) is Refusal.FIRE, "its input still is active"
    door.turn(Input.FIRE, on=False)
    door.beating = False
    door.wait(100_000)
    assert door.released()
    assert door.machine.end_fire("operator:root", door.now_s) is None
    assert not door.released()
    assert door.told() == [
        (E.FIRE_RELEASE, "fire", ""),
        (E.DOOR_UNLOCKED, "fire", ""),
        (E.FIRE_CLEARED, "operator", "operator:root"),
        (E.DOOR_LOCKED, "operator", "operator:root"),
    ]


def test_nothing_overrides_a_fire() -> None:
    """G7: in a fire every grant, bypass, hold, lockdown's end, lock and loss of the reader leaves the door released."""
    door = Door(Input.FIRE)
    door.turn(Input.FIRE, on=True)
    assert door.pulse() is Refusal.FIRE
    assert door.pulse(bypass=True) is Refusal.FIRE
    assert door.hold(Hold.LOCKED) is Refusal.FIRE
    assert door.hold(Hold.UNLOCKED) is Refusal.FIRE
    assert door.machine.end_hold("client:phone", door.now_s) is Refusal.FIRE
    assert door.machine.end_lockdown("client:phone", door.now_s) is Refusal.FIRE
    assert door.machine.test_fire("client:phone", 5, door.now_s) is Refusal.FIRE
    door.machine.lock(door.now_s)
    door.machine.lockdown("client:phone", door.now_s)
    door.machine.lose_reader(Cause.READER_GONE, door.now_s)
    assert door.released()
    assert door.phase() is Phase.RELEASED


def test_fire_beats_lockdown_and_gives_way_to_it_again() -> None:
    """G12: fire in a lockdown releases; when the fire has been ended, the lockdown still stands."""
    door = Door(Input.FIRE, Input.REX)
    door.machine.lockdown("client:phone", door.now_s)
    door.turn(Input.FIRE, on=True)
    assert door.released()
    door.turn(Input.FIRE, on=False)
    door.machine.end_fire("client:phone", door.now_s)
    assert not door.released()
    assert door.phase() is Phase.LOCKDOWN


def test_fire_that_keeps_locked() -> None:
    """G7: with door.on_fire keep_locked a fire locks, refuses entry and is told; the way out works."""
    door = Door(Input.FIRE, Input.REX, on_fire="keep_locked")
    door.hold(Hold.UNLOCKED)
    door.turn(Input.FIRE, on=True)
    assert not door.released()
    assert door.alarms() == {Alarm.FIRE}
    assert door.pulse() is Refusal.FIRE
    door.press()
    assert door.released()


def test_fire_test_ends_by_itself() -> None:
    """G7: a test does what a fire would, for at most 60 s, says that it is a test, and is not kept over a restart."""
    door = Door()
    assert door.machine.test_fire("operator:root", 1e9, door.now_s) is None
    assert door.phase() is Phase.RELEASED
    assert door.machine.latches == Latches()
    door.wait(MAX_FIRE_TEST_S - 0.01)
    assert door.released()
    door.wait(0.01)
    assert not door.released()
    assert door.told()[0] == (E.FIRE_RELEASE, "fire_test", "operator:root")
    assert door.mode() is Mode.NORMAL


def test_fire_during_its_test_is_a_fire() -> None:
    """G7: a real fire while it is being tested is told as one, and no test's time ends it."""
    door = Door(Input.FIRE)
    door.machine.test_fire("operator:root", 5, door.now_s)
    door.wait(1)
    door.turn(Input.FIRE, on=True)
    door.turn(Input.FIRE, on=False)
    door.turn(Input.FIRE, on=True)  # told already
    door.turn(Input.FIRE, on=False)
    door.wait(100)
    assert door.released()
    assert door.machine.latches == Latches(fire=True)
    assert [cause for event, cause, _ in door.told() if event is E.FIRE_RELEASE] == ["fire_test", "fire"]


@pytest.mark.parametrize("for_s", [0.0, -1.0, math.nan, math.inf])
def test_fire_test_without_an_honest_time(for_s: float) -> None:
    """A fire test that names no time is refused."""
    door = Door()
    assert door.machine.test_fire("operator:root", for_s, door.now_s) is Refusal.NOT_A_TIME
    assert not door.released()


def test_fire_outlives_the_controller() -> None:
    """G7: a fire that was latched when the controller went releases again at its start, input or not, told once."""
    door = Door(Input.FIRE, latches=Latches(fire=True))
    assert door.phase() is Phase.RELEASED
    assert door.told() == [(E.DOOR_UNLOCKED, "fire", "")]
    found = Machine(DoorSettings())
    found.start({Input.FIRE: True}, START_S)
    assert [event.event_type for event in found.take()] == [E.FIRE_RELEASE, E.DOOR_UNLOCKED]


# Lockdown


def test_lockdown_refuses_entry_and_lets_out() -> None:
    """G12: any state, lockdown, LOCKDOWN: grants and holds end and are refused, the bypass group and REX pass."""
    door = Door(Input.REX)
    door.pulse()
    door.machine.lockdown("client:phone", door.now_s)
    assert not door.released()
    assert (door.phase(), door.mode(), door.state.by) == (Phase.LOCKDOWN, Mode.EMERGENCY, "client:phone")
    door.wait(1)
    assert door.pulse() is Refusal.LOCKDOWN
    assert door.hold(Hold.UNLOCKED) is Refusal.LOCKDOWN
    assert door.hold(Hold.LOCKED) is Refusal.LOCKDOWN
    assert door.machine.end_hold("client:phone", door.now_s) is Refusal.LOCKDOWN
    assert door.machine.test_fire("client:phone", 5, door.now_s) is Refusal.LOCKDOWN
    door.machine.lease(60, door.now_s)
    assert not door.released()
    door.press()
    assert door.released()
    door.wait(6)
    assert door.pulse(bypass=True) is None
    assert door.released()
    door.wait(6)
    assert door.machine.end_lockdown("client:phone", door.now_s) is None
    assert door.released(), "the schedule rules again"


def test_lockdown_and_unlock_at_the_same_time() -> None:
    """G12: whichever comes first, a lockdown and a manual unlock at the same moment leave the door locked."""
    door = Door()
    door.hold(Hold.UNLOCKED)
    door.machine.lockdown("client:phone", door.now_s)
    assert not door.released()
    door = Door()
    door.machine.lockdown("client:phone", door.now_s)
    assert door.hold(Hold.UNLOCKED) is Refusal.LOCKDOWN
    assert not door.released()


def test_lockdown_is_ended_by_its_release_alone() -> None:
    """G12: a second lockdown, a lock, a lost reader and a day leave it; only its release ends it."""
    door = Door()
    assert door.machine.end_lockdown("client:phone", door.now_s) is Refusal.NOT_HELD
    door.machine.lockdown("client:a", door.now_s)
    door.machine.lockdown("client:b", door.now_s)
    door.machine.lock(door.now_s)
    door.machine.lose_reader(Cause.READER_GONE, door.now_s)
    door.beating = False
    door.wait(86_400)
    assert door.phase() is Phase.LOCKDOWN
    assert door.machine.latches == Latches(lockdown_by="client:b")
    door.machine.end_lockdown("client:b", door.now_s)
    assert door.told() == [(E.LOCKDOWN, "operator", "client:a"), (E.LOCKDOWN_CLEARED, "operator", "client:b")]


def test_lockdown_outlives_the_controller() -> None:
    """G12: a lockdown that stood when the controller went stands at its next start, and so does a forced opening."""
    door = Door(Input.CONTACT, latches=Latches(forced=True, lockdown_by="client:phone"))
    assert door.pulse() is Refusal.LOCKDOWN
    assert door.alarms() == {Alarm.FORCED_OPEN}
    assert door.told() == []


# Holds and schedule


def test_operator_holds_unlocked_until_its_time() -> None:
    """An operator's unlock stands for its time, anybody may pass and nothing is held or forced; then it locks."""
    door = Door(Input.CONTACT)
    assert door.hold(Hold.UNLOCKED, 600) is None
    assert (door.mode(), door.phase(), door.state.by) == (Mode.OPERATOR, Phase.UNLOCKED, "client:phone")
    door.swing(wide=True)
    door.wait(300)
    door.swing(wide=False)
    door.wait(299)
    assert door.released()
    door.wait(1)
    assert not door.released()
    assert door.types() == [E.DOOR_UNLOCKED, E.DOOR_OPENED, E.DOOR_CLOSED, E.DOOR_LOCKED]


def test_leaf_open_when_the_hold_ends_counts_from_then() -> None:
    """G8: a leaf still open when the door stops standing unlocked is held 30 s later, and forced by nobody."""
    door = Door(Input.CONTACT)
    door.hold(Hold.UNLOCKED, 60)
    door.swing(wide=True)
    door.wait(60)
    door.wait(29.9)
    assert door.phase() is Phase.OPEN_WARNING
    door.wait(0.1)
    assert door.alarms() == {Alarm.HELD_OPEN}


def test_operator_holds_locked_against_the_schedule() -> None:
    """OPERATOR over SCHEDULED: a door held locked stays so while the schedule would unlock; a grant still lets in."""
    door = Door()
    door.machine.lease(60, door.now_s)
    assert (door.mode(), door.released()) == (Mode.SCHEDULED, True)
    door.hold(Hold.LOCKED, 20)
    assert (door.mode(), door.released()) == (Mode.OPERATOR, False)
    door.wait(1)
    door.machine.lease(60, door.now_s)
    assert not door.released()
    assert door.pulse(1.0) is None
    door.wait(2)
    door.wait(18)
    assert (door.mode(), door.released()) == (Mode.SCHEDULED, True)


def test_hold_can_be_ended() -> None:
    """An operator's release ends the hold and nothing else; without one it is refused."""
    door = Door()
    assert door.machine.end_hold("client:phone", door.now_s) is Refusal.NOT_HELD
    door.hold(Hold.UNLOCKED)
    assert door.machine.end_hold("client:phone", door.now_s) is None
    assert not door.released()


@pytest.mark.parametrize(("asked_s", "given_s"), [(0.001, MIN_HOLD_S), (1e9, MAX_HOLD_S)])
def test_hold_is_clamped(asked_s: float, given_s: float) -> None:
    """A hold lasts at least a second and at most a day."""
    door = Door()
    door.hold(Hold.UNLOCKED, asked_s)
    assert door.state.until_s == START_S + given_s


@pytest.mark.parametrize("for_s", [0.0, -1.0, math.nan, math.inf])
def test_hold_without_an_honest_time(for_s: float) -> None:
    """A hold that names no time is refused, and so is a lease, but for 0, which ends it."""
    door = Door()
    assert door.hold(Hold.UNLOCKED, for_s) is Refusal.NOT_A_TIME
    if for_s != 0:
        assert door.machine.lease(for_s, door.now_s) is Refusal.NOT_A_TIME
    assert not door.released()


def test_lease_is_renewed_or_falls() -> None:
    """SCHEDULED: the schedule holds for at most 60 s at a time; renewed it stands, not renewed it falls, 0 ends it."""
    door = Door()
    door.machine.lease(1e9, door.now_s)
    assert door.state.until_s == START_S + MAX_LEASE_S
    door.wait(50)
    door.machine.lease(60, door.now_s)
    door.wait(59)
    assert door.released()
    door.wait(1)
    assert not door.released()
    door.wait(1)
    door.machine.lease(60, door.now_s)
    door.machine.lease(0, door.now_s)
    assert [(event, cause) for event, cause, _ in door.told()] == [
        (E.DOOR_UNLOCKED, "schedule"), (E.DOOR_LOCKED, "schedule"),
    ] * 2  # fmt: skip


@pytest.mark.parametrize("what", ["pulse", "hold", "lease"])
def test_reader_that_falls_silent_loses_the_door(what: str) -> None:
    """G3: whatever is unlocked on the reader's word falls 1.0 s after its last one, to the moment."""
    door = Door()
    door.wait(0.1)
    if what == "pulse":
        door.pulse()
    elif what == "hold":
        door.hold(Hold.UNLOCKED)
    else:
        door.machine.lease(60, door.now_s)
    door.wait(0.9)
    door.beating = False
    heard_s = door.now_s
    assert door.machine.wake_s == heard_s + SILENCE_S
    door.machine.tick(heard_s + SILENCE_S - 0.001)
    assert door.released()
    door.machine.tick(heard_s + SILENCE_S)
    assert not door.released()
    assert door.told()[-1][1] == "reader_silent"
    assert door.mode() is Mode.NORMAL


def test_hold_locked_needs_no_reader() -> None:
    """A door that an operator holds locked stays so when the reader is silent or gone."""
    door = Door()
    door.hold(Hold.LOCKED)
    door.machine.lose_reader(Cause.READER_GONE, door.now_s)
    door.beating = False
    door.wait(10)
    assert door.mode() is Mode.OPERATOR


def test_lock_ends_what_is_for_a_moment() -> None:
    """The verb `lock` ends a grant and an exit; a door that stands unlocked stays so, and the state says it."""
    door = Door(Input.REX)
    door.pulse()
    door.press()
    door.machine.lock(door.now_s)
    assert not door.released()
    door.wait(1)
    door.hold(Hold.UNLOCKED)
    door.machine.lock(door.now_s)
    assert door.released()
    assert [(event, cause) for event, cause, _ in door.told()] == [
        (E.DOOR_UNLOCKED, "pulse"),
        (E.REX, ""),
        (E.DOOR_LOCKED, "command"),
        (E.DOOR_UNLOCKED, "operator"),
    ]


def test_resting_lock_is_not_released_again() -> None:
    """A grant within 0.25 s after locking is refused as resting, and taken after it."""
    door = Door()
    door.pulse(0.5)
    door.wait(0.5)
    assert door.pulse() is Refusal.RESTING
    door.wait(REST_S)
    assert door.pulse() is None


# The lock's own word, the line, the housing, the bell


def test_welded_relay_is_never_called_secure() -> None:
    """G9: a lock that says it does not hold a second after it should is an alarm; neither locked nor secure is said."""
    door = Door(Input.CONTACT, Input.BOND)
    door.turn(Input.BOND, on=True)
    door.pulse(1.0)
    door.turn(Input.BOND, on=False)
    door.wait(1.0)
    assert not door.released()
    door.wait(SETTLE_S - 0.01)
    assert door.alarms() == set()
    door.wait(0.01)
    assert (door.lock(), door.phase(), door.alarms()) == (LockState.JAMMED, Phase.UNLOCKED, {Alarm.LOCK})
    assert (E.FAULT, "not_secured", "") in door.told()
    door.wait(10)
    assert door.told()[1:] == [], "told once"
    door.turn(Input.BOND, on=True)
    assert (door.lock(), door.phase(), door.alarms()) == (LockState.LOCKED, Phase.SECURE, set())


def test_lock_that_does_not_let_go_is_told() -> None:
    """G9: a lock that still says it holds a second after it was released is jammed."""
    door = Door(Input.BOND)
    door.turn(Input.BOND, on=True)
    door.pulse(5.0)
    door.wait(SETTLE_S)
    assert door.lock() is LockState.JAMMED
    assert (E.FAULT, "not_released", "") in door.told()


def test_open_leaf_is_not_expected_to_be_bonded() -> None:
    """G9: with the leaf open no magnet holds; the second starts when it closes."""
    door = Door(Input.CONTACT, Input.BOND)
    door.turn(Input.BOND, on=True)
    door.pulse(1.0)
    door.turn(Input.BOND, on=False)
    door.swing(wide=True)
    door.wait(10)
    door.swing(wide=False)
    door.wait(SETTLE_S - 0.01)
    assert door.alarms() == set()
    door.wait(0.01)
    assert door.alarms() == {Alarm.LOCK}


def test_line_that_did_not_follow_takes_the_grant_back() -> None:
    """G9: a line that could not be driven ends every grant and hold; it is told, and the door counts as locked."""
    door = Door()
    door.pulse()
    door.machine.retract(door.now_s)
    assert not door.released()
    assert door.told()[1:] == [(E.DOOR_LOCKED, "not_followed", "p1"), (E.FAULT, "not_followed", "")]
    assert door.lock() is LockState.LOCKED


def test_line_that_does_not_follow_a_fire_is_jammed() -> None:
    """G9: in a fire the line stays wanted released; until it follows the state says JAMMED, and that is told once."""
    door = Door(Input.FIRE)
    door.turn(Input.FIRE, on=True)
    door.machine.retract(door.now_s)
    door.machine.retract(door.now_s + 1)
    assert door.released()
    assert (door.lock(), door.alarms()) == (LockState.JAMMED, {Alarm.FIRE, Alarm.LOCK})
    assert [event for event in door.types() if event is E.FAULT] == [E.FAULT]
    door.machine.follow()
    assert (door.lock(), door.alarms()) == (LockState.UNLOCKED, {Alarm.FIRE})


def test_tamper_is_told_and_stands() -> None:
    """G10: an open housing is an alarm for as long as it is open, found at the start too."""
    door = Door(Input.TAMPER)
    door.turn(Input.TAMPER, on=True)
    assert door.alarms() == {Alarm.TAMPER}
    door.turn(Input.TAMPER, on=True)
    door.turn(Input.TAMPER, on=False)
    assert door.types() == [E.TAMPER, E.TAMPER_CLEARED]
    found = Machine(DoorSettings())
    found.start({Input.TAMPER: True}, START_S)
    assert [event.event_type for event in found.take()] == [E.TAMPER]


def test_bell_is_told_once_a_press() -> None:
    """F11: a bell is told when it is pressed, every 3 s at most, and not when it is let go; it moves nothing."""
    door = Door(Input.BELL)
    for wait_s in (0.0, 0.1, RINGS_EVERY_S - 0.3, 0.3, 0.1):
        door.wait(wait_s)
        door.turn(Input.BELL, on=True)
        door.turn(Input.BELL, on=False)
    assert door.told() == [(E.BELL, "", "")] * 2
    assert not door.released()


def test_open_by_an_operator_is_told_as_such() -> None:
    """An operator's opening lets in for a moment and names the operator."""
    door = Door()
    pulse = Pulse(2.0, "operator:root", door.now_s + 1)
    assert door.machine.enter(pulse, door.now_s, Cause.OPERATOR) is None
    assert door.told() == [(E.DOOR_UNLOCKED, "operator", "operator:root")]
