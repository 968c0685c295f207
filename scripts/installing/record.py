"""What was installed, as the device remembers it: so that what its owner changed is told from what we wrote."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .faults import InstallError
from .table import ROLES

if TYPE_CHECKING:
    from pathlib import Path

    from .system import Device

FILE = "/opt/ostiary/installed.json"


@dataclass(slots=True)
class Record:
    """All that was put outside of /opt/ostiary, beside the state, which is nobody's to remove."""

    roles: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # place on the device -> SHA-256 of what we wrote
    lines: list[list[str]] = field(default_factory=list)  # place on the device, and what was added there
    enabled: list[str] = field(default_factory=list)  # units; one that its owner disabled is not enabled again


def read(device: Device) -> Record:
    """Return what is remembered, nothing where nothing was installed. Raises InstallError where it is damaged."""
    try:
        found: dict[str, Any] = json.loads(device.at(FILE).read_text())
        record = Record(**{one.name: found[one.name] for one in fields(Record)})
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise InstallError(f"{device.at(FILE)} cannot be read ({fault}); without it, install again") from fault
    record.roles = [role for role in record.roles if role in ROLES]
    return record


def write(device: Device, record: Record) -> None:
    """Remember it, whole or not at all. Raises InstallError."""
    put(device.at(FILE), (json.dumps(asdict(record), indent=1, sort_keys=True) + "\n").encode())


def put(path: Path, content: bytes, mode: int = 0o644, group: int = 0) -> None:
    """Write a file of root's in one rename, so that a power cut leaves the old or the new. Raises InstallError."""
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if not _is_on_boot(path):
                os.fchown(file.fileno(), 0, group)
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as fault:
        with suppress(OSError):
            draft.unlink()
        raise InstallError(f"{path} cannot be written: {fault.strerror}") from fault


def is_as(path: Path, content: bytes, mode: int, group: int | None) -> bool:
    """Tell whether a file is there with this content, mode and group, and is root's."""
    try:
        found = path.stat()
        same = path.read_bytes() == content
    except OSError:
        return False
    return same and (_is_on_boot(path) or (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, 0, group))


def _is_on_boot(path: Path) -> bool:
    """Tell whether a file is the firmware's, which reads FAT: that knows neither owners nor modes."""
    return "boot" in path.parts
