"""Setting the system's time zone: by systemd, and by hand where there is no D-Bus to ask it over."""

from __future__ import annotations

import subprocess
from pathlib import Path

from appliance.errors import HardwareError

_WAIT_S = 30.0


def set_zone(zone: str, root: Path = Path("/")) -> None:
    """Have the system's clock shown in this zone, the name of one that is known. Raises HardwareError."""
    command = ["timedatectl", "set-timezone", zone]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_WAIT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        done = False
    if done:
        return
    try:
        _link(zone, root)
    except OSError as fault:
        raise HardwareError(f"the time zone could not be set: {fault}; later: sudo {' '.join(command)}") from fault


def _link(zone: str, root: Path) -> None:
    """Do what systemd would do: a relative link (localtime(5)), and Debian's own note of it."""
    if not (root / "usr/share/zoneinfo" / zone).is_file():
        raise FileNotFoundError(f"/usr/share/zoneinfo/{zone} is not there")
    link, name = root / "etc/localtime", root / "etc/timezone"
    draft = link.with_name("localtime.ostiary")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path("../usr/share/zoneinfo") / zone)
    draft.replace(link)
    if name.exists():
        name.write_text(f"{zone}\n", encoding="ascii")
