"""What the kernel knows of a V4L2 camera: which of all cameras it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

_SYSFS = Path("/sys")


def identity_of(source: int | str, sysfs: Path = _SYSFS) -> str:
    """Return what tells the camera behind a number or a /dev path from others; "" where the kernel has nothing.

    A USB camera is known by maker, product and serial number, and without one by the socket that it is plugged into;
    any other by its name and its place on the board.
    """
    node = Path(f"/dev/video{source}" if isinstance(source, int) else source)
    entry = sysfs / "class" / "video4linux" / node.resolve().name  # a /dev/v4l/by-id link leads to the node
    if not (entry / "device").exists():
        return ""
    device = (entry / "device").resolve()
    for folder in (device, *device.parents):
        if folder == sysfs:
            break
        if vendor := _said(folder / "idVendor"):
            serial = _said(folder / "serial")
            place = f"serial {serial}" if serial else f"at {folder.name}"
            return f"usb {vendor}:{_said(folder / 'idProduct')} {place}"
    return f"{_said(entry / 'name') or 'video'} at {device.name}"


def _said(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8").strip()
    return ""
