"""The lock output on a Raspberry Pi's header, over gpiozero and lgpio."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpiozero import Factory, GPIOZeroError, OutputDevice

from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Raspberry Pi's kernels keep a released line at its last level unless told otherwise (raspberrypi/linux #6117,
# #6150): a killed controller would leave the door open. `dtparam=strict_gpiod` turns that off.
PERSISTENCE = (
    Path("/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs"),
    Path("/sys/module/pinctrl_rp1/parameters/persist_gpio_outputs"),
)


class GpioLock:
    """A LockOutput on the BCM pin `pin`, active high. Raises DoorError when the pin or chip cannot be had.

    `factory` is the chip's; None opens the board's own and also refuses a kernel that keeps released lines.
    """

    def __init__(self, pin: int, factory: Factory | None = None) -> None:
        self._pin = pin
        if factory is None:
            demand_release_on_death(PERSISTENCE)
            factory = _board()
        try:
            self._line = OutputDevice(pin, active_high=True, initial_value=False, pin_factory=factory)
        except (GPIOZeroError, OSError, *_lgpio_errors()) as fault:
            raise DoorError(f"lock output BCM {pin} cannot be claimed: {_one_line(fault)}") from fault

    def unlock(self) -> None:
        """Drive the line high."""
        try:
            self._line.on()
        except (GPIOZeroError, OSError, *_lgpio_errors()) as fault:
            raise self._broken("unlock", fault) from fault

    def lock(self) -> None:
        """Drive the line low."""
        try:
            self._line.off()
        except (GPIOZeroError, OSError, *_lgpio_errors()) as fault:
            raise self._broken("lock", fault) from fault

    def is_unlocked(self) -> bool:
        """Tell the level read back from the pin."""
        try:
            return bool(self._line.value)
        except (GPIOZeroError, OSError, *_lgpio_errors()) as fault:
            raise self._broken("read back", fault) from fault

    def close(self) -> None:
        """Drive the line low and release it."""
        if not self._line.closed:
            # close() alone makes the pin an input at whatever level it floats to: drive it low first.
            self.lock()
            self._line.close()

    def _broken(self, verb: str, fault: Exception) -> DoorError:
        return DoorError(f"lock output BCM {self._pin} does not {verb}: {_one_line(fault)}")


def demand_release_on_death(parameters: Iterable[Path]) -> None:
    """Raise DoorError where the kernel would keep a dead process's line high; an absent parameter is fine."""
    for parameter in parameters:
        try:
            persists = parameter.read_text(encoding="ascii").strip() == "Y"
        except OSError:  # not this board's chip, or a kernel that always releases
            continue
        if persists:
            msg = f"lock output is unsafe: {parameter} is Y; add dtparam=strict_gpiod to config.txt and reboot"
            raise DoorError(msg)


def _board() -> Factory:
    try:
        # By name and not by gpiozero's own choice, which falls back to slower factories with a warning.
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415 - importing lgpio starts a thread

        return LGPIOFactory()
    except (GPIOZeroError, ImportError, OSError, *_lgpio_errors()) as fault:
        raise DoorError(f"GPIO chip cannot be opened: {_one_line(fault)}") from fault


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """Return lgpio's own fault where lgpio is loaded; it descends from nothing narrower than Exception."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__
