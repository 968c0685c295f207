"""A sealed file: encrypted in chunks under one key, signed as a whole by one device.

Magic, one line of JSON, chunks of AES-256-GCM, an Ed25519 signature over the SHA-512 of all before it. The key of each
file comes from the given one and a salt (HKDF-SHA256); a chunk's nonce is its number and whether it is the last
(STREAM, Hoang et al. 2015), so that none can be dropped, doubled or moved. docs/backup.md has the bytes.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.audit import canonical
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.signing import fingerprint, public_text, read_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAGIC = b"OSTIARY SEALED 1\n"
CHUNK_BYTES = 64 * 1024
MAX_HEADER_BYTES = 4096
SIGNATURE_BYTES = 64
_TAG_BYTES = 16
_CONTEXT = b"ostiary sealed file\0"

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Kind = Literal["backup", "templates", "keys"]


class Lock(BaseModel):
    """From what the file's key is derived, besides what only the right reader has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: Literal["device", "public key", "passphrase"]
    salt: Hex32
    ephemeral: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""  # the sender's, for "public key"


class Header(BaseModel):
    """What anybody may read of a sealed file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Kind
    made_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]  # UTC
    device_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    signer: Annotated[str, Field(min_length=44, max_length=44)]  # public key, base64
    lock: Lock


@dataclass(frozen=True, slots=True)
class Seal:
    """Who sealed a file and when, as the signature bears out."""

    header: Header
    signer: str  # fingerprint of the device's key
    file_hash: str  # SHA-256 of the whole file, hex


def header(kind: Kind, device_id: str, lock: Lock, signer: Ed25519PrivateKey) -> Header:
    """Return the header of a file that is made now."""
    made_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Header(kind=kind, made_at=made_at, device_id=device_id, signer=public_text(signer), lock=lock)


def new_salt() -> str:
    """Return 32 random bytes in hex."""
    return os.urandom(32).hex()


def write(file: BinaryIO, head: Header, key: bytes, plain: Iterable[bytes], signer: Ed25519PrivateKey) -> None:
    """Seal `plain`, in pieces of any size, into an open file. Raises OSError."""
    line = MAGIC + canonical(head.model_dump()) + b"\n"
    seen = hashlib.sha512(line)
    file.write(line)
    box, bound = _box(key, head, line)
    for number, (chunk, last) in enumerate(_chunked(plain)):
        sealed = box.encrypt(_nonce(number, last=last), chunk, bound)
        seen.update(sealed)
        file.write(sealed)
    file.write(signer.sign(_CONTEXT + seen.digest()))


@dataclass(frozen=True, slots=True)
class Sealed:
    """An open sealed file of which every byte is as the signer left it."""

    file: BinaryIO
    seal: Seal
    size: int  # bytes of the chunks together
    start: int  # where they begin

    def chunks(self, key: bytes) -> Iterator[bytes]:
        """Yield the plain bytes, piece by piece. Raises RefusedError where the key is not the one."""
        self.file.seek(0)
        box, bound = _box(key, self.seal.header, self.file.read(self.start))
        left, number = self.size, 0
        while left:
            sealed = self.file.read(min(left, CHUNK_BYTES + _TAG_BYTES))
            left -= len(sealed)
            try:
                yield box.decrypt(_nonce(number, last=not left), sealed, bound)
            except InvalidTag as fault:
                raise RefusedError(f"file {self.file.name} does not open: it was sealed for somebody else") from fault
            number += 1


@contextmanager
def open_sealed(path: Path, kind: Kind) -> Iterator[Sealed]:
    """Give the sealed file at `path` once its signature has been checked over all of it.

    Raises RefusedError, one line, for anything that is not such a file, whole and unaltered; UsageError where it cannot
    be read.
    """
    try:
        file = path.open("rb")
    except OSError as fault:
        raise UsageError(f"file {path} cannot be read: {fault.strerror}") from fault
    with file:
        try:
            checked = _checked(file, path, kind)
        except OSError as fault:
            raise StorageError(f"file {path} cannot be read: {fault.strerror}") from fault
        yield checked


def _checked(file: BinaryIO, path: Path, kind: Kind) -> Sealed:
    if file.read(len(MAGIC)) != MAGIC:
        raise RefusedError(f"file {path} is not a sealed file of this version of Ostiary")
    line = file.readline(MAX_HEADER_BYTES)
    head = _header(line, path)
    if head.kind != kind:
        raise RefusedError(f"file {path} holds {head.kind}, not {kind}")
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start - SIGNATURE_BYTES
    # What is left over for the last chunk must hold at least its tag; an empty file has one empty chunk.
    if size < _TAG_BYTES or 0 < size % (CHUNK_BYTES + _TAG_BYTES) < _TAG_BYTES:
        raise RefusedError(f"file {path} is cut short")
    file.seek(0)
    seen, whole = hashlib.sha512(), hashlib.sha256()
    _hash(file, start + size, (seen.update, whole.update))
    signature = file.read(SIGNATURE_BYTES)
    whole.update(signature)
    try:
        read_public_key(head.signer).verify(signature, _CONTEXT + seen.digest())
    except (InvalidSignature, UsageError) as fault:
        raise RefusedError(f"file {path} was altered or is cut short: its signature does not fit it") from fault
    return Sealed(file, Seal(head, fingerprint(head.signer), whole.hexdigest()), size, start)


def _header(line: bytes, path: Path) -> Header:
    try:
        head = Header.model_validate_json(line)
    except ValidationError as fault:
        raise RefusedError(f"file {path} is damaged: its first line cannot be read") from fault
    if canonical(head.model_dump()) + b"\n" != line:  # whatever else the same values could be written as is not ours
        raise RefusedError(f"file {path} is damaged: its first line was altered")
    return head


def _hash(file: BinaryIO, count: int, sinks: tuple[Callable[[bytes], object], ...]) -> None:
    while count:
        piece = file.read(min(count, CHUNK_BYTES))
        if not piece:  # cut while we read
            return
        count -= len(piece)
        for sink in sinks:
            sink(piece)


def _box(key: bytes, head: Header, line: bytes) -> tuple[AESGCM, bytes]:
    """Return the cipher of this file, and what every chunk is bound to."""
    derived = HKDF(hashes.SHA256(), 32, bytes.fromhex(head.lock.salt), _CONTEXT + head.kind.encode()).derive(key)
    return AESGCM(derived), hashlib.sha512(line).digest()


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _chunked(plain: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield chunks of full size, and at last what is left, with whether it is the last; one empty one for nothing."""
    waiting = bytearray()
    for piece in plain:
        waiting += piece
        while len(waiting) > CHUNK_BYTES:  # not >=: what comes last must be known to be the last
            yield bytes(waiting[:CHUNK_BYTES]), False
            del waiting[:CHUNK_BYTES]
    yield bytes(waiting), True
