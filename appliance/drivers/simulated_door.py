"""A door without hardware, faithful across processes: the kernel holds its levels, as with real lines.

Owner and levels are locks on bytes of one file. While a process holds byte 0 it owns the lock's line, while it
holds byte 1 that line is high, and so on for the outputs. When that process dies, in whatever way, the kernel
drops them all: the lines are released and read low, exactly as GPIO lines with their pull-downs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
from typing import TYPE_CHECKING, Any

from appliance.config import Line
from appliance.door.hardware import Input, Output
from appliance.drivers.lines import ClaimedDoor, claim
from appliance.drivers.simulated_world import SimulatedInputs, SimulatedWorld
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

# struct flock of 64-bit Linux: type, whence, start, length, pid. Open-file-description locks, because the
# older kind is lost as soon as the process closes any descriptor of the file, an observer's for one.
_FLOCK = struct.Struct("hhqqi4x")
_OWNED, _HIGH = 0, 1
_OUTPUTS = {output: byte for byte, output in enumerate(Output, start=2)}

# Where each input of the world hangs, for whoever does not know yet: as hardware.md has them on a Raspberry Pi.
WIRED = {
    22: Input.CONTACT,
    23: Input.REX,
    24: Input.TAMPER,
    25: Input.FIRE,
    27: Input.BELL,
    16: Input.BOND,
}
FAULTS = ("jam", "stall", "lie", "crash", "welded", "deaf")


def claim_simulated(
    folder: Path, inputs: Mapping[Input, Line], outputs: Collection[Output], faults: str = ""
) -> ClaimedDoor:
    """Return the door whose lines live in `folder`. Raises DoorError when another owner has it.

    Words in the file `faults` of that folder, or the argument, make it misbehave from the next verb on: those of
    SimulatedLock, and deaf (the inputs raise DoorError).
    """
    return claim(
        lambda: SimulatedLock(folder, faults),
        lambda: SimulatedOutputs(folder, outputs),
        lambda: SimulatedInputs(folder, inputs, lambda: _misbehaves(folder, faults, "deaf")),
    )


def open_simulated_pin(folder: Path, pin: int) -> SimulatedInputs:
    """Return the input that hangs at this pin as one that is open at rest. Raises DoorError where none does."""
    if pin not in WIRED:
        raise DoorError(f"nothing hangs at the simulated pin {pin}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SimulatedInputs(folder, {WIRED[pin]: Line(pin, normally_closed=False)}, lambda: False)


class SimulatedLock:
    """A LockOutput whose line lives in the folder `line`. Raises DoorError when another owner has it.

    Words in the file `faults` of that folder, or the argument, make it misbehave from the next verb on:
    jam (unlock raises DoorError), stall (unlock drives the line high and never returns), lie (the level read
    back is the opposite), crash (unlock drives the line high and fails as a bug would), welded (a line that is
    high stays high until it is released).
    """

    def __init__(self, line: Path, faults: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        line.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = line
        self._faults = faults
        self._clock = clock
        self._observer = SimulatedDoorObserver(line)
        self._world = SimulatedWorld(line, clock)
        self._file = _open(line)
        try:
            _set(self._file, _OWNED, fcntl.F_WRLCK)
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
        """Drive the line low, unless it is welded."""
        self._demand_open()
        if not self._misbehaves("welded"):
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
            _set(self._file, _HIGH, fcntl.F_WRLCK if level else fcntl.F_UNLCK)
            self._note(level, cause)

    def _note(self, level: int, cause: str) -> None:
        _append(self._folder / "history.jsonl", {"at_s": self._clock(), "level": level, "cause": cause})
        self._world.say(Input.BOND, "high" if level else "low")

    def _misbehaves(self, fault: str) -> bool:
        return _misbehaves(self._folder, self._faults, fault)


class SimulatedOutputs:
    """OutputLines that live in the folder of a claimed SimulatedLock."""

    def __init__(self, folder: Path, fitted: Collection[Output], clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._on = dict.fromkeys(fitted, False)
        self._file = _open(folder)

    def drive(self, output: Output, *, on: bool) -> None:
        """Switch the output; nothing happens where it is not fitted."""
        if self._file < 0:
            msg = f"outputs of {self._folder} are closed"
            raise DoorError(msg)
        if self._on.get(output, on) is not on:
            _set(self._file, _OUTPUTS[output], fcntl.F_WRLCK if on else fcntl.F_UNLCK)
            self._on[output] = on
            _append(self._folder / "outputs.jsonl", {"at_s": self._clock(), "output": output, "on": on})

    def close(self) -> None:
        """Switch everything off and release."""
        if self._file >= 0:
            for output in self._on:
                self.drive(output, on=False)
            os.close(self._file)
            self._file = -1


class SimulatedDoorObserver:
    """Watches the lines of a simulated door from any process, without touching them."""

    def __init__(self, line: Path) -> None:
        self._folder = line

    def level(self) -> int:
        """Return 1 while a living process drives the lock's line high, else 0."""
        return int(self._held(_HIGH))

    def owned(self) -> bool:
        """Tell whether a living process owns the lock's line."""
        return self._held(_OWNED)

    def is_on(self, output: Output) -> bool:
        """Tell whether a living process has this output on."""
        return self._held(_OUTPUTS[output])

    def history(self) -> tuple[tuple[float, int, str], ...]:
        """Return every (CLOCK_MONOTONIC, level, cause) the lock was driven to, oldest first; death leaves no entry."""
        return tuple((entry["at_s"], entry["level"], entry["cause"]) for entry in _entries(self._folder, "history"))

    def switched(self) -> tuple[tuple[float, Output, bool], ...]:
        """Return every (CLOCK_MONOTONIC, output, on) that was switched, oldest first; death leaves no entry."""
        return tuple(
            (entry["at_s"], Output(entry["output"]), entry["on"]) for entry in _entries(self._folder, "outputs")
        )

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


def _open(folder: Path) -> int:
    return os.open(folder / "line", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _set(file: int, byte: int, kind: int) -> None:
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))


def _append(path: Path, entry: Mapping[str, object]) -> None:
    with path.open("a", encoding="ascii") as history:
        history.write(json.dumps(entry) + "\n")


def _entries(folder: Path, name: str) -> list[dict[str, Any]]:
    try:
        lines = (folder / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _misbehaves(folder: Path, given: str, fault: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return fault in (folder / "faults").read_text(encoding="ascii").split()
    return fault in given.split()
