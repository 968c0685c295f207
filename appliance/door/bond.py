"""The lock's own word on whether it holds, set against what its line should make it do. A pure core."""

from __future__ import annotations

import math

SETTLE_S = 1.0  # that word may come so much later than the line


class Bond:
    """Whether the lock's own word has contradicted the line for longer than a lock takes to follow."""

    def __init__(self) -> None:
        self._since_s = math.inf
        self.fault = False

    @property
    def wake_s(self) -> float:
        """When `watch` must be called next; inf for never."""
        return math.inf if self.fault else self._since_s + SETTLE_S

    def watch(self, *, amiss: bool, now_s: float) -> bool:
        """Take in whether the two disagree; tell, once, when that has become a fault."""
        if not amiss:
            self._since_s, self.fault = math.inf, False
            return False
        self._since_s = min(self._since_s, now_s)
        before, self.fault = self.fault, not now_s < self._since_s + SETTLE_S
        return self.fault and not before
