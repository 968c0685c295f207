"""Tailgating: somebody else before the camera while the door still stands unlocked for the one who was let in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.pipeline.presentation import MIN_CONTINUITY

if TYPE_CHECKING:
    from appliance.records import Presentation


@dataclass(slots=True)
class _Unlocked:
    """One time that the door was unlocked."""

    until_s: float
    let_in: list[Presentation] = field(default_factory=list)
    follower: Presentation | None = None  # as seen last


class Tailgating:
    """Watches one door. It only tells: nobody is locked out, and no unlocking is made longer or shorter by it."""

    def __init__(self, min_frames: int) -> None:
        self._min_frames = min_frames
        self._unlocked: _Unlocked | None = None

    def opened(self, visit: Presentation, until_s: float) -> None:
        """Note who was let in, and until when the door is unlocked."""
        if self._unlocked is None:
            self._unlocked = _Unlocked(until_s)
        self._unlocked.until_s = max(self._unlocked.until_s, until_s)
        self._unlocked.let_in.append(visit)
        if self._unlocked.follower is not None and _same(visit, self._unlocked.follower):
            self._unlocked.follower = None

    def see(self, visit: Presentation) -> None:
        """Note who is before the camera. A face that was not read well enough to tell apart counts as nobody."""
        if self._unlocked is None or visit.frames_read < self._min_frames:
            return
        if not any(_same(visit, one) for one in self._unlocked.let_in):
            self._unlocked.follower = visit

    def due(self, now_s: float) -> Presentation | None:
        """Return, once, who came after and was not let in themself, when the door has locked again."""
        if self._unlocked is None or now_s < self._unlocked.until_s:
            return None
        follower, self._unlocked = self._unlocked.follower, None
        return follower


def _same(one: Presentation, other: Presentation) -> bool:
    if one.presentation_id == other.presentation_id:
        return True
    return one.probe is None or other.probe is None or float(one.probe.vector @ other.probe.vector) >= MIN_CONTINUITY
