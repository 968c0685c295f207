"""Taking everything away again that was installed; what the door remembers only if that is asked for by name."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from . import record as records
from .faults import InstallError
from .placing import removal
from .release import BASE
from .step import Step
from .system import run

if TYPE_CHECKING:
    from pathlib import Path

    from .record import Record
    from .system import Device

# Glob patterns: people and their keys, settings, backups, and what was edited of ours.
KEPT = (
    "var/lib/ostiary*",
    "var/backups/ostiary*",
    "etc/ostiary*",
    "etc/credstore.encrypted/ostiary.*",
)


def steps(device: Device, *, purge: bool) -> list[Step]:
    """Return what removes the program, and with `purge` all that it keeps. Raises InstallError."""
    record = records.read(device)
    base = device.at(BASE)
    return [
        *([Step("stop its units", lambda: bool(record.enabled), _stop)] if device.running else []),
        *(_line(device, record, entry) for entry in list(record.lines)),
        *(removal(device, record, place) for place in list(record.files)),
        *(_kept(path) for path in (kept(device) if purge else [])),
        *([_users(device)] if purge else []),
        Step(f"remove {base}", base.exists, lambda: _remove(base)),
        *([Step("have systemd forget it", lambda: bool(record.roles), _reload)] if device.running else []),
    ]


def kept(device: Device) -> list[Path]:
    """Return what a door remembers there, and --uninstall leaves."""
    return sorted(path for pattern in KEPT for path in device.root.glob(pattern))


def _stop() -> None:
    # By pattern: those that others start go too, and one whose file is gone already is no fault.
    run("systemctl", "stop", "ostiary-*")


def _reload() -> None:
    run("systemctl", "daemon-reload")


def _line(device: Device, record: Record, entry: list[str]) -> Step:
    place, line = entry
    path = device.at(place)

    def do() -> None:
        if path.exists():
            left = [known for known in records.lines_of(path) if known != line]
            records.put_lines(path, PurePosixPath(place), left)
        record.lines.remove(entry)
        records.write(device, record)

    return Step(f"take `{line}` out of {path}", lambda: entry in record.lines, do)


def _kept(path: Path) -> Step:
    return Step(f"remove {path} for good", path.exists, lambda: _remove(path))


def _users(device: Device) -> Step:
    """Return what removes our users and groups, which own nothing any more; a group of the system's stays."""
    aside = [] if device.here else ["--prefix", str(device.root)]

    def left() -> list[tuple[str, str]]:
        found = [("userdel", name) for name in device.names("passwd")]
        return [pair for pair in [*found, *(("groupdel", name) for name in device.names("group"))] if _is_ours(pair[1])]

    def do() -> None:
        while left():  # a user's own group may have gone with the user
            command, name = left()[0]
            run(command, *aside, name)

    return Step("remove its users and groups", lambda: bool(left()), do)


def _is_ours(name: str) -> bool:
    return name == "ostiary" or name.startswith("ostiary-")


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as fault:
        raise InstallError(f"{path} cannot be removed: {fault.strerror}") from fault
