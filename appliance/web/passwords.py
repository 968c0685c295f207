"""Passwords: what may be one, and how it is kept. None is in a log, a repr or a message."""

from __future__ import annotations

import argon2
from argon2.profiles import RFC_9106_LOW_MEMORY

from appliance.access.pin import nobodys_hash
from appliance.errors import RefusedError

MIN_LETTERS, MAX_LETTERS = 10, 200
# RFC 9106, the second recommended choice: 3 passes over 64 MiB.
HASHER = argon2.PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
# Of the lists of leaked passwords, what is at the top and long enough; NIST SP 800-63B has them refused.
_LEAKED = """
    1234567890 12345678910 123456789a 0123456789 0987654321 9876543210 1q2w3e4r5t 1qaz2wsx3edc qwertyuiop qwerty12345
    qwerty123456 qwertyuiop123 asdfghjkl123 zxcvbnm1234 abcdefghij abcd123456 abc1234567 password12 password123
    password1234 password12345 password123456 passw0rd123 p@ssword123 p@ssw0rd123 mypassword passwordpassword
    iloveyou12 iloveyou123 princess123 sunshine123 football123 baseball123 welcome123 welcome1234 letmein123
    letmein1234 administrator admin12345 admin123456 adminadmin changeme123 changemenow default123 superman123
    charlie123 trustno1234 dragon12345 monkey12345 master12345 shadow12345 computer123 internet123 raspberrypi
    raspberry123 ostiary123 ostiary1234 facerecognition
"""
_COMMON = frozenset(_LEAKED.split())


def checked_password(password: str, name: str) -> str:
    """Return `password` where an account of this name may have it. Raises RefusedError, which does not quote it.

    What it is made of does not matter, only that it is 10 to 200 letters that are not the first that others try.
    """
    if not MIN_LETTERS <= len(password) <= MAX_LETTERS:
        raise RefusedError(f"a password has {MIN_LETTERS} to {MAX_LETTERS} letters; this one has {len(password)}")
    plain = password.lower().replace(" ", "")
    if plain in _COMMON or len(set(plain)) < 4:
        raise RefusedError("this password is among the first that others try; take another")
    if name.lower() in plain and len(plain) < len(name) + MIN_LETTERS:
        raise RefusedError("this password is little more than the name; take another")
    return password


def hash_password(password: str, name: str) -> str:
    """Return the argon2id hash with its salt, in some tenths of a second. Raises as `checked_password`."""
    return HASHER.hash(checked_password(password, name))


def fits(password_hash: str, password: str) -> bool:
    """Tell whether the password is the one that was hashed; "" is the hash of nobody, and costs the same time."""
    try:
        return HASHER.verify(password_hash or nobodys_hash(HASHER), password[: MAX_LETTERS + 1]) and bool(password_hash)
    except (argon2.exceptions.VerificationError, ValueError):  # the latter for what is no hash
        return False
