"""Sealing: what is secret of a person as it lies in the gallery, under the person's own key.

AES-256-GCM: 12 random bytes, then the ciphertext with its tag. What a sealed value belongs to is bound to it, so that
one that was moved to another row, or whose row was edited, does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.exceptions import InvalidTag

from appliance import fixed_point
from appliance.people.keyring import NONCE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from numpy.typing import NDArray

_PREFIX = 3  # letters of a word by which it is looked for
TEMPLATE = b"ostiary template\0"
_INDEX_BYTES = 16
_WORD_BYTES = 4  # so short that words share it: a hit is a hint, and the name itself decides


def seal(key: AESGCM, value: bytes, bound: bytes) -> bytes:
    """Return the value sealed, bound to what it belongs to."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, value, bound)


def unseal(key: AESGCM, sealed: bytes, bound: bytes) -> bytes | None:
    """Return the value; None where it was altered, moved, or sealed under another key."""
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, TypeError, ValueError):
        return None


def seal_fields(key: AESGCM, fields: dict[str, Any], bound: bytes) -> bytes:
    """Return a record of texts, lists and None sealed."""
    return seal(key, json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode(), bound)


def unseal_fields(key: AESGCM | None, sealed: bytes, bound: bytes) -> dict[str, Any] | None:
    """Return the record; None as `unseal`, and where there is no key."""
    opened = None if key is None else unseal(key, sealed, bound)
    return None if opened is None else json.loads(opened)


def of_reference(reference_id: str, person_id: str, model_id: str, protection: str) -> bytes:
    """Return what a template is bound to."""
    return TEMPLATE + f"{reference_id}\0{person_id}\0{model_id}\0{protection}".encode("utf-8", "replace")


def of_photo(photo_id: str, person_id: str) -> bytes:
    """Return what a photo is bound to."""
    return f"ostiary photo\0{photo_id}\0{person_id}".encode("utf-8", "replace")


def of_name(person_id: str) -> bytes:
    """Return what name and external id are bound to."""
    return f"ostiary name\0{person_id}".encode("utf-8", "replace")


def of_facts(facts: Sequence[object]) -> bytes:
    """Return what the rest is bound to: the columns that can be read, so that they cannot be edited unseen."""
    return b"ostiary facts\0" + json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def encoded(vector: NDArray[np.float32]) -> bytes:
    """Return a template that `fixed_point.rounded` gave in 2 bytes a number, any other in 4; little-endian."""
    steps = vector / np.float32(fixed_point.step(len(vector)))
    whole = steps.astype("<i2") if np.abs(steps).max(initial=0) < 2**15 else None
    if whole is not None and np.array_equal(whole, steps):
        return whole.tobytes()
    return vector.astype("<f4").tobytes()


def decoded(blob: bytes, dimension: int) -> NDArray[np.float32] | None:
    """Return the template, (D,); None for bytes that are none."""
    if dimension > 0 and len(blob) == 2 * dimension:
        return np.frombuffer(blob, "<i2").astype(np.float32) * np.float32(fixed_point.step(dimension))
    if dimension > 0 and len(blob) == 4 * dimension:
        return np.frombuffer(blob, "<f4").astype(np.float32)
    return None


def decoded_all(blobs: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Return templates of 2 or 4 bytes a number, (N, D)."""
    if all(len(blob) == 2 * dimension for blob in blobs):
        whole = np.frombuffer(b"".join(blobs), "<i2").reshape(-1, dimension)
        found = np.empty(whole.shape, np.float32)
        np.multiply(whole, np.float32(fixed_point.step(dimension)), out=found)
        return found
    found = np.empty((len(blobs), dimension), np.float32)
    for at, blob in enumerate(blobs):
        found[at] = decoded(blob, dimension)
    return found


class BlindIndex:
    """Keyed hashes by which a name is found without being readable: equal names give equal hashes, and no more."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def whole(self, kind: str, text: str) -> bytes:
        """Return the hash by which exactly this text is found: 16 bytes."""
        return self._hash(kind, text)[:_INDEX_BYTES]

    def words(self, name: str) -> set[bytes]:
        """Return the hashes of the first letters of every word of a name: 4 bytes each."""
        return {self.word(one) for one in folded(name).split()}

    def word(self, word: str) -> bytes:
        """Return the hash of the first letters of one folded word."""
        return self._hash("word", word[:_PREFIX])[:_WORD_BYTES]

    def _hash(self, kind: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"{kind}\0{text}".encode("utf-8", "replace"), hashlib.sha256)


def folded(text: str) -> str:
    """Return the text as it is looked for: without case and accents, one space between words."""
    # Decomposed on both sides: a letter in a fancy type becomes a capital one, and a folded one may fall apart again.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = "".join(letter if letter.isalnum() else " " for letter in plain if not unicodedata.combining(letter))
    return " ".join(letters.split())
