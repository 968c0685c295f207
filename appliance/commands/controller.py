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
from appliance.door.serve import serve
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.door.hardware import LockOutput

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@click.command()
@click.option("--door", type=click.Choice(["simulated", "gpio"]), help="Lock output; default is door.driver.")
@click.option("--socket", type=click.Path(path_type=Path), help="Where to listen; default is door.socket.")
@click.option("--parent", type=int, help="End with the process of this id, whose child this is.")
@with_installation
def controller(installation: Installation, door: str | None, socket: Path | None, parent: int | None) -> None:
    """Own the lock: unlock when the reader asks, and lock again whatever becomes of it."""
    logging.basicConfig(level=logging.INFO, format="ostiary controller: %(message)s")
    if parent is not None:
        _end_with(parent)
    settings = installation.settings.door
    notifier = SystemdNotifier()
    if notifier.socket is not None:
        notifier.socket.settimeout(0)  # a service manager that does not listen must not stop the loop
    serve(socket or installation.controller_socket, _output(installation, door or settings.driver), notifier.notify)


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies, in whatever way. Raises DoorError where it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise DoorError(f"the process {parent} that started the controller has gone")


def _output(installation: Installation, driver: str) -> Callable[[], LockOutput]:
    settings = installation.settings.door
    if driver == "gpio":
        from appliance.drivers.gpio import GpioLock  # noqa: PLC0415 - gpiozero is loaded where there is a pin

        _log.info("lock at BCM %d, %s", settings.relay_pin, _WIRING[settings.strike])
        return functools.partial(GpioLock, settings.relay_pin)
    from appliance.drivers.simulated_door import SimulatedLock  # noqa: PLC0415 - not where there is a pin

    return functools.partial(SimulatedLock, installation.state / "simulated-door")


_WIRING = {
    "fail_secure": "fail-secure: its power goes through the relay's NO contact",
    "fail_safe": "fail-safe: its power goes through the relay's NC contact",
}
