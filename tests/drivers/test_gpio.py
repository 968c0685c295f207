"""What is the GPIO driver's own: the pins of a Pi, the kernels under them and the thread that tells of edges."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance import config
from appliance.config import Line
from appliance.door.hardware import Input, Output
from appliance.drivers.door import open_door
from appliance.drivers.gpio import GpioInputs, GpioLock, GpioOutputs
from appliance.drivers.lines import demand_release_on_death
from appliance.errors import DoorError
from tests.drivers.wired_pin import WiredChip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REX = {Input.REX: Line(22, normally_closed=False)}


class _DeadPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A pin whose writes fail, as on a chip that has gone."""

    def _set_state(self, value: float) -> None:
        if value:
            msg = "Input/output\nerror"
            raise OSError(5, msg)
        super()._set_state(value)


@pytest.fixture
def dead_chip() -> Iterator[MockFactory]:
    """Return a chip that cannot drive its pins high."""
    factory = MockFactory(pin_class=_DeadPin)
    yield factory
    factory.reset()


@pytest.fixture
def chip() -> Iterator[WiredChip]:
    """Return a chip with wires on its pins."""
    with contextlib.closing(WiredChip()) as chip:
        yield chip


@pytest.fixture
def rex(chip: WiredChip) -> Iterator[GpioInputs]:
    """Return a button that is claimed."""
    with contextlib.closing(GpioInputs(REX, chip)) as inputs:
        yield inputs


def test_a_pin_that_cannot_be_driven_is_a_door_fault(dead_chip: MockFactory) -> None:
    """G2: a write that the chip refuses is a DoorError of one line that names the pin, and the line reads locked."""
    lock = GpioLock(17, dead_chip)
    with pytest.raises(DoorError, match=r"^lock output BCM 17 does not unlock: .*Input/output error") as fault:
        lock.unlock()
    assert "\n" not in str(fault.value)
    assert not lock.is_unlocked()
    lock.close()
    outputs = GpioOutputs({Output.RED: 22}, dead_chip)
    with pytest.raises(DoorError, match=r"^output red cannot be driven: "):
        outputs.drive(Output.RED, on=True)
    outputs.close()


def test_a_pin_that_does_not_exist_is_a_door_fault(dead_chip: MockFactory) -> None:
    """G2: a pin that the board does not have is a DoorError of one line, and the pins before it are let go of."""
    with pytest.raises(DoorError, match=r"^lock output BCM 99 cannot be claimed: "):
        GpioLock(99, dead_chip)
    with pytest.raises(DoorError, match=r"^output blue BCM 99 cannot be claimed: ") as kept:
        GpioOutputs({Output.RED: 22, Output.BLUE: 99}, dead_chip)
    with pytest.raises(DoorError, match=r"^input fire BCM 99 cannot be claimed: "):
        GpioInputs({**REX, Input.FIRE: Line(99, normally_closed=True)}, dead_chip)
    GpioLock(22, dead_chip).close()
    assert kept, "the fault is held until here, and with it whatever it holds"


def test_a_line_that_was_left_high_is_low_once_claimed(chip: WiredChip) -> None:
    """G1: whatever a pin was before, it is low when the claim returns."""
    pin = chip.pin("GPIO17")
    pin.function = "output"
    pin.state = 1
    lock = GpioLock(17, chip)
    assert chip.driven == [(17, 1), (17, 0)]
    lock.close()


def test_a_kernel_that_keeps_released_lines_is_refused(tmp_path: Path) -> None:
    """G1: where a killed controller's line would stay high, the start is refused with what to change."""
    parameter = tmp_path / "persist_gpio_outputs"
    parameter.write_text("Y\n")
    with pytest.raises(DoorError, match=r"add dtparam=strict_gpiod to config.txt and reboot$"):
        demand_release_on_death([tmp_path / "absent", parameter])


@pytest.mark.parametrize("content", ["N\n", None])
def test_a_kernel_that_releases_lines_is_fine(tmp_path: Path, content: str | None) -> None:
    """A parameter that is off, or that the kernel does not have, is no obstacle."""
    parameter = tmp_path / "persist_gpio_outputs"
    if content is not None:
        parameter.write_text(content)
    demand_release_on_death([parameter])


@pytest.mark.parametrize("driver", ["gpio", "gpiochip"])
def test_no_chip_is_one_line(tmp_path: Path, driver: str) -> None:
    """G2: a board without this chip, or without its library, is a DoorError of one line."""
    text = f'[door]\ndriver = "{driver}"\nchip = "/dev/gpiochip-absent"\n[outputs]\nred = 22\n'
    with pytest.raises(DoorError) as fault:
        open_door(config.parse(text, "appliance.toml"), tmp_path)
    assert "\n" not in str(fault.value)


def test_a_lost_interrupt_does_not_hide_how_the_line_came_to_rest(chip: WiredChip, rex: GpioInputs) -> None:
    """G8: a change that the chip did not report is an edge the next time anybody asks."""
    chip.pin("GPIO22").deaf = True
    chip.wire(REX[Input.REX], closed=True)
    before_s = time.monotonic()
    (edge,) = rex.edges()
    assert (edge.input, edge.active) == (Input.REX, True)
    assert edge.at_s >= before_s


def test_the_chips_time_is_believed_while_it_can_be(chip: WiredChip, rex: GpioInputs) -> None:
    """G8: an edge has the time at which the kernel saw it; a time of another clock is replaced by now."""
    pin, now_s = chip.pin("GPIO22"), time.monotonic()
    pin.when_changed(now_s - 0.02, 0)
    pin.when_changed(time.time(), 1)  # as lgpio's manual describes it: since 1970
    pin.when_changed(now_s - 3600.0, 0)
    pin.when_changed(now_s - 0.5, 1)  # late: told after later ones
    chip.wire(REX[Input.REX], closed=True)
    first, second, third, fourth, fifth = (edge.at_s for edge in rex.edges())
    assert first == now_s - 0.02
    assert now_s <= second <= third == fourth <= fifth <= time.monotonic()


def test_a_report_after_the_close_does_no_harm(chip: WiredChip, rex: GpioInputs) -> None:
    """An edge that lgpio's thread had in hand when the lines were released is dropped without a fault."""
    report = chip.pin("GPIO22").when_changed
    rex.close()
    report(time.monotonic(), 0)
    with pytest.raises(DoorError, match=r"closed$"):
        rex.edges()
