"""The machine that is installed on, or the image of one: what it is, and how commands are run in it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .faults import InstallError, UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHONS = ("python3.11", "python3.13")  # those that scripts/check_wheels finds a wheel of every pinned package for
KNOWN = "Raspberry Pi OS or Debian 12 or 13 (64 bit), or JetPack 6 (Ubuntu 22.04), is needed"


@dataclass(frozen=True, slots=True)
class Device:
    """One system; `root` is / unless it is an image or a chroot that does not run."""

    root: Path  # absolute
    kind: str  # of table.SYSTEMS
    name: str  # as the system calls itself

    @property
    def here(self) -> bool:
        """Whether it is the one that this runs on."""
        return self.root == Path("/")

    @property
    def running(self) -> bool:
        """Whether its own systemd runs, so that units can be started."""
        return self.here and Path("/run/systemd/system").is_dir()

    def at(self, place: str | PurePosixPath) -> Path:
        """Return where an absolute path of the device is found from here."""
        return self.root / PurePosixPath(place).relative_to("/")

    def run(self, *command: str) -> str:
        """Run a command in it and return what it says. Raises InstallError with the last line of what went wrong."""
        return run(*command) if self.here else run("chroot", str(self.root), *command)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other installer off this system while the block runs. Raises InstallError where one is at work."""
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                raise InstallError(f"another installer is at work on {self.root}") from fault
            yield
        finally:
            os.close(folder)

    def python(self) -> str:
        """Return the path of its Python, "" where it has none that the pinned packages are for."""
        found = (f"/usr/bin/{name}" for name in PYTHONS)
        return next((path for path in found if self.at(path).exists()), "")

    def number_of(self, file: str, name: str) -> int | None:
        """Return the id of a user (`passwd`) or group (`group`); None where there is none of that name."""
        if name == "root":
            return 0
        return next((int(row[2]) for row in self._rows(file) if row[0] == name), None)

    def members_of(self, group: str) -> list[str]:
        """Return the users that a group names."""
        return next((row[3].split(",") for row in self._rows("group") if row[0] == group), [])

    def names(self, file: str) -> list[str]:
        """Return the users (`passwd`) or groups (`group`)."""
        return [row[0] for row in self._rows(file)]

    def _rows(self, file: str) -> list[list[str]]:
        path = self.at(f"/etc/{file}")
        text = path.read_text(errors="surrogateescape") if path.exists() else ""
        return [line.split(":") for line in text.splitlines()]


def detect(root: Path) -> Device:
    """Return what is found there. Raises UnusableError where nothing of ours was made for it."""
    facts = _facts(root)
    name = facts.get("PRETTY_NAME", "a system that does not say what it is")
    kind = _kind(root, facts.get("ID", ""), facts.get("VERSION_ID", ""))
    if not kind:
        raise UnusableError(f"{root} is {name}; {KNOWN}")
    if root == Path("/") and sys.maxsize < 2**32:
        raise UnusableError(f"{root} is {name} with 32 bits; {KNOWN}")
    return Device(root, kind, name)


def _kind(root: Path, system: str, version: str) -> str:
    if (system, version) in {("debian", "12"), ("debian", "13")}:
        # A Pi that runs plain Debian has no picamera2 to install: to us it is a machine like any other.
        return "raspberry-pi" if (root / "etc/rpi-issue").exists() else "debian"
    if (system, version) == ("ubuntu", "22.04") and (root / "etc/nv_tegra_release").exists():
        return "jetson"
    return ""


def _facts(root: Path) -> dict[str, str]:
    """Return what os-release says; nothing where there is none."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            lines = (root / place).read_text(errors="replace").splitlines()
        except OSError:
            continue
        pairs = (line.split("=", 1) for line in lines if "=" in line)
        return {key: value.strip("\"'") for key, value in pairs}
    return {}


def run(*command: str) -> str:
    """Run a command and return what it says. Raises InstallError with the last line of what went wrong."""
    surroundings = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        # No standard input: dpkg would ask there, unseen, what to do with a file of its own that was edited.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=surroundings,
            stdin=subprocess.DEVNULL,
        )
    except OSError as fault:
        raise InstallError(f"{command[0]} cannot be run: {fault.strerror}") from fault
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"it ended with {done.returncode}").splitlines()
        raise InstallError(f"`{' '.join(command)}` failed: {said[-1]}")
    return done.stdout
