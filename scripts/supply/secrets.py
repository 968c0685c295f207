"""What looks like a key, a password or a token in text that others get to read."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHAPES = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40,}",
    "cloud key": r"\bAKIA[0-9A-Z]{16}\b",
    "code host's token": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bglpat-[A-Za-z0-9_-]{20,}\b",
    "index's token": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "chat token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "web token": r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}",
    "password in an address": r"://[^\s/:@\"'<>{}$]{1,64}:[^\s/@\"'<>{}$]{3,64}@[a-z0-9.-]+",
    "hash of a password": r"\$argon2id?\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{30,}"
    r"|\$7\$\d+\$[A-Za-z0-9+/=]{8,}\$[A-Za-z0-9+/=]{40,}",
}
_NAMED = re.compile(
    r"(?i)(?:password|passwd|passphrase|secret|token|api_?key|private_?key)[a-z_]*[\"']?\s*[:=]\s*"
    r"[\"']([A-Za-z0-9+/=_.!@#%^&*-]{12,})[\"']"
)
_LEAST_BITS = 3.7  # of entropy a character: words of a language have less, what was drawn at random more
_LEAST_HEX_BITS = 2.8  # of hex digits, which have 4 at most


def found(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, from 1, and the kind of everything that looks like a secret."""
    for kind, shape in _SHAPES.items():
        for match in re.finditer(shape, text):
            yield text.count("\n", 0, match.start()) + 1, kind
    for match in _NAMED.finditer(text):
        least_bits = _LEAST_HEX_BITS if re.fullmatch(r"(?i)[0-9a-f]{16,}", match[1]) else _LEAST_BITS
        if entropy(match[1]) >= least_bits and re.search(r"\d", match[1]):
            yield text.count("\n", 0, match.start()) + 1, "password or token"


def entropy(text: str) -> float:
    """Return Shannon's entropy of a text's characters, in bits a character; 0 for nothing."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
