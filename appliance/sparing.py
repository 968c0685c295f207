"""Log lines that somebody else can cause: one a second at most, so that a flood does not fill the disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

EVERY_S = 1.0


class SparingLog:
    """Writes the first line at once; of what comes within a second of a line only the number, with the next one."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._quiet_until_s = float("-inf")
        self._unsaid = 0

    def warning(self, line: str) -> None:
        """Log the line, or count it."""
        now_s = self._clock()
        if now_s < self._quiet_until_s:
            self._unsaid += 1
            return
        more = f"; {self._unsaid} more like it were not logged" if self._unsaid else ""
        self._log.warning("%s%s", line, more)
        self._quiet_until_s, self._unsaid = now_s + EVERY_S, 0
