"""The archive of a release: read piece by piece, within bounds, and never believed before its hash is right."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from contextlib import contextmanager
from gzip import GzipFile
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.errors import RefusedError, StorageError
from appliance.update.disk import sync_disk
from appliance.update.places import Version  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.update.claim import Claim

MANIFEST = "manifest.json"
MAX_UNPACKED_BYTES = 2 << 30
MAX_MEMBERS = 20_000
_MAX_MANIFEST_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Version
    files: dict[str, str]  # path below the release's folder: SHA-256


class _Member(tarfile.TarInfo):
    """A file or a folder; everything else an archive may hold is refused from its header, before its body is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
            raise RefusedError(f"the archive holds {member.name[:80]!r}, which is neither a file nor a folder")
        return member


class _Watched(RawIOBase):
    """The archive's bytes, counted and hashed as they pass."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        self.size += len(piece)
        return piece

    def rest(self) -> None:
        """Read what comes after the archive's end too: it was signed with the rest."""
        while self.read(_PIECE_BYTES):
            pass


class _Bounded(RawIOBase):
    """What is unpacked, up to a bound."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise RefusedError(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return piece


def unpack(archive: Path, claim: Claim, folder: Path) -> Path:
    """Unpack a verified archive into a new folder, and return the release's own folder in it, durable.

    Raises RefusedError, and leaves no folder, where the archive is not the one that was signed, holds anything but
    files and folders below `ostiary-VERSION/`, is larger than the bounds, or is not what its manifest says;
    StorageError where it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
        _take(archive, claim, folder)
        sync_disk(folder)
    except OSError as fault:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{archive} cannot be unpacked into {folder}: {fault.strerror}") from fault
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / _top(claim)


def examine(archive: Path, claim: Claim) -> int:
    """Read a verified archive as `unpack` does, write nothing, and return how many files it holds. Raises likewise."""
    try:
        return _take(archive, claim, None)
    except OSError as fault:
        raise StorageError(f"{archive} cannot be read: {fault.strerror}") from fault


def _take(archive: Path, claim: Claim, folder: Path | None) -> int:
    """Read every member, write it where there is a folder, and hold it all against manifest and claim."""
    hashes: dict[str, str] = {}
    manifest = b""
    with archive.open("rb") as file:
        watched = _Watched(file)
        with _faults_named(archive), tarfile.open(mode="r|", fileobj=_plain(watched), tarinfo=_Member) as tar:
            for path, member in _members(tar, claim):
                target = folder / path if folder is not None else None
                if member.isdir():
                    _make_folder(target)
                    continue
                name = path.relative_to(_top(claim)).as_posix()
                if name in hashes:
                    raise RefusedError(f"the archive holds {name[:80]!r} twice")
                keep = name == MANIFEST and member.size <= _MAX_MANIFEST_BYTES
                content, hashes[name] = _file(_body(tar, member), target, member.mode, keep=keep)
                manifest = content if keep else manifest
        watched.rest()
        if (watched.size, watched.digest.hexdigest()) != (claim.size, claim.sha256):
            raise RefusedError(f"{archive.name} was changed while it was read")
    _hold(hashes, manifest, claim)
    return len(hashes)


def _plain(watched: _Watched) -> Any:  # noqa: ANN401 - tarfile and gzip ask for less than their stubs say
    packed: Any = watched
    unpacked: Any = GzipFile(fileobj=packed)
    return _Bounded(unpacked)


@contextmanager
def _faults_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, ValueError, UnicodeError) as fault:
        raise RefusedError(f"{archive.name} is no archive of a release: {fault}") from fault
    except OSError as fault:
        if fault.errno is None:  # gzip's own: no such magic, a wrong checksum
            raise RefusedError(f"{archive.name} is no archive of a release: {fault}") from fault
        raise


def _members(tar: tarfile.TarFile, claim: Claim) -> Iterator[tuple[PurePosixPath, tarfile.TarInfo]]:
    """Yield every member with its path, once that is one that may be written."""
    for count, member in enumerate(tar, 1):
        path = PurePosixPath(member.name)
        plain = member.name.isprintable() and "\\" not in member.name and str(path) == member.name
        if not plain or path.is_absolute() or ".." in path.parts or path.parts[:1] != (_top(claim),):
            raise RefusedError(f"the archive holds {member.name[:80]!r}, which is no path below {_top(claim)}")
        if count > MAX_MEMBERS:
            raise RefusedError(f"the archive holds more than {MAX_MEMBERS} files")
        yield path, member


def _body(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    body = tar.extractfile(member)
    if body is None:
        raise RefusedError(f"the archive holds {member.name[:80]!r}, which is no file")
    return body


def _make_folder(target: Path | None) -> None:
    if target is not None:
        target.mkdir(mode=0o755, parents=True, exist_ok=True)


def _file(body: IO[bytes], target: Path | None, mode: int, *, keep: bool) -> tuple[bytes, str]:
    """Write one file where there is a target; return its SHA-256, and its content where that is to be kept."""
    digest, kept = hashlib.sha256(), []
    with _written(target, mode) as file:
        while piece := body.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
            if keep:
                kept.append(piece)
    return b"".join(kept), digest.hexdigest()


def _written(target: Path | None, mode: int) -> BinaryIO:
    if target is None:
        return Path(os.devnull).open("wb")
    _make_folder(target.parent)
    # O_EXCL: nothing is written over, or through a link.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(target, flags, 0o755 if mode & 0o100 else 0o644), "wb")


def _hold(hashes: dict[str, str], content: bytes, claim: Claim) -> None:
    """Raise RefusedError where what was read is not what the archive's manifest says."""
    try:
        manifest = _Manifest.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as fault:
        raise RefusedError(f"the archive has no {MANIFEST} that can be read") from fault
    if manifest.version != claim.version:
        raise RefusedError(f"the archive says it is {manifest.version}; {claim.version} was signed")
    wrong = {MANIFEST: hashes.get(MANIFEST)} | manifest.files
    differ = sorted(name for name in wrong.keys() | hashes.keys() if wrong.get(name) != hashes.get(name))
    if differ:
        raise RefusedError(f"the archive is not what its {MANIFEST} says: {differ[0][:80]!r} differs")


def _top(claim: Claim) -> str:
    return f"ostiary-{claim.version}"
