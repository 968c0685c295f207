"""What whoever makes a release says of its archive, signed: version, size and hash; and whose word is taken.

The signature lies beside the archive, as FILE.sig, so that nothing of the archive is read before it holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from cryptography.exceptions import InvalidSignature
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.audit import canonical
from appliance.errors import RefusedError, UsageError
from appliance.signing import public_text, read_public_key
from appliance.update.places import Version, ordered
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_ARCHIVE_BYTES = 1 << 30
_MAX_SIGNATURE_BYTES = 4096
_MAX_KEYS_BYTES = 65_536
_BOUND = b"ostiary release\0"  # so that no signature of ours for anything else is one of a release
_PIECE_BYTES = 1 << 20


class Claim(BaseModel):
    """What is signed of an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    version: Version
    size: Annotated[int, Field(gt=0, le=MAX_ARCHIVE_BYTES)]  # bytes
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signed_at: Annotated[str, Field(max_length=40)]  # UTC, for people to read
    signer: Annotated[str, Field(min_length=44, max_length=44)]  # public key, base64

    def signed_bytes(self) -> bytes:
        """Return what the signature covers: every field, in one spelling."""
        return _BOUND + canonical(self.model_dump(mode="json"))


class _Signed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    claim: Claim
    signature: Annotated[str, Field(min_length=88, max_length=88)]  # Ed25519, base64


def signature_file(archive: Path) -> Path:
    """Return where the signature of an archive lies."""
    return archive.with_name(f"{archive.name}.sig")


def sign(archive: Path, version: str, key: Ed25519PrivateKey) -> Claim:
    """Write the signature beside an archive, in place of an older one, and return what it says.

    Raises UsageError where the archive cannot be read or is too large, or the version is none; StorageError where the
    signature cannot be written.
    """
    size, digest = measured(archive)
    fields = {"format": 1, "version": version, "size": size, "sha256": digest, "signer": public_text(key)}
    try:
        claim = Claim.model_validate(fields | {"signed_at": datetime.now(UTC).isoformat(timespec="seconds")})
    except ValidationError as fault:
        first = fault.errors()[0]
        wanted = "it must be three numbers, as 1.2.3" if first["loc"] == ("version",) else first["msg"]
        raise UsageError(f"{archive} cannot be signed: {first['loc'][0]} is {first['input']!r}; {wanted}") from fault
    signature = base64.b64encode(key.sign(claim.signed_bytes())).decode()
    with new_file(signature_file(archive), replace=True) as file:
        file.write(canonical({"claim": claim.model_dump(mode="json"), "signature": signature}) + b"\n")
        os.fchmod(file.fileno(), 0o644)  # it goes wherever the archive goes
    return claim


def verify(archive: Path, keys: tuple[str, ...], floor: str) -> Claim:
    """Return what is said of an archive, once it is shown that one of `keys` said so of these very bytes.

    Raises RefusedError where there is no signature, it is nobody's we trust, it does not hold, the archive is not the
    one that was signed, or its version is older than `floor`; UsageError where the archive cannot be read.
    """
    signed = _read(signature_file(archive))
    claim = signed.claim
    if claim.signer not in keys:
        raise RefusedError(f"{archive.name} is signed by {claim.signer}, whose releases are not trusted here")
    try:
        read_public_key(claim.signer).verify(base64.b64decode(signed.signature, validate=True), claim.signed_bytes())
    except (InvalidSignature, ValueError) as fault:
        raise RefusedError(f"the signature of {archive.name} does not hold") from fault
    if measured(archive) != (claim.size, claim.sha256):
        raise RefusedError(f"{archive.name} is not the file that was signed: it was cut or changed")
    if ordered(claim.version) < ordered(floor):
        raise RefusedError(f"{archive.name} holds {claim.version}; nothing older than {floor} is taken")
    return claim


def trusted_keys(path: Path) -> tuple[str, ...]:
    """Return the public keys whose releases are taken: one a line in base64, `#` begins a remark.

    Raises RefusedError where the file is missing, is not root's or our own, may be written to by others, or holds what
    is no key.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            found, content = os.fstat(file.fileno()), file.read(_MAX_KEYS_BYTES)
    except FileNotFoundError as fault:
        raise RefusedError(f"no release is trusted: put the public key of who makes them into {path}") from fault
    except OSError as fault:
        raise RefusedError(f"release keys {path} cannot be read: {fault.strerror}") from fault
    # Whoever may write to it could have anything installed.
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
        raise RefusedError(f"release keys {path} are not believed: they must be a file that only root may write")
    lines = (line.partition("#")[0].strip() for line in content.decode("utf-8", "replace").splitlines())
    keys = tuple(line for line in lines if line)
    try:
        for key in keys:
            read_public_key(key)
    except UsageError as fault:
        raise RefusedError(f"release keys {path}: {fault}") from fault
    return keys


def measured(archive: Path) -> tuple[int, str]:
    """Return a file's size in bytes and its SHA-256. Raises UsageError where it cannot be read, or is too large."""
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
                size += len(piece)
                if size > MAX_ARCHIVE_BYTES:
                    raise UsageError(f"{archive} is larger than {MAX_ARCHIVE_BYTES} bytes")
    except OSError as fault:
        raise UsageError(f"{archive} cannot be read: {fault.strerror}") from fault
    return size, digest.hexdigest()


def _read(path: Path) -> _Signed:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIGNATURE_BYTES)
    except OSError as fault:
        raise RefusedError(f"there is no signature {path.name} beside the file: {fault.strerror}") from fault
    try:
        return _Signed.model_validate(json.loads(content))
    except (ValueError, RecursionError) as fault:  # ValidationError is one
        raise RefusedError(f"signature {path.name} is not one of a release") from fault
