"""From nothing to a running controller and back, in the only safe order."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import time
from typing import TYPE_CHECKING

from appliance.door.controller import Controller
from appliance.door.guard import Guard
from appliance.door.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from appliance.config import Settings
    from appliance.door.hardware import DoorHardware
    from appliance.door.latches import LatchFile

_log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(
    path: Path,
    claim: Callable[[], DoorHardware],
    notify: Callable[[str], object],
    settings: Settings,
    latches: LatchFile,
) -> None:
    """Run the controller at the socket `path` until a stop signal, then lock and return.

    `claim` claims the lines, low; it is called when the path is ours and the guardian runs. `notify` is the
    service manager's. Raises DoorError.
    """
    with (
        contextlib.closing(Listener(path)) as listener,
        contextlib.closing(Guard()) as guard,
        contextlib.closing(claim()) as hardware,
        _woken_by_signals() as wake,
    ):
        controller = Controller(listener.listen(), hardware, guard, time.monotonic, settings=settings, latches=latches)
        _on_stop(controller.stop)
        _log.info("listening at %s", path)
        controller.run(wake, notify)
    _log.info("locked and stopped")


def _on_stop(stop: Callable[[], None]) -> None:
    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)


@contextlib.contextmanager
def _woken_by_signals() -> Iterator[socket.socket]:
    """Give a socket that turns readable on every signal: a handler alone does not end a select."""
    readable, written = socket.socketpair()
    with readable, written:
        readable.settimeout(0)
        written.settimeout(0)
        before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield readable
        finally:
            signal.set_wakeup_fd(before)
