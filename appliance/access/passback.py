"""Anti-passback: nobody goes in twice without having come out, so that nobody can hand a right back to the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import time
    from zoneinfo import ZoneInfo

    from appliance.access.schedule import Moment


class Side(StrEnum):
    """Which way a reader lets people through."""

    ENTRY = "entry"
    EXIT = "exit"


class Passback(StrEnum):
    """What comes of going the same way twice."""

    OFF = "off"
    HARD = "hard"  # refused
    SOFT = "soft"  # let through, and told
    TIMED = "timed"  # refused for some minutes


@dataclass(frozen=True, slots=True)
class Passage:
    """That somebody went through, the latest time only."""

    side: Side
    at: datetime  # aware


def counts(passage: Passage, moment: Moment, zone: ZoneInfo, reset: time | None, within: timedelta | None) -> bool:
    """Tell whether a passage still binds: not from before the latest reset, and not longer ago than `within`.

    While the clock is not set no time is believed, and every passage binds.
    """
    if not moment.clock_set:
        return True
    forgotten = last_reset(moment.at, zone, reset)
    if forgotten is not None and passage.at < forgotten:
        return False
    return within is None or moment.at - passage.at < within


def last_reset(at: datetime, zone: ZoneInfo, reset: time | None) -> datetime | None:
    """Return, in UTC, when this time of day was last before or at `at`; None for no time of day.

    Of an hour that the clock shows twice the first counts; a time that it skips is later by as much as it skips.
    """
    if reset is None:
        return None
    today = at.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in (0, 1, 2))
    moments = (datetime.combine(day, reset, zone).astimezone(UTC) for day in days)
    return max(one for one in moments if one <= at)
