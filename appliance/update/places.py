"""Where releases lie, and what is remembered of updates."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import StorageError
from appliance.storage import sync_folder
from appliance.whole_file import write_file

Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d{0,4})(\.(0|[1-9]\d{0,4})){2}$")]
_Record = TypeVar("_Record", bound=BaseModel)
_FOLDER = re.compile(r"\d{1,5}\.\d{1,5}\.\d{1,5}")


def ordered(version: str) -> tuple[int, ...]:
    """Return a version's three numbers, which compare as versions do."""
    return tuple(int(part) for part in version.split("."))


class Trial(BaseModel):
    """A release that runs and has not yet been found well.

    Releases before and after this one read and write it too: keys are never renamed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Version
    previous: Version  # what is gone back to
    starts: int = 0  # how often it was started to be watched
    raises: tuple[str, ...] = ()  # databases that the version before cannot read any more: no way back by itself
    why: str = ""  # why it was found ill, the last time


class Outcome(BaseModel):
    """How the last trial ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Version
    ended: Literal["kept", "taken back", "given up"]  # given up: it is ill, and there is no way back by itself
    at: str  # UTC
    why: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """One system's releases and what it remembers of updates; `root` is / unless it is an image that does not run."""

    root: Path

    @property
    def base(self) -> Path:
        """The folder of the links `current` and `previous`, and of `releases`."""
        return self.root / "opt/ostiary"

    @property
    def memory(self) -> Path:
        """The folder of what is remembered; root's alone."""
        return self.root / "var/lib/ostiary-update"

    @property
    def state(self) -> Path:
        """The state folder of reader and web."""
        return self.root / "var/lib/ostiary"

    @property
    def settings(self) -> Path:
        """The settings, which there may not be."""
        return self.root / "etc/ostiary/appliance.toml"

    @property
    def trusted(self) -> Path:
        """The public keys of those whose releases are taken.

        Not in etc/ostiary, which is the reader's: it could put an older file of root's back, with a key that is gone.
        """
        return self.root / "etc/ostiary-release.pub"

    @property
    def snapshot(self) -> Path:
        """Databases as they were before a release that changes them."""
        return self.memory / "snapshot"

    def set_aside(self) -> Path:
        """Return a folder that is not there yet, for databases in whose place older ones are put."""
        free = (number for number in count(1) if not (self.memory / f"set-aside-{number}").exists())
        return self.memory / f"set-aside-{next(free)}"

    def release(self, version: str) -> Path:
        """Return the folder of an installed release."""
        return self.base / "releases" / version

    def draft(self, version: str) -> Path:
        """Return the folder that an archive is unpacked in."""
        return self.base / "releases" / f".{version}.part"

    def program(self, version: str) -> Path:
        """Return the command `ostiary` of an installed release."""
        return self.release(version) / ".venv/bin/ostiary"

    def installed(self) -> tuple[str, ...]:
        """Return the versions that have a folder, oldest first."""
        folder = self.base / "releases"
        names = (one.name for one in folder.iterdir()) if folder.is_dir() else ()
        return tuple(sorted((name for name in names if _FOLDER.fullmatch(name)), key=ordered))

    def linked(self, name: Literal["current", "previous"]) -> str:
        """Return the version that a link leads to; "" where it leads to none that is there."""
        try:
            target = (self.base / name).readlink()
        except OSError:
            return ""
        there = target.parent in {Path("releases"), self.base / "releases"} and _FOLDER.fullmatch(target.name)
        return target.name if there and self.program(target.name).exists() else ""

    def link(self, name: Literal["current", "previous"], version: str) -> None:
        """Have a link lead to an installed release, durably, in one rename. Raises StorageError."""
        draft = self.base / f".{name}.new"
        try:
            draft.unlink(missing_ok=True)
            draft.symlink_to(Path("releases", version))
            draft.replace(self.base / name)
            sync_folder(self.base)
        except OSError as fault:
            raise StorageError(f"link {self.base / name} cannot be changed: {fault.strerror}") from fault

    def floor(self) -> str:
        """Return the oldest version that may be installed: the newest that was ever found well, and what runs.

        Raises StorageError where it cannot be read: not to know it is no reason to take anything.
        """
        path = self.memory / "floor"
        try:
            kept = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            kept = "0.0.0"
        except (OSError, ValueError) as fault:
            raise StorageError(f"file {path} cannot be read: {fault}") from fault
        if not _FOLDER.fullmatch(kept):
            raise StorageError(f"file {path} is damaged: {kept[:40]!r} is no version")
        return max(kept, self.linked("current") or "0.0.0", key=ordered)

    def raise_floor(self, version: str) -> None:
        """Refuse everything older than this version from now on; the floor never falls. Raises StorageError."""
        write_file(self.memory / "floor", f"{max(self.floor(), version, key=ordered)}\n".encode())

    def trial(self) -> Trial | None:
        """Return what is on trial; None for nothing. Raises StorageError."""
        table = _table(self.memory / "trial.json")
        return None if table is None else _checked(Trial, table, self.memory)

    def set_trial(self, trial: Trial | None) -> None:
        """Remember durably what is on trial, or that nothing is. Raises StorageError."""
        if trial is not None:
            write_file(self.memory / "trial.json", trial.model_dump_json().encode())
            return
        try:
            (self.memory / "trial.json").unlink(missing_ok=True)
            sync_folder(self.memory)
        except OSError as fault:
            raise StorageError(f"{self.memory / 'trial.json'} cannot be removed: {fault.strerror}") from fault

    def outcome(self) -> Outcome | None:
        """Return how the last trial ended; None where there was none. Raises StorageError."""
        table = _table(self.memory / "outcome.json")
        return None if table is None else _checked(Outcome, table, self.memory)

    def set_outcome(self, outcome: Outcome) -> None:
        """Remember durably how a trial ended. Raises StorageError."""
        write_file(self.memory / "outcome.json", outcome.model_dump_json().encode())

    def make(self) -> None:
        """Make the folders that are missing, those of what is remembered for their owner alone. Raises StorageError."""
        try:
            (self.base / "releases").mkdir(mode=0o755, parents=True, exist_ok=True)
            self.memory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as fault:
            raise StorageError(f"folder {fault.filename} cannot be made: {fault.strerror}") from fault


def _table(path: Path) -> dict[str, Any] | None:
    try:
        table: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as fault:
        raise StorageError(f"file {path} cannot be read: {fault}") from fault
    return table


def _checked(record: type[_Record], table: dict[str, Any], folder: Path) -> _Record:
    try:
        return record.model_validate(table)
    except ValidationError as fault:
        raise StorageError(f"what {folder} says of an update is damaged: {fault.errors()[0]['msg']}") from fault
