"""The device key: 32 bytes under which everything in `keys.db` is wrapped.

It comes from a systemd credential where there is one (sealed by the machine's TPM where that has one), else from a
file beside the databases that only its owner may read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import StorageError
from appliance.storage import sync_folder

CREDENTIAL = "ostiary.gallery-key"  # LoadCredentialEncrypted= in the reader's unit names it
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """One key, and where it came from."""

    secret: bytes
    source: Literal["credential", "file"]

    @property
    def key_id(self) -> str:
        """What tells it from another one and says nothing of it: 16 hex digits."""
        return hashlib.sha256(b"ostiary device key\0" + self.secret).hexdigest()[:16]


class KeyStore:
    """Where the device key of the databases in `folder` is kept."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gallery.key"
        self._next = folder / "gallery.key.next"

    def find(self, key_id: str) -> DeviceKey:
        """Return the key of this id. Raises StorageError where it is not here, and for a file others may read."""
        found = self._all()
        for one in found:
            if one.key_id == key_id:
                return one
        here = f"{len(found)} other" if found else "no"
        raise StorageError(
            f"the device key {key_id} that {self.file.with_name('keys.db')} asks for is not here "
            f"({here} key was found); it is the systemd credential {CREDENTIAL} or the file {self.file}"
        )

    def first(self) -> DeviceKey:
        """Return the credential, or the key in the file, which is made where it is missing. Raises StorageError."""
        return self._credential() or self._read(self.file) or self._make(self.file)

    def fresh(self) -> DeviceKey:
        """Return the key to change to: the credential, or a new one in a file that waits for `settle`."""
        with suppress(FileNotFoundError):
            self._next.unlink()
        return self._credential() or self._make(self._next)

    def settle(self, key_id: str) -> None:
        """Put the key of this id in its place where it still waits: a power cut came between."""
        waiting = self._read(self._next)
        if waiting is not None and waiting.key_id == key_id:
            self._next.replace(self.file)
            sync_folder(self.file.parent)

    def retire(self, key_id: str) -> None:
        """Destroy the file's key where it is not the one of this id."""
        kept = self._read(self.file)
        if kept is not None and kept.key_id != key_id:
            _overwrite(self.file)
            sync_folder(self.file.parent)

    def _all(self) -> list[DeviceKey]:
        return [one for one in (self._credential(), self._read(self.file), self._read(self._next)) if one is not None]

    def _credential(self) -> DeviceKey | None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            return None
        try:
            secret = (Path(folder) / CREDENTIAL).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise StorageError(f"the credential {CREDENTIAL} cannot be read: {fault.strerror}") from fault
        return DeviceKey(_checked(secret, f"credential {CREDENTIAL}"), "credential")

    def _read(self, path: Path) -> DeviceKey | None:
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                secret = file.read(KEY_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise StorageError(f"device key {path} cannot be read: {fault.strerror}") from fault
        if mode & 0o077:
            raise StorageError(f"device key {path} has mode {mode:04o}; only 0600 is allowed, for others could read it")
        return DeviceKey(_checked(secret, f"device key {path}"), "file")

    def _make(self, path: Path) -> DeviceKey:
        """Write a new key whole, or take the one that another process has just written."""
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
            sync_folder(path.parent)
        except OSError as fault:
            raise StorageError(f"device key {path} cannot be written: {fault.strerror}") from fault
        made = self._read(path)
        if made is None:
            raise StorageError(f"device key {path} has gone while it was written")
        return made


def _checked(secret: bytes, what: str) -> bytes:
    if len(secret) != KEY_BYTES:
        raise StorageError(f"{what} has {len(secret)} bytes; {KEY_BYTES} are needed")
    return secret


def _overwrite(path: Path) -> None:
    """Remove a key, zeros first: the best a file system lets us do."""
    with path.open("r+b") as file:
        file.write(bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
