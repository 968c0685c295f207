"""The programs as systemd runs them, as far as the set-up has to do with them: as root, where systemd is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from appliance.errors import HardwareError

CONTROLLER = "ostiary-controller.service"
# What else runs on the settings, or has the camera.
OTHERS = ("ostiary-reader.service", "ostiary-web.service", "ostiary-kiosk.service")
_BOOTED = "run/systemd/system"  # sd_booted(3)
_WAIT_S = 60.0


def running(root: Path = Path("/")) -> tuple[str, ...]:
    """Return those of our units that run; () where we are not root, or systemd is not what started this machine."""
    if os.geteuid() != 0 or not (root / _BOOTED).is_dir():
        return ()
    return tuple(unit for unit in (CONTROLLER, *OTHERS) if runs(unit))


def runs(unit: str) -> bool:
    """Tell whether systemd has this unit running."""
    return _systemctl("is-active", "--quiet", unit) == 0


def tell(verb: str, units: tuple[str, ...]) -> None:
    """Have systemd do this with the units; nothing for none. Raises HardwareError where it does not."""
    if units and _systemctl(verb, *units) != 0:
        raise HardwareError(f"systemctl {verb} {' '.join(units)} failed; journalctl -u {units[0]} says why")


def _systemctl(*words: str) -> int:
    try:
        return subprocess.run(["systemctl", *words], capture_output=True, check=False, timeout=_WAIT_S).returncode
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise HardwareError(f"systemctl {words[0]}: {fault}") from fault
