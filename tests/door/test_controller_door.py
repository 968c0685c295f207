"""Real processes and simulated inputs: what a door does by itself, with a reader and without one."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from appliance.contract import Alarm, EventType, LockState, Mode, Phase
from appliance.door.guard import STEP_S
from appliance.door.hardware import Input, Output
from appliance.door.lock import REST_S, SILENCE_S, Hold
from appliance.door.protocol import SignalRequest, encode
from appliance.door.signals import Signal
from appliance.errors import DoorRefusedError
from appliance.records import Pulse
from tests.door.running import RunningController, beating, end, reply_on, soon, wired, written

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.door import ControllerLink

E = EventType
SLACK_S = 0.1


def pulse(for_s: float = 5.0, by: str = "p1") -> Pulse:
    """Return a pulse that is fresh now."""
    return Pulse(for_s, by, time.monotonic() + 1)


def heard_by(link: ControllerLink, last: EventType) -> list[EventType]:
    """Beat until this was told, and return the types of all that was."""
    types: list[EventType] = []

    def came() -> bool:
        types.extend(event_type for event_type, _, _ in written(link))
        return last in types

    soon(came)
    return types


def test_exit_works_with_everything_else_dead(state: Path) -> None:
    """G6: no reader, no network, nobody: a press unlocks within 50 ms of the time it is debounced, for 5 s at most."""
    with RunningController(state, *wired(state, unlock_s=0.5)) as controller:
        pressed_s = time.monotonic()
        controller.world.press(Input.REX, 0.06)
        soon(controller.observer.level)
        (at_s, *_), *_ = [one for one in controller.observer.history() if one[1] == 1]
        assert at_s - pressed_s < 0.02 + 0.05 + SLACK_S  # debounce, 50 ms, and what a busy machine may add
        assert controller.low_at_s(within_s=2) - at_s < 0.5 + SLACK_S
        assert controller.levels() == [0, 1, 0]


def test_exit_outlives_a_reader_that_dies(state: Path) -> None:
    """G6: the reader killed in the midst of somebody's exit does not lock it."""
    with RunningController(state, *wired(state, unlock_s=2)) as controller:
        reader = controller.reader(for_s=20)
        controller.world.press(Input.REX, 0.05)
        time.sleep(0.05)
        end(reader)
        time.sleep(0.2)
        assert controller.observer.level() == 1
        controller.low_at_s(within_s=3)
        assert controller.levels() == [0, 1, 0]


@pytest.mark.parametrize("alarm", ["input", "cut"])
def test_fire_releases_and_nothing_overrides_it(state: Path, alarm: str) -> None:
    """G7: fire input active, or its wire cut: released, grants and holds refused, and only a release after it locks."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        controller.world.cut(Input.FIRE) if alarm == "cut" else controller.world.set(Input.FIRE, active=True)
        soon(controller.observer.level)
        with pytest.raises(DoorRefusedError, match=r"fire$"):
            link.pulse(pulse())
        with pytest.raises(DoorRefusedError, match=r"fire$"):
            link.open("client:phone", 5)
        with pytest.raises(DoorRefusedError, match=r"fire$"):
            link.hold("client:phone", Hold.LOCKED, 60)
        with pytest.raises(DoorRefusedError, match=r"fire$"):
            link.release("client:phone", "fire")
        link.lockdown("client:phone")
        link.lock()
        link.close()
        time.sleep(SILENCE_S + 0.2)
        assert controller.observer.level() == 1
        controller.world.set(Input.FIRE, active=False)
        link = controller.link()
        soon(lambda: _released(link))
        assert link.state().phase is Phase.LOCKDOWN
        controller.low_at_s(within_s=SLACK_S)
        assert controller.levels() == [0, 1, 0]
        link.close()


def _released(link: ControllerLink) -> bool:
    try:
        link.release("operator:root", "fire")
    except DoorRefusedError:
        return False
    return True


def test_forced_with_no_reader_is_told_to_the_next(state: Path) -> None:
    """J8: a break-in while no reader was there is told to the one that comes, again until it is written, then never."""
    with RunningController(state, *wired(state)) as controller:
        controller.world.set(Input.CONTACT, active=True)
        first = controller.link()
        heard: list[tuple[str, int]] = []

        def forced() -> bool:
            told = first.beat()
            heard.extend((one.run, one.seq) for one in told)
            return any(one.event_type is E.FORCED_OPEN for one in told)

        soon(forced)
        first.close()  # nothing of it was written down
        second = controller.link()
        again = heard_by(second, E.FORCED_OPEN)
        second.beat()
        time.sleep(0.25)
        second.beat()  # says what is written
        second.state()
        third = controller.link()
        second.close()
        third.resume(*heard[-1])
        time.sleep(0.1)
        assert third.beat() == ()
        assert third.state().alarms == {Alarm.FORCED_OPEN}
        assert again == [E.DOOR_OPENED, E.FORCED_OPEN]
        third.close()


def test_a_day_without_a_reader_is_told_whole(state: Path) -> None:
    """J8: hundreds of events that no reader wrote down reach the next one, each once and in order, in one go."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        for _ in range(150):
            link.lockdown("client:phone")
            link.release("client:phone", "lockdown")
        link.close()
        reader = controller.link()
        with beating(reader) as heard:
            soon(lambda: len(heard) >= 300, within_s=30)
            assert reader.connected
        assert [one.seq for one in heard] == list(range(1, 301))
        assert {one.event_type for one in heard} == {E.LOCKDOWN, E.LOCKDOWN_CLEARED}
        assert "dropped" not in controller.says()
        reader.close()


def test_lockdown_outlives_kill_9(state: Path) -> None:
    """G12: a lockdown set, the controller killed at once, another started: entry is refused, and nothing toggled."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        link.lockdown("client:phone")
        controller.process.kill()
        controller.process.wait()
        link.close()
    with RunningController(state, *wired(state)) as successor:
        link = successor.link()
        assert link.state().phase is Phase.LOCKDOWN
        assert link.state().by == "client:phone"
        with pytest.raises(DoorRefusedError, match=r"lockdown$"):
            link.pulse(pulse())
        assert link.pulse(Pulse(0.5, "p1", time.monotonic() + 1, bypass=True)).lock is LockState.UNLOCKED
        link.close()
        assert successor.levels()[:2] == [0, 0]


def test_fire_and_forced_outlive_kill_9(state: Path) -> None:
    """G7: after a kill and a restart a fire that was latched releases again, and a forced opening still stands."""
    with RunningController(state, *wired(state)) as controller:
        controller.world.set(Input.CONTACT, active=True)
        link = controller.link()
        soon(lambda: Alarm.FORCED_OPEN in link.state().alarms)
        controller.world.set(Input.CONTACT, active=False)
        controller.world.set(Input.FIRE, active=True)
        soon(lambda: Alarm.FIRE in link.state().alarms)  # answered after it was saved
        controller.world.set(Input.FIRE, active=False)
        link.close()
        controller.process.kill()
        controller.process.wait()
        controller.low_at_s(within_s=SLACK_S)
    with RunningController(state, *wired(state)) as successor:
        soon(successor.observer.level)
        link = successor.link()
        assert link.state().alarms == {Alarm.FIRE, Alarm.FORCED_OPEN}
        link.release("operator:root", "forced")
        link.release("operator:root", "fire")
        assert link.state().alarms == frozenset()
        link.close()


def test_nothing_toggles_at_the_start(state: Path) -> None:
    """G1: started with the leaf open, the exit button held, the housing open and the bell rung, the lock stays low."""
    world = (Input.CONTACT, Input.REX, Input.TAMPER, Input.BELL)
    with RunningController(state) as early:
        for line in world:
            early.world.set(line, active=True)
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        soon(lambda: Alarm.TAMPER in link.state().alarms)
        time.sleep(0.3)
        assert controller.levels() == [0, 0], "two claims, and nothing else"
        assert [one for one in controller.observer.switched() if one[1] is Output.AUX] == []
        link.close()


def test_welded_relay_is_an_alarm(state: Path) -> None:
    """G9: the line is low and the lock says it does not hold: JAMMED, an alarm, never SECURE; it ends when it holds."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        assert link.state().lock is LockState.LOCKED
        controller.world.set(Input.BOND, active=False)
        assert heard_by(link, E.FAULT) == [E.FAULT]
        told = link.state()
        assert (told.lock, told.phase, set(told.alarms)) == (LockState.JAMMED, Phase.UNLOCKED, {Alarm.LOCK})
        assert controller.observer.is_on(Output.ALARM)
        controller.world.follow()
        soon(lambda: link.beat() == () and link.door is not None and link.door.lock is LockState.LOCKED)
        assert not link.door.alarms if link.door else False
        link.close()


def test_line_that_stays_high_ends_the_controller(state: Path) -> None:
    """G9: an output that cannot be driven low is never called locked: the controller ends, and its line is released."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        link.pulse(pulse(0.5))
        (state / "simulated-door" / "faults").write_text("welded")
        assert controller.process.wait(5) == 3
        assert controller.observer.level() == 0
        assert "does not follow" in controller.says().splitlines()[-1]
        link.close()


def test_refused_for_a_jam_opens_nothing_later(state: Path) -> None:
    """G9: requests refused because the line did not follow are over: freed again, it stays low until the next grant."""
    with RunningController(state, *wired(state)) as controller:
        faults = state / "simulated-door" / "faults"
        faults.write_text("jam")
        link = controller.link()
        with beating(link):
            for _ in range(3):
                with controller.raw() as peer:
                    peer.sendall(_line("open", by="client:phone", for_s=5.0, deadline_s=time.monotonic() + 1))
                    assert reply_on(peer)["reason"] == "lock_fault"
                time.sleep(REST_S + 0.05)
            faults.unlink()
            time.sleep(1.3)
            assert controller.levels() == [0]
        link.close()


def test_jam_in_a_fire_is_tried_again(state: Path) -> None:
    """G7: a line that does not follow in a fire is JAMMED, other requests are answered, and it opens once it can."""
    with RunningController(state, *wired(state)) as controller:
        faults = state / "simulated-door" / "faults"
        faults.write_text("jam")
        link = controller.link()
        controller.world.set(Input.FIRE, active=True)
        soon(lambda: link.state().alarms == {Alarm.FIRE, Alarm.LOCK})
        assert link.lockdown("client:phone").lock is LockState.JAMMED
        faults.unlink()
        soon(controller.observer.level)
        soon(lambda: link.state().lock is LockState.UNLOCKED)  # its bond is debounced
        link.close()


def test_inputs_that_cannot_be_read_end_the_controller(state: Path) -> None:
    """G2: a controller that has become deaf locks and ends as a hardware fault, within a second."""
    with RunningController(state, *wired(state)) as controller:
        reader = controller.reader(for_s=20)
        (state / "simulated-door" / "faults").write_text("deaf")
        assert controller.process.wait(2) == 3
        assert controller.observer.level() == 0
        end(reader)


def test_bouncing_contact_after_a_grant_is_not_forced(state: Path) -> None:
    """G8: a contact that bounces for 1 to 50 ms as the leaf opens and closes is one opening, one closing, no alarm."""
    with RunningController(state, *wired(state, relock="on_open")) as controller:
        link = controller.link()
        link.pulse(pulse())
        for wide in (True, False):
            for bounce_ms in (1, 5, 12):
                controller.world.set(Input.CONTACT, active=wide)
                time.sleep(bounce_ms / 1000)
                controller.world.set(Input.CONTACT, active=not wide)
                time.sleep(0.001)
            controller.world.set(Input.CONTACT, active=wide)
            time.sleep(0.1)
        types = heard_by(link, E.DOOR_CLOSED)
        assert E.FORCED_OPEN not in types
        assert types[0] is E.DOOR_UNLOCKED
        controller.world.set(Input.CONTACT, active=True)
        time.sleep(0.05)
        controller.world.set(Input.CONTACT, active=False)
        time.sleep(0.1)
        assert E.FORCED_OPEN not in [event_type for event_type, _, _ in written(link)]
        link.close()


@pytest.mark.parametrize("manner", ["dies", "hangs"])
def test_operators_hold_lives_on_the_readers_beats(state: Path, manner: str) -> None:
    """G3: a hold that another connection set stands while the reader beats, and falls with it, in its time."""
    with RunningController(state, *wired(state)) as controller:
        reader = controller.reader(for_s=0.5)
        controller.low_at_s(within_s=2)
        time.sleep(REST_S)
        operator = controller.link()
        assert operator.hold("operator:root", Hold.UNLOCKED, 600).mode is Mode.OPERATOR
        operator.close()
        time.sleep(1.2)
        assert controller.observer.level() == 1
        reader.send_signal(signal.SIGSTOP if manner == "hangs" else signal.SIGKILL)
        fault_s = time.monotonic()
        low_s = controller.low_at_s(within_s=3)
        assert low_s - fault_s < (SILENCE_S if manner == "hangs" else 0.0) + SLACK_S
        end(reader)
        with controller.raw() as peer:
            peer.sendall(_line("state"))
            assert reply_on(peer)["state"]["mode"] == "NORMAL"


def test_without_a_reader_a_hold_falls_after_a_second(state: Path) -> None:
    """G3: nobody beats: an operator's hold and opening each last 1.0 s, whatever was asked."""
    with RunningController(state, *wired(state)) as controller:
        operator = controller.link()
        for held in (True, False):
            asked_s = time.monotonic()
            if held:
                operator.hold("operator:root", Hold.UNLOCKED, 600)
            else:
                operator.open("operator:root", 30)
            low_s = controller.low_at_s(within_s=3)
            assert SILENCE_S - SLACK_S < low_s - asked_s < SILENCE_S + SLACK_S
            time.sleep(REST_S)
        operator.close()


def test_state_is_told_when_it_changes(state: Path) -> None:
    """D16: what another connection does that is no event, such as holding a locked door locked, is told as a state."""
    with RunningController(state, *wired(state)) as controller:
        reader, operator = controller.link(), controller.link()
        reader.beat()
        operator.hold("operator:root", Hold.LOCKED, 600)
        soon(lambda: reader.beat() == () and reader.door is not None and reader.door.mode is Mode.OPERATOR)
        operator.release("operator:root", "operator")
        soon(lambda: reader.beat() == () and reader.door is not None and reader.door.mode is Mode.NORMAL)
        reader.close()
        operator.close()


def _line(kind: str, **fields: object) -> bytes:
    body = {"v": 2, "kind": kind, "request_id": f"q{time.monotonic_ns()}", **fields}
    return json.dumps(body).encode() + b"\n"


GARBAGE = (
    _line("open", by="client:phone", for_s=5.0),
    _line("open", by="client phone", for_s=5.0, deadline_s=1e9),
    _line("open", by="client:phone", for_s=5.0, deadline_s=1e9, bypass=True),
    _line("hold", by="client:phone", hold="open", for_s=5.0),
    _line("hold", by="client:phone", hold="unlocked", for_s=-5.0),
    _line("lease", for_s="60"),
    _line("lease", for_s=-1),
    _line("lockdown", by=""),
    _line("lockdown", by="x" * 129),
    _line("release", by="client:phone", of="tamper"),
    _line("fire_test", by="client:phone", for_s=True),
    b'{"v":2,"kind":"signal","signal":"welcome"}\n',
    b'{"v":2,"kind":"beat","run":"0123abcd","seq":-1}\n',
    b'{"v":2,"kind":"beat","run":"x","seq":1.5}\n',
    b'{"v":2,"kind":"happened"}\n',
    b'{"v":1,"kind":"beat"}\n',
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_of_every_kind_changes_nothing(controller: RunningController, garbage: bytes) -> None:
    """D6: a message of any kind with one thing wrong moves nothing, ends its own connection and costs one line."""
    soon(lambda: "listening" in controller.says())  # a thread of its own writes that too
    before, said = controller.levels(), controller.says().count("\n")
    with controller.raw() as peer:
        peer.sendall(garbage)
        assert peer.recv(4096) == b""
    assert controller.levels() == before
    soon(lambda: controller.says().count("\n") > said)  # a thread of its own writes it
    assert controller.says().count("\n") == said + 1
    link = controller.link()
    assert (link.state().phase, link.state().mode) == (Phase.SECURE, Mode.NORMAL)
    link.close()


def test_only_the_reader_says_what_the_lamps_show(state: Path) -> None:
    """The reader's wish lights the lamp for its moment; another connection's does not."""
    with RunningController(state, *wired(state)) as controller:
        reader, other = controller.link(), controller.raw()
        reader.beat()
        reader.state()
        other.sendall(encode(SignalRequest(signal=Signal.ASKING)) + _line("state"))
        reply_on(other)
        assert not controller.observer.is_on(Output.BLUE)
        reader.show(Signal.READING)
        soon(lambda: controller.observer.is_on(Output.BLUE))
        soon(lambda: not controller.observer.is_on(Output.BLUE))
        other.close()
        reader.close()


def test_every_output_falls_with_the_controller(state: Path) -> None:
    """G1: lamps and relays are released with the lock when the controller is killed."""
    with RunningController(state, *wired(state, held_open_s=1, warning_s=0)) as controller:
        controller.world.set(Input.CONTACT, active=True)
        soon(lambda: controller.observer.is_on(Output.ALARM))
        controller.process.kill()
        controller.process.wait()
        assert [output for output in Output if controller.observer.is_on(output)] == []


def test_stopped_with_the_door_open_to_all(state: Path) -> None:
    """G4: a controller stopped while an operator holds the door unlocked is killed by its guardian, as for a pulse."""
    with RunningController(state, *wired(state)) as controller:
        link = controller.link()
        with beating(link):
            with controller.raw() as peer:
                peer.sendall(_line("hold", by="client:phone", hold="unlocked", for_s=600.0))
                reply_on(peer)
            time.sleep(0.5)
            controller.process.send_signal(signal.SIGSTOP)
            stopped_s = time.monotonic()
            assert controller.low_at_s(within_s=2) - stopped_s < STEP_S + SLACK_S
        link.close()


def test_storm_of_exits_is_one_piece(state: Path) -> None:
    """G5: a button that chatters as fast as it is believed keeps the lock released in one piece, without a toggle."""
    with RunningController(state, *wired(state, unlock_s=0.5)) as controller:
        for _ in range(20):
            controller.world.press(Input.REX, 0.025)
            time.sleep(0.025)
        controller.low_at_s(within_s=2)
        assert controller.levels() == [0, 1, 0]
