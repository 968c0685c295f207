"""`ostiary controller`: the process that owns the lock and nothing else."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
from sdnotify import SystemdNotifier

from appliance.commands.options import Installation, with_installation
from appliance.door.latches import LatchFile
from appliance.door.serve import serve
from appliance.drivers.door import open_door
from appliance.errors import DoorError
from appliance.logs import logging_to

if TYPE_CHECKING:
    from appliance.config import DoorSettings

_log = logging.getLogger(__name__)

_REALTIME = 10  # of 1..99; below the kernel's own interrupt threads at 50
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@click.command()
@click.option("--door", type=click.Choice(["simulated", "gpio", "gpiochip"]), help="Its lines; default is door.driver.")
@click.option("--socket", type=click.Path(path_type=Path), help="Where to listen; default is door.socket.")
@click.option("--parent", type=int, help="End with the process of this id, whose child this is.")
@with_installation
def controller(installation: Installation, door: str | None, socket: Path | None, parent: int | None) -> None:
    """Own the lock: unlock when the reader asks, and lock again whatever becomes of it."""
    with logging_to(installation.settings.logs, "ostiary controller"):
        _serve(installation, door, socket, parent)


def _serve(installation: Installation, door: str | None, socket: Path | None, parent: int | None) -> None:
    if parent is not None:
        _end_with(parent)
    installation = installation.with_door_driver(door) if door else installation
    settings = installation.settings
    _wiring(settings.door)
    _run_first(said=settings.door.driver != "simulated")
    notifier = SystemdNotifier()
    if notifier.socket is not None:
        notifier.socket.settimeout(0)  # a service manager that does not listen must not stop the loop
    serve(
        socket or installation.controller_socket,
        functools.partial(open_door, settings, installation.state),
        notifier.notify,
        settings,
        LatchFile(installation.state / "door.json"),
    )


def _run_first(*, said: bool) -> None:
    """Take a real-time priority where that is allowed: with it, busy cores cost an edge or a grant no time."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_REALTIME))
    except OSError as fault:  # a kernel or a user without the right: the unit's nice -10 is what is left
        if said:
            _log.warning(
                "no real-time priority (%s): on busy cores a request may wait some milliseconds", fault.strerror
            )


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies, in whatever way. Raises DoorError where it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise DoorError(f"the process {parent} that started the controller has gone")


def _wiring(settings: DoorSettings) -> None:
    if settings.driver != "simulated":
        _log.info("lock at line %d, %s", settings.relay_pin, _WIRING[settings.strike])


_WIRING = {
    "fail_secure": "fail-secure: its power goes through the relay's NO contact",
    "fail_safe": "fail-safe: its power goes through the relay's NC contact",
}
