"""The programs as systemd runs them, as far as the set-up has to do with them: as root, where systemd is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import HardwareError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

CONTROLLER = "ostiary-controller.service"
# What else runs on the settings, or has the camera.
OTHERS = ("ostiary-reader.service", "ostiary-web.service", "ostiary-kiosk.service")
_BOOTED = "run/systemd/system"  # sd_booted(3)
_WAIT_S = 60.0
_UP = {"active", "activating", "reloading"}  # a reader that waits for its camera is activating


def running(root: Path = Path("/")) -> tuple[str, ...]:
    """Return those of our units that run, or would if they did not fail.

    () where we are not root, or systemd is not what started this machine.
    """
    if os.geteuid() != 0 or not (root / _BOOTED).is_dir():
        return ()
    return tuple(unit for unit in (CONTROLLER, *OTHERS) if _state(unit) in _UP | {"failed"})


def runs(unit: str) -> bool:
    """Tell whether systemd has this unit running, or coming up."""
    return _state(unit) in _UP


def tell(verb: str, units: tuple[str, ...], *options: str) -> None:
    """Have systemd do this with the units; nothing for none. Raises HardwareError where it does not."""
    if units and _systemctl(verb, *options, *units).returncode != 0:
        raise HardwareError(f"systemctl {verb} {' '.join(units)} failed; journalctl -u {units[0]} says why")


@contextlib.contextmanager
def running_again(units: tuple[str, ...]) -> Iterator[None]:
    """Have these units run after the block, whatever ends it: a fault, Ctrl-C, a kill, or an ssh that is cut off.

    They are not waited for: a reader may wait for its camera. Raises HardwareError where systemd does not take it.
    """
    ends = (signal.SIGHUP, signal.SIGTERM)
    before = {one: signal.signal(one, _end) for one in ends}
    try:
        yield
    finally:
        for one in ends:  # a shell that is hung up on says it a second time
            signal.signal(one, signal.SIG_IGN)
        tell("start", units, "--no-block")
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def _state(unit: str) -> str:
    return _systemctl("is-active", unit).stdout.strip()


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_WAIT_S)
    except subprocess.TimeoutExpired as fault:
        said = (
            f"{' '.join(command)} takes longer than {_WAIT_S:g} s and goes on; systemctl status says what it waits for"
        )
        raise HardwareError(said) from fault
    except OSError as fault:
        raise HardwareError(f"systemctl {words[0]}: {fault}") from fault
