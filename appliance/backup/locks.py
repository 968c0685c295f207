"""Who can open a sealed file: one other device, by its public key (X25519), or whoever has a passphrase (argon2id)."""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from appliance.backup import passphrase as passphrases
from appliance.backup.sealed import Lock, new_salt
from appliance.errors import RefusedError, UsageError

SECRET = "transfer"  # noqa: S105 - the name of the device's secret, not the secret


def address(secret: bytes) -> str:
    """Return the public key, in base64, of the device with this transfer secret of 32 bytes: 44 characters."""
    return base64.b64encode(_raw(_private(secret).public_key())).decode()


def lock_for(device: str) -> tuple[Lock, bytes]:
    """Return a lock that only the device of this address opens, and its key. Raises UsageError for what is none."""
    try:
        raw = base64.b64decode(device, validate=True)
        there = X25519PublicKey.from_public_bytes(raw)
        ephemeral = X25519PrivateKey.generate()
        shared = ephemeral.exchange(there)  # ValueError for a point of small order
    except (binascii.Error, ValueError) as fault:
        raise UsageError(f"address {device[:60]!r} is not one that ostiary backup address prints") from fault
    ours = _raw(ephemeral.public_key())
    return Lock(by="public key", salt=new_salt(), ephemeral=ours.hex()), _mixed(shared, ours, raw)


def lock_with(passphrase: str) -> tuple[Lock, bytes]:
    """Return a lock that the passphrase opens, and its key. Raises RefusedError for a short one."""
    lock = Lock(by="passphrase", salt=new_salt())
    return lock, passphrases.key_of(passphrase, lock.salt)


def key_of(lock: Lock, secret: bytes, passphrase: str) -> bytes:
    """Return the key of a file that is sealed for the device of this secret, or with this passphrase.

    Whether it is the right one shows when the file is opened. Raises RefusedError for a lock of another kind, or a
    passphrase that no file has.
    """
    if lock.by == "passphrase":
        return passphrases.key_of(passphrase, lock.salt)
    private = _private(secret)
    try:
        theirs = bytes.fromhex(lock.ephemeral)
        shared = private.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as fault:
        raise RefusedError(f"the file is sealed by {lock.by}, not for another device") from fault
    return _mixed(shared, theirs, _raw(private.public_key()))


def _private(secret: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(secret)


def _raw(public: X25519PublicKey) -> bytes:
    return public.public_bytes_raw()


def _mixed(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    """Return the key of one exchange, bound to both of its ends."""
    return hashlib.sha256(b"ostiary transfer\0" + shared + ephemeral + recipient).digest()
