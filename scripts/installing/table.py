"""`firmware_config/installed.toml`: which file and package belongs where, on which system, in which role."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .faults import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAME = "firmware_config/installed.toml"
ROLES = ("door", "kiosk", "broker")
SYSTEMS = ("raspberry-pi", "jetson", "debian")
_KEYS = {
    "package": {"names", "roles", "systems"},
    "file": {"from", "to", "mode", "group", "keep", "enable", "roles", "systems"},
    "line": {"in", "line", "section", "roles", "systems"},
}


class _Meant(Protocol):
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def systems(self) -> tuple[str, ...]: ...


_Entry = TypeVar("_Entry", bound=_Meant)


@dataclass(frozen=True, slots=True)
class Packages:
    """Debian packages; "a | b" is the first that apt knows."""

    names: tuple[str, ...]
    roles: tuple[str, ...]
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """One file of the tree and its place on the device; root owns it."""

    source: PurePosixPath  # in the tree
    target: PurePosixPath  # on the device, absolute
    mode: int
    group: str
    keep: bool  # written once, then the owner's
    enable: bool  # a unit that every boot starts
    roles: tuple[str, ...]
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddedLine:
    """One line in a file of the system's."""

    target: PurePosixPath  # on the device, absolute
    line: str
    section: str  # the header that must stand above it, "" for none
    roles: tuple[str, ...]
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All of the list, or what of it is meant for one system and some roles."""

    packages: tuple[Packages, ...]
    files: tuple[InstalledFile, ...]
    lines: tuple[AddedLine, ...]

    def meant_for(self, system: str, roles: Iterable[str]) -> Table:
        """Return what belongs on this kind of system in any of these roles."""
        wanted = set(roles)

        def meant(entries: tuple[_Entry, ...]) -> tuple[_Entry, ...]:
            return tuple(one for one in entries if system in one.systems and wanted.intersection(one.roles))

        return Table(meant(self.packages), meant(self.files), meant(self.lines))


def read(tree: Path) -> Table:
    """Return the list in this tree. Raises InstallError, which names the entry and what is wrong with it."""
    try:
        found = tomllib.loads((tree / NAME).read_text())
    except (OSError, tomllib.TOMLDecodeError) as fault:
        raise InstallError(f"{tree / NAME} cannot be read: {fault}") from fault
    unknown = sorted(found.keys() - _KEYS.keys())
    if unknown:
        raise InstallError(f"{NAME} has {unknown[0]!r}; known are {', '.join(_KEYS)}")
    return Table(
        tuple(
            Packages(tuple(entry["names"]), *_meant(entry)) for entry in _entries(found, "package", required={"names"})
        ),
        tuple(_file(entry) for entry in _entries(found, "file", required={"from", "to"})),
        tuple(
            AddedLine(_place(entry["in"]), entry["line"], entry.get("section", ""), *_meant(entry))
            for entry in _entries(found, "line", required={"in", "line"})
        ),
    )


def _entries(found: dict[str, Any], kind: str, *, required: set[str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = found.get(kind, [])
    for entry in entries:
        for key in sorted(entry.keys() - _KEYS[kind]):
            raise InstallError(f"{NAME}: a {kind} has {key!r}; known are {', '.join(sorted(_KEYS[kind]))}")
        for key in sorted(required - entry.keys()):
            raise InstallError(f"{NAME}: a {kind} has no {key!r}: {entry}")
    return entries


def _file(entry: dict[str, Any]) -> InstalledFile:
    return InstalledFile(
        PurePosixPath(entry["from"]),
        _place(entry["to"]),
        _mode(entry.get("mode", "0644")),
        entry.get("group", "root"),
        bool(entry.get("keep", False)),
        bool(entry.get("enable", False)),
        *_meant(entry),
    )


def _place(text: str) -> PurePosixPath:
    place = PurePosixPath(text)
    if not place.is_absolute() or ".." in place.parts:
        raise InstallError(f"{NAME}: {text!r} is no absolute path")
    return place


def _mode(text: str) -> int:
    mode = int(text, 8) if text.isdecimal() else -1
    if not 0 < mode <= 0o777 or mode & 0o022:  # nobody but root writes to what is installed
        raise InstallError(f"{NAME}: mode is {text!r}; it must be octal, and writable by the owner alone")
    return mode


def _meant(entry: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _some(entry, "roles", ROLES), _some(entry, "systems", SYSTEMS)


def _some(entry: dict[str, Any], key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(entry.get(key, known))
    for name in chosen:
        if name not in known:
            raise InstallError(f"{NAME}: {key} has {name!r}; known are {', '.join(known)}")
    return chosen
