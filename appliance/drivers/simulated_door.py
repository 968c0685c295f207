"""A lock output without hardware, faithful across processes: the kernel holds the level, as with a real line.

Owner and level are two locks on one file. While a process holds byte 0 it owns the line, while it holds byte 1
the line is high. When that process dies, in whatever way, the kernel drops both: the line is released and
reads low, exactly as a GPIO line with its pull-down.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
from typing import TYPE_CHECKING

from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# struct flock of 64-bit Linux: type, whence, start, length, pid. Open-file-description locks, because the
# older kind is lost as soon as the process closes any descriptor of the file, an observer's for one.
_FLOCK = struct.Struct("hhqqi4x")
_OWNED, _HIGH = 0, 1

FAULTS = ("jam", "stall", "lie", "crash")


class SimulatedDoor:
    """A LockOutput whose line lives in the folder `line`. Raises DoorError when another owner has it.

    Words in the file `faults` of that folder, or the argument, make it misbehave from the next verb on:
    jam (unlock raises DoorError), stall (unlock drives the line high and never returns), lie (the level read
    back is the opposite), crash (unlock drives the line high and fails as a bug would).
    """

    def __init__(self, line: Path, faults: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        line.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = line
        self._faults = faults
        self._clock = clock
        self._observer = SimulatedDoorObserver(line)
        self._file = os.open(line / "line", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._set(_OWNED, fcntl.F_WRLCK)
        except BlockingIOError as fault:
            os.close(self._file)
            raise DoorError(f"lock output {line} is busy: another process owns it") from fault
        self._note(0, "claim")

    def unlock(self) -> None:
        """Drive the line high."""
        self._demand_open()
        if self._misbehaves("jam"):
            msg = f"lock output {self._folder} is jammed"
            raise DoorError(msg)
        self._drive(1, "unlock")
        if self._misbehaves("crash"):
            msg = "simulated bug in a driver"
            raise RuntimeError(msg)
        while self._misbehaves("stall"):
            time.sleep(0.01)

    def lock(self) -> None:
        """Drive the line low."""
        self._demand_open()
        self._drive(0, "lock")

    def is_unlocked(self) -> bool:
        """Tell the level of the line, unless told to lie."""
        self._demand_open()
        return bool(self._observer.level()) is not self._misbehaves("lie")

    def close(self) -> None:
        """Drive the line low and release it."""
        if self._file >= 0:
            self._drive(0, "close")
            os.close(self._file)
            self._file = -1

    def _demand_open(self) -> None:
        if self._file < 0:
            msg = f"lock output {self._folder} is closed"
            raise DoorError(msg)

    def _drive(self, level: int, cause: str) -> None:
        if self._observer.level() != level:
            self._set(_HIGH, fcntl.F_WRLCK if level else fcntl.F_UNLCK)
            self._note(level, cause)

    def _set(self, byte: int, kind: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))

    def _note(self, level: int, cause: str) -> None:
        line = json.dumps({"at_s": self._clock(), "level": level, "cause": cause}) + "\n"
        with (self._folder / "history.jsonl").open("a", encoding="ascii") as history:
            history.write(line)

    def _misbehaves(self, fault: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return fault in (self._folder / "faults").read_text(encoding="ascii").split()
        return fault in self._faults.split()


class SimulatedDoorObserver:
    """Watches the line of a SimulatedDoor from any process, without touching it."""

    def __init__(self, line: Path) -> None:
        self._folder = line

    def level(self) -> int:
        """Return 1 while a living process drives the line high, else 0."""
        return int(self._held(_HIGH))

    def owned(self) -> bool:
        """Tell whether a living process owns the line."""
        return self._held(_OWNED)

    def history(self) -> tuple[tuple[float, int, str], ...]:
        """Return every (CLOCK_MONOTONIC, level, cause) the line was driven to, oldest first; death leaves no entry."""
        try:
            lines = (self._folder / "history.jsonl").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return ()
        entries = (json.loads(line) for line in lines)
        return tuple((entry["at_s"], entry["level"], entry["cause"]) for entry in entries)

    def _held(self, byte: int) -> bool:
        try:
            file = os.open(self._folder / "line", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)  # asks who is in the way; takes nothing
        finally:
            os.close(file)
        kind, *_ = _FLOCK.unpack(answer)
        return bool(kind != fcntl.F_UNLCK)
