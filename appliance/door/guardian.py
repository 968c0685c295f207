"""The guardian: a second, tiny process that ends a controller which holds the lock past its word.

A stopped or hung controller cannot lock. So before it energises the line it tells the guardian until when;
if that time passes without word, the guardian kills it, the kernel releases the line, and the external
pull-down locks. This file runs by its path in an interpreter of its own and imports the standard library only:
it starts fast, stays small and holds no descriptor but its pipe.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import struct
import sys
import time

WORD = struct.Struct("<d")  # CLOCK_MONOTONIC until which the line may be energised; 0 when it is locked
GRACE_S = 0.05


def watch(pipe: socket.socket, controller: int) -> bool:
    """Answer each word on `pipe` with itself; return whether the controller (a pidfd) had to be killed.

    Returns when the pipe closes, or when an announced time is over by 50 ms without a newer word. A pipe that
    closes or talks nonsense while the line is energised counts as overdue: who closed it may still live.
    """
    deadline_s = math.inf
    while True:
        wait_s = None if deadline_s == math.inf else max(0.0, deadline_s - time.monotonic())
        if select.select([pipe], [], [], wait_s)[0]:
            try:
                word = pipe.recv(WORD.size + 1)
            except ConnectionResetError:  # closed with a word of ours unread; what it said before comes next
                continue
            if len(word) != WORD.size:
                return deadline_s < math.inf and _kill(controller)
            (until_s,) = WORD.unpack(word)
            deadline_s = math.inf if until_s == 0 else until_s + GRACE_S
            with contextlib.suppress(ConnectionError):  # closed since; the next read says so
                pipe.send(word)
        if not time.monotonic() < deadline_s:  # this way round, NaN kills
            return _kill(controller)


def _kill(controller: int) -> bool:
    try:
        signal.pidfd_send_signal(controller, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """Guard the process whose id is the first argument, over the socket that is standard input."""
    for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)  # a stop of the whole group must not stop the guardian first
    parent = int(sys.argv[1])
    controller = os.pidfd_open(parent)  # a pidfd names this very process, however ids are reused
    if os.getppid() != parent:
        return
    with socket.socket(fileno=0) as pipe:
        if watch(pipe, controller):
            os.write(2, b"ostiary: guardian: the controller held the lock past its word and was killed\n")


if __name__ == "__main__":
    main()
