"""The two-person rule's memory: who has passed every check lately, and so may stand beside somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.access.subject import Subject


class Companions:
    """Each person counts for `window_s` seconds of a monotonic clock, and beside one other person only."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._came: dict[str, tuple[Subject, float]] = {}

    def note(self, subject: Subject, now_s: float) -> None:
        """Keep that the subject has passed every check at this time."""
        self._came[subject.person_id] = (subject, now_s)

    def others(self, person_id: str, now_s: float) -> tuple[Subject, ...]:
        """Return everybody else who still counts, the first to come first."""
        self._came = {who: came for who, came in self._came.items() if 0 <= now_s - came[1] <= self._window_s}
        return tuple(subject for who, (subject, _) in self._came.items() if who != person_id)

    def forget(self, person_ids: Collection[str]) -> None:
        """Count these no longer: they have gone in."""
        for person_id in person_ids:
            self._came.pop(person_id, None)
