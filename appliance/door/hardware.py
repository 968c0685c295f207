"""The edge of the door: what the controller needs of a lock, and nothing of how it is wired."""

from __future__ import annotations

from typing import Protocol


class LockOutput(Protocol):
    """One output line that holds a lock; low is locked, for a fail-secure and a fail-safe lock alike.

    The line is claimed and low when the constructor returns, without ever having been high. When the owner
    dies in whatever way, the line goes low by itself. Every verb raises DoorError when the line cannot be driven.
    """

    def unlock(self) -> None:
        """Drive the line high; it stays high until `lock`, `close` or the death of this process."""

    def lock(self) -> None:
        """Drive the line low; harmless when it is low already."""

    def is_unlocked(self) -> bool:
        """Tell the level read back from the line itself, which may differ from what was driven."""

    def close(self) -> None:
        """Drive the line low, then release it; harmless when done already."""
