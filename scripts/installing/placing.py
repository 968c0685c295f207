"""Packages, files, lines, users, folders and units: everything outside of /opt/ostiary."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from . import record as records
from .faults import InstallError
from .release import BASE
from .step import Step
from .system import run

if TYPE_CHECKING:
    from pathlib import Path

    from .record import Record
    from .system import Device
    from .table import AddedLine, InstalledFile, Table

_PASSING = ("/run", "/tmp")  # noqa: S108 - made anew at every boot, so that an image needs none of it
_USERS = PurePosixPath("/etc/sysusers.d")
_FOLDERS = PurePosixPath("/etc/tmpfiles.d")
_UNITS = PurePosixPath("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Placing:
    """What of one tree goes where on one device."""

    device: Device
    tree: Path
    table: Table  # what is meant for the device and its roles
    record: Record

    def packages(self) -> Step:
        """Return what has Debian's packages installed."""
        asked = [name for packages in self.table.packages for name in packages.names]
        words = f"Debian's packages: {', '.join(asked)}"
        return Step(words, lambda: bool(self._missing(asked)), lambda: self._fetch(asked))

    def files(self) -> list[Step]:
        """Return what writes each file and line, makes the users that own some of them, and takes away what is old."""
        who = [file for file in self.table.files if file.target.parent == _USERS]
        rest = [file for file in self.table.files if file.target.parent != _USERS]
        return [
            *map(self._file, who),
            self._users(),
            *map(self._file, rest),
            *map(self._line, self.table.lines),
            *self._old(),
        ]

    def _users(self) -> Step:
        """Return what makes the users and groups."""
        rows = [words for text in self._texts(_USERS) for words in _rows(text, "ugm")]
        names = {words[1]: "passwd" if words[0] == "u" else "group" for words in rows if words[0] != "m"}
        members = [(words[1], words[2]) for words in rows if words[0] == "m"]

        def needed() -> bool:
            new = any(self.device.number_of(file, name) is None for name, file in names.items())
            return new or any(user not in self.device.members_of(group) for user, group in members)

        def do() -> None:
            files = [file.target.name for file in self.table.files if file.target.parent == _USERS]
            run("systemd-sysusers", f"--root={self.device.root}", *files)

        return Step(f"users and groups: {', '.join(names)}", needed, do)

    def folders(self) -> Step:
        """Return what makes the folders, each its owner's."""
        rows = [words for text in self._texts(_FOLDERS) for words in _rows(text, "d")]
        rows = [words for words in rows if self.device.here or not words[1].startswith(_PASSING)]

        def do() -> None:
            files = [file.target.name for file in self.table.files if file.target.parent == _FOLDERS]
            aside = [] if self.device.here else [f"--exclude-prefix={place}" for place in _PASSING]
            run("systemd-tmpfiles", "--create", f"--root={self.device.root}", *aside, *files)

        return Step(f"folders: {', '.join(words[1] for words in rows)}", lambda: not all(map(self._is_made, rows)), do)

    def units(self) -> list[Step]:
        """Return what has every boot start the units."""
        return [self._enabled(name) for name in self.enabled()]

    def enabled(self) -> list[str]:
        """Return the names of the units that every boot is to start."""
        return [file.target.name for file in self.table.files if file.enable and file.target.parent == _UNITS]

    def edited(self) -> list[InstalledFile]:
        """Return the files that somebody has changed here: they are left as they are."""
        return [file for file in self.table.files if not file.keep and self._is_edited(file)]

    def _missing(self, asked: list[str]) -> list[str]:
        """Return those of the packages, "a | b" each, of which no form is installed."""
        status = self.device.at("/var/lib/dpkg/status")
        blocks = status.read_text(errors="replace").split("\n\n") if status.exists() else []
        there = {
            block.split("\n", 1)[0].removeprefix("Package: ")
            for block in blocks
            if "\nStatus: install ok installed" in block or "\nStatus: hold ok installed" in block
        }
        return [name for name in asked if there.isdisjoint(name.split(" | "))]

    def _fetch(self, asked: list[str]) -> None:
        self.device.run("apt-get", "-qq", "update")
        chosen = []
        for name in self._missing(asked):
            known = [
                form
                for form in name.split(" | ")
                if self.device.run("apt-cache", "search", "--names-only", f"^{form}$")
            ]
            if not known:
                raise InstallError(f"apt knows no {name.replace(' | ', ' and no ')}; is `apt-get update` up to date?")
            chosen.append(known[0])
        self.device.run("apt-get", "-qq", "install", "--no-install-recommends", *chosen)

    def _file(self, file: InstalledFile) -> Step:
        path, mode = self.device.at(file.target), records.mode_at(file.target, file.mode)
        words = f"write {path} ({file.mode:04o}{f', group {file.group}' if file.group != 'root' else ''})"

        def needed() -> bool:
            if file.keep:
                return not path.exists()
            group = self.device.number_of("group", file.group)
            content = self._content(file)
            # What was written and not remembered, as the power went in between, is written again.
            known = self.record.files.get(str(file.target)) == _hash(content)
            return not self._is_edited(file) and not (known and records.is_as(path, content, mode, group))

        def do() -> None:
            group = self.device.number_of("group", file.group)
            if group is None:
                raise InstallError(f"{path} belongs to the group {file.group}, which is not there")
            content = self._content(file)
            records.put(path, content, mode, group)
            if not file.keep:
                self.record.files[str(file.target)] = _hash(content)
                records.write(self.device, self.record)

        return Step(words, needed, do)

    def _is_edited(self, file: InstalledFile) -> bool:
        """Tell whether what lies there is neither what this tree has nor what was written here before."""
        try:
            found = self.device.at(file.target).read_bytes()
        except OSError:
            return False
        known = self.record.files.get(str(file.target))
        return found != self._content(file) and _hash(found) != known

    def _old(self) -> list[Step]:
        """Return what removes the files of an earlier release that this one has not, unless they were edited."""
        wanted = {str(file.target) for file in self.table.files}
        return [removal(self.device, self.record, place) for place in self.record.files if place not in wanted]

    def _line(self, added: AddedLine) -> Step:
        path = self.device.at(added.target)

        def needed() -> bool:
            return path.exists() and added.line not in records.lines_of(path)

        def do() -> None:
            entry = [str(added.target), added.line]
            if entry not in self.record.lines:
                self.record.lines.append(entry)
                records.write(self.device, self.record)
            lines = records.lines_of(path)
            sections = [line for line in lines if line.startswith("[")]
            if added.section and sections[-1:] != [added.section]:
                lines.append(added.section)
            records.put_lines(path, added.target, [*lines, added.line])

        return Step(f"add `{added.line}` to {path}", needed, do)

    def _enabled(self, unit: str) -> Step:
        def do() -> None:
            run("systemctl", f"--root={self.device.root}", "--quiet", "enable", unit)
            self.record.enabled.append(unit)
            records.write(self.device, self.record)

        return Step(f"every boot starts {unit}", lambda: unit not in self.record.enabled, do)

    def _content(self, file: InstalledFile) -> bytes:
        try:
            return (self.tree / file.source).read_bytes()
        except OSError as fault:
            raise InstallError(f"{self.tree / file.source} cannot be read: {fault.strerror}") from fault

    def _texts(self, folder: PurePosixPath) -> list[str]:
        return [self._content(file).decode() for file in self.table.files if file.target.parent == folder]

    def _is_made(self, words: list[str]) -> bool:
        """Tell whether a folder of tmpfiles.d is there as it says: type, path, mode, user, group."""
        try:
            found = self.device.at(words[1]).stat()
        except OSError:
            return False
        owner, group = self.device.number_of("passwd", words[3]), self.device.number_of("group", words[4])
        return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (int(words[2], 8), owner, group)


def leftover(file: InstalledFile) -> str:
    """Return what is said of a file that was edited here."""
    if file.target.parent == _UNITS:
        instead = f"a change belongs into {file.target}.d/, then this file can go"
    else:
        instead = "remove it to get ours"
    return f"left {file.target} as it was edited here; the release's is {BASE}/current/{file.source}; {instead}"


def removal(device: Device, record: Record, place: str) -> Step:
    """Return what removes a file that was installed, a unit's links first; one that was edited here is left."""
    path = device.at(place)

    def do() -> None:
        if path.name in record.enabled:
            run("systemctl", f"--root={device.root}", "--quiet", "disable", path.name)
            record.enabled.remove(path.name)
        with suppress(FileNotFoundError):
            if _hash(path.read_bytes()) == record.files[place]:
                path.unlink()
        del record.files[place]
        records.write(device, record)

    return Step(f"remove {path}", lambda: place in record.files, do)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _rows(text: str, kinds: str) -> list[list[str]]:
    """Return the rows of these types in a file of sysusers.d or tmpfiles.d."""
    rows = (line.split() for line in text.splitlines())
    return [words for words in rows if words and words[0] in kinds]
