"""The key bundle: every key of a device in one small file, without which a backup cannot be read anywhere else.

It is sealed by a passphrase and signed as a backup is. Whoever is erased later can be read again by an old bundle with
an old backup: of bundles only the newest is to be kept.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.audit import canonical
from appliance.backup import archive, locks, sealed
from appliance.backup.passphrase import key_of
from appliance.errors import RefusedError
from appliance.people.device_key import KEY_BYTES
from appliance.people.keyring import Keyring, Tombstone
from appliance.signing import fingerprint
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAX_BYTES = 64 * 1024 * 1024  # half a million people

_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_Key = Annotated[str, Field(min_length=44, max_length=44)]


class _Stone(BaseModel):
    model_config = ConfigDict(extra="forbid")

    person_id: _Id
    erased_at: datetime
    key_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Bundle(BaseModel):
    model_config = ConfigDict(extra="forbid")

    people: dict[_Id, _Key]
    secrets: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")], _Key]
    tombstones: list[_Stone]


def write_bundle(
    path: Path, keyring: Keyring, passphrase: str, device_id: str, signer: Ed25519PrivateKey
) -> tuple[int, str]:
    """Write a new file with every key, and return how many people's it has, and the signer's fingerprint.

    Raises RefusedError for a file that exists and a passphrase that is too short, StorageError.
    """
    lock = sealed.Lock(by="passphrase", salt=sealed.new_salt())
    key = key_of(passphrase, lock.salt)
    people = keyring.keys()
    stones = [
        {"person_id": one.person_id, "erased_at": one.erased_at.isoformat(), "key_hash": one.key_hash}
        for one in keyring.tombstones()
    ]
    # What opens backups is made by the first of them, which may come after this bundle; the address goes along too.
    names = {*keyring.status().secrets, archive.SECRET, locks.SECRET}
    secrets = {name: _text(keyring.secret(name)) for name in sorted(names)}
    fields = {"people": {one: _text(own) for one, own in people.items()}, "secrets": secrets, "tombstones": stones}
    head = sealed.header("keys", device_id, lock, signer)
    with new_file(path) as file:
        sealed.write(file, head, key, [canonical(fields)], signer)
    return len(people), fingerprint(head.signer)


def read_bundle(path: Path, keyring: Keyring, passphrase: str) -> tuple[int, sealed.Seal]:
    """Take the keys of the bundle in, and return how many people's are new here, and who signed it.

    Into a keyring of nobody everything is taken; into one of the same device what is missing, except the keys of those
    who were erased. Raises RefusedError for a damaged file, a wrong passphrase, and another device's keys where there
    are people already.
    """
    with sealed.open_sealed(path, "keys") as opened:
        if opened.size > MAX_BYTES:
            raise RefusedError(f"file {path} is larger than any key bundle")
        plain = b"".join(opened.chunks(key_of(passphrase, opened.seal.header.lock.salt)))
        seal = opened.seal
    try:
        bundle = _Bundle.model_validate(json.loads(plain))
        people = {person_id: _bytes(key) for person_id, key in bundle.people.items()}
        secrets = {name: _bytes(key) for name, key in bundle.secrets.items()}
    except (ValueError, ValidationError, RecursionError) as fault:
        raise RefusedError(f"file {path} holds no key bundle") from fault
    stones = [Tombstone(one.person_id, one.erased_at, one.key_hash) for one in bundle.tombstones]
    return keyring.take_in(people, secrets, stones), seal


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _bytes(text: Any) -> bytes:  # noqa: ANN401 - whatever stands there
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as fault:
        raise ValueError("not base64") from fault
    if len(key) != KEY_BYTES:
        raise ValueError("not a key")
    return key
