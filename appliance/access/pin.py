"""The PIN: what may be one, how it is kept, and whether what was entered is it. It is in no log, repr or message."""

from __future__ import annotations

import base64
import threading
from enum import Enum
from itertools import pairwise

import argon2

from appliance.errors import RefusedError

MIN_DIGITS, MAX_DIGITS = 4, 12
# Of a PIN's ten thousand, no hash slows anybody for long who has the file; what limits guesses is the door.
# RFC 9106 with the least memory that OWASP's cheat sheet on password storage names: a Raspberry Pi has little.
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
_STEPS_OF_RUNS = ({0}, {1}, {9})  # between neighbours, modulo 10: all alike, rising, falling
_HASHING = threading.Lock()  # one at a time: whoever asks, memory and processor stay bounded


class PinWord(Enum):
    """What an entered PIN is."""

    RIGHT = "right"
    DURESS = "duress"  # opens as the right one does, and is told in silence
    WRONG = "wrong"


def checked_pin(text: str) -> str:
    """Return `text` where it may be a PIN. Raises RefusedError, which does not quote it, where it may not."""
    if not _is_number(text):
        raise RefusedError(f"this PIN is not {MIN_DIGITS} to {MAX_DIGITS} digits")
    if {(int(after) - int(before)) % 10 for before, after in pairwise(text)} in _STEPS_OF_RUNS:
        raise RefusedError("this PIN is one digit repeated or a run such as 1234 or 4321; others try those first")
    return text


def hash_pin(pin: str) -> str:
    """Return the argon2id hash of a PIN with its salt and parameters, for `verify`. Raises as `checked_pin`."""
    with _HASHING:
        return HASHER.hash(checked_pin(pin))


def verify(text: str, pin_hash: str, duress_hash: str, hasher: argon2.PasswordHasher = HASHER) -> PinWord:
    """Return what the entered text is; "" is the hash of somebody who has none.

    Two hashes are made whatever was entered and whoever it is about, nobody too: the time tells nothing.
    A damaged hash fits nothing.
    """
    entered = text if _is_number(text) else ""
    right = _fits(hasher, pin_hash, entered)
    duress = _fits(hasher, duress_hash, entered)
    if right:
        return PinWord.RIGHT
    return PinWord.DURESS if duress else PinWord.WRONG


def outdated(pin_hash: str) -> bool:
    """Tell whether a hash that a PIN fitted, or "", was made with other parameters than today's."""
    return bool(pin_hash) and HASHER.check_needs_rehash(pin_hash)


def _is_number(text: str) -> bool:
    return MIN_DIGITS <= len(text) <= MAX_DIGITS and text.isascii() and text.isdigit()


def _fits(hasher: argon2.PasswordHasher, pin_hash: str, entered: str) -> bool:
    with _HASHING:
        try:
            return hasher.verify(pin_hash or nobodys_hash(hasher), entered)
        except (argon2.exceptions.VerificationError, ValueError):  # the latter for what is no hash
            return False


def nobodys_hash(hasher: argon2.PasswordHasher) -> str:
    """Return a hash that costs as much as anybody's and that nothing fits."""
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len))
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
