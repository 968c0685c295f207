"""A key out of a passphrase: slow for whoever guesses, with a salt of each file's own."""

from __future__ import annotations

from argon2.low_level import Type, hash_secret_raw

from appliance.errors import RefusedError

SHORTEST = 12  # characters; the file may be tried against for as long as somebody likes, unlike a PIN at the door


def key_of(passphrase: str, salt: str) -> bytes:
    """Return 32 bytes by argon2id (RFC 9106, 4: the second choice, 64 MiB), in about a tenth of a second.

    `salt` is in hex. Raises RefusedError for a passphrase that is too short.
    """
    if len(passphrase) < SHORTEST:
        raise RefusedError(f"the passphrase has {len(passphrase)} characters; at least {SHORTEST} are needed")
    return hash_secret_raw(
        passphrase.encode(),
        bytes.fromhex(salt),
        time_cost=3,
        memory_cost=64 * 1024,
        parallelism=4,
        hash_len=32,
        type=Type.ID,
    )
