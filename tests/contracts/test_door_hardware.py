"""What every driver of a door's lines promises, the real ones and the simulated alike."""

from __future__ import annotations

import contextlib
import itertools
import select
import threading
import time
from typing import TYPE_CHECKING, Protocol

import pytest
from gpiozero import OutputDevice

from appliance.config import Line
from appliance.door.hardware import Edge, Input, Output
from appliance.drivers.gpio import claim_gpio
from appliance.drivers.gpiochip import claim_gpiochip
from appliance.drivers.simulated_door import SimulatedDoorObserver, claim_simulated
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import DoorError
from tests.drivers.gpiod_chip import StandInChip
from tests.drivers.wired_pin import WiredChip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from appliance.door.hardware import DoorHardware

    Inputs: TypeAlias = Mapping[Input, Line]
    Outputs: TypeAlias = Mapping[Output, int]

LOCK = "lock"
RELAY = 17
INPUTS = {
    Input.CONTACT: Line(22, normally_closed=True),
    Input.REX: Line(23, normally_closed=False),
    Input.FIRE: Line(24, normally_closed=True),
    Input.BELL: Line(25, normally_closed=False),
}
OUTPUTS = {Output.ALARM: 9, Output.RED: 10, Output.BUZZER: 11}
NAMES: dict[int, str] = {RELAY: LOCK, **{pin: output.value for output, pin in OUTPUTS.items()}}
AT_REST = dict.fromkeys(INPUTS, False)


class Bench(Protocol):
    """A door's lines that can be claimed, hands at its switches and an instrument on its outputs."""

    @property
    def busy(self) -> tuple[int, ...]:
        """Pins of the lock, an output and an input that somebody else can have."""

    def claim(self, inputs: Inputs = INPUTS, outputs: Outputs = OUTPUTS) -> DoorHardware:
        """Claim these lines and the lock's as a controller would."""

    def occupy(self, pin: int, /) -> contextlib.AbstractContextManager[object]:
        """Be somebody else who has this pin."""

    def move(self, line: Input, *, active: bool) -> None:
        """Move the switch of an input."""

    def cut(self, line: Input) -> None:
        """Cut the wire of an input."""

    def driven(self) -> list[tuple[str, int]]:
        """Return every level that the lock and the outputs changed to since power-on, when all were low."""


class GpioBench:
    """gpiozero on a mock chip with contacts to ground."""

    busy = (RELAY, 10, 24)

    def __init__(self) -> None:
        self.chip = WiredChip()
        for line in INPUTS.values():
            self.chip.wire(line, closed=line.normally_closed)

    def claim(self, inputs: Inputs = INPUTS, outputs: Outputs = OUTPUTS) -> DoorHardware:
        """Claim BCM pins."""
        return claim_gpio(RELAY, inputs, outputs, self.chip)

    def occupy(self, pin: int) -> contextlib.AbstractContextManager[object]:
        """Have the pin as another device of gpiozero's."""
        return contextlib.closing(OutputDevice(pin, initial_value=None, pin_factory=self.chip))

    def move(self, line: Input, *, active: bool) -> None:
        """Close or open the contact."""
        self.chip.wire(INPUTS[line], closed=active is not INPUTS[line].normally_closed)

    def cut(self, line: Input) -> None:
        """Open the circuit."""
        self.chip.wire(INPUTS[line], closed=False)

    def driven(self) -> list[tuple[str, int]]:
        """Return what the mock noted."""
        return [(NAMES[pin], level) for pin, level in self.chip.driven]

    def close(self) -> None:
        """Let go of all pins."""
        self.chip.close()


class GpiochipBench:
    """libgpiod's names on a chip that keeps the level of released lines."""

    busy = (RELAY, 10, 24)

    def __init__(self) -> None:
        self.chip = StandInChip()
        for line in INPUTS.values():
            self.chip.put(line.pin, int(not line.normally_closed))  # pulled up, closed to ground

    def claim(self, inputs: Inputs = INPUTS, outputs: Outputs = OUTPUTS) -> DoorHardware:
        """Claim line offsets."""
        return claim_gpiochip(self.chip.as_gpiod(), RELAY, inputs, outputs)

    @contextlib.contextmanager
    def occupy(self, pin: int) -> Iterator[None]:
        """Have the line by a request of our own."""
        request = self.chip.request_lines(self.chip.path, {pin: None})
        yield
        request.release()

    def move(self, line: Input, *, active: bool) -> None:
        """Close or open the contact."""
        self.chip.put(INPUTS[line].pin, int(active is INPUTS[line].normally_closed))

    def cut(self, line: Input) -> None:
        """Open the circuit."""
        self.chip.put(INPUTS[line].pin, 1)

    def driven(self) -> list[tuple[str, int]]:
        """Return what the chip noted."""
        return [(NAMES[pin], level) for pin, level in self.chip.driven]


class SimulatedBench:
    """Lines held by the kernel as locks on a file."""

    busy = (RELAY,)  # whoever has the lock's line has all

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observer = SimulatedDoorObserver(folder)
        self.world = SimulatedWorld(folder)

    def claim(self, inputs: Inputs = INPUTS, outputs: Outputs = OUTPUTS) -> DoorHardware:
        """Claim the folder."""
        return claim_simulated(self.folder, inputs, outputs)

    def occupy(self, _pin: int) -> contextlib.AbstractContextManager[object]:
        """Be another owner."""
        return contextlib.closing(self.claim())

    def move(self, line: Input, *, active: bool) -> None:
        """Tell the world."""
        self.world.set(line, active=active)

    def cut(self, line: Input) -> None:
        """Tell the world."""
        self.world.cut(line)

    def driven(self) -> list[tuple[str, int]]:
        """Return the changes of both histories in the order of their times."""
        lock = [(at_s, LOCK, level) for at_s, level, cause in self.observer.history() if cause != "claim"]
        outputs = [(at_s, output.value, int(on)) for at_s, output, on in self.observer.switched()]
        return [(name, level) for _, name, level in sorted([*lock, *outputs])]


@pytest.fixture(params=["gpio", "gpiochip", "simulated"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Return each bench in turn, never claimed before, every switch at rest."""
    if request.param == "simulated":
        yield SimulatedBench(tmp_path)
    elif request.param == "gpiochip":
        yield GpiochipBench()
    else:
        with contextlib.closing(GpioBench()) as gpio:
            yield gpio


@pytest.fixture
def door(bench: Bench) -> Iterator[DoorHardware]:
    """Return the claimed door."""
    with contextlib.closing(bench.claim()) as door:
        yield door


def waiting(door: DoorHardware, timeout_s: float = 0.0) -> bool:
    """Tell whether the inputs' descriptor is readable."""
    return bool(select.select([door.inputs.fileno()], [], [], timeout_s)[0])


def told(edges: tuple[Edge, ...]) -> list[tuple[Input, bool]]:
    """Return edges without their times."""
    return [(edge.input, edge.active) for edge in edges]


# Claiming


def test_a_claim_is_low_and_moves_nothing(bench: Bench, door: DoorHardware) -> None:
    """G1: claiming the lines leaves lock and outputs low without a glitch, and the lock reads locked."""
    assert not door.lock.is_unlocked()
    assert bench.driven() == []


def test_a_line_that_is_busy_is_refused_and_nothing_is_kept(bench: Bench) -> None:
    """G2: where the lock, an output or an input is somebody else's: one line, nothing moved, all else free again."""
    for pin in bench.busy:
        with bench.occupy(pin):
            with pytest.raises(DoorError, match=r"^(lock output|output|input)s? ") as refused:
                bench.claim()
            assert "\n" not in str(refused.value)
    with contextlib.closing(bench.claim()) as door:
        assert not door.lock.is_unlocked()
    assert bench.driven() == []


def test_an_owner_does_not_notice_who_is_refused(bench: Bench, door: DoorHardware) -> None:
    """G2: a second claim of owned lines leaves the first owner's as they are."""
    door.lock.unlock()
    door.outputs.drive(Output.RED, on=True)
    with pytest.raises(DoorError):
        bench.claim()
    assert door.lock.is_unlocked()
    assert door.inputs.levels() == AT_REST
    assert bench.driven() == [(LOCK, 1), ("red", 1)]


def test_released_lines_can_be_claimed_again(bench: Bench) -> None:
    """After close the next owner gets the lines, low."""
    for _ in range(2):
        with contextlib.closing(bench.claim()) as door:
            assert not door.lock.is_unlocked()
            door.lock.unlock()
    assert bench.driven() == [(LOCK, 1), (LOCK, 0)] * 2


def test_a_lock_alone_is_a_door(bench: Bench) -> None:
    """Where nothing but the lock is fitted, the inputs have nothing to tell, and waiting for them ends by itself."""
    with contextlib.closing(bench.claim({}, {})) as door:
        bench.move(Input.CONTACT, active=True)
        door.lock.unlock()
        door.outputs.drive(Output.RED, on=True)
        assert door.inputs.levels() == {}
        assert door.inputs.edges() == ()
        assert not waiting(door)
        assert bench.driven() == [(LOCK, 1)]


# Lock and outputs


def test_unlock_and_lock_are_one_pulse(bench: Bench, door: DoorHardware) -> None:
    """Unlock drives high, lock drives low, each reads back so, and saying either twice changes nothing."""
    door.lock.lock()
    door.lock.unlock()
    assert door.lock.is_unlocked()
    door.lock.unlock()
    door.lock.lock()
    door.lock.lock()
    assert not door.lock.is_unlocked()
    assert bench.driven() == [(LOCK, 1), (LOCK, 0)]


def test_outputs_are_switched_one_by_one(bench: Bench, door: DoorHardware) -> None:
    """Each output follows what it is told and nothing else; one that is not fitted is passed over."""
    door.outputs.drive(Output.RED, on=True)
    door.outputs.drive(Output.RED, on=True)
    door.outputs.drive(Output.GREEN, on=True)  # not fitted
    door.outputs.drive(Output.ALARM, on=True)
    door.outputs.drive(Output.RED, on=False)
    door.outputs.drive(Output.BUZZER, on=False)
    assert bench.driven() == [("red", 1), ("alarm", 1), ("red", 0)]
    assert not door.lock.is_unlocked()


def test_close_locks_first_and_switches_everything_off(bench: Bench, door: DoorHardware) -> None:
    """G1: closing drives the lock low before anything else, then every output; closing twice is harmless."""
    for output in OUTPUTS:
        door.outputs.drive(output, on=True)
    door.lock.unlock()
    before = len(bench.driven())
    door.close()
    door.close()
    after = bench.driven()[before:]
    assert after[0] == (LOCK, 0)
    assert sorted(after[1:]) == sorted((output.value, 0) for output in OUTPUTS)


def test_a_closed_door_moves_no_more(bench: Bench, door: DoorHardware) -> None:
    """After close every verb raises DoorError and nothing moves."""
    door.close()
    for verb in (door.lock.unlock, door.lock.lock, door.lock.is_unlocked):
        with pytest.raises(DoorError):
            verb()
    for ask in (door.inputs.edges, door.inputs.levels, door.inputs.fileno):
        with pytest.raises(DoorError):
            ask()
    with pytest.raises(DoorError):
        door.outputs.drive(Output.RED, on=True)
    assert bench.driven() == []


# Inputs


def test_at_rest_nothing_is_active(door: DoorHardware) -> None:
    """Every fitted input, NO or NC, is told as not active while its switch rests; the others are not told at all."""
    assert door.inputs.levels() == AT_REST
    assert door.inputs.edges() == ()
    assert not waiting(door)


@pytest.mark.parametrize("line", INPUTS)
def test_an_input_is_active_when_its_switch_is(bench: Bench, door: DoorHardware, line: Input) -> None:
    """G8: NO or NC, a moved switch is one edge to active, and its return one edge back."""
    for active in (True, False):
        bench.move(line, active=active)
        assert waiting(door, 1.0)
        assert door.inputs.levels() == {**AT_REST, line: active}
        assert told(door.inputs.edges()) == [(line, active)]
        assert not waiting(door)


def test_a_cut_wire_is_active_where_the_circuit_was_closed(bench: Bench, door: DoorHardware) -> None:
    """G7: a cut fire wire, wired NC, asks for release; a cut button, wired NO, is as a button that nobody presses."""
    for line in INPUTS:
        bench.cut(line)
    cut = {line: wire.normally_closed for line, wire in INPUTS.items()}
    assert door.inputs.levels() == cut
    assert told(door.inputs.edges()) == [(line, True) for line, active in cut.items() if active]


def test_edges_come_in_order_with_rising_times(bench: Bench, door: DoorHardware) -> None:
    """G8: edges of several inputs come once, in the order and at the times at which they happened."""
    began_s = time.monotonic()
    moves = [(Input.REX, True), (Input.CONTACT, True), (Input.REX, False), (Input.BELL, True), (Input.CONTACT, False)]
    for line, active in moves:
        bench.move(line, active=active)
    assert door.inputs.levels() == {**AT_REST, Input.BELL: True}, "reading levels forgets no edge"
    assert waiting(door)
    edges = door.inputs.edges()
    assert told(edges) == moves
    times = [began_s, *(edge.at_s for edge in edges), time.monotonic()]
    assert times == sorted(times)
    assert door.inputs.edges() == ()


def test_a_contact_that_bounces_comes_to_rest_where_it_is(bench: Bench, door: DoorHardware) -> None:
    """G8: of a thousand bounces that nobody read, each told edge is a change, and the last is how it came to rest."""
    for bounce in range(2001):
        bench.move(Input.CONTACT, active=bounce % 2 == 0)
    edges = told(door.inputs.edges())
    assert all(before[1] is not after[1] for before, after in itertools.pairwise(edges))
    assert edges[-1] == (Input.CONTACT, True)
    assert not waiting(door)
    assert door.inputs.levels() == {**AT_REST, Input.CONTACT: True}


def test_what_happened_before_the_claim_is_a_level_and_no_edge(bench: Bench) -> None:
    """A door that stands open at the start is open, and did not just open."""
    bench.move(Input.CONTACT, active=True)
    with contextlib.closing(bench.claim()) as door:
        assert door.inputs.levels() == {**AT_REST, Input.CONTACT: True}
        assert door.inputs.edges() == ()


def test_a_change_wakes_who_waits(bench: Bench, door: DoorHardware) -> None:
    """G6: a select on the descriptor ends when an input changes, from whatever thread."""
    mover = threading.Timer(0.05, bench.move, (Input.REX,), {"active": True})
    mover.start()
    assert waiting(door, 5.0)
    assert told(door.inputs.edges()) == [(Input.REX, True)]
    mover.join()
