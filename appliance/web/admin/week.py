"""A schedule as a week: bars to draw, and the form in which its periods are changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.access.schedule import DAYS, Period
from appliance.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DAY_MINUTES = 24 * 60
MOST_ROWS = 24


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of one day, in minutes after its midnight."""

    day: int  # 0 is Monday
    begin: int
    end: int
    text: str  # the period that it comes from


@dataclass(frozen=True, slots=True)
class Row:
    """One period as a form shows it; of an empty row nothing is ticked."""

    days: tuple[str, ...]
    begin: str  # "07:00"
    end: str  # "24:00" for midnight


def bars(periods: Sequence[Period]) -> list[Bar]:
    """Return the week of these periods; one that goes past midnight is a bar on each of two days."""
    found = []
    for period in periods:
        for day in sorted(period.days):
            found.append(Bar(day, period.begin, min(period.end, _DAY_MINUTES), period.text))
            if period.end > _DAY_MINUTES:
                found.append(Bar((day + 1) % 7, 0, period.end - _DAY_MINUTES, period.text))
    return found


def rows(periods: Sequence[Period], empty: int = 1) -> list[Row]:
    """Return a row for each period, and so many empty ones."""
    filled = [Row(tuple(DAYS[day] for day in sorted(one.days)), _clock(one.begin), _end(one.end)) for one in periods]
    return [*filled, *[Row((), "", "")] * empty]


def read_periods(form: Mapping[str, list[str]]) -> list[str]:
    """Return the periods that a form's rows say, as `access.toml` writes them; a row without days says nothing.

    Raises UsageError, one line with the row and what is wrong.
    """
    found = []
    for number in range(MOST_ROWS):
        days = [day for day in form.get(f"day{number}", []) if day in DAYS]
        if not days:
            continue
        begin, end = (next(iter(form.get(f"{name}{number}", [])), "").strip() for name in ("from", "to"))
        text = f"{day_words(days)} {begin}-{end}"
        try:
            Period.parse(text)
        except ValueError as fault:
            raise UsageError(f"row {number + 1} is {text[:60]!r}; {fault}") from fault
        found.append(text)
    return found


def day_words(days: Sequence[str]) -> str:
    """Return days in the fewest words, such as `Mon-Fri` or `Mon,Wed-Fri`."""
    numbers = sorted({DAYS.index(day) for day in days})
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        ",".join(DAYS[day] for day in run) if len(run) < 3 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs
    )


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _end(minute: int) -> str:
    return _clock(minute if minute <= _DAY_MINUTES else minute - _DAY_MINUTES)
