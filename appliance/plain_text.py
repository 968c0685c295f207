"""Plain text: what people may call somebody, and what may be shown to them, holds nothing that steers a display."""

from __future__ import annotations

import unicodedata

_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they let one text be shown as another
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_plain(text: str) -> bool:
    """Tell whether no character controls a terminal or the direction of text."""
    return not any(_steers(letter) for letter in text)


def cleaned(text: str) -> str:
    """Return the text on one line, in Unicode NFC, every character that steers a display a space; "" for nothing."""
    return " ".join("".join(" " if _steers(one) else one for one in unicodedata.normalize("NFC", text)).split())


def _steers(letter: str) -> bool:
    return unicodedata.category(letter) in _CONTROL or letter in _BIDI
