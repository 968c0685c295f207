"""The door's lines on any GPIO chip of Linux, a Jetson's for one, over libgpiod's second API."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gpiod
from gpiod.line import Bias, Clock, Direction, Value
from gpiod.line import Edge as Detect

from appliance.drivers.dead_man import DeadMan
from appliance.drivers.lines import Changes, ClaimedDoor, claim, demand_release_on_death, one_line
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from appliance.config import Line
    from appliance.door.hardware import Edge, Input, Output

CONSUMER = "ostiary"
_BUFFERED_EDGES = 1024  # of a contact that bounces while nobody reads; when full, the kernel drops the oldest
_OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)


@dataclass(frozen=True, slots=True)
class Chip:
    """The device of a GPIO chip, and what requests its lines."""

    path: str
    request_lines: Callable[..., gpiod.LineRequest] = gpiod.request_lines

    def request(self, wanted: Mapping[int, gpiod.LineSettings], what: str) -> gpiod.LineRequest:
        """Return these lines, all or none. Raises DoorError, which calls them `what`."""
        config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = dict(wanted.items())
        with _told(f"{what} cannot be claimed"):
            return self.request_lines(self.path, config, consumer=CONSUMER, event_buffer_size=_BUFFERED_EDGES)


def claim_gpiochip(
    chip: Chip, relay_line: int, inputs: Mapping[Input, Line], outputs: Mapping[Output, int]
) -> ClaimedDoor:
    """Return the door on these line offsets of the chip, all outputs active high.

    Raises DoorError when a line or the chip is not to be had, or the kernel would keep a dead owner's lines.
    """
    demand_release_on_death()
    dead_man = DeadMan(chip.path, (relay_line, *outputs.values()))
    return claim(
        lambda: GpiochipLock(chip, relay_line, dead_man),
        lambda: GpiochipOutputs(chip, outputs),
        lambda: GpiochipInputs(chip, inputs),
        release=dead_man.close,
    )


class GpiochipLock:
    """A LockOutput on the line `offset` of a chip, active high. Raises DoorError when it cannot be had.

    It does not unlock without the `dead_man`.
    """

    def __init__(self, chip: Chip, offset: int, dead_man: DeadMan) -> None:
        self._offset = offset
        self._dead_man = dead_man
        self._name = f"lock output {chip.path} line {offset}"
        self._request = chip.request({offset: _OUTPUT}, self._name)

    def unlock(self) -> None:
        """Drive the line high."""
        self._dead_man.demand_alive()
        with _told(f"{self._name} does not unlock"):
            self._request.set_value(self._offset, Value.ACTIVE)

    def lock(self) -> None:
        """Drive the line low."""
        with _told(f"{self._name} does not lock"):
            self._request.set_value(self._offset, Value.INACTIVE)

    def is_unlocked(self) -> bool:
        """Tell the level read back from the line."""
        with _told(f"{self._name} does not read back"):
            return self._request.get_value(self._offset) is Value.ACTIVE

    def close(self) -> None:
        """Drive the line low and release it."""
        with _told(f"{self._name} does not lock"):
            _release(self._request)


class GpiochipOutputs:
    """OutputLines on a chip, active high, claimed at once. Raises DoorError when one cannot be had."""

    def __init__(self, chip: Chip, offsets: Mapping[Output, int]) -> None:
        self._offsets = offsets
        wanted = dict.fromkeys(offsets.values(), _OUTPUT)
        self._request = chip.request(wanted, f"outputs {chip.path} {_named(offsets)}") if offsets else None

    def drive(self, output: Output, *, on: bool) -> None:
        """Switch the output; nothing happens where it is not fitted."""
        if self._request is not None and output in self._offsets:
            with _told(f"output {output} cannot be driven"):
                self._request.set_value(self._offsets[output], Value.ACTIVE if on else Value.INACTIVE)

    def close(self) -> None:
        """Switch everything off and release."""
        if self._request is not None:
            with _told("outputs cannot be switched off"):
                _release(self._request)


class GpiochipInputs:
    """InputLines on a chip, pulled up where it can, each contact to ground. Raises DoorError when one cannot be had."""

    def __init__(self, chip: Chip, lines: Mapping[Input, Line]) -> None:
        self._names = {line.pin: name for name, line in lines.items()}
        wanted = {line.pin: _input(line) for line in lines.values()}
        pins = {name: line.pin for name, line in lines.items()}
        self._request = chip.request(wanted, f"inputs {chip.path} {_named(pins)}") if lines else None
        # Something to wait for where no input is fitted: it never comes.
        self._never = os.eventfd(0, os.EFD_CLOEXEC) if self._request is None else -1
        self._changes = Changes(self.levels())

    def fileno(self) -> int:
        """Return the request's descriptor, readable while the kernel holds edges."""
        if self._request is None:
            return self._never
        with _told("inputs are closed"):
            return self._request.fd

    def edges(self) -> tuple[Edge, ...]:
        """Return every change since the last call, with the kernel's times."""
        if self._request is None:
            return ()
        with _told("inputs cannot be read"):
            while self._request.wait_edge_events(0):
                for event in self._request.read_edge_events():
                    active = event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE
                    name = self._names[event.line_offset]
                    self._changes.note(name, active=active, at_s=event.timestamp_ns / 1e9)
        # An edge that the chip missed must not hide how the line came to rest.
        for name, active in self.levels().items():
            self._changes.note(name, active=active, at_s=time.monotonic())
        return self._changes.take()

    def levels(self) -> Mapping[Input, bool]:
        """Return how each fitted input is now."""
        if self._request is None:
            return {}
        with _told("inputs cannot be read"):
            values = self._request.get_values(list(self._names))
        return {name: value is Value.ACTIVE for name, value in zip(self._names.values(), values, strict=True)}

    def close(self) -> None:
        """Release the lines."""
        if self._request is not None:
            self._request.release()
        elif self._never >= 0:
            os.close(self._never)
            self._never = -1


def _input(line: Line) -> gpiod.LineSettings:
    """Return settings under which active is what the controller calls active: open for NC, closed for NO."""
    return gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Detect.BOTH,
        bias=Bias.PULL_UP,
        active_low=not line.normally_closed,
        event_clock=Clock.MONOTONIC,
    )


def _release(request: gpiod.LineRequest) -> None:
    if request:
        # Released lines may keep their level (libgpiod promises none): drive them low first.
        request.set_values(dict.fromkeys(request.offsets, Value.INACTIVE))
        request.release()


def _named(pins: Mapping[Input, int] | Mapping[Output, int]) -> str:
    return ", ".join(f"{name} {pin}" for name, pin in pins.items())


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the faults of libgpiod and the kernel into DoorError that says what they came to."""
    try:
        yield
    except (OSError, ValueError, gpiod.ChipClosedError, gpiod.RequestReleasedError) as fault:
        raise DoorError(f"{what}: {one_line(fault)}") from fault
