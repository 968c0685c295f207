"""The board's complaints as news: each is told once when it begins, and once when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.vitals import BoardVitals

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 10.0
OVER_S = 60.0  # quiet for so long: a supply that is too weak dips at every load

VOLTAGE_WORDS = "the supply voltage is too low: use a stronger supply or a shorter cable"
SLOWED_WORDS = "the board slows itself down, as it is too hot or its supply too weak"


class BoardWatch:
    """Belongs to the loop's thread. `read` says how the board is now, and must be quick."""

    def __init__(self, read: Callable[[], BoardVitals]) -> None:
        self._read = read
        self._due_s: float | None = None
        self._seen_s: dict[str, float] = {}  # complaints that were told, and when each was last heard
        self.now = BoardVitals()

    def news(self, now_s: float) -> list[tuple[str, bool]]:
        """Return what has begun (true) or is over (false) since the last call, in words; the time is monotonic."""
        if self._due_s is not None and now_s < self._due_s:
            return []
        self._due_s = now_s + EVERY_S
        self.now = self._read()
        wrong = {VOLTAGE_WORDS: self.now.under_voltage, SLOWED_WORDS: self.now.slowed}
        begun = [words for words, is_so in wrong.items() if is_so and words not in self._seen_s]
        self._seen_s |= {words: now_s for words, is_so in wrong.items() if is_so}
        over = [words for words, at_s in self._seen_s.items() if now_s >= at_s + OVER_S]
        for words in over:
            del self._seen_s[words]
        return [*((words, True) for words in begun), *((words, False) for words in over)]
