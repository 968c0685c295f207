"""The door's leaf, as its contact tells of it: opened with a cause or forced, passed or not, held open. A pure core.

A door without a contact has no leaf to watch: then nothing here ever raises an alarm, and the state says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.contract import EventType

if TYPE_CHECKING:
    from collections.abc import Iterator

# A hand that pulled while the lock still was released, a leaf that bounces in its frame: no break-in.
GRACE_S = 0.5


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the door may stand open."""

    held_open_s: float  # from opening to the alarm
    warning_s: float  # before that alarm the door warns for so long; 0 for not at all
    extended_s: float  # more of both for whoever needs it


@dataclass(frozen=True, slots=True)
class Happened:
    """What the leaf did, or failed to do."""

    event_type: EventType
    by: str = ""


class Leaf:
    """Watches one leaf. The caller tells of every change, and calls `tick` at `wake_s` or soon after."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.open: bool | None = None  # None: no contact is fitted
        self.forced = False  # latched until the leaf is closed and somebody has acknowledged it
        self.acknowledged = False
        self.warned = False
        self.held = False
        self._standing = False  # anybody may pass: nothing is held or forced
        self._free_until_s = -math.inf  # an opening until then has a cause: the lock
        self._excused_until_s = -math.inf  # the same: a request to exit
        self._closed_s = -math.inf  # when a leaf that had been opened with a cause was closed
        self._since_s = math.inf  # from then on it counts as held; inf where it does not
        self._more_s = 0.0
        self._expected: str | None = None  # who was let in and has not opened yet
        self._expected_until_s = math.inf

    @property
    def wake_s(self) -> float:
        """When `tick` must be called next; inf for never."""
        times = [self._expected_until_s]
        if not self.held:
            times.append(self._alarm_s)
        if not self.held and not self.warned:
            times.append(self._warning_s)
        return min(times)

    def released(self, now_s: float, *, standing: bool) -> None:
        """Note that the lock is released: from now on an opening has a cause."""
        self._free_until_s = math.inf
        self._standing = standing
        if standing:
            self._since_s, self.warned = math.inf, False
            self._expected, self._expected_until_s = None, math.inf  # whoever passes now needed no grant
        elif self._may_be_held and self._since_s == math.inf:
            self._since_s = now_s

    def locked(self, now_s: float) -> None:
        """Note that the lock is locked; what opens in the next moment was under way."""
        self._free_until_s = now_s + GRACE_S
        if self._standing and self._may_be_held:
            self._since_s = now_s
        self._standing = False
        if self._expected is not None:
            self._expected_until_s = now_s + GRACE_S

    def excuse(self, until_s: float) -> None:
        """Let the leaf be opened until then, and no longer, though the lock stays locked: by a handle inside."""
        self._excused_until_s = until_s

    def expect(self, by: str, now_s: float, *, more_s: float) -> Iterator[Happened]:
        """Note that somebody was let in and should now pass; where the leaf is open, its time starts anew."""
        if self._expected is not None and self._expected != by:
            yield Happened(EventType.GRANTED_NOT_ENTERED, self._expected)
        self._more_s = max(more_s, self._more_s if self.open else 0.0)
        if self.open:
            if self._since_s < math.inf and not self.held:
                self._since_s, self.warned = now_s, False
            return
        if self.open is not None:
            self._expected, self._expected_until_s = by, math.inf

    def sense(self, *, is_open: bool, now_s: float) -> Iterator[Happened]:
        """Take in what the contact says."""
        before, self.open = self.open, is_open
        if before is None:  # the first word after a start: nobody saw it open
            self._since_s = now_s if is_open and not self.forced else math.inf
        elif is_open and not before:
            yield from self._opened(now_s)
        elif before and not is_open:
            yield from self._closed(now_s)

    def acknowledge(self, now_s: float) -> Iterator[Happened]:
        """Take a forced opening off the list of what needs somebody to look, as soon as the leaf is closed."""
        before, self.acknowledged = self.acknowledged, True
        if self.open and not before:
            self._since_s = math.inf if self._standing else now_s
        yield from self._clear()

    def tick(self, now_s: float) -> Iterator[Happened]:
        """Tell what is due; this way round everywhere, NaN is due."""
        if self._expected is not None and not now_s < self._expected_until_s:
            yield Happened(EventType.GRANTED_NOT_ENTERED, self._expected)
            self._expected, self._expected_until_s = None, math.inf
        if not self.held and not self.warned and not now_s < self._warning_s:
            self.warned = True
            yield Happened(EventType.HELD_OPEN_WARNING)
        if not self.held and not now_s < self._alarm_s:
            self.held = True
            yield Happened(EventType.HELD_OPEN)

    @property
    def _may_be_held(self) -> bool:
        return bool(self.open) and (not self.forced or self.acknowledged)

    @property
    def _alarm_s(self) -> float:
        return self._since_s + self._patience.held_open_s + self._more_s

    @property
    def _warning_s(self) -> float:
        if not self._patience.warning_s:
            return math.inf
        return max(self._since_s, self._alarm_s - self._patience.warning_s)

    def _opened(self, now_s: float) -> Iterator[Happened]:
        by, self._expected, self._expected_until_s = self._expected or "", None, math.inf
        yield Happened(EventType.DOOR_OPENED, by)
        bounced = now_s < self._closed_s + GRACE_S
        if now_s < max(self._free_until_s, self._excused_until_s) or bounced:
            self._since_s = math.inf if self._standing else now_s
        else:
            self.forced, self.acknowledged = True, False
            yield Happened(EventType.FORCED_OPEN)

    def _closed(self, now_s: float) -> Iterator[Happened]:
        yield Happened(EventType.DOOR_CLOSED)
        # Only a leaf that was opened with a cause may bounce.
        self._closed_s = now_s if not self.forced or self.acknowledged else -math.inf
        self._since_s, self._more_s, self.warned = math.inf, 0.0, False
        if self.held:
            self.held = False
            yield Happened(EventType.HELD_OPEN_CLEARED)
        yield from self._clear()

    def _clear(self) -> Iterator[Happened]:
        if self.forced and self.acknowledged and not self.open:
            self.forced = False
            yield Happened(EventType.FORCED_OPEN_CLEARED)
