"""A contestant at work: a process of its own that reads a picture when it is asked, and only then."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .installed import PeerError
from .wire import SIZE

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from .installed import Program

ANSWER_DEADLINE_S = 120.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a contestant made of one picture."""

    ms: float  # by its own clock, from the picture in its memory on
    vector: NDArray[np.float64] | None  # (D,); None where it found no face
    scores: dict[str, float]  # liveness by name, 0..1, higher is more surely bona fide


class Contestant:
    """A running program. Belongs to one thread; a context that ends the process."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=program.folder,
            env=os.environ | ONE_THREAD | program.environment,
        )

    def read(self, pixels: NDArray[np.uint8]) -> Answer:
        """Return what it makes of (H, W, 3) RGB. Raises PeerError, in one line, where it stops or answers nonsense."""
        line = self._ask(SIZE.pack(*pixels.shape[:2]) + pixels.tobytes())
        try:
            said: dict[str, Any] = json.loads(line)
            vector = None if said["vector"] is None else np.array(said["vector"], np.float64)
            return Answer(float(said["ms"]), vector, said["scores"])
        except (ValueError, KeyError, TypeError):
            raise PeerError(f"{self.program.name} answered {line[:80]!r}; a line of JSON is needed") from None

    def _ask(self, picture: bytes) -> bytes:
        """Return the line it answers. Raises PeerError where there is none."""
        sent, answered = self._process.stdin, self._process.stdout
        if sent is None or answered is None:
            raise PeerError(f"{self.program.name} was started without a way to ask it")
        try:
            sent.write(picture)
            sent.flush()
        except BrokenPipeError:
            raise self._stopped() from None
        if not select.select([answered], [], [], ANSWER_DEADLINE_S)[0]:
            raise PeerError(f"{self.program.name} gave no answer in {ANSWER_DEADLINE_S:.0f} s")
        line = answered.readline()
        if not line:
            raise self._stopped()
        return line

    def _stopped(self) -> PeerError:
        self._process.wait(ANSWER_DEADLINE_S)
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return PeerError(f"{self.program.name} stopped: {lines[-1] if lines else f'exit {self._process.returncode}'}")

    def peak_mb(self) -> float:
        """Return the largest resident memory so far, in units of 2^20 bytes; Linux only. Raises PeerError."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        except OSError:
            raise PeerError(f"the memory of {self.program.name} cannot be read; Linux's /proc is needed") from None
        # Not getrusage: its figure begins with what this process had when it started the other.
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()
