"""A pass: what is signed into a QR code for one person, for this door, for a while. It never opens by itself.

It is a second factor for a face that was recognised. What it says holds only while the device's own list has it too
(`people.passes`): a revoked pass is no longer in that list.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# Base 32 and not base64: upper case alone lets a QR code take 5.5 bits a letter, so that the code is coarser.
PREFIX = "OSTIARY1."
MAX_LIFETIME = timedelta(days=31)
MAX_USES = 20

_BODY = struct.Struct(">8s16sIIB")  # pass, person, not before, until, uses
_SIGNATURE_BYTES = 64  # Ed25519
_TEXT_LENGTH = len(PREFIX) + -(-8 * (_BODY.size + _SIGNATURE_BYTES) // 5)


class PassFault(StrEnum):
    """Why a code that was shown does not serve."""

    UNREADABLE = "not a pass"
    NOT_OURS = "altered, or made for another door or by another device"
    OUT_OF_BOUNDS = "valid for too long, or for no use"
    NOT_YET_VALID = "not valid yet"
    EXPIRED = "expired"
    OTHER_PERSON = "somebody else's"
    WITHDRAWN = "revoked, or of somebody erased"
    USED_UP = "used up"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass says."""

    pass_id: str  # random, 16 hex digits
    person_id: str  # 32 hex digits
    not_before: int  # Unix seconds
    until: int  # Unix seconds, the first that is too late
    uses: int  # how often it serves, 1..20


@dataclass(frozen=True, slots=True)
class PassRefused:
    """Why nothing comes of a code that was shown."""

    why: PassFault


def new_pass(person_id: str, not_before: int, lifetime: timedelta, uses: int) -> Pass:
    """Return a pass with a new id. Raises RefusedError for a lifetime or number of uses that no door takes."""
    made = Pass(secrets.token_hex(8), person_id, not_before, not_before + int(lifetime.total_seconds()), uses)
    if not _within_bounds(made):
        given = f"a pass for {lifetime} and {uses} uses"
        bounds = f"at most {MAX_LIFETIME.days} days between 1970 and 2106, 1 to {MAX_USES} uses"
        raise RefusedError(f"{given} is out of bounds: {bounds}")
    return made


def sign_pass(made: Pass, key: Ed25519PrivateKey, device_id: str, door: str) -> str:
    """Return the text of the pass for this door: 165 of A-Z, 2-7 and the prefix's. Raises ValueError for odd ids."""
    ids = (bytes.fromhex(made.pass_id), bytes.fromhex(made.person_id))
    if tuple(map(len, ids)) != (8, 16):
        raise ValueError(f"pass {made.pass_id!r} of {made.person_id!r}: 16 and 32 hex digits are wanted")
    body = _BODY.pack(*ids, made.not_before, made.until, made.uses)
    return _as_text(body + key.sign(_signed(body, device_id, door)))


def read_pass(text: str, key: Ed25519PublicKey, device_id: str, door: str, now: float) -> Pass | PassRefused:
    """Return what a code says where it is a pass for this door, valid at `now` (Unix seconds), or why it is none.

    No text raises. One pass has one spelling. Whether it was revoked or used is not known here.
    """
    raw = _raw(text)
    if raw is None:
        return PassRefused(PassFault.UNREADABLE)
    body, signature = raw[: _BODY.size], raw[_BODY.size :]
    try:
        key.verify(signature, _signed(body, device_id, door))
    except InvalidSignature:
        return PassRefused(PassFault.NOT_OURS)
    pass_id, person_id, *rest = _BODY.unpack(body)
    read = Pass(pass_id.hex(), person_id.hex(), *rest)
    if not _within_bounds(read):  # ours, but of another version
        return PassRefused(PassFault.OUT_OF_BOUNDS)
    if not now < read.until:  # this way round, as below, a clock that is NaN refuses
        return PassRefused(PassFault.EXPIRED)
    return read if now >= read.not_before else PassRefused(PassFault.NOT_YET_VALID)


def _raw(text: str) -> bytes | None:
    """Return the bytes of a well-formed text; None for any other, at once where its length or prefix is wrong."""
    if len(text) != _TEXT_LENGTH or not text.startswith(PREFIX):
        return None
    try:
        letters = text.removeprefix(PREFIX)
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        return None
    return raw if _as_text(raw) == text else None  # the last letter has spare bits, which must be zero


def _as_text(raw: bytes) -> str:
    return PREFIX + base64.b32encode(raw).decode().rstrip("=")


def _signed(body: bytes, device_id: str, door: str) -> bytes:
    """Return the bytes that a signature covers: with the place, so that a pass serves nowhere else."""
    return b"\0".join((PREFIX.encode(), device_id.encode(), door.encode(), body))


def _within_bounds(one: Pass) -> bool:
    if not 0 <= one.not_before < one.until < 2**32:  # 2106
        return False
    return one.until - one.not_before <= MAX_LIFETIME.total_seconds() and 1 <= one.uses <= MAX_USES
