"""What every lock output promises, the real and the simulated alike."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest
from gpiozero.pins.mock import MockFactory

from appliance.drivers.gpio import GpioLock
from appliance.drivers.simulated_door import SimulatedDoorObserver, SimulatedLock
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.door.hardware import LockOutput


class Bench(Protocol):
    """A line that can be claimed, and an instrument on it."""

    def claim(self) -> LockOutput:
        """Claim the line as a controller would."""

    def levels(self) -> list[int]:
        """Return every level of the line since power-on, each change once."""


class GpioBench:
    """A mock chip of gpiozero's."""

    def __init__(self) -> None:
        self.factory = MockFactory()
        self.pin = self.factory.pin("GPIO17")

    def claim(self) -> LockOutput:
        """Claim BCM 17."""
        return GpioLock(17, self.factory)

    def levels(self) -> list[int]:
        """Return the states of the mock pin."""
        # The whole list: assert_states() of the mock compares only as far as the shorter one goes.
        return [int(state.state) for state in self.pin.states]


class SimulatedBench:
    """A line held by the kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observer = SimulatedDoorObserver(folder)

    def claim(self) -> LockOutput:
        """Claim the simulated line."""
        return SimulatedLock(self.folder)

    def levels(self) -> list[int]:
        """Return the changes in the line's history."""
        levels = [level for _, level, _ in self.observer.history()]
        changed = [level for before, level in zip([0, *levels], levels, strict=False) if level != before]
        return [0, *changed]


@pytest.fixture(params=["gpio", "simulated"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Return each bench in turn, never claimed before."""
    if request.param == "simulated":
        yield SimulatedBench(tmp_path)
        return
    gpio = GpioBench()
    yield gpio
    gpio.factory.reset()


@pytest.fixture
def output(bench: Bench) -> Iterator[LockOutput]:
    """Return the claimed line."""
    with contextlib.closing(bench.claim()) as output:
        yield output


def test_a_claim_is_low_and_moves_nothing(bench: Bench, output: LockOutput) -> None:
    """G1: claiming the line leaves it low without a glitch, and it reads locked."""
    assert not output.is_unlocked()
    assert bench.levels() == [0]


def test_unlock_and_lock_are_one_pulse(bench: Bench, output: LockOutput) -> None:
    """Unlock drives high, lock drives low, each reads back so, and saying either twice changes nothing."""
    output.lock()
    output.unlock()
    assert output.is_unlocked()
    output.unlock()
    output.lock()
    output.lock()
    assert not output.is_unlocked()
    assert bench.levels() == [0, 1, 0]


def test_close_locks_first(bench: Bench, output: LockOutput) -> None:
    """G1: closing an unlocked line drives it low before it is released; closing twice is harmless."""
    output.unlock()
    output.close()
    output.close()
    assert bench.levels() == [0, 1, 0]


def test_a_closed_line_moves_no_more(bench: Bench, output: LockOutput) -> None:
    """After close every verb raises DoorError and the line stays low."""
    output.close()
    for verb in (output.unlock, output.lock, output.is_unlocked):
        with pytest.raises(DoorError):
            verb()
    assert bench.levels() == [0]


def test_a_line_has_one_owner(bench: Bench, output: LockOutput) -> None:
    """G2: a line that is owned is refused to a second owner in one line, and the first keeps it as it is."""
    output.unlock()
    with pytest.raises(DoorError, match=r"^lock output ") as refused:
        bench.claim()
    assert "\n" not in str(refused.value)
    assert output.is_unlocked()


def test_a_released_line_can_be_claimed_again(bench: Bench) -> None:
    """After close the next owner gets the line, low."""
    for _ in range(2):
        with contextlib.closing(bench.claim()) as output:
            assert not output.is_unlocked()
            output.unlock()
    assert bench.levels() == [0, 1, 0, 1, 0]
