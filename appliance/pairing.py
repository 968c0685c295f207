"""Pairing: how somebody who is shown a code at the door makes their public key known there, over a broker that may lie.

The code has 60 random bits, is good for one window of minutes, and never leaves the two screens. From it and the
device's id scrypt makes a key (about 0.1 s and 32 MiB a guess). Under that key the joiner's MAC covers device, client
id and public key, so a broker can neither put its own key there nor carry the MAC to another door; the door's MAC
covers the role besides, so it cannot feign a success or another role either. Whoever sees a MAC can test guesses
without asking the door, but must find the code before the window closes: 2^59 guesses of 0.1 s on average. The salt is
fixed, for nothing is said before the joiner speaks: guessing ahead of time is as long. docs/client.md has the argument.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_CODE = re.compile(rf"[{_ALPHABET}]{{12}}")
_LOOKS_LIKE = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_COST = 2**15
_MEMORY_BYTES = 64 * 1024 * 1024  # above the 32 MiB that this cost takes


def new_code() -> str:
    """Return a new code, such as `7K3M-Q9TX-2HVB`."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return "-".join(re.findall("....", letters))


def letters_of(text: str) -> str | None:
    """Return the 12 letters of a code as it was written down; None for text that is no code.

    Case, blanks and hyphens do not matter, and O, I and L are read as the digits that they look like.
    """
    letters = text.upper().translate(_LOOKS_LIKE)
    return letters if _CODE.fullmatch(letters) else None


def pairing_key(code: str, device_id: str) -> bytes | None:
    """Return the 32 bytes that a code stands for at this device; None for text that is no code."""
    letters = letters_of(code)
    if letters is None:
        return None
    salt = b"ostiary pairing 1\0" + device_id.encode()
    return hashlib.scrypt(letters.encode(), salt=salt, n=_COST, r=8, p=1, maxmem=_MEMORY_BYTES, dklen=32)


def joining_proof(key: bytes, *, device_id: str, client_id: str, public_key: str) -> str:
    """Return what shows that the joiner was shown the code: 64 hexadecimal digits."""
    return _mac(key, says="joining", device_id=device_id, client_id=client_id, public_key=public_key)


def joined_proof(key: bytes, *, device_id: str, client_id: str, public_key: str, role: str) -> str:
    """Return what shows that the answer comes from where the code was shown, and is about this key and role."""
    return _mac(key, says="joined", device_id=device_id, client_id=client_id, public_key=public_key, role=role)


def same(proof: str, other: str) -> bool:
    """Tell whether two proofs are equal, in a time that does not tell how nearly."""
    return hmac.compare_digest(proof.encode(), other.encode())


def _mac(key: bytes, **covered: str) -> str:
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
