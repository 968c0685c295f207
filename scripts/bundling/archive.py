"""One archive of a release with all that pip needs: the same commit gives the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scripts.installing import table
from scripts.installing.release import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def committed(tree: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and mode of each committed file that belongs to a release; what is not committed stays out."""
    packed = _git(tree, "archive", "--format=tar", "HEAD", "--", *(part for part in PARTS if _is_committed(tree, part)))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            body = archive.extractfile(member)
            if body is not None:
                found[member.name] = (body.read(), 0o755 if member.mode & 0o100 else 0o644)
    return found


def packages(tree: Path) -> str:
    """Return the names of Debian's packages by system and role, which the archive does not hold."""
    listed = table.read(tree)
    lines = ["# What apt fetches, by system and role. A machine without a network needs these packages from elsewhere."]
    for system in table.SYSTEMS:
        for role in table.ROLES:
            names = [name for some in listed.meant_for(system, [role]).packages for name in some.names]
            lines.append(f"{system} {role}: {', '.join(names)}")
    return "\n".join(lines) + "\n"


def write(tree: Path, wheels: Mapping[str, Path], target: Path) -> str:
    """Write the archive of the commit that is checked out, and return its name's version.

    It is one folder `ostiary-VERSION/` of the tree, `wheels/`, `debs.txt` and `manifest.json`, which holds every
    other file's SHA-256. Raises subprocess.CalledProcessError where the tree is no clone, OSError where it cannot
    be written.
    """
    files = committed(tree) | {"debs.txt": (packages(tree).encode(), 0o644)}
    version = version_in(files)
    commit = _git(tree, "rev-parse", "HEAD").decode().strip()
    made_s = int(_git(tree, "log", "-1", "--format=%ct"))
    hashes = {name: hashlib.sha256(content).hexdigest() for name, (content, _mode) in files.items()}
    for name, path in wheels.items():
        with path.open("rb") as file:
            hashes[f"wheels/{name}"] = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = {
        "version": version,
        "commit": commit,
        "made_at": datetime.fromtimestamp(made_s, UTC).isoformat(),
        "files": dict(sorted(hashes.items())),
    }
    files["manifest.json"] = ((json.dumps(manifest, indent=1) + "\n").encode(), 0o644)
    draft = target.with_name(f".{target.name}.part")
    with (
        draft.open("wb") as plain,
        # Level 1: wheels are packed already. No name and no time in the header: they would differ.
        # USTAR: an update refuses headers that rename a member.
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=plain, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, (content, mode) in sorted(files.items()):
            archive.addfile(_member(f"ostiary-{version}/{name}", len(content), mode, made_s), io.BytesIO(content))
        for name, path in sorted(wheels.items()):
            member = _member(f"ostiary-{version}/wheels/{name}", path.stat().st_size, 0o644, made_s)
            with path.open("rb") as body:
                archive.addfile(member, body)
    draft.replace(target)
    return version


def version_in(files: Mapping[str, tuple[bytes, int]]) -> str:
    """Return the version that the committed files say they are of."""
    found = re.search(rb'^__version__ = "([0-9.]+)"$', files["appliance/__init__.py"][0], re.MULTILINE)
    if found is None:
        raise ValueError("appliance/__init__.py does not say its version")
    return found[1].decode()


def _member(name: str, size: int, mode: int, time_s: int) -> tarfile.TarInfo:
    """Return a header that says nothing of the machine it was made on."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, time_s
    return member


def _is_committed(tree: Path, part: str) -> bool:
    return bool(_git(tree, "ls-tree", "--name-only", "HEAD", "--", part))


def _git(tree: Path, *words: str) -> bytes:
    # A clone that belongs to somebody else is read, not run.
    command = ["git", "-c", f"safe.directory={tree}", "-C", str(tree), *words]
    return subprocess.run(command, capture_output=True, check=True).stdout
