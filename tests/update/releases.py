"""Small whole releases, signed, and a machine on which they are well or ill as the test says."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.signing import new_key, read_key
from appliance.update import claim as claims
from appliance.update.applying import Updater
from appliance.update.databases import known
from appliance.update.places import Places

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# As the real one does, it puts its own tree and an environment where the release belongs, and nothing else.
INSTALLER = """#!/bin/sh -e
tree=$(dirname "$(dirname "$0")")
[ "$1" = --release-only ] || { cp "$tree/version" "$tree/../../placed"; exit 0; }
release=$(dirname "$(dirname "$tree")")/$(cat "$tree/version")
mkdir -p "$release/.venv/bin"
cp -r "$tree/." "$release/"
cp "$tree/program" "$release/.venv/bin/ostiary"
"""
PROGRAM = """#!/bin/sh
case "$1" in
    update) cat "$(dirname "$0")/../../schemas.json" ;;
    check) exit 0 ;;
    *) exit 2 ;;
esac
"""


def files_of(version: str, *, schemas: Mapping[str, int] | None = None, program: str = PROGRAM) -> dict[str, str]:
    """Return what a small release holds, by its path."""
    return {
        "version": version,
        "schemas.json": json.dumps(schemas or known()),
        "program": program,
        "scripts/install": INSTALLER,
        "appliance/__init__.py": f'__version__ = "{version}"\n',
    }


def manifest_of(version: str, files: Mapping[str, str]) -> str:
    """Return the manifest that is right for these files."""
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    return json.dumps({"version": version, "commit": "0" * 40, "files": hashes})


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return an archive of these members, as they are."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else member.size
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return gzip.compress(raw.getvalue(), 1, mtime=0)


def member(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    """Return the header of a file."""
    header = tarfile.TarInfo(name)
    header.mode = mode
    return header


def archive_of(version: str, files: Mapping[str, str]) -> bytes:
    """Return the archive of a release."""
    whole = {**files, "manifest.json": manifest_of(version, files)}
    return packed([(member(f"ostiary-{version}/{name}"), text.encode()) for name, text in whole.items()])


@dataclass
class SimulatedMachine:
    """A machine that starts what `current` leads to; `ill_starts` says for how many starts each version is not well."""

    places: Places
    ill_starts: dict[str, int] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)  # "" for a stop
    _starts: Counter[str] = field(default_factory=Counter)

    def stop(self) -> None:
        """Stop everything."""
        self.started.append("")

    def restart(self) -> None:
        """Start what `current` leads to."""
        self.started.append(self.places.linked("current"))

    def ill(self, within_s: float) -> str:
        """Tell at once whether what was started last is well; a link that changed since changes nothing of that."""
        del within_s
        version = self.started[-1]
        self._starts[version] += 1
        return "the reader is not READY" if self._starts[version] <= self.ill_starts.get(version, 0) else ""


@dataclass
class House:
    """A machine with a release that runs, a key that it trusts, and a folder to make releases in."""

    folder: Path
    places: Places
    machine: SimulatedMachine
    said: list[str] = field(default_factory=list)

    @property
    def updater(self) -> Updater:
        """Return what updates it."""
        return Updater(self.places, self.machine, self.said.append)

    @property
    def key(self) -> Path:
        """Return the file of the key that it trusts."""
        return self.folder / "release.key"

    def made(
        self,
        version: str,
        *,
        schemas: Mapping[str, int] | None = None,
        program: str = PROGRAM,
        key: Path | None = None,
    ) -> Path:
        """Return a signed archive of a release."""
        return self.signed(version, archive_of(version, files_of(version, schemas=schemas, program=program)), key)

    def signed(self, version: str, content: bytes, key: Path | None = None) -> Path:
        """Return these bytes as an archive, signed."""
        file = self.folder / f"ostiary-{version}.tar.gz"
        file.write_bytes(content)
        claims.sign(file, version, read_key(key or self.key))
        return file

    def broken(self) -> list[str]:
        """Return what is not as it must be at any moment: `current` leads to a whole release."""
        version = self.places.linked("current")
        if not version:
            return ["current leads nowhere"]
        release = self.places.release(version)
        try:
            listed = json.loads((release / "manifest.json").read_text(encoding="utf-8"))["files"]
            found = {name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in listed}
        except (OSError, ValueError) as fault:
            return [f"{version} is not whole: {fault}"]
        return [name for name in listed if found[name] != listed[name]]

    def left_over(self) -> list[str]:
        """Return what lies among the releases and is not linked to."""
        linked = {self.places.linked("current"), self.places.linked("previous")}
        return sorted(one.name for one in (self.places.base / "releases").iterdir() if one.name not in linked)


def house(folder: Path, version: str = "1.0.0") -> House:
    """Return a machine on which `version` runs, installed as an update is."""
    places = Places(folder / "root")
    places.trusted.parent.mkdir(parents=True)
    places.state.mkdir(parents=True)
    made = House(folder, places, SimulatedMachine(places))
    places.trusted.write_text(f"{new_key(made.key)}  # the maintainers\n", encoding="ascii")
    made.updater.apply(made.made(version))
    (places.base / "previous").unlink()  # an installer leaves none
    made.machine.started.clear()
    return made
