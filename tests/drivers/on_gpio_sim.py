"""The contract of a door's lines on a real kernel's gpio-sim, through the real libgpiod: run by scripts/gpio_vm.

gpio-sim is the kernel's own chip for tests: its lines are set and read back under /sys. Its pull stands for the
wire, and a request for a pull-up moves it; so a contact that is closed when lines are claimed is closed again
after the claim.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gpiod
import pytest

from appliance.drivers.gpiochip import Chip, claim_gpiochip
from tests.contracts import test_door_hardware as contract
from tests.contracts.test_door_hardware import INPUTS, NAMES, OUTPUTS, RELAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.door.hardware import DoorHardware, Input
    from tests.contracts.test_door_hardware import Inputs, Outputs

CHIP = "/dev/gpiochip0"
LINES = Path("/sys/devices/platform/gpio-sim.0/gpiochip0")
TRACE = Path("/sys/kernel/tracing")
# Whether the chip under test keeps the level of a released line, as a Jetson's does; gpio-sim itself does not.
KEEPS = os.environ.get("GPIO_SIM") == "keep"

# An owner as a process of its own: drives lock and alarm high, then waits for its end.
OWNER = """
import time
from appliance.door.hardware import Output
from appliance.drivers.gpiochip import Chip, claim_gpiochip
door = claim_gpiochip(Chip("/dev/gpiochip0"), 17, {}, {Output.ALARM: 9})
door.lock.unlock()
door.outputs.drive(Output.ALARM, on=True)
print(door.lock._dead_man._process.pid, flush=True)
time.sleep(600)
"""

# Every promise of the contract, on the bench below.
globals().update({name: promise for name, promise in vars(contract).items() if name.startswith("test_")})
door = contract.door


def level(offset: int) -> int:
    """Return the level of a line."""
    return int((LINES / f"sim_gpio{offset}" / "value").read_text())


class KernelBench:
    """gpio-sim, with the kernel's own note of every level that a line was set to."""

    busy = (RELAY, 10, 24)

    def __init__(self) -> None:
        self.closed = {line: wire.normally_closed for line, wire in INPUTS.items()}
        (TRACE / "trace").write_text("")

    def claim(self, inputs: Inputs = INPUTS, outputs: Outputs = OUTPUTS) -> DoorHardware:
        """Claim line offsets, then close again what was closed."""
        door = claim_gpiochip(Chip(CHIP), RELAY, inputs, outputs)
        for line in INPUTS:
            self.wire(line, closed=self.closed[line])
        door.inputs.edges()
        return door

    @contextlib.contextmanager
    def occupy(self, pin: int) -> Iterator[None]:
        """Have the line by a request of our own."""
        with gpiod.request_lines(CHIP, {pin: None}):
            yield

    def move(self, line: Input, *, active: bool) -> None:
        """Close or open the contact."""
        self.wire(line, closed=active is not INPUTS[line].normally_closed)

    def cut(self, line: Input) -> None:
        """Open the circuit."""
        self.wire(line, closed=False)

    def wire(self, line: Input, *, closed: bool) -> None:
        """Pull the line to ground, or up."""
        self.closed[line] = closed
        (LINES / f"sim_gpio{INPUTS[line].pin}" / "pull").write_text("pull-down" if closed else "pull-up")

    def driven(self) -> list[tuple[str, int]]:
        """Return the changes among the levels that the kernel traced: `gpio_value: <number> set <level>`."""
        levels, driven = dict.fromkeys(NAMES, 0), []
        for line in (TRACE / "trace").read_text().splitlines():
            number, verb, value = line.partition("gpio_value: ")[2].split() if "gpio_value: " in line else ("", "", "")
            offset = int(number) % len(list(LINES.glob("sim_gpio*"))) if verb == "set" else -1
            if offset in levels and levels[offset] != int(value):
                levels[offset] = int(value)
                driven.append((NAMES[offset], levels[offset]))
        return driven


@pytest.fixture
def bench() -> Iterator[KernelBench]:
    """Return the bench with the kernel's trace on."""
    (TRACE / "events/gpio/gpio_value/enable").write_text("1")
    yield KernelBench()
    (TRACE / "events/gpio/gpio_value/enable").write_text("0")


def test_a_killed_owner_leaves_everything_low() -> None:
    """G1: a controller killed while unlocked leaves lock and alarm low, also where the chip keeps their levels."""
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            assert (level(RELAY), level(9)) == (1, 1)
            killed_s = time.monotonic()
            owner.kill()
        while level(RELAY) or level(9):
            assert time.monotonic() < killed_s + 1.0
        print(f"low {1000 * (time.monotonic() - killed_s):.1f} ms after SIGKILL")  # noqa: T201 - for the record


def test_what_the_dead_man_is_for() -> None:
    """G1: with both killed, a line falls by itself on gpio-sim, and stays high on a chip that keeps levels."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        os.kill(int(owner.stdout.readline()), signal.SIGKILL)
        owner.kill()
    assert level(RELAY) == int(KEEPS)
    with contextlib.closing(claim_gpiochip(Chip(CHIP), RELAY, {}, {})):
        assert level(RELAY) == 0
