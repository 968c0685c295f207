"""The parts of a release: packages from the locks, models from their manifest, Debian's packages from the list."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bundling.wheels import TARGETS
from scripts.installing import table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("runtime", "pi", "jetson")
# Where the package says it in prose, or in none of the places that a program reads.
_SAID = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Public Domain": "LicenseRef-public-domain",
}
_EXACT = {"pyasn1-modules": "BSD-2-Clause"}  # says "BSD"; its LICENSE.txt has two clauses


class SupplyError(Exception):
    """Something about the parts cannot be found out, or is not allowed; the message is one line."""


@dataclass(frozen=True, slots=True)
class Package:
    """One of Python's packages, as the locks pin it."""

    name: str
    version: str
    licence: str  # SPDX expression
    locks: tuple[str, ...]  # of LOCKS
    needs: tuple[str, ...]  # names of other parts

    @property
    def purl(self) -> str:
        """Its name among all packages there are."""
        return f"pkg:pypi/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Model:
    """A model file that comes with a release."""

    model_id: str
    file: str
    sha256: str
    licence: str
    origin: str


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package that a lock's text names."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", lock, re.MULTILINE))


def locked(root: Path = ROOT) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return each package that a device may get, with its version and the locks that name it."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for lock in LOCKS:
        for name, version in pins((root / f"requirements/{lock}.lock").read_text("utf-8")).items():
            before, locks = found.get(name, (version, ()))
            if before != version:
                raise SupplyError(f"{name} is {before} in one lock and {version} in {lock}.lock")
            found[name] = (version, (*locks, lock))
    return dict(sorted(found.items()))


def packages(known: Mapping[str, Package], root: Path = ROOT) -> tuple[Package, ...]:
    """Return every package with its licence and needs.

    What is installed here says so itself; of anything else, `known` does, or its wheel is fetched and read.
    Raises SupplyError where a package cannot be read.
    """
    pinned = locked(root)
    return tuple(_package(name, version, locks, known, frozenset(pinned)) for name, (version, locks) in pinned.items())


def models(root: Path = ROOT) -> tuple[Model, ...]:
    """Return the models."""
    listed = tomllib.loads((root / "models/manifest.toml").read_text("utf-8"))["model"]
    return tuple(
        Model(
            one["model_id"],
            one["file"],
            one["sha256"],
            one["licence"],
            f"{one['package']} {one['package_version']}, {one['package_path']}",
        )
        for one in listed
    )


def debian(root: Path = ROOT) -> tuple[str, ...]:
    """Return the names of Debian's packages that an installation asks for; "a | b" is the first that apt knows."""
    return tuple(sorted({name for some in table.read(root).packages for name in some.names}))


def bundled(site: Path) -> dict[str, tuple[str, ...]]:
    """Return the libraries that wheels of a site-packages folder bring along beside their own code, by package."""
    found = {}
    for folder in sorted(site.glob("*.libs")):
        names = {re.split(r"[-.]", path.name)[0].rstrip("0123456789_") for path in folder.iterdir()}
        found[folder.name.removesuffix(".libs").replace("_", "-")] = tuple(sorted(names))
    return found


def licence_of(metadata: Message) -> str:
    """Return the SPDX expression of a package's licence. Raises SupplyError where it states none that is known."""
    name = re.sub(r"[-_.]+", "-", str(metadata["Name"])).lower()
    if name in _EXACT:
        return _EXACT[name]
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    classes = [one.rsplit(" :: ", 1)[-1] for one in metadata.get_all("Classifier", []) if one.startswith("License")]
    for said in (stated, *classes):
        if said in _SAID:
            return _SAID[said]
        if said and re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", said):
            return str(said)
    raise SupplyError(f"{name} {metadata['Version']} does not say its licence: {stated[:60]!r}, {classes}")


def _package(
    name: str, version: str, locks: tuple[str, ...], known: Mapping[str, Package], names: frozenset[str]
) -> Package:
    metadata = _installed(name, version)
    if metadata is None:
        before = known.get(name)
        if before is not None and before.version == version:
            return Package(name, version, before.licence, locks, before.needs)
        metadata = _fetched(name, version)
    wanted = (_need(line) for line in metadata.get_all("Requires-Dist", []))
    needs = sorted({one for one in wanted if one in names and one != name})
    return Package(name, version, licence_of(metadata), locks, tuple(needs))


def _need(line: str) -> str:
    """Return the name in a requirement; "" for one of an extra that nobody asked for."""
    found = re.match(r"[A-Za-z0-9._-]+", line)
    return "" if found is None or "extra ==" in line else re.sub(r"[-_.]+", "-", found[0]).lower()


def _installed(name: str, version: str) -> Message | None:
    try:
        metadata = importlib.metadata.distribution(name).read_text("METADATA") or ""
    except importlib.metadata.PackageNotFoundError:
        return None
    message = Parser().parsestr(metadata, headersonly=True)
    return message if message["Version"] == version else None


def _fetched(name: str, version: str) -> Message:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += [*TARGETS[0].options(), "--dest", folder, f"{name}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                inside = next(one for one in packed.namelist() if one.endswith(".dist-info/METADATA"))
                return Parser().parsestr(packed.read(inside).decode(), headersonly=True)
    raise SupplyError(f"{name} {version} is neither installed nor to be had: {done.stderr.strip()[-120:]}")
