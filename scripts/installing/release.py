"""A release: the tree and its environment in one folder, /opt/ostiary/releases/<version>, there whole or not at all.

It is made beside and renamed, so nothing in it may know where it lies: the package is found by a relative path, and
the command finds its Python beside itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import InstallError
from .step import Step
from .system import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .system import Device

BASE = "/opt/ostiary"
# What runs, what is read, and what installs. The tests stay behind: a door has no use for them.
PARTS = (
    "appliance",
    "docs",
    "firmware_config",
    "models",
    "ostiary_client",
    "requirements",
    "scripts",
    "systemd",
    "CHANGELOG.md",
    "LICENSE",
    "NOTICE",
    "README.md",
    "hardware.md",
    "pyproject.toml",
)
LOCKS = {"raspberry-pi": "requirements/pi.lock", "jetson": "requirements/jetson.lock"}
OTHER_LOCK = "requirements/jetson.lock"  # libgpiod drives any chip; a machine without one does not miss it
MANIFEST = "manifest.json"
_WHOLE = "release.json"  # written last
# A shell runs the second line and Python takes it for a text: that is how the command finds the Python beside it.
_COMMAND = """\
#!/bin/sh
'''exec' "$(dirname "$(readlink -f "$0")")/python" -P "$0" "$@"
' '''
from appliance.cli import main

main()
"""


@dataclass(frozen=True, slots=True)
class Release:
    """What one tree becomes on one device."""

    device: Device
    tree: Path
    wheels: Path | None  # a folder of all that pip may take; None asks the index
    bare: bool  # without an environment: Python's packages come from elsewhere
    version: str

    @property
    def folder(self) -> Path:
        """Where it lies once it is whole."""
        return self.device.at(f"{BASE}/releases/{self.version}")

    @property
    def draft(self) -> Path:
        """Where it is made."""
        return self.folder.with_name(f".{self.version}.new")

    def steps(self) -> list[Step]:
        """Return what makes it, in order; nothing of it is left to do where it is there, and is of this tree."""
        named = f"release {self.version}"

        def needed() -> bool:
            return not _is_made(self)

        environment = Step(f"{named}: make its environment ({self.lock})", needed, lambda: _begin(self, _environment))
        return [
            Step(f"{named}: copy the program", needed, lambda: _begin(self, _copy)),
            *([] if self.bare else [environment]),
            Step(f"{named}: check its models", needed, lambda: _begin(self, lambda _: check_models(self.draft))),
            Step(f"{named}: put it in its place, {self.folder}", needed, lambda: _settle(self)),
        ]

    def link(self) -> Step:
        """Return what makes it the one that runs."""
        link = self.device.at(f"{BASE}/current")
        target = f"releases/{self.version}"

        def do() -> None:
            draft = link.with_name(".current.new")
            draft.unlink(missing_ok=True)
            draft.symlink_to(target)
            draft.replace(link)

        return Step(f"{link} leads to {target}", lambda: not (link.is_symlink() and str(link.readlink()) == target), do)

    @property
    def lock(self) -> str:
        """What the environment holds, a file of the tree."""
        return LOCKS.get(self.device.kind, OTHER_LOCK)

    def identity(self) -> str:
        """Return what tells this release from another one of the same version, as 64 hex digits."""
        parts = [f"{path.relative_to(self.tree)} {_hash(path)}" for path in files(self.tree)]
        return hashlib.sha256(
            "\n".join([*parts, self.lock, "" if self.bare else self.device.python()]).encode()
        ).hexdigest()


def version_of(tree: Path) -> str:
    """Return the version that a tree says it is of. Raises InstallError."""
    try:
        found = re.search(r'^__version__ = "([0-9.]+)"$', (tree / "appliance/__init__.py").read_text(), re.MULTILINE)
    except OSError as fault:
        raise InstallError(f"{tree} holds no Ostiary: {fault}") from fault
    if found is None:
        raise InstallError(f"{tree / 'appliance/__init__.py'} does not say its version")
    return found[1]


def files(tree: Path) -> Iterator[Path]:
    """Yield every file of a tree that belongs to a release, in a fixed order."""
    for part in PARTS:
        top = tree / part
        if top.is_file():
            yield top
        for path in sorted(top.rglob("*")):
            within = path.relative_to(tree).parts
            if path.is_file() and "__pycache__" not in within and not any(name.startswith(".") for name in within):
                yield path


def check_manifest(tree: Path) -> None:
    """Raise InstallError where a file of an unpacked bundle is not the one that was packed; a clone has no manifest."""
    try:
        named: dict[str, str] = dict(json.loads((tree / MANIFEST).read_text())["files"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise InstallError(f"{tree / MANIFEST} cannot be read: unpack the bundle again") from fault
    for name, wanted in named.items():
        if not (tree / name).is_file() or _hash(tree / name) != wanted:
            raise InstallError(f"{tree / name} is not as it was packed: unpack the bundle again")
    for path in files(tree):
        if str(path.relative_to(tree)) not in named:
            raise InstallError(f"{path} was not packed: unpack the bundle again, into an empty folder")


def check_models(tree: Path) -> None:
    """Raise InstallError where a model is not the one that the manifest names: it would be refused at the door."""
    try:
        models = tomllib.loads((tree / "models/manifest.toml").read_text())["model"]
    except (OSError, ValueError, KeyError) as fault:
        raise InstallError(f"{tree / 'models/manifest.toml'} cannot be read: {fault}") from fault
    for model in models:
        path = tree / "models" / model["file"]
        if not path.is_file() or _hash(path) != model["sha256"]:
            raise InstallError(f"{path} is missing or damaged: take the tree anew")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_made(release: Release) -> bool:
    """Tell whether the release is there, made of the very same tree; a tree that is the release itself is."""
    try:
        known: dict[str, str] = json.loads((release.folder / _WHOLE).read_text())
    except (OSError, ValueError):
        return False
    return release.tree == release.folder.resolve() or known.get("identity") == release.identity()


def _begin(release: Release, part: Callable[[Release], None]) -> None:
    """Do a part of making the draft, which is gone where that fails: each run begins anew, and the disk may be full."""
    try:
        part(release)
    except BaseException:
        shutil.rmtree(release.draft, ignore_errors=True)
        raise


def _copy(release: Release) -> None:
    try:
        for left in release.folder.parent.glob(".*.new"):
            shutil.rmtree(left)
        for path in files(release.tree):
            target = release.draft / path.relative_to(release.tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    except OSError as fault:
        raise InstallError(f"{release.draft} cannot be written: {fault.strerror}") from fault


def _environment(release: Release) -> None:
    """Make the draft's .venv: what the locks name, and nothing that they do not."""
    inside = f"/{release.draft.relative_to(release.device.root)}"
    device = release.device
    # On a Pi, picamera2 and lgpio are the system's; what both have is taken from ours, which comes first.
    of_the_system = ["--system-site-packages"] if device.kind == "raspberry-pi" else []
    python = device.python()
    if not python:
        raise InstallError(f"{device.root} has no Python 3.11 or 3.13 in /usr/bin")
    device.run(python, "-m", "venv", *of_the_system, f"{inside}/.venv")
    source = ["--no-index", "--find-links", _reachable(release)] if release.wheels else []
    for lock in ("requirements/build.lock", release.lock):
        device.run(
            *(f"{inside}/.venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-cache-dir", "--no-deps", "--no-build-isolation", "--ignore-installed", "--require-hashes"),
            *(*source, "-r", f"{inside}/{lock}"),
        )
    site = device.run(
        f"{inside}/.venv/bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    ).strip()
    depth = len(os.path.relpath(site, inside).split("/"))
    device.at(f"{site}/ostiary.pth").write_text("../" * depth + "\n")
    command = release.draft / ".venv/bin/ostiary"
    command.write_text(_COMMAND)
    command.chmod(0o755)
    # Nobody may write here later, and a door that starts should not have to read source.
    device.run(f"{inside}/.venv/bin/python", "-m", "compileall", "-q", f"{inside}/appliance")


def _reachable(release: Release) -> str:
    """Return where the device's own pip finds the wheels: in an image, in a copy that goes with the draft."""
    if release.wheels is None or release.device.here:
        return str(release.wheels)
    copy = release.draft / ".wheels"
    shutil.copytree(release.wheels, copy, dirs_exist_ok=True)
    return f"/{copy.relative_to(release.device.root)}"


def _settle(release: Release) -> None:
    """Have the draft take the place of what is there; a power cut between the two renames is mended by a second run."""
    shutil.rmtree(release.draft / ".wheels", ignore_errors=True)
    whole = {"version": release.version, "identity": release.identity()}
    (release.draft / _WHOLE).write_text(json.dumps(whole) + "\n")
    run("sync", "--file-system", str(release.draft))
    old = release.folder.with_name(f".{release.version}.old.new")
    if release.folder.exists():
        release.folder.rename(old)
    release.draft.rename(release.folder)
    shutil.rmtree(old, ignore_errors=True)
