"""The dead man's handle: a second process that drives a chip's lines low once their owner has died.

The kernel releases a dead process's lines, but what level they then have is the chip's business: libgpiod promises
nothing, and a Jetson's chip keeps what was last driven. This process waits for the end of a pipe that only the
owner holds, and then claims the lines low itself. Where the chip lets them fall anyway, it changes nothing.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import gpiod
from gpiod.line import Direction, Value

from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable

_START_S = 10.0  # an interpreter starting on a busy board
_END_S = 2.0
_RETRY_S = 0.001
_GIVE_UP_S = 1.0  # whoever has the line by then claimed it low
_READY, _DONE = b"r", b"d"


class DeadMan:
    """A running process that drives `offsets` of `chip` low, in this order, if this process dies before `close`.

    Start it before the lines are claimed. Raises DoorError where it does not start.
    """

    def __init__(self, chip: str, offsets: tuple[int, ...]) -> None:
        self._process = subprocess.Popen(
            # Isolated: not from a package that somebody put into the working directory.
            [sys.executable, "-I", "-m", __name__, chip, *map(str, offsets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at a terminal must not end both
        )
        assert self._process.stdin is not None  # noqa: S101 - Popen makes what it was asked for
        assert self._process.stdout is not None  # noqa: S101
        self._pipe = self._process.stdin
        with self._process.stdout as said:
            ready, _, _ = select.select([said], [], [], _START_S)
            if not ready or os.read(said.fileno(), 1) != _READY:
                self._process.kill()
                self.close()
                msg = f"the process that would lock {chip} after our death does not start"
                raise DoorError(msg)

    def demand_alive(self) -> None:
        """Raise DoorError where the process has gone: nothing must be driven high then."""
        if self._process.poll() is not None:
            msg = f"the process {self._process.pid} that would lock after our death has gone"
            raise DoorError(msg)

    def close(self) -> None:
        """Let the process end, with the lines as they are; harmless when done already."""
        if not self._pipe.closed:
            try:
                self._pipe.write(_DONE)
                self._pipe.close()
            except BrokenPipeError:  # it went first
                pass
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def drive_low(chip: str, offset: int, request_lines: Callable[..., gpiod.LineRequest] = gpiod.request_lines) -> bool:
    """Drive the line low and release it; False where somebody else keeps it for a second or it cannot be driven."""
    settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE)
    end_s = time.monotonic() + _GIVE_UP_S
    while time.monotonic() < end_s:
        try:
            request_lines(chip, {offset: settings}, consumer="ostiary-dead-man").release()
        except OSError as fault:
            if fault.errno != errno.EBUSY:  # busy: the kernel has not closed all of the dead owner's files yet
                return False
            time.sleep(_RETRY_S)
        else:
            return True
    return False


def main() -> None:
    """Wait for the end of standard input, then drive low the lines that the arguments name."""
    for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)  # a stop of the whole group must not stop this one first
    chip, *offsets = sys.argv[1:]
    os.write(1, _READY)
    if os.read(0, 1) == _DONE:
        return
    driven = [drive_low(chip, int(offset)) for offset in offsets]
    os.write(2, f"ostiary: the controller died: {sum(driven)} of {len(driven)} lines driven low\n".encode())


if __name__ == "__main__":
    main()
