"""models/CARDS.md."""

from __future__ import annotations

from typing import Any


def text(entries: list[dict[str, Any]]) -> str:
    """Return the cards' text."""
    return "# Model cards\n" + "".join(f"\n## {entry['file']}\n" for entry in entries)
