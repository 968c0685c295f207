"""A GPIO chip for code that speaks to libgpiod: what `gpiod.request_lines` gives, without a kernel beneath.

Settings, values, events and errors are the package's own; only the request and what grants it stand in for the
real ones, and a test holds their names and signatures to those. Released lines keep their level, as on a Jetson:
whoever does not drive them low leaves them high.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import deque
from typing import TYPE_CHECKING, cast

import gpiod
from gpiod.line import Direction, Value
from gpiod.line import Edge as Detect

from appliance.drivers.gpiochip import Chip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

LINES = 164  # as many as a Jetson Orin's main chip has


class StandInChip:
    """A chip at `path`; `driven` holds every (offset, level) that an output changed to, oldest first."""

    def __init__(self, path: str = "/dev/gpiochip-stand-in") -> None:
        self.path = path
        self.levels = dict.fromkeys(range(LINES), 0)
        self.driven: list[tuple[int, int]] = []
        self.requests: list[StandInRequest] = []  # those that hold lines
        self.consumers: list[str | None] = []
        self.deaf = False  # whether edges are not reported, as when the chip loses an interrupt
        self.broken = False  # whether every use of a line fails

    def request_lines(
        self,
        path: str,
        config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None],
        consumer: str | None = None,
        event_buffer_size: int | None = None,
        output_values: dict[int | str, Value] | None = None,
    ) -> StandInRequest:
        """Grant the lines, all or none, as the function of the same name does."""
        assert output_values is None, "not stood in for"
        if path != self.path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        wanted = {}
        for key, settings in config.items():
            assert isinstance(key, int), "not stood in for"
            if key >= LINES:
                msg = "line offset of out range"  # so libgpiod words it
                raise ValueError(msg)
            wanted[key] = settings or gpiod.LineSettings()
        if any(set(wanted) & set(request.offsets) for request in self.requests):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        request = StandInRequest(self, wanted, event_buffer_size or 16 * len(wanted))
        self.requests.append(request)
        self.consumers.append(consumer)
        return request

    def as_gpiod(self) -> Chip:
        """Return the chip as the driver takes it; a test holds this request to the shape of the real one."""
        return Chip(self.path, cast("Callable[..., gpiod.LineRequest]", self.request_lines))

    def put(self, offset: int, level: int) -> None:
        """Put a level on a line from outside."""
        if self.levels[offset] != level:
            self.levels[offset] = level
            for request in self.requests:
                if offset in request.offsets and not self.deaf:
                    request.note(offset)

    def drive(self, offset: int, level: int) -> None:
        """Take the level that the owner of an output gives it."""
        if self.levels[offset] != level:
            self.levels[offset] = level
            self.driven.append((offset, level))


class StandInRequest:
    """The lines that were granted; its public names are those of gpiod.LineRequest that the driver uses."""

    def __init__(self, chip: StandInChip, settings: dict[int, gpiod.LineSettings], buffered: int) -> None:
        self._chip = chip
        self._settings = settings
        self._events: deque[gpiod.EdgeEvent] = deque(maxlen=buffered)  # drops the oldest, as the kernel does
        self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._noted = 0
        for offset, one in settings.items():
            if one.direction is Direction.OUTPUT:
                chip.drive(offset, self._level(offset, one.output_value))

    def __bool__(self) -> bool:
        return self._file >= 0

    @property
    def fd(self) -> int:
        """Descriptor that is readable while events wait."""
        self._demand_held()
        return self._file

    @property
    def offsets(self) -> list[int]:
        """Offsets of the lines."""
        self._demand_held()
        return list(self._settings)

    def get_value(self, line: int | str) -> Value:
        """Return a line's logical value."""
        return self.get_values([line])[0]

    def get_values(self, lines: Iterable[int | str] | None = None) -> list[Value]:
        """Return lines' logical values."""
        self._demand_held()
        return [self._value(line) for line in lines or self._settings]

    def set_value(self, line: int | str, value: Value) -> None:
        """Drive a line."""
        self.set_values({line: value})

    def set_values(self, values: dict[int | str, Value]) -> None:
        """Drive lines."""
        self._demand_held()
        for line, value in values.items():
            offset = self._output(line)
            self._chip.drive(offset, self._level(offset, value))

    def wait_edge_events(self, timeout: timedelta | float | None = None) -> bool:
        """Tell whether events wait."""
        self._demand_held()
        assert timeout == 0, "not stood in for"
        return bool(self._events)

    def read_edge_events(self, max_events: int | None = None) -> list[gpiod.EdgeEvent]:
        """Return the oldest events, at most 64 unless told otherwise."""
        self._demand_held()
        events = [self._events.popleft() for _ in range(min(len(self._events), max_events or 64))]
        if not self._events:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._file)
        return events

    def release(self) -> None:
        """Let go of the lines at the level they have."""
        if self._file >= 0:
            self._chip.requests.remove(self)
            os.close(self._file)
            self._file = -1

    def note(self, offset: int) -> None:
        """Keep the change of an input as an event."""
        if self._settings[offset].edge_detection is Detect.BOTH:
            kinds = gpiod.EdgeEvent.Type
            kind = kinds.RISING_EDGE if self._value(offset) is Value.ACTIVE else kinds.FALLING_EDGE
            self._noted += 1
            self._events.append(
                gpiod.EdgeEvent(
                    kind.value, time.monotonic_ns(), offset, global_seqno=self._noted, line_seqno=self._noted
                )
            )
            os.eventfd_write(self._file, 1)

    def _demand_held(self) -> None:
        if self._file < 0:
            raise gpiod.RequestReleasedError
        if self._chip.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _output(self, line: int | str) -> int:
        assert isinstance(line, int), "not stood in for"
        if self._settings[line].direction is not Direction.OUTPUT:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return line

    def _value(self, line: int | str) -> Value:
        assert isinstance(line, int), "not stood in for"
        return Value.ACTIVE if self._chip.levels[line] != self._settings[line].active_low else Value.INACTIVE

    def _level(self, offset: int, value: Value) -> int:
        return int((value is Value.ACTIVE) is not self._settings[offset].active_low)
