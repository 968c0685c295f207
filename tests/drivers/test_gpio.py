"""What is the GPIO driver's own: the pins of a Pi and the kernels under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from appliance.drivers.gpio import GpioLock
from appliance.drivers.lines import demand_release_on_death
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _DeadPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A pin whose writes fail, as on a chip that has gone."""

    def _set_state(self, value: float) -> None:
        if value:
            msg = "Input/output error"
            raise OSError(5, msg)
        super()._set_state(value)


@pytest.fixture
def dead_chip() -> Iterator[MockFactory]:
    """Return a chip that cannot drive its pins high."""
    factory = MockFactory(pin_class=_DeadPin)
    yield factory
    factory.reset()


def test_a_pin_that_cannot_be_driven_is_a_door_fault(dead_chip: MockFactory) -> None:
    """G2: a write that the chip refuses is a DoorError that names the pin, and the line reads locked."""
    lock = GpioLock(17, dead_chip)
    with pytest.raises(DoorError, match=r"^lock output BCM 17 does not unlock: .*Input/output error"):
        lock.unlock()
    assert not lock.is_unlocked()
    lock.close()


def test_a_pin_that_does_not_exist_is_a_door_fault(dead_chip: MockFactory) -> None:
    """G2: a pin that the board does not have is a DoorError of one line."""
    with pytest.raises(DoorError, match=r"^lock output BCM 99 cannot be claimed: "):
        GpioLock(99, dead_chip)


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
