"""The files that pip needs on a device: a wheel of every pinned package, for each machine and Python there is.

`requirements/wheels.json` records which they are, so that a lock that was changed without them is found offline.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from pathlib import Path

RECORD = "requirements/wheels.json"
LOCKS = tuple(f"requirements/{name}.lock" for name in ("build", "runtime", "pi", "jetson"))
MACHINES = ("aarch64", "x86_64")
PYTHONS = ("3.11", "3.13")  # Debian 12 and JetPack 6, Debian 13
_GLIBC = 35  # 2.35: Ubuntu 22.04's, the oldest there is
_COMPILED = (".c", ".cc", ".cpp", ".pyx", ".rs", ".f90")


class WheelError(Exception):
    """A package cannot be had for one of the devices; the message is one line."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of machine with one Python."""

    machine: str  # of MACHINES
    python: str  # of PYTHONS

    def __str__(self) -> str:
        return f"{self.machine}, Python {self.python}"

    def options(self) -> list[str]:
        """Return what tells pip to choose for this target and not for the machine it runs on."""
        wanted = ["--python-version", self.python, "--implementation", "cp"]
        return [*wanted, *(word for platform in self._platforms() for word in ("--platform", platform))]

    def takes(self, name: str) -> bool:
        """Tell by its name whether a file can be installed here; a source package can, as none needs a compiler."""
        if not name.endswith(".whl"):
            return True
        version = tuple(map(int, self.python.split(".")))
        own = cpython_tags(version, platforms=self._platforms())
        whole = compatible_tags(version, f"cp{version[0]}{version[1]}", self._platforms())
        return not parse_wheel_filename(name)[3].isdisjoint({*own, *whole})

    def _platforms(self) -> list[str]:
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(_GLIBC, 4, -1)]
        return tags + [f"{old}_{self.machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1")]


TARGETS = tuple(Target(machine, python) for machine in MACHINES for python in PYTHONS)


def pinned(tree: Path) -> dict[str, frozenset[str]]:
    """Return each package that a device may need, as name==version, with the SHA-256 of what may be installed."""
    found: dict[str, frozenset[str]] = {}
    for lock in LOCKS:
        for entry in re.split(r"\n(?=[a-z0-9])", (tree / lock).read_text()):
            named = re.match(r"[a-z0-9][a-z0-9._-]*==\S+", entry)
            if named is not None:
                found[named[0]] = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return found


def fetch(tree: Path, folder: Path) -> dict[str, str]:
    """Fetch what every target needs into a folder, and return the SHA-256 of each file that a lock pins.

    What is there already is not fetched again, and what else is there is left alone. Raises WheelError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        _download(tree, folder, target)
    found = kept(tree, folder)
    for name in found:
        if name.endswith(".tar.gz"):
            _refuse_compiled(folder / name)
    check(tree, found)
    return found


def kept(tree: Path, folder: Path) -> dict[str, str]:
    """Return name and SHA-256 of the files in a folder that a lock pins; one that was cut off is none of them."""
    allowed = {digest for digests in pinned(tree).values() for digest in digests}
    digests = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: digest for name, digest in digests.items() if digest in allowed}


def check(tree: Path, files: dict[str, str]) -> None:
    """Raise WheelError where these files (name, SHA-256) leave a package out on a target, or are not what is pinned."""
    packages = pinned(tree)
    for name, digest in files.items():
        if not any(digest in digests for digests in packages.values()):
            raise WheelError(f"{name} is in no lock: run scripts/check_wheels anew")
    for package, digests in packages.items():
        names = [name for name, digest in files.items() if digest in digests]
        for target in TARGETS:
            if not any(target.takes(name) for name in names):
                raise WheelError(f"{package} has nothing for {target}: run scripts/check_wheels, or choose another")


def recorded(tree: Path) -> dict[str, str]:
    """Return the files, with their SHA-256, that were found to be enough for the locks."""
    files: dict[str, str] = json.loads((tree / RECORD).read_text())
    return files


def _download(tree: Path, folder: Path, target: Target) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--require-hashes", "--dest", str(folder), *target.options()]
    for lock in LOCKS:
        command += ["--requirement", str(tree / lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise WheelError(f"{target}: {lines[0] if lines else 'pip failed'}")


def _refuse_compiled(sdist: Path) -> None:
    """Raise WheelError where a source package needs a compiler, which no door has."""
    with tarfile.open(sdist) as archive:
        compiled = [name for name in archive.getnames() if name.endswith(_COMPILED)]
    if compiled:
        raise WheelError(f"{sdist.name} comes as source and needs a compiler ({compiled[0]})")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
