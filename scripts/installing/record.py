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
    from pathlib import Path, PurePosixPath

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


def put(path: Path, content: bytes, mode: int | None = 0o644, group: int = 0) -> None:
    """Write a file of root's in one rename, so that a power cut leaves the old or the new. Raises InstallError.

    The mode is None where the file system has none.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        # O_EXCL: a service may write to some of these folders, and could leave a link here to a file of root's.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or 0o644), "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchown(file.fileno(), 0, group)
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as fault:
        with suppress(OSError):
            draft.unlink()
        raise InstallError(f"{path} cannot be written: {fault.strerror}") from fault


def is_as(path: Path, content: bytes, mode: int | None, group: int | None) -> bool:
    """Tell whether a file is there with this content, and is root's with this mode and group where it has a mode."""
    try:
        found = path.stat()
        same = path.read_bytes() == content
    except OSError:
        return False
    return same and (mode is None or (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, 0, group))


def mode_at(place: PurePosixPath, mode: int) -> int | None:
    """Return the mode that a file can have at a place on the device: none where the firmware reads, which is FAT."""
    return None if place.is_relative_to("/boot") else mode


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file of the system's, which need not be UTF-8 all through."""
    return path.read_text(errors="surrogateescape").splitlines()


def put_lines(path: Path, place: PurePosixPath, lines: list[str]) -> None:
    """Write the lines of a file of the system's, whole or not at all; `place` is its path on the device."""
    content = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    put(path, content, mode_at(place, path.stat().st_mode & 0o777))
