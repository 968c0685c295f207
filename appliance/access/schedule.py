"""Schedules: weekly periods of wall-clock time, and what holds on holidays.

A period belongs to the day on which it begins, also past midnight. It is read off the wall clock: an hour that the
clock skips in spring is in no period, one that comes twice in autumn is in it twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EVERY_DAY = frozenset(range(7))
_MIDNIGHT = 24 * 60
_PERIOD = re.compile(r"(?:([A-Za-z,-]+) )?([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
_DATE = r"(?:(\d{4})-)?(\d{2})-(\d{2})"
_SPAN = re.compile(rf"{_DATE}(?: to {_DATE})?", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_LEAP_YEAR = 2000  # has every day that a yearly holiday may fall on
_YEARS = range(1970, 9999)  # one from either end, so that the day before and after exist


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, and whether the clock that said so can be believed."""

    at: datetime  # aware
    clock_set: bool


@dataclass(frozen=True, slots=True)
class Period:
    """A time of day on some days of the week."""

    days: frozenset[int]  # on which it begins; 0 is Monday
    begin: int  # minutes after midnight, 0..1439
    end: int  # minutes after the midnight before `begin`, above it, at most 2879
    text: str  # as it was written

    @classmethod
    def parse(cls, text: str, *, with_days: bool = True) -> Period:
        """Return the period in a text such as `Mon-Fri 07:00-19:00`; without days, `08:00-12:00`.

        Raises ValueError, in words that say what is allowed.
        """
        example = "Mon-Fri 07:00-19:00" if with_days else "08:00-12:00"
        found = _PERIOD.fullmatch(text)
        if found is None or (found[1] is None) is with_days:
            raise ValueError(f"it must look like {example}")
        begin, end = (int(hour) * 60 + int(minute) for hour, minute in (found.group(2, 3), found.group(4, 5)))
        if not (begin < _MIDNIGHT and end <= _MIDNIGHT):
            raise ValueError("times go from 00:00 to 23:59, and to 24:00 for an end")
        if begin == end:
            raise ValueError("it must not end when it begins; a whole day is 00:00-24:00")
        days = _days(found[1]) if with_days else _EVERY_DAY
        return cls(days, begin, end if end > begin else end + _MIDNIGHT, text)


@dataclass(frozen=True, slots=True)
class Span:
    """The days from one to another, both included, once or in every year."""

    first: date  # of a yearly one the year says nothing
    last: date
    yearly: bool

    @classmethod
    def parse(cls, text: str) -> Span:
        """Return the days in a text such as `2026-12-24`, `2026-12-24 to 2027-01-02`, `12-25` or `12-24 to 01-02`.

        Raises ValueError, in words that say what is allowed.
        """
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError("it must look like 2026-12-25, 12-25 (every year) or 2026-12-24 to 2027-01-02")
        year, month, day, last_year, last_month, last_day = found.groups()
        if last_month is None:
            last_year, last_month, last_day = year, month, day
        if (year is None) is not (last_year is None):
            raise ValueError("both days must have a year, or neither")
        try:
            first = date(int(year or _LEAP_YEAR), int(month), int(day))
            last = date(int(last_year or _LEAP_YEAR), int(last_month), int(last_day))
        except ValueError as fault:
            raise ValueError("there is no such day") from fault
        if year is not None and last < first:
            raise ValueError("it ends before it begins")
        return cls(first, last, year is None)

    def __contains__(self, day: date) -> bool:
        if not self.yearly:
            return self.first <= day <= self.last
        first, last, at = ((one.month, one.day) for one in (self.first, self.last, day))
        return first <= at <= last if first <= last else at >= first or at <= last


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something holds."""

    name: str
    week: tuple[Period, ...]
    on_holidays: tuple[Period, ...] | None  # in place of the week; None where holidays are days like others
    zone: ZoneInfo
    holidays: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)

    def begun(self, at: datetime) -> datetime | None:
        """Return when on the wall clock (naive) the period began that holds at the aware `at`; None outside of all."""
        local = at.astimezone(self.zone)
        for back in (0, 1):
            day = local.date() - timedelta(days=back)
            minute = local.hour * 60 + local.minute + back * _MIDNIGHT
            for period in self._beginning(day):
                if period.begin <= minute < period.end:
                    return datetime.combine(day, time(*divmod(period.begin, 60)))
        return None

    def covers(self, at: datetime) -> bool:
        """Tell whether it holds at the aware `at`."""
        return self.begun(at) is not None

    def words(self, at: datetime) -> str:
        """Return when it holds, and what day and time `at` is here."""
        local = at.astimezone(self.zone)
        day = local.date()
        holiday = holiday_on(day, self.holidays) if self.on_holidays is not None else ""
        named = f"the holiday {holiday}" if holiday else f"a {_DAY_NAMES[day.weekday()]}"
        periods = ", ".join(period.text for period in self.week) or "at no time"
        return f"{self.name}: {periods}; {day} is {named}, {local:%H:%M}"

    def _beginning(self, day: date) -> Iterator[Period]:
        """Give the periods that begin on this day."""
        if self.on_holidays is not None and holiday_on(day, self.holidays):
            yield from self.on_holidays
        else:
            yield from (period for period in self.week if day.weekday() in period.days)


def holiday_on(day: date, holidays: Mapping[str, tuple[Span, ...]]) -> str:
    """Return the name of the first holiday that the day is, "" for none."""
    return next((name for name, spans in holidays.items() if any(day in span for span in spans)), "")


def sundays(week: tuple[Period, ...]) -> tuple[Period, ...]:
    """Return the periods that begin on a Sunday."""
    return tuple(period for period in week if 6 in period.days)


def instant(text: str, zone: ZoneInfo | None, *, ends: bool = False) -> datetime:
    """Return the moment, in UTC, of a text such as `2026-12-01`, `2026-12-01T08:30` or `2026-12-01T07:30Z`.

    Without an offset it is wall-clock time in `zone`, None for the machine's own, of an hour that comes twice the
    first; a day alone is its beginning, or, where `ends`, the beginning of the next.
    Raises ValueError, in words that say what is allowed.
    """
    found = _INSTANT.fullmatch(text)
    try:
        at = datetime.fromisoformat(text) if found else None
    except ValueError:  # 23:59:60 among others: no clock of ours ever shows it
        at = None
    if found is None or at is None or at.year not in _YEARS:
        raise ValueError("it must look like 2026-12-01, 2026-12-01T08:30 or 2026-12-01T07:30Z")
    if ends and found[1] is None:
        at += timedelta(days=1)
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    moment = (at if zone is None else at.replace(tzinfo=zone)).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != at:
        raise ValueError("the clock skips that time")
    return moment


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS or part.endswith("-"):
            raise ValueError(f"days are {', '.join(DAYS)}, lists such as Mon,Wed and ranges such as Mon-Fri")
        begin, length = DAYS.index(first), (DAYS.index(last or first) - DAYS.index(first)) % 7
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return frozenset(found)
