"""The door's machine against a model: what no sequence of requests, inputs, delays and restarts may do."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.config import DoorSettings
from appliance.contract import Alarm, EventType
from appliance.door.hardware import Input
from appliance.door.lock import Cause, Hold, Refusal
from appliance.door.machine import Machine
from appliance.records import Pulse

if TYPE_CHECKING:
    from appliance.records import DoorEvent

E = EventType
UNLOCK_S, HELD_S, WARNING_S, EXTENDED_S = 5.0, 30.0, 10.0, 10.0
ON_THE_READERS_WORD = ("entry", "hold", "lease")
STARTS_AND_ENDS = (
    (E.DOOR_UNLOCKED, E.DOOR_LOCKED),
    (E.DOOR_OPENED, E.DOOR_CLOSED),
    (E.HELD_OPEN, E.HELD_OPEN_CLEARED),
    (E.TAMPER, E.TAMPER_CLEARED),
    (E.LOCKDOWN, E.LOCKDOWN_CLEARED),
)

ANY_TIME = st.one_of(st.floats(0.4, 40), st.floats())
DELAY_S = st.floats(-3, 5).map(lambda power: 10.0**power)  # 1 ms to 100,000 s, small ones as often as large ones


class Causes:
    """Why the line may be high: a name for each cause, and when it ends. The whole of the lock's law."""

    def __init__(self) -> None:
        self.until_s: dict[str, float] = {}
        self.heard_s = -math.inf
        self.piece_s = math.inf  # since when entries and exits have followed on one another
        self.lockdown = False
        self.fire_opens = True

    def at(self, now_s: float) -> None:
        """Drop what is over."""
        if now_s >= self.heard_s + 1.0:
            self.drop(*ON_THE_READERS_WORD)
        self.drop(*[name for name, until_s in self.until_s.items() if now_s >= until_s])

    def drop(self, *names: str) -> None:
        """Drop these."""
        for name in names:
            self.until_s.pop(name, None)
        if not {"entry", "exit"} & self.until_s.keys():
            self.piece_s = math.inf

    def moment(self, name: str, for_s: float, now_s: float) -> None:
        """Add an entry or an exit: half a second at least, 30 s in one piece at most."""
        self.piece_s = min(self.piece_s, now_s)
        wanted_s = max(self.until_s.get(name, 0.0), now_s + min(max(for_s, 0.5), 30.0))
        self.until_s[name] = min(wanted_s, self.piece_s + 30.0)

    @property
    def fire(self) -> bool:
        """Tell whether there is one, or a test of one."""
        return bool({"fire", "test"} & self.until_s.keys())

    @property
    def standing(self) -> bool:
        """Tell whether anybody may pass."""
        if self.fire or self.lockdown:
            return self.fire and self.fire_opens
        return "hold" in self.until_s or ("lease" in self.until_s and "locked" not in self.until_s)

    @property
    def high(self) -> bool:
        """Tell whether the line has to be high."""
        return self.standing or bool({"entry", "exit"} & self.until_s.keys())


class DoorMachine(RuleBasedStateMachine):
    """Drives a Machine by anything at all, beside a model of what may be and of what has to be told."""

    @initialize(
        contact=st.sampled_from([True, True, True, False]),
        relock=st.sampled_from(["timeout", "on_open", "on_close"]),
        rex=st.sampled_from(["push", "non_push"]),
        on_fire=st.sampled_from(["release", "keep_locked"]),
        found_open=st.booleans(),
    )
    def begin(self, *, contact: bool, relock: str, rex: str, on_fire: str, found_open: bool) -> None:
        """Fit a door."""
        self.settings = DoorSettings.model_validate({"relock": relock, "rex": rex, "on_fire": on_fire})
        self.levels = dict.fromkeys((Input.REX, Input.FIRE, Input.TAMPER), False)
        if contact:
            self.levels[Input.CONTACT] = found_open
        self.now_s = 1000.0
        self.causes = Causes()
        self.causes.fire_opens = on_fire == "release"
        self.was_high = self.was_standing = False
        self.forced = self.seen_to = False
        self.told: Counter[EventType] = Counter()
        self.due: Counter[EventType] = Counter()  # what has to be told, where the model knows how often
        self.told[E.DOOR_OPENED] = self.due[E.DOOR_OPENED] = int(contact and found_open)
        self.machine = Machine(self.settings)
        self._start()

    def _start(self) -> None:
        self.locked_s = self.excused_s = self.closed_s = -math.inf
        self.since_s = self.now_s if self.levels.get(Input.CONTACT) and not self.forced else math.inf
        self.more_s = 0.0
        self.held = False
        self.expected: set[str] = set()
        self.machine.start(self.levels, self.now_s)
        if self.levels[Input.FIRE] and not self.causes.fire:
            self._fire("fire", math.inf)
        self._follow()

    # The model's law of the leaf

    def _follow(self) -> None:
        """Let the leaf's model see the line, and read what was told."""
        high, standing = self.causes.high, self.causes.standing
        opened = self.levels.get(Input.CONTACT, False)
        may_be_held = opened and (not self.forced or self.seen_to)
        if standing:
            self.since_s = math.inf
            self.expected.clear()
        elif self.was_standing and may_be_held:
            self.since_s = self.now_s
        if self.was_high and not high:
            self.locked_s = self.now_s
        self.was_high, self.was_standing = high, standing
        if self.now_s >= self.since_s + HELD_S + self.more_s:
            self.held = True
        for event in self.machine.take():
            self._read(event)

    def _read(self, event: DoorEvent) -> None:
        self.told[event.event_type] += 1
        for first, last in STARTS_AND_ENDS:
            assert 0 <= self.told[first] - self.told[last] <= 1, f"{first} and {last} do not take turns"
        if event.event_type is E.GRANTED_NOT_ENTERED:
            assert event.by in self.expected, "nobody of that name was let in"
            self.expected.discard(event.by)

    def _tick(self) -> None:
        self.machine.tick(self.now_s)
        if self.causes.until_s.get("test", math.inf) <= self.now_s:
            self.due[E.FIRE_CLEARED] += 1
        self.causes.at(self.now_s)
        self._follow()

    def _rests(self) -> bool:
        return not self.causes.high and self.now_s < self.locked_s + 0.25

    def _fire(self, name: str, until_s: float) -> None:
        self.causes.drop("entry", "hold", "locked", "test")
        self.causes.until_s[name] = until_s
        self.due[E.FIRE_RELEASE] += 1

    # Requests

    @rule(
        for_s=ANY_TIME,
        ahead_s=st.one_of(st.floats(0, 2), st.floats(-2, 12), st.floats()),
        by=st.sampled_from(["p1", "p2"]),
        extended=st.booleans(),
        bypass=st.booleans(),
        cause=st.sampled_from([Cause.PULSE, Cause.OPERATOR]),
    )
    def enter(self, *, for_s: float, ahead_s: float, by: str, extended: bool, bypass: bool, cause: Cause) -> None:
        """Ask for any pulse whatever."""
        self._tick()
        pulse = Pulse(for_s, by, self.now_s + ahead_s, extended, bypass)
        refusal = self.machine.enter(pulse, self.now_s, cause)
        honest = 0 < for_s < math.inf and self.now_s <= pulse.deadline_s <= self.now_s + 10
        allowed = not self.causes.fire and (bypass or not self.causes.lockdown)
        assert (refusal is None) is (honest and allowed and not self._rests())
        if refusal is None:
            self.causes.heard_s = self.now_s
            self.causes.moment("entry", for_s, self.now_s)
            if not self.causes.standing and Input.CONTACT in self.levels:
                self._expect(by, EXTENDED_S * extended)
        self._follow()

    def _expect(self, by: str, more_s: float) -> None:
        opened = self.levels[Input.CONTACT]
        self.more_s = max(more_s, self.more_s) if opened else more_s
        if not opened:
            self.expected.add(by)
        elif not self.held and self.since_s < math.inf:
            self.since_s = self.now_s

    @rule(kind=st.sampled_from(Hold), for_s=st.one_of(st.floats(0, 1e6), st.floats()))
    def hold(self, kind: Hold, for_s: float) -> None:
        """Ask for any hold whatever."""
        self._tick()
        refusal = self.machine.hold(kind, "client:phone", for_s, self.now_s)
        rests = kind is Hold.UNLOCKED and self._rests()
        ruled = self.causes.fire or self.causes.lockdown
        assert (refusal is None) is (0 < for_s < math.inf and not ruled and not rests)
        if refusal is None:
            self.causes.heard_s = self.now_s
            self.causes.drop("hold", "locked", *(["entry"] if kind is Hold.LOCKED else []))
            name = "hold" if kind is Hold.UNLOCKED else "locked"
            self.causes.until_s[name] = self.now_s + min(max(for_s, 1.0), 86_400.0)
        self._follow()

    @rule(for_s=st.one_of(st.floats(0, 100), st.just(0.0), st.floats()))
    def lease(self, for_s: float) -> None:
        """Say anything of the schedule."""
        self._tick()
        refusal = self.machine.lease(for_s, self.now_s)
        assert (refusal is None) is (0 <= for_s < math.inf and not (for_s > 0 and self._rests()))
        if refusal is None:
            self.causes.heard_s = self.now_s
            self.causes.drop("lease")
            if for_s > 0:
                self.causes.until_s["lease"] = self.now_s + min(for_s, 60.0)
        self._follow()

    @rule()
    def lock(self) -> None:
        """End what was for a moment."""
        self._tick()
        self.machine.lock(self.now_s)
        self.causes.drop("entry", "exit")
        self._follow()

    @rule()
    def lockdown(self) -> None:
        """Refuse entry."""
        self._tick()
        self.machine.lockdown("client:phone", self.now_s)
        if not self.causes.lockdown:
            self.due[E.LOCKDOWN] += 1
            self.causes.drop("entry", "hold", "locked")
        self.causes.lockdown = True
        self._follow()

    @rule(what=st.sampled_from(["operator", "lockdown", "fire", "forced"]))
    def release(self, what: str) -> None:
        """End something, whether it stands or not."""
        self._tick()
        ends = {
            "operator": self.machine.end_hold,
            "lockdown": self.machine.end_lockdown,
            "fire": self.machine.end_fire,
            "forced": self.machine.acknowledge,
        }
        refusal = ends[what]("client:phone", self.now_s)
        causes, rests = self.causes, self._rests()
        may_end = {
            "operator": {"hold", "locked"} & causes.until_s.keys() and not (causes.fire or causes.lockdown or rests),
            "lockdown": causes.lockdown and not causes.fire and not rests,
            "fire": causes.fire and not self.levels[Input.FIRE],
            "forced": self.forced,
        }
        assert (refusal is None) is bool(may_end[what])
        if refusal is None:
            self._end(what)
        self._follow()

    def _end(self, what: str) -> None:
        if what == "operator":
            self.causes.drop("hold", "locked")
        elif what == "fire":
            self.causes.drop("fire", "test")
            self.due[E.FIRE_CLEARED] += 1
        elif what == "lockdown":
            self.causes.lockdown = False
            self.due[E.LOCKDOWN_CLEARED] += 1
        else:
            if self.levels.get(Input.CONTACT) and not self.seen_to and not self.causes.standing:
                self.since_s = self.now_s
            self.seen_to = True
            self._clear_forced()

    @rule(for_s=st.one_of(st.floats(0, 100), st.floats()))
    def test_fire(self, for_s: float) -> None:
        """Try what a fire would do."""
        self._tick()
        refusal = self.machine.test_fire("client:phone", for_s, self.now_s)
        ruled = self.causes.fire or self.causes.lockdown
        assert (refusal is None) is (0 < for_s < math.inf and not ruled and not self._rests())
        if refusal is None:
            self._fire("test", self.now_s + min(for_s, 60.0))
        self._follow()

    # The reader, the inputs, the line, time

    @rule()
    def hear(self) -> None:
        """Let the reader say something."""
        self._tick()
        self.machine.hear(self.now_s)
        self.causes.heard_s = self.now_s

    @rule(cause=st.sampled_from([Cause.READER_GONE, Cause.GARBAGE]))
    def lose_reader(self, cause: Cause) -> None:
        """Let the reader go."""
        self._tick()
        self.machine.lose_reader(cause, self.now_s)
        self.causes.drop(*ON_THE_READERS_WORD)
        self._follow()

    @rule(gaps_s=st.lists(st.one_of(st.floats(0.01, 0.6), st.floats(1, 60)), min_size=1, max_size=5))
    def swing(self, gaps_s: list[float]) -> None:
        """Move the leaf back and forth."""
        for gap_s in gaps_s:
            self.sense(Input.CONTACT, on=not self.levels.get(Input.CONTACT))
            self.wait(gap_s)

    @rule()
    def acknowledge(self) -> None:
        """Look at a forced opening."""
        self.release("forced")

    @rule(by=st.sampled_from(["p1", "p2"]), extended=st.booleans(), gaps_s=st.tuples(st.floats(0, 7), st.floats(0, 50)))
    def visit(self, by: str, *, extended: bool, gaps_s: tuple[float, float]) -> None:
        """Be let in, and perhaps pass."""
        self.enter(for_s=5.0, ahead_s=1.0, by=by, extended=extended, bypass=False, cause=Cause.PULSE)
        for gap_s in gaps_s:
            self.be_read(round(2 * gap_s))
            self.sense(Input.CONTACT, on=not self.levels.get(Input.CONTACT))

    @rule(input_=st.sampled_from([Input.CONTACT, Input.REX, Input.FIRE, Input.TAMPER]), on=st.booleans())
    def sense(self, input_: Input, *, on: bool) -> None:
        """Change an input, or say again how it is."""
        if input_ not in self.levels:
            return
        self._tick()
        self.machine.sense(input_, active=on, now_s=self.now_s)
        if self.levels[input_] is not on:
            self.levels[input_] = on
            self._sensed(input_, on=on)
        self._follow()

    def _sensed(self, input_: Input, *, on: bool) -> None:
        if input_ is Input.CONTACT:
            self._opened() if on else self._closed()
        elif input_ is Input.REX:
            self.excused_s = self.now_s + (HELD_S if on else UNLOCK_S)
            if on and self.settings.rex == "push":
                self.causes.moment("exit", UNLOCK_S, self.now_s)
        elif input_ is Input.FIRE and on and "fire" not in self.causes.until_s:
            self._fire("fire", math.inf)

    def _opened(self) -> None:
        self.due[E.DOOR_OPENED] += 1
        self.expected.clear()
        caused = self.causes.high or self.now_s < max(self.locked_s + 0.5, self.excused_s, self.closed_s + 0.5)
        if caused:
            self.since_s = math.inf if self.causes.standing else self.now_s
            if self.settings.relock == "on_open":
                self.causes.drop("entry", "exit")
        else:
            self.forced, self.seen_to = True, False
            self.due[E.FORCED_OPEN] += 1

    def _closed(self) -> None:
        self.due[E.DOOR_CLOSED] += 1
        self.closed_s = self.now_s if not self.forced or self.seen_to else -math.inf
        self.since_s, self.more_s, self.held = math.inf, 0.0, False
        self._clear_forced()
        if self.settings.relock == "on_close":
            self.causes.drop("entry", "exit")

    def _clear_forced(self) -> None:
        if self.forced and self.seen_to and not self.levels.get(Input.CONTACT):
            self.forced = False
            self.due[E.FORCED_OPEN_CLEARED] += 1

    @rule()
    def not_followed(self) -> None:
        """Let the line not follow."""
        self._tick()
        if self.causes.high:
            self.machine.retract(self.now_s)
            self.causes.drop(*ON_THE_READERS_WORD, "exit")
            self._follow()

    @rule(delay_s=DELAY_S)
    def wait(self, delay_s: float) -> None:
        """Let time pass, ticked when it was asked for."""
        end_s = self.now_s + delay_s
        while self.machine.wake_s <= end_s:
            assert self.machine.wake_s >= self.now_s, "it asks to be woken in the past"
            self.now_s = self.machine.wake_s
            self._tick()
            assert self.machine.wake_s > self.now_s, "what was due was not done"
        self.now_s = end_s

    @rule(delay_s=DELAY_S)
    def oversleep(self, delay_s: float) -> None:
        """Let time pass unseen, as after a stop, then tick."""
        self.now_s += delay_s
        self._tick()

    @rule(beats=st.integers(1, 90))
    def be_read(self, beats: int) -> None:
        """Let the reader be there for a while."""
        for _ in range(beats):
            self.wait(0.5)
            self.hear()

    @rule(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 8)), min_size=2, max_size=10))
    def insist(self, steps: list[tuple[bool, int]]) -> None:
        """Let people come and go one upon another, while the reader is there."""
        for entering, gap_s in steps:
            if entering:
                self.enter(for_s=9.0, ahead_s=1.0, by="p1", extended=False, bypass=False, cause=Cause.PULSE)
            else:
                self.sense(Input.REX, on=True)
                self.sense(Input.REX, on=False)
            self.be_read(2 * gap_s)

    @rule(delay_s=DELAY_S, found=st.fixed_dictionaries({}, optional={line: st.booleans() for line in Input}))
    def restart(self, delay_s: float, found: dict[Input, bool]) -> None:
        """Let the controller die and come back, with the inputs as they are by then."""
        self._tick()
        latches = self.machine.latches
        assert latches.lockdown_by == ("client:phone" if self.causes.lockdown else "")
        assert latches.forced is self.forced
        assert latches.fire is ("fire" in self.causes.until_s)
        self.now_s += delay_s
        self.levels.update((line, on) for line, on in found.items() if line in self.levels)
        self.told.clear()
        self.due.clear()
        self.told[E.DOOR_OPENED] = self.due[E.DOOR_OPENED] = int(self.levels.get(Input.CONTACT, False))
        self.told[E.LOCKDOWN] = self.due[E.LOCKDOWN] = int(self.causes.lockdown)
        self.causes.drop("entry", "exit", "hold", "locked", "lease", "test")
        self.causes.heard_s = -math.inf
        self.was_high = self.was_standing = self.seen_to = False
        self.machine = Machine(self.settings, latches)
        self._start()

    # What always holds

    @invariant()
    def line_has_a_cause_and_every_cause_the_line(self) -> None:
        """Hold the line to its causes: high when, and only when, one of them stands, and low by itself at its end."""
        if self._due_now():
            return
        assert self.machine.released is self.causes.high, self.causes.until_s
        if self.machine.released:
            ends = [until_s for name, until_s in self.causes.until_s.items() if name != "locked"]
            assert self.machine.wake_s <= max(ends)
            assert self.machine.limit_s <= max(ends) or self.causes.fire  # a test's end is not told as a limit

    @invariant()
    def no_alarm_is_lost(self) -> None:
        """Hold each alarm to its cause: it stands as long as that, and each event was told as often as it was due."""
        if self._due_now():
            return
        alarms = {
            Alarm.FORCED_OPEN: self.forced,
            Alarm.HELD_OPEN: self.held,
            Alarm.TAMPER: self.levels[Input.TAMPER],
            Alarm.FIRE: self.causes.fire,
        }
        assert self.machine.state.alarms - {Alarm.LOCK} == {alarm for alarm, on in alarms.items() if on}
        assert {event: self.told[event] for event in self.due} == dict(self.due)
        assert self.told[E.HELD_OPEN] - self.told[E.HELD_OPEN_CLEARED] == self.held
        assert self.told[E.DOOR_UNLOCKED] - self.told[E.DOOR_LOCKED] == self.causes.high
        assert self.told[E.TAMPER] - self.told[E.TAMPER_CLEARED] == self.levels[Input.TAMPER]

    def _due_now(self) -> bool:
        """Tell whether time has passed to the very moment of something that the next tick will do."""
        return self.machine.wake_s <= self.now_s


TestDoorMachine = DoorMachine.TestCase
TestDoorMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# When it asks to be woken

STEP_S = 1 / 1024  # a power of two: every time below is told exactly
VERBS = (
    *("pulse", "hold", "locked", "lease", "hear", "test", "lockdown", "end_lockdown", "end_fire", "acknowledge"),
    *("rex", "contact", "fire", "tamper", "bond"),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 600),  # steps until then
        st.sampled_from(VERBS),
        st.sampled_from([0.5, 0.75, 1.0, 2.0]),
    ),
    max_size=12,
)
QUICK = DoorSettings(unlock_s=0.5, held_open_s=1, warning_s=0.5, extended_s=0.5)


def _do(machine: Machine, verb: str, for_s: float, levels: dict[Input, bool], now_s: float) -> Refusal | None:
    by = "client:phone"
    if verb in set(Input):
        levels[Input(verb)] = not levels[Input(verb)]
        machine.sense(Input(verb), active=levels[Input(verb)], now_s=now_s)
        return None
    if verb in {"hear", "lockdown"}:
        machine.hear(now_s) if verb == "hear" else machine.lockdown(by, now_s)
        return None
    verbs = {
        "pulse": lambda: machine.enter(Pulse(for_s, "p1", now_s), now_s),
        "hold": lambda: machine.hold(Hold.UNLOCKED, by, for_s, now_s),
        "locked": lambda: machine.hold(Hold.LOCKED, by, for_s, now_s),
        "lease": lambda: machine.lease(for_s, now_s),
        "test": lambda: machine.test_fire(by, for_s, now_s),
        "end_lockdown": lambda: machine.end_lockdown(by, now_s),
        "end_fire": lambda: machine.end_fire(by, now_s),
        "acknowledge": lambda: machine.acknowledge(by, now_s),
    }
    return verbs[verb]()


def _run(steps: list[tuple[int, str, float]], *, every_step: bool) -> list[DoorEvent]:
    machine = Machine(QUICK)
    levels = {Input.CONTACT: False, Input.REX: False, Input.FIRE: False, Input.TAMPER: False, Input.BOND: True}
    machine.start(levels, 0.0)
    now = 0
    for wait, verb, for_s in [*steps, (4000, "hear", 0.0)]:
        end = now + wait
        while now < end:
            now = now + 1 if every_step else min(end, math.ceil(min(machine.wake_s / STEP_S, end)))
            machine.tick(now * STEP_S)
        machine.tick(now * STEP_S)
        _do(machine, verb, for_s, levels, now * STEP_S)
    return list(machine.take())


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_it_asks_to_be_woken_in_time(steps: list[tuple[int, str, float]]) -> None:
    """Ticked only when it asks for it, a door does what it does when ticked a thousand times a second, as early."""
    assert _run(steps, every_step=False) == _run(steps, every_step=True)
