"""The door's lines on a Raspberry Pi's header, over gpiozero and lgpio."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from gpiozero import Factory, GPIOZeroError, InputDevice, OutputDevice

from appliance.drivers.lines import Changes, ClaimedDoor, claim, demand_release_on_death, one_line
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.config import Line
    from appliance.door.hardware import Edge, Input, Output

_LATE_S = 1.0


def claim_gpio(
    relay_pin: int, inputs: Mapping[Input, Line], outputs: Mapping[Output, int], factory: Factory | None = None
) -> ClaimedDoor:
    """Return the door on these BCM pins, all outputs active high. Raises DoorError when one is not to be had.

    `factory` is the chip's; None opens the board's own and also refuses a kernel that keeps released lines.
    """
    chip = factory or board()
    return claim(
        lambda: GpioLock(relay_pin, chip),
        lambda: GpioOutputs(outputs, chip),
        lambda: GpioInputs(inputs, chip),
        release=chip.close if factory is None else lambda: None,
    )


class GpioLock:
    """A LockOutput on the BCM pin `pin`, active high. Raises DoorError when it cannot be had."""

    def __init__(self, pin: int, factory: Factory) -> None:
        self._name = f"lock output BCM {pin}"
        self._line = _output(pin, factory, self._name)

    def unlock(self) -> None:
        """Drive the line high."""
        with _told(f"{self._name} does not unlock"):
            self._line.on()

    def lock(self) -> None:
        """Drive the line low."""
        with _told(f"{self._name} does not lock"):
            self._line.off()

    def is_unlocked(self) -> bool:
        """Tell the level read back from the pin."""
        with _told(f"{self._name} does not read back"):
            return bool(self._line.value)

    def close(self) -> None:
        """Drive the line low and release it."""
        with _told(f"{self._name} does not lock"):
            _release(self._line)


class GpioOutputs:
    """OutputLines on BCM pins, active high. Raises DoorError when one cannot be had."""

    def __init__(self, pins: Mapping[Output, int], factory: Factory) -> None:
        self._lines: dict[Output, OutputDevice] = {}
        with contextlib.ExitStack() as claimed:
            claimed.callback(self.close)
            for output, pin in pins.items():
                self._lines[output] = _output(pin, factory, f"output {output} BCM {pin}")
            claimed.pop_all()

    def drive(self, output: Output, *, on: bool) -> None:
        """Switch the output; nothing happens where it is not fitted."""
        if output in self._lines:
            with _told(f"output {output} cannot be driven"):
                self._lines[output].value = on

    def close(self) -> None:
        """Switch everything off and release."""
        with _told("outputs cannot be switched off"), contextlib.ExitStack() as each:
            for line in self._lines.values():
                each.callback(_release, line)


class GpioInputs:
    """InputLines on BCM pins, pulled up, each contact to ground. Raises DoorError when one cannot be had."""

    def __init__(self, lines: Mapping[Input, Line], factory: Factory) -> None:
        self._closing = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pins: dict[Input, _Pin] = {}
        self._reports: deque[tuple[Input, bool, float]] = deque()  # filled by lgpio's thread
        with contextlib.ExitStack() as claimed:
            claimed.callback(self.close)
            for name, line in lines.items():
                self._pins[name] = _Pin(self, name, line, factory)
            self._changes = Changes(self.levels())
            claimed.pop_all()

    def fileno(self) -> int:
        """Return an event counter that is above nothing while reports wait."""
        self._demand_open()
        return self._wake

    def edges(self) -> tuple[Edge, ...]:
        """Return every change since the last call."""
        self._demand_open()
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._reports:
            name, active, at_s = self._reports.popleft()
            self._changes.note(name, active=active, at_s=at_s)
        # A report that was lost must not hide how the line came to rest.
        for name, active in self.levels().items():
            self._changes.note(name, active=active, at_s=time.monotonic())
        return self._changes.take()

    def levels(self) -> Mapping[Input, bool]:
        """Return how each fitted input is now."""
        self._demand_open()
        return {name: pin.is_active() for name, pin in self._pins.items()}

    def close(self) -> None:
        """Release the lines."""
        with self._closing:  # lgpio's thread may be on its way here, and the number is soon another file's
            wake, self._wake = self._wake, -1
        if wake >= 0:
            with contextlib.ExitStack() as each:
                each.callback(os.close, wake)
                for pin in self._pins.values():
                    each.callback(pin.close)

    def report(self, name: Input, *, active: bool, at_s: float) -> None:
        """Take a change from any thread."""
        self._reports.append((name, active, at_s))
        with self._closing:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def _demand_open(self) -> None:
        if self._wake < 0:
            msg = "inputs are closed"
            raise DoorError(msg)


class _Pin:
    """One input's pin."""

    def __init__(self, inputs: GpioInputs, name: Input, line: Line, factory: Factory) -> None:
        self._inputs = inputs
        self._name = name
        self._line = line
        with _told(f"input {name} BCM {line.pin} cannot be claimed"):
            self._device = InputDevice(line.pin, pull_up=True, pin_factory=factory)
        with _told(f"input {name} BCM {line.pin} tells no edges"):
            # The pin's own event and not a gpiozero Button's: that one hides how often a contact bounced.
            self._device.pin.when_changed = self._changed

    def is_active(self) -> bool:
        with _told(f"input {self._name} BCM {self._line.pin} cannot be read"):
            return self._means(closed=bool(self._device.value))

    def close(self) -> None:
        with _told(f"input {self._name} BCM {self._line.pin} cannot be released"):
            self._device.close()

    def _changed(self, ticks_s: float, level: int) -> None:
        # lgpio passes the kernel's time on: CLOCK_MONOTONIC since Linux 5.7, whatever lgpio's manual says (lg #19).
        now_s = time.monotonic()
        at_s = ticks_s if 0 <= now_s - ticks_s < _LATE_S else now_s
        self._inputs.report(self._name, active=self._means(closed=not level), at_s=at_s)

    def _means(self, *, closed: bool) -> bool:
        return closed is not self._line.normally_closed


def board() -> Factory:
    """Return the chip of this Raspberry Pi. Raises DoorError where there is none, or it keeps a dead owner's lines."""
    demand_release_on_death()
    try:
        # By name and not by gpiozero's own choice, which falls back to slower factories with a warning.
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415 - importing lgpio starts a thread

        return LGPIOFactory()
    except (GPIOZeroError, ImportError, OSError, *_lgpio_errors()) as fault:
        raise DoorError(f"GPIO chip cannot be opened: {one_line(fault)}") from fault


def _output(pin: int, factory: Factory, name: str) -> OutputDevice:
    with _told(f"{name} cannot be claimed"):
        return OutputDevice(pin, active_high=True, initial_value=False, pin_factory=factory)


def _release(line: OutputDevice) -> None:
    if not line.closed:
        # close() alone makes the pin an input at whatever level it floats to: drive it low first.
        line.off()
        line.close()


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the faults of gpiozero, lgpio and the kernel into DoorError that says what they came to."""
    try:
        yield
    except (GPIOZeroError, OSError, *_lgpio_errors()) as fault:
        raise DoorError(f"{what}: {one_line(fault)}") from fault


def _lgpio_errors() -> tuple[type[Exception], ...]:
    """Return lgpio's own fault where lgpio is loaded; it descends from nothing narrower than Exception."""
    lgpio = sys.modules.get("lgpio")
    return () if lgpio is None else (lgpio.error,)
