"""A terminal of 80 by 24 with somebody at it, for a program that asks: a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 30.0
AGAIN_S = 10.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`ostiary` with these arguments, and what it has shown so far."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._end, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "appliance", *map(str, arguments)],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            start_new_session=True,
            # Where these tests run in the background, Ctrl-C is ignored; at a terminal it is not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
        )
        os.close(inner)
        self.shown = ""  # with the terminal's control sequences
        self._read = 0  # letters of it, without those, that were waited for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def wait_for(self, text: str) -> None:
        """Return when this text, without its colours, was shown after what was waited for before; fails in 30 s."""
        end_s = time.monotonic() + WAIT_S
        while (at := plain(self.shown).find(text, self._read)) < 0:
            assert time.monotonic() < end_s, f"{text!r} did not come after: {plain(self.shown)[-600:]}"
            assert self._take(), f"it ended without {text!r}: {plain(self.shown)[-600:]}"
        self._read = at + len(text)

    def answer(self, question: str, line: str) -> None:
        """Type a line when the question of this key is asked."""
        self.wait_for(f"{question} [")
        self.type(line)

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        os.write(self._end, f"{line}\n".encode())

    def interrupt(self, told: str) -> None:
        """Press Ctrl-C; again where it was not heard: Python leaves one just before a read to the next key."""
        self._process.send_signal(signal.SIGINT)
        pressed_s = time.monotonic()
        while plain(self.shown).find(told, self._read) < 0 and time.monotonic() < pressed_s + AGAIN_S and self._take():
            pass
        if plain(self.shown).find(told, self._read) < 0:
            self._process.send_signal(signal.SIGINT)
        self.wait_for(told)

    def end(self) -> int:
        """Return the exit code once it has ended by itself."""
        while self._take():
            pass
        return self._process.wait(WAIT_S)

    def _take(self) -> bool:
        """Take in what was shown within a second; tell whether there may be more."""
        if not select.select([self._end], [], [], 1.0)[0]:
            return True
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            if some := os.read(self._end, 65_536):
                self.shown += some.decode(errors="replace")
                return True
        return False


def plain(shown: str) -> str:
    """Return what was shown without colours and movements."""
    return _CONTROL.sub("", shown).replace("\r", "")
