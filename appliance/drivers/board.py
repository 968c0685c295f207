"""The board's own complaints, as the kernel shows them in files: too hot, slowed down, too little voltage.

On a Raspberry Pi the firmware says all three, after its documentation of `get_throttled`; any other board at least
how hot it is. Written against the kernel's documents and tried on made-up trees of files: no board was at hand.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.vitals import BoardVitals

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/sys")
# Hexadecimal. A Pi 5's kernels from 6.12 on call it soc@107c000000 (raspberrypi/linux #6621), any other soc.
_FIRMWARE = "devices/platform/soc*/soc*:firmware/get_throttled"
_UNDER_VOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 1, 2, 4, 8  # what is so now; what was once, stands 16 bits higher
_HOT_TRIPS = {"passive", "hot", "critical"}  # from the first of them on the kernel slows the board down


def read_board(sysfs: Path = _ROOT) -> BoardVitals:
    """Return how the board is now; what it does not tell counts as well. Never raises."""
    word = next((_whole(path, 16) for path in sysfs.glob(_FIRMWARE)), None) or 0
    zones = [zone for zone in sorted(sysfs.glob("class/thermal/thermal_zone*")) if _whole(zone / "temp") is not None]
    temperatures = [(_whole(zone / "temp") or 0) / 1000 for zone in zones]
    alarms = (_whole(path) for path in sysfs.glob("class/hwmon/hwmon*/in*_lcrit_alarm"))
    return BoardVitals(
        celsius=max(temperatures, default=None),
        slowed=bool(word & (_CAPPED | _THROTTLED | _SOFT_LIMIT)) or any(map(_beyond_a_trip, zones)),
        under_voltage=bool(word & _UNDER_VOLTAGE) or any(alarms),
    )


def _beyond_a_trip(zone: Path) -> bool:
    now = _whole(zone / "temp")
    return now is not None and any(0 < trip <= now for trip in _trips(zone))


def _trips(zone: Path) -> Iterator[int]:
    for kind in zone.glob("trip_point_*_type"):
        if _text(kind) in _HOT_TRIPS:
            yield _whole(kind.with_name(kind.name.replace("_type", "_temp"))) or 0


def _whole(file: Path, base: int = 10) -> int | None:
    with contextlib.suppress(ValueError):
        return int(_text(file), base)
    return None


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8").strip()
    return ""
