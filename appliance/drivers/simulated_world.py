"""The world around a simulated door, told from any process: leaves open, buttons are pressed, wires are cut."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING

from appliance.door.hardware import Input
from appliance.drivers.lines import Changes
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from appliance.config import Line
    from appliance.door.hardware import Edge

_WAKE_BYTES = 4096


class SimulatedWorld:
    """What happens to the inputs of the simulated door in `folder`, whether anybody owns it or not.

    The bond, where it is fitted, says that the lock holds while its line is low, until it is told otherwise here.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock

    def set(self, line: Input, *, active: bool) -> None:
        """Move the switch, on a whole wire."""
        self.say(line, "active" if active else "rest")

    def press(self, line: Input, for_s: float = 0.1) -> None:
        """Make the switch active for so long; returns when it is at rest again."""
        self.set(line, active=True)
        time.sleep(for_s)
        self.set(line, active=False)

    def cut(self, line: Input) -> None:
        """Cut the wire: active where the circuit is closed at rest (NC), at rest where it is open (NO)."""
        self.say(line, "cut")

    def follow(self) -> None:
        """Let the bond say again what the line does."""
        self.say(Input.BOND, "follow")

    def say(self, line: Input, word: str) -> None:
        """Note the word and wake the owner, if there is one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "inputs.jsonl").open("a", encoding="ascii") as log:
            log.write(json.dumps({"at_s": self._clock(), "input": line, "word": word}) + "\n")
        # Nobody listens, or has not for thousands of words and will be woken by those.
        with contextlib.suppress(OSError):
            wake = os.open(self._folder / "wake", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(wake, b"\0")
            finally:
                os.close(wake)


class SimulatedInputs:
    """InputLines of the simulated door in `folder`; `deaf` tells whether they are to raise DoorError now."""

    def __init__(self, folder: Path, lines: Mapping[Input, Line], deaf: Callable[[], bool]) -> None:
        self._folder = folder
        self._lines = lines
        self._deaf = deaf
        with contextlib.suppress(FileExistsError):
            os.mkfifo(folder / "wake", 0o600)
        # Read and write: a pipe without a writer would read as ended, and so as readable, for ever.
        self._wake = os.open(folder / "wake", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._log = (folder / "inputs.jsonl").open("a+b")
        self._log.seek(0)
        self._words: dict[Input, str] = {}
        self._line_low = True
        for _ in self._said():  # what was said before the claim is a level and no edge
            pass
        self._changes = Changes(self._now())

    def fileno(self) -> int:
        """Return the pipe that the world writes to."""
        self._demand_hearing()
        return self._wake

    def edges(self) -> tuple[Edge, ...]:
        """Return every change since the last call."""
        self._demand_hearing()
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake, _WAKE_BYTES):
                pass
        self._read()
        return self._changes.take()

    def levels(self) -> Mapping[Input, bool]:
        """Return how each fitted input is now."""
        self._demand_hearing()
        self._read()
        return self._now()

    def close(self) -> None:
        """Release the pipe."""
        if self._wake >= 0:
            os.close(self._wake)
            self._log.close()
            self._wake = -1

    def _demand_hearing(self) -> None:
        if self._wake < 0:
            msg = f"inputs of {self._folder} are closed"
            raise DoorError(msg)
        if self._deaf():
            msg = f"inputs of {self._folder} cannot be read"
            raise DoorError(msg)

    def _read(self) -> None:
        for line, at_s in self._said():
            if line in self._lines:
                self._changes.note(line, active=self._active(line), at_s=at_s)

    def _said(self) -> Iterator[tuple[Input, float]]:
        while (text := self._log.readline()).endswith(b"\n"):
            entry = json.loads(text)
            line, word = Input(entry["input"]), entry["word"]
            if word in {"low", "high"}:
                self._line_low = word == "low"
            else:
                self._words[line] = word
            yield line, entry["at_s"]
        self._log.seek(-len(text), os.SEEK_CUR)  # a line that is being written is read when it is whole

    def _now(self) -> dict[Input, bool]:
        return {line: self._active(line) for line in self._lines}

    def _active(self, line: Input) -> bool:
        word = self._words.get(line, "follow" if line is Input.BOND else "rest")
        if word == "follow":
            return self._line_low
        if word == "cut":
            return self._lines[line].normally_closed
        return word == "active"
