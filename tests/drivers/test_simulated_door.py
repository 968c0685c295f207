"""What is the simulated door's own: it lives across processes, dies as real lines do, and can be made to fail."""

from __future__ import annotations

import contextlib
import select
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from appliance.config import Line
from appliance.door.hardware import Edge, Input, Output
from appliance.drivers.simulated_door import SimulatedDoorObserver, claim_simulated
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.drivers.lines import ClaimedDoor

INPUTS = {Input.REX: Line(1, normally_closed=False), Input.BOND: Line(2, normally_closed=True)}
OUTPUTS = (Output.ALARM, Output.RED)

# An owner as a process of its own: drives lock and alarm high, then waits for its end.
OWNER = """
import sys, time
from pathlib import Path
from appliance.door.hardware import Output
from appliance.drivers.simulated_door import claim_simulated
door = claim_simulated(Path(sys.argv[1]), {}, tuple(Output))
door.lock.unlock()
door.outputs.drive(Output.ALARM, on=True)
print("high", flush=True)
time.sleep(60)
"""
# Somebody outside, as a process of its own.
HAND = """
import sys
from pathlib import Path
from appliance.door.hardware import Input
from appliance.drivers.simulated_world import SimulatedWorld
SimulatedWorld(Path(sys.argv[1])).press(Input.REX, 0.01)
"""


@pytest.fixture
def world(tmp_path: Path) -> SimulatedWorld:
    """Return the world around the door."""
    return SimulatedWorld(tmp_path)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ClaimedDoor]:
    """Return a door with a button and a bond."""
    with contextlib.closing(claim_simulated(tmp_path, INPUTS, OUTPUTS)) as door:
        yield door


def bond(door: ClaimedDoor) -> bool:
    """Tell what the bond says."""
    return door.inputs.levels()[Input.BOND]


def test_another_process_presses_and_the_owner_wakes(tmp_path: Path, door: ClaimedDoor) -> None:
    """G6: a button pressed by another process wakes the owner and is two edges with that moment's times."""
    began_s = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", HAND, str(tmp_path)]) as hand:
        assert select.select([door.inputs.fileno()], [], [], 10)[0]
        hand.wait()
    edges = door.inputs.edges()
    assert [(edge.input, edge.active) for edge in edges] == [(Input.REX, True), (Input.REX, False)]
    assert began_s < edges[0].at_s <= edges[1].at_s - 0.01 < time.monotonic()


def test_a_killed_owner_leaves_everything_low(tmp_path: Path) -> None:
    """G1: when the owner is killed, lock and outputs fall by themselves, and the next owner can have them."""
    observer = SimulatedDoorObserver(tmp_path)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "high\n"
        assert observer.level()
        assert observer.is_on(Output.ALARM)
        assert not observer.is_on(Output.RED)
        owner.send_signal(signal.SIGKILL)
    assert not observer.level()
    assert not observer.owned()
    assert not any(observer.is_on(output) for output in Output)
    with contextlib.closing(claim_simulated(tmp_path, INPUTS, OUTPUTS)) as door:
        assert not door.lock.is_unlocked()
        assert bond(door), "what the dead owner left of the bond is history"
        assert door.inputs.edges() == ()


def test_outputs_have_a_history_with_times(tmp_path: Path, door: ClaimedDoor) -> None:
    """Every switching of an output is told with its time, in order."""
    began_s = time.monotonic()
    for on in (True, False, True):
        door.outputs.drive(Output.RED, on=on)
    times, outputs, levels = zip(*SimulatedDoorObserver(tmp_path).switched(), strict=True)
    assert outputs == (Output.RED,) * 3
    assert levels == (True, False, True)
    moments = [began_s, *times, time.monotonic()]
    assert moments == sorted(moments)


def test_the_bond_follows_the_line(door: ClaimedDoor) -> None:
    """G9: a sound lock says that it holds while its line is low, and that it does not while it is high."""
    assert bond(door)
    door.lock.unlock()
    door.lock.lock()
    assert [(edge.input, edge.active) for edge in door.inputs.edges()] == [(Input.BOND, False), (Input.BOND, True)]


def test_a_bolt_that_jams_says_so(door: ClaimedDoor, world: SimulatedWorld) -> None:
    """G9: a bond that is told what to say keeps saying it, whatever the line does, until it may follow again."""
    world.set(Input.BOND, active=False)
    door.lock.unlock()
    door.lock.lock()
    assert not bond(door)
    world.follow()
    assert bond(door)
    assert [edge.active for edge in door.inputs.edges()] == [False, True]


def test_a_welded_relay_reads_back_high(tmp_path: Path, door: ClaimedDoor) -> None:
    """G9: a welded relay does not follow lock(): line and bond say so; only release or death lowers it."""
    (tmp_path / "faults").write_text("welded")
    door.lock.unlock()
    door.lock.lock()
    assert door.lock.is_unlocked()
    assert not bond(door)
    door.close()
    assert SimulatedDoorObserver(tmp_path).level() == 0


def test_deaf_inputs_raise_and_the_lock_still_works(tmp_path: Path, door: ClaimedDoor) -> None:
    """G2: inputs that cannot be read raise DoorError; lock and outputs do not depend on them."""
    (tmp_path / "faults").write_text("deaf")
    for verb in (door.inputs.edges, door.inputs.levels, door.inputs.fileno):
        with pytest.raises(DoorError, match=r"cannot be read$"):
            verb()
    door.lock.unlock()
    assert door.lock.is_unlocked()
    (tmp_path / "faults").write_text("")
    assert not bond(door), "what happened meanwhile is not lost"


def test_many_hands_keep_times_rising(door: ClaimedDoor, tmp_path: Path) -> None:
    """G8: whoever writes, and however many at once, every change is told once and times rise."""
    hands = [threading.Thread(target=_knock, args=(tmp_path,)) for _ in range(4)]
    for hand in hands:
        hand.start()
    edges: list[Edge] = []
    while any(hand.is_alive() for hand in hands):
        edges += door.inputs.edges()
    edges += door.inputs.edges()
    assert [edge.at_s for edge in edges] == sorted(edge.at_s for edge in edges)
    assert [edge.active for edge in edges] == [number % 2 == 0 for number in range(len(edges))]
    assert edges


def _knock(folder: Path) -> None:
    world = SimulatedWorld(folder)
    for number in range(100):
        world.set(Input.REX, active=number % 2 == 0)


def test_the_world_turns_without_an_owner(tmp_path: Path, world: SimulatedWorld) -> None:
    """What happens before anybody owns the door is found as it is by the first owner."""
    world.set(Input.REX, active=True)
    world.cut(Input.BOND)
    with contextlib.closing(claim_simulated(tmp_path, INPUTS, OUTPUTS)) as door:
        assert door.inputs.levels() == {Input.REX: True, Input.BOND: True}
        assert door.inputs.edges() == ()
