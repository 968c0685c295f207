"""The pass: only the device's own words for this door and this hour are one, and no text is a fault."""

from __future__ import annotations

import base64
import math
import struct
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.access.passes import (
    MAX_LIFETIME,
    MAX_USES,
    PREFIX,
    Pass,
    PassFault,
    PassRefused,
    new_pass,
    read_pass,
    sign_pass,
)
from appliance.errors import RefusedError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOON = 1_800_000_000
ADA = "a" * 32
PASS = new_pass(ADA, NOON, timedelta(hours=8), 1)
TEXT = sign_pass(PASS, KEY, "ostiary", "front")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def read(text: str, now: float = NOON + 60) -> Pass | PassRefused:
    """Read a text at the front door of this device."""
    return read_pass(text, KEY.public_key(), "ostiary", "front", now)


def refused(why: PassFault) -> PassRefused:
    """Return the refusal."""
    return PassRefused(why)


def signed(body: bytes) -> str:
    """Return the text of any body under this device's true signature."""
    signature = KEY.sign(b"OSTIARY1.\0ostiary\0front\0" + body)
    return PREFIX + base64.b32encode(body + signature).decode().rstrip("=")


@given(
    person=st.binary(min_size=16, max_size=16),
    not_before=st.integers(0, 2**32 - 1 - 31 * 86400),
    seconds=st.integers(1, 31 * 86400),
    uses=st.integers(1, MAX_USES),
    share=st.floats(0, 1, exclude_max=True),
)
def test_what_is_signed_is_read(person: bytes, not_before: int, seconds: int, uses: int, share: float) -> None:
    """Every pass within bounds comes back as it was made, at every moment at which it is valid."""
    made = new_pass(person.hex(), not_before, timedelta(seconds=seconds), uses)
    text = sign_pass(made, KEY, "ostiary", "front")
    assert len(text) == 165
    assert set(text.removeprefix(PREFIX)) <= set(ALPHABET)
    assert read(text, not_before + math.floor(share * seconds)) == made


def test_passes_differ() -> None:
    """Two passes for the same person and hours are two: each has its own id."""
    assert len({new_pass(ADA, NOON, timedelta(hours=8), 1).pass_id for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOON - 1, refused(PassFault.NOT_YET_VALID)),
        (NOON - 0.001, refused(PassFault.NOT_YET_VALID)),
        (NOON, PASS),
        (NOON + 8 * 3600 - 0.001, PASS),
        (NOON + 8 * 3600, refused(PassFault.EXPIRED)),
        (0.0, refused(PassFault.NOT_YET_VALID)),
        (math.inf, refused(PassFault.EXPIRED)),
        (math.nan, refused(PassFault.EXPIRED)),
    ],
)
def test_a_pass_is_valid_in_its_hours_alone(now: float, expected: Pass | PassRefused) -> None:
    """C14, H1: before, after, in 1970 and by a clock that tells no number, it is refused."""
    assert read(TEXT, now) == expected


@pytest.mark.parametrize(
    ("key", "device_id", "door"),
    [(OTHER_KEY, "ostiary", "front"), (KEY, "ostiary2", "front"), (KEY, "ostiary", "back"), (KEY, "ostiaryfront", "")],
)
def test_a_pass_serves_at_one_door_of_one_device(key: Ed25519PrivateKey, device_id: str, door: str) -> None:
    """C14: another device's key, and this device's pass for another door, are not ours."""
    assert read(sign_pass(PASS, key, device_id, door)) == refused(PassFault.NOT_OURS)


@given(st.integers(0, 8 * 97 - 1))
def test_no_flipped_bit_goes_unseen(bit: int) -> None:
    """E1: whichever bit of a pass is another, the signature does not hold."""
    raw = bytearray(base64.b32decode(TEXT.removeprefix(PREFIX) + "===="))
    raw[bit // 8] ^= 1 << bit % 8
    altered = PREFIX + base64.b32encode(raw).decode().rstrip("=")
    assert read(altered) == refused(PassFault.NOT_OURS)


@given(st.integers(0, len(TEXT) - 1), st.characters())
@example(len(TEXT) - 1, "R")
def test_a_pass_has_one_spelling(at: int, letter: str) -> None:
    """E1: any other letter in any place is refused, spare bits of the last one and lower case too."""
    altered = TEXT[:at] + letter + TEXT[at + 1 :]
    if altered != TEXT:
        assert read(altered) in {refused(PassFault.UNREADABLE), refused(PassFault.NOT_OURS)}


def test_every_spelling_of_the_last_letter_but_one_is_refused() -> None:
    """E1: the four spare bits of the last letter make no second pass out of one."""
    assert [letter for letter in ALPHABET if isinstance(read(TEXT[:-1] + letter), Pass)] == [TEXT[-1]]


@pytest.mark.parametrize("length", range(len(TEXT)))
def test_a_pass_that_was_cut_is_none(length: int) -> None:
    """E1: no beginning of a pass is a pass."""
    assert read(TEXT[:length]) == refused(PassFault.UNREADABLE)


@pytest.mark.parametrize(
    "text",
    [
        f"{TEXT} ",
        f" {TEXT}",
        f"{TEXT}\n",
        f"{TEXT}=",
        f"{TEXT}===",
        TEXT + TEXT,
        TEXT.lower(),
        TEXT.replace(PREFIX, "OSTIARY2."),
        "' OR 1=1--",
        "A" * 4096,
        PREFIX + "=" * 156,
        PREFIX + "\0" * 156,
        PREFIX + "\ud800" * 156,
        PREFIX + "\u0391" * 156,
        "\U0001f6aa" * 165,
        "x" * 10**7,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_hostile_text_is_no_pass(text: str) -> None:
    """E1: quotes, half characters, other scripts, padding, ten megabytes: one answer, no fault."""
    assert read(text) == refused(PassFault.UNREADABLE)


@given(st.text() | st.text(ALPHABET + "=", min_size=150, max_size=160).map(PREFIX.__add__))
def test_no_text_is_a_fault(text: str) -> None:
    """E1: whatever was shown, the answer is a value."""
    assert isinstance(read(text), PassRefused)


@given(st.binary(max_size=140))
def test_no_bytes_are_a_fault(raw: bytes) -> None:
    """E1: whatever bytes the letters stand for, with or without a signature of the right length."""
    assert isinstance(read(PREFIX + base64.b32encode(raw).decode().rstrip("=")), PassRefused)


@pytest.mark.parametrize(
    ("seconds", "uses"),
    [(0, 1), (-1, 1), (MAX_LIFETIME.total_seconds() + 1, 1), (60, 0), (60, -1), (60, MAX_USES + 1)],
)
def test_a_pass_has_bounds(seconds: float, uses: int) -> None:
    """None is made for no time, for more than 31 days, for no use or for more than 20."""
    with pytest.raises(RefusedError, match="out of bounds: at most 31 days"):
        new_pass(ADA, NOON, timedelta(seconds=seconds), uses)


@pytest.mark.parametrize("not_before", [-1, 2**32 - 60, 2**40])
def test_a_pass_is_of_this_age(not_before: int) -> None:
    """What its 32 bits of seconds cannot say is refused, and no fault."""
    with pytest.raises(RefusedError, match="between 1970 and 2106"):
        new_pass(ADA, not_before, timedelta(minutes=1), 1)


@pytest.mark.parametrize(
    ("until", "uses"), [(NOON, 1), (NOON - 1, 1), (NOON + 31 * 86400 + 1, 1), (NOON + 60, 0), (NOON + 60, 21)]
)
def test_bounds_hold_for_what_we_signed_ourselves(until: int, uses: int) -> None:
    """H3: a pass of a year, or of 200 uses, is refused though the signature is ours."""
    body = struct.pack(">8s16sIIB", bytes(8), bytes.fromhex(ADA), NOON, until, uses)
    assert read(signed(body), NOON + 1) == refused(PassFault.OUT_OF_BOUNDS)


def test_the_signature_covers_what_the_test_says() -> None:
    """The forgeries above are forged rightly: the same way gives a good pass where it is within bounds."""
    body = struct.pack(">8s16sIIB", bytes(8), bytes.fromhex(ADA), NOON, NOON + 60, 1)
    assert read(signed(body), NOON + 1) == Pass("0" * 16, ADA, NOON, NOON + 60, 1)


@pytest.mark.parametrize("person_id", ["", "ada", "a" * 30, "a" * 34])
def test_only_an_id_is_signed(person_id: str) -> None:
    """What is no person's id is a bug of the caller, and no code comes of it."""
    with pytest.raises(ValueError, match="hex"):
        sign_pass(new_pass(person_id, NOON, timedelta(hours=1), 1), KEY, "ostiary", "front")
