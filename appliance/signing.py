"""Ed25519 keys of clients and of the device: files of private keys, and public keys as text.

A private key stays where it was made.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def new_key(path: Path) -> str:
    """Write a new private key to `path` (PEM, PKCS 8, mode 0600) and return its public key in base64.

    Raises RefusedError where the file exists, and UsageError where it cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError as fault:
        raise RefusedError(f"key file {path} exists and is not overwritten") from fault
    except OSError as fault:
        raise UsageError(f"key file {path} cannot be written: {fault.strerror}") from fault
    return public_text(key)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in the PEM file at `path`. Raises UsageError where there is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as fault:
        raise UsageError(f"key file {path} cannot be read: {fault.strerror}") from fault
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        raise UsageError(f"key file {path} holds no private key without a password") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"key file {path} holds another kind of key; Ed25519 is wanted")
    return key


def own_key(path: Path) -> Ed25519PrivateKey:
    """Return this device's key in the file at `path`, made there where there is none. Raises as the two above."""
    if not path.exists():
        new_key(path)
    return read_key(path)


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public key of `key` in base64: 44 characters."""
    return public_key_text(key.public_key())


def public_key_text(key: Ed25519PublicKey) -> str:
    """Return a public key in base64: 44 characters."""
    return base64.b64encode(key.public_bytes_raw()).decode()


def read_public_key(text: str) -> Ed25519PublicKey:
    """Return the public key in base64 `text`. Raises UsageError where that is none, or not the usual spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
        if base64.b64encode(raw).decode() == text:
            return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        pass
    raise UsageError(f"public key {text[:60]!r} is not the base64 of 32 bytes, as ostiary client keygen prints it")


def fingerprint(public_key: str) -> str:
    """Return what people compare of a public key in base64: 32 hex digits in groups of four."""
    digest = hashlib.sha256(public_key.encode()).hexdigest()[:32]
    return " ".join(re.findall("....", digest))
