"""The controller's end of the guardian: says until when the line may be energised, and has it confirmed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time

from appliance.door import guardian
from appliance.errors import DoorError

STEP_S = 0.3  # the line is announced so far ahead at most, and again every third of it
_START_S = 10.0  # an interpreter starting on a busy board
_CONFIRM_S = 0.25
_END_S = 1.0


class Guard:
    """A running guardian. Start it before the line is claimed, so that it inherits nothing of the line.

    Every verb raises DoorError when the guardian is gone or does not confirm in time; the caller must then
    lock and end, because nobody guards it.
    """

    def __init__(self) -> None:
        # A packet socket keeps words whole and tells the death of either side as an end of file.
        self._pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-Z at a terminal must not stop both
            )
        try:
            self._say(0.0, _START_S)
        except DoorError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the guardian."""
        return self._process.pid

    @property
    def pipe(self) -> socket.socket:
        """Turns readable when the guardian dies, and is never seen readable otherwise."""
        return self._pipe

    def arm(self, until_s: float) -> None:
        """Have this process killed if it is not heard again by `until_s` plus 50 ms."""
        # Waiting for longer than that would itself hold the line past its limit.
        left_s = max(guardian.GRACE_S, until_s - time.monotonic())
        self._say(until_s, min(_CONFIRM_S, left_s))

    def disarm(self) -> None:
        """Say that the line is locked."""
        self._say(0.0, _CONFIRM_S)

    def close(self) -> None:
        """Let the guardian end and wait for it; the line must have been released. Harmless when done already."""
        with contextlib.suppress(DoorError):
            self.disarm()
        self._pipe.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, until_s: float, timeout_s: float) -> None:
        word = guardian.WORD.pack(until_s)
        self._pipe.settimeout(timeout_s)
        try:
            self._pipe.send(word)
            confirmed = self._pipe.recv(guardian.WORD.size)
        except OSError as fault:
            msg = f"the guardian process {self._process.pid} does not answer: {fault}"
            raise DoorError(msg) from fault
        if confirmed != word:
            msg = f"the guardian process {self._process.pid} has gone"
            raise DoorError(msg)
