"""What is the GPIO chip driver's own: libgpiod as it is, chips that keep a dead owner's level, and who lowers it."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import gpiod
import pytest
from gpiod.line import Bias, Clock, Direction, Value
from gpiod.line import Edge as Detect

from appliance.config import Line
from appliance.door.hardware import Input, Output
from appliance.drivers.dead_man import DeadMan, drive_low
from appliance.drivers.gpiochip import Chip, GpiochipInputs, claim_gpiochip
from appliance.errors import DoorError
from tests.drivers.gpiod_chip import LINES, StandInChip, StandInRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.drivers.lines import ClaimedDoor

RELAY = 144
INPUTS = {Input.REX: Line(105, normally_closed=False), Input.FIRE: Line(106, normally_closed=True)}
OUTPUTS = {Output.ALARM: 43}

# An owner of two lines that are not there, until it is killed.
OWNER = """
import time
from appliance.drivers.dead_man import DeadMan
dead_man = DeadMan("/dev/gpiochip-absent", (1, 2))
print(dead_man._process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def chip() -> StandInChip:
    """Return a chip with the fire wire whole and the button at rest."""
    chip = StandInChip()
    chip.put(105, 1)
    return chip


@pytest.fixture
def door(chip: StandInChip) -> Iterator[ClaimedDoor]:
    """Return the claimed door."""
    with contextlib.closing(claim_gpiochip(chip.as_gpiod(), RELAY, INPUTS, OUTPUTS)) as door:
        yield door


# libgpiod


def public(kind: type) -> dict[str, object]:
    """Return the public names that a class defines, and whether it can be false."""
    return {name: value for name, value in vars(kind).items() if not name.startswith("_") or name == "__bool__"}


def test_the_stand_in_has_the_shape_of_the_real_request() -> None:
    """Whatever the stand-in offers, gpiod.LineRequest has too, as the same kind and with the same parameters."""
    real = public(gpiod.LineRequest)
    for name, value in public(StandInRequest).items():
        if name == "note":  # the chip's own
            continue
        assert type(real[name]) is type(value), name
        if inspect.isfunction(value):
            wanted = inspect.signature(gpiod.LineRequest.__dict__[name]).parameters.values()
            assert shape(inspect.signature(value).parameters.values()) == shape(wanted), name
    ours = list(inspect.signature(StandInChip.request_lines).parameters.values())[1:]
    assert shape(ours) == shape(inspect.signature(gpiod.request_lines).parameters.values())


def shape(parameters: object) -> list[tuple[str, object, object]]:
    """Return what a caller must know of parameters."""
    return [(one.name, one.kind, one.default) for one in parameters]  # type: ignore[attr-defined]


def test_the_real_library_is_asked_for_what_it_takes() -> None:
    """G2: libgpiod itself refuses a chip that is absent, and a device that is no chip, in one line; nothing runs on."""
    for path in ("/dev/gpiochip-absent", "/dev/null"):
        with pytest.raises(DoorError, match=rf"^lock output {path} line 1 cannot be claimed: ") as fault:
            claim_gpiochip(Chip(path), 1, INPUTS, OUTPUTS)
        assert "\n" not in str(fault.value)


def test_a_line_that_the_chip_does_not_have_is_refused(chip: StandInChip) -> None:
    """G2: an offset beyond the chip's last is one line, and no other line is kept."""
    far = {Input.BELL: Line(LINES, normally_closed=False)}
    with pytest.raises(DoorError, match=rf"^inputs {chip.path} bell {LINES} cannot be claimed: .*range"):
        claim_gpiochip(chip.as_gpiod(), RELAY, far, OUTPUTS)
    assert chip.requests == []
    assert chip.driven == []


def test_lines_are_asked_for_in_three_requests_under_our_name(chip: StandInChip, door: ClaimedDoor) -> None:
    """G1: lock, outputs and inputs are a request each, named ostiary: outputs low, inputs pulled up, all edges told."""
    assert chip.consumers == ["ostiary"] * 3
    lock, outputs, inputs = (request._settings for request in chip.requests)
    for settings in (*lock.values(), *outputs.values()):
        assert (settings.direction, settings.output_value, settings.active_low) == (
            Direction.OUTPUT,
            Value.INACTIVE,
            False,
        )
    for name, line in INPUTS.items():
        settings = inputs[line.pin]
        assert (settings.direction, settings.bias) == (Direction.INPUT, Bias.PULL_UP), name
        assert (settings.edge_detection, settings.event_clock) == (Detect.BOTH, Clock.MONOTONIC), name
        assert settings.active_low is not line.normally_closed
        assert not settings.debounce_period, "the core debounces"


def test_a_line_that_was_left_high_is_low_once_claimed(chip: StandInChip) -> None:
    """G1: whatever a line was before, it is low when the claim returns."""
    chip.put(RELAY, 1)
    with contextlib.closing(claim_gpiochip(chip.as_gpiod(), RELAY, INPUTS, OUTPUTS)):
        assert chip.driven == [(RELAY, 0)]


def test_a_chip_that_fails_is_a_door_fault(chip: StandInChip, door: ClaimedDoor) -> None:
    """G2: every verb of a chip that has gone raises DoorError of one line, and close releases what it can."""
    chip.broken = True
    verbs = (door.lock.unlock, door.lock.lock, door.lock.is_unlocked, door.inputs.edges, door.inputs.levels)
    for verb in (*verbs, door.inputs.fileno, lambda: door.outputs.drive(Output.ALARM, on=True)):
        with pytest.raises(DoorError, match=r"error$"):
            verb()
    chip.broken = False


def test_a_lost_interrupt_does_not_hide_how_the_line_came_to_rest(chip: StandInChip) -> None:
    """G8: a change that the chip did not report is an edge the next time anybody asks."""
    with contextlib.closing(GpiochipInputs(chip.as_gpiod(), INPUTS)) as inputs:
        chip.deaf = True
        chip.put(106, 1)
        (edge,) = inputs.edges()
        assert (edge.input, edge.active) == (Input.FIRE, True)


# Death of the owner


def test_nothing_unlocks_without_its_dead_man(chip: StandInChip, door: ClaimedDoor) -> None:
    """G1: where the process that would lock after our death has gone, unlocking is refused; locking is not."""
    door.lock.unlock()
    door.lock._dead_man._process.kill()  # type: ignore[attr-defined]
    door.lock._dead_man._process.wait()  # type: ignore[attr-defined]
    door.lock.lock()
    with pytest.raises(DoorError, match=r"^the process \d+ that would lock after our death has gone$"):
        door.lock.unlock()
    assert chip.driven == [(RELAY, 1), (RELAY, 0)]


def test_the_dead_man_acts_when_its_owner_is_killed() -> None:
    """G1: when the owner is killed, the dead man goes to the lines, whoever asked it to stop, and says what came."""
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stderr is not None
        os.kill(int(owner.stdout.readline()), signal.SIGTERM)  # as when the service manager stops the whole group
        owner.kill()
        assert owner.stderr.read() == "ostiary: the controller died: 0 of 2 lines driven low\n"


def test_the_dead_man_leaves_an_orderly_end_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """After close the dead man has gone without touching a line; closing twice is harmless."""
    dead_man = DeadMan("/dev/gpiochip-absent", (1,))
    dead_man.demand_alive()
    dead_man.close()
    dead_man.close()
    with pytest.raises(DoorError):
        dead_man.demand_alive()
    assert capfd.readouterr().err == ""


def test_a_line_that_stayed_high_is_driven_low(chip: StandInChip) -> None:
    """G1: on a chip that keeps a dead owner's level, the dead man waits until the kernel lets go, then lowers it."""
    lines = chip.as_gpiod().request_lines
    owner = lines(chip.path, {RELAY: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)})
    tries: list[float] = []

    def let_go_at_the_third(*asked: object, consumer: str) -> gpiod.LineRequest:
        tries.append(time.monotonic())
        if len(tries) == 3:
            owner.release()
        return lines(*asked, consumer=consumer)

    assert drive_low(chip.path, RELAY, let_go_at_the_third)
    assert len(tries) == 3
    assert chip.driven == [(RELAY, 1), (RELAY, 0)]
    assert chip.requests == []


def test_a_line_of_the_next_owner_is_left_alone(chip: StandInChip) -> None:
    """The dead man gives up where somebody else has the line by then, and leaves it as it is."""
    lines = chip.as_gpiod().request_lines
    lines(chip.path, {RELAY: gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.ACTIVE)})
    assert not drive_low(chip.path, RELAY, lines)
    assert chip.levels[RELAY] == 1


def test_a_dead_man_that_does_not_start_is_one_line() -> None:
    """G2: where the dead man does not start, nothing is claimed and one line says so."""
    program = (
        "import sys; from appliance.drivers.dead_man import DeadMan; sys.executable = '/bin/false'\n"
        "try: DeadMan('/dev/gpiochip-absent', (1,))\n"
        "except Exception as fault: print(type(fault).__name__, fault)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "DoorError the process that would lock /dev/gpiochip-absent after our death does not start\n"


def test_the_dead_man_comes_from_the_program_and_from_nowhere_else(tmp_path: Path) -> None:
    """A package of our name in the working directory is not what starts with the controller's rights."""
    (tmp_path / "appliance").mkdir()
    (tmp_path / "appliance" / "__init__.py").write_text("raise SystemExit(1)")
    program = (
        "import os, sys; from appliance.drivers.dead_man import DeadMan; os.chdir(sys.argv[1])\n"
        "DeadMan('/dev/gpiochip-absent', (1,)).close(); print('started')\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "started\n"
