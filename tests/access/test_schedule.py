"""Schedules are read off the wall clock, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.schedule import Period, Schedule, Span, holiday_on, instant

LISBON = ZoneInfo("Europe/Lisbon")
ZONES = [
    "UTC",
    "Europe/Lisbon",
    "America/New_York",
    "America/St_Johns",  # -03:30
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # half an hour of summer time
    "Africa/Casablanca",  # a winter hour for one month
    "Africa/Cairo",  # midnight does not exist on one day
    "Pacific/Apia",  # +13
]


def schedule(
    *periods: str, zone: str = "Europe/Lisbon", on_holidays: tuple[Period, ...] | None = (), **holidays: str
) -> Schedule:
    """Return a schedule of these periods; `christmas="12-25"` names a holiday."""
    spans = {name: (Span.parse(text),) for name, text in holidays.items()}
    return Schedule("office", tuple(Period.parse(one) for one in periods), on_holidays, ZoneInfo(zone), spans)


@pytest.mark.parametrize(
    ("period", "zone", "at", "held"),
    [
        # The bounds themselves: the first minute is in, the last is out, down to the microsecond.
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-11-23T06:59:59.999999Z", False),
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-11-23T07:00:00Z", True),
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-11-23T18:59:59.999999Z", True),
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-11-23T19:00:00Z", False),
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-11-22T12:00:00Z", False),  # a Sunday
        # Summer time: the same hour on the wall is another one in UTC.
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-07-01T06:00:00Z", True),
        ("Mon-Fri 07:00-19:00", "Europe/Lisbon", "2026-07-01T18:00:00Z", False),
        # Spring, Lisbon: 01:00 to 02:00 of 28 March 2027 is skipped; a period within it never comes.
        ("Sun 01:15-01:45", "Europe/Lisbon", "2027-03-28T00:59:59Z", False),
        ("Sun 01:15-01:45", "Europe/Lisbon", "2027-03-28T01:00:00Z", False),
        ("Sun 01:30-03:00", "Europe/Lisbon", "2027-03-28T00:59:59Z", False),
        ("Sun 01:30-03:00", "Europe/Lisbon", "2027-03-28T01:00:00Z", True),  # 02:00 on the wall
        ("Sun 01:30-03:00", "Europe/Lisbon", "2027-03-28T02:00:00Z", False),
        ("Sun 00:00-01:30", "Europe/Lisbon", "2027-03-28T00:59:59Z", True),
        ("Sun 00:00-01:30", "Europe/Lisbon", "2027-03-28T01:00:00Z", False),
        # Autumn, Lisbon: 01:00 to 02:00 of 25 October 2026 comes twice; a period within it holds both times.
        ("Sun 01:15-01:45", "Europe/Lisbon", "2026-10-25T00:30:00Z", True),
        ("Sun 01:15-01:45", "Europe/Lisbon", "2026-10-25T00:50:00Z", False),
        ("Sun 01:15-01:45", "Europe/Lisbon", "2026-10-25T01:30:00Z", True),
        ("Sat 22:00-01:30", "Europe/Lisbon", "2026-10-25T01:29:00Z", True),
        # Over midnight: it belongs to the day on which it begins.
        ("Fri 22:00-06:00", "Europe/Lisbon", "2026-11-20T21:59:00Z", False),
        ("Fri 22:00-06:00", "Europe/Lisbon", "2026-11-20T23:00:00Z", True),
        ("Fri 22:00-06:00", "Europe/Lisbon", "2026-11-21T05:59:00Z", True),
        ("Fri 22:00-06:00", "Europe/Lisbon", "2026-11-21T06:00:00Z", False),
        ("Fri 22:00-06:00", "Europe/Lisbon", "2026-11-20T03:00:00Z", False),
        ("Fri 22:00-00:00", "Europe/Lisbon", "2026-11-20T23:59:59Z", True),
        ("Fri 22:00-00:00", "Europe/Lisbon", "2026-11-21T00:00:00Z", False),
        ("Fri 22:00-24:00", "Europe/Lisbon", "2026-11-20T23:59:59Z", True),
        ("Sun 23:00-01:00", "Europe/Lisbon", "2026-11-23T00:30:00Z", True),  # from Sunday into Monday
        # Leap day and the turn of the year.
        ("Tue 00:00-24:00", "Europe/Lisbon", "2028-02-29T12:00:00Z", True),
        ("Thu 22:00-06:00", "Europe/Lisbon", "2027-01-01T05:00:00Z", True),
        ("Fri 00:00-24:00", "Europe/Lisbon", "2027-01-01T00:00:00Z", True),
        # A leap second, as every clock of ours shows it: 59 twice, or a smeared second.
        ("Thu 00:00-24:00", "UTC", "2026-12-31T23:59:59.999999Z", True),
        # Offsets that are no whole hours, and the other side of the date line.
        ("Mon 09:00-17:00", "Asia/Kathmandu", "2026-11-23T03:15:00Z", True),
        ("Mon 09:00-17:00", "Asia/Kathmandu", "2026-11-23T03:14:59Z", False),
        ("Mon 09:00-17:00", "America/St_Johns", "2026-11-23T12:30:00Z", True),
        ("Mon 09:00-17:00", "America/St_Johns", "2026-11-23T12:29:59Z", False),
        ("Mon 00:00-24:00", "Pacific/Apia", "2026-11-22T11:00:00Z", True),
        ("Mon 00:00-24:00", "Pacific/Apia", "2026-11-22T10:59:59Z", False),
        # Lord Howe falls back by half an hour on 4 April 2027: 01:30 to 02:00 comes twice.
        ("Sun 01:30-02:00", "Australia/Lord_Howe", "2027-04-03T14:45:00Z", True),
        ("Sun 01:30-02:00", "Australia/Lord_Howe", "2027-04-03T15:15:00Z", True),
        ("Sun 01:30-02:00", "Australia/Lord_Howe", "2027-04-03T15:30:00Z", False),
        # Cairo, 30 April 2027: midnight to one does not exist; the night before goes on at one.
        ("Thu 22:00-02:00", "Africa/Cairo", "2027-04-29T22:00:00Z", True),
        ("Fri 00:00-01:00", "Africa/Cairo", "2027-04-29T22:00:00Z", False),
        # Samoa had no 30 December 2011.
        ("Fri 00:00-24:00", "Pacific/Apia", "2011-12-30T12:00:00Z", False),
        ("Sat 00:00-24:00", "Pacific/Apia", "2011-12-30T12:00:00Z", True),
    ],
)
def test_period_is_wall_clock_time(period: str, zone: str, at: str, held: bool) -> None:
    """H4: at its bounds, over midnight, in skipped and repeated hours, on leap days and at odd offsets."""
    assert schedule(period, zone=zone).covers(datetime.fromisoformat(at)) is held


@pytest.mark.parametrize(
    ("days", "on"),
    [
        ("Mon", {0}),
        ("Mon,Wed,Sun", {0, 2, 6}),
        ("Mon-Fri", {0, 1, 2, 3, 4}),
        ("Sat-Mon", {5, 6, 0}),
        ("Mon-Tue,Thu-Fri", {0, 1, 3, 4}),
        ("Mon-Sun", set(range(7))),
    ],
)
def test_days_of_the_week(days: str, on: set[int]) -> None:
    """Days, lists of them and ranges, also over the weekend, mean what people take them to mean."""
    assert Period.parse(f"{days} 08:00-09:00").days == on


@pytest.mark.parametrize(
    "text",
    [
        "",
        "07:00-19:00",
        "Mon-Fri",
        "Mon-Fri 7:00-19:00",
        "Mon-Fri 07:00-19:60",
        "Mon-Fri 24:00-25:00",
        "Mon-Fri 24:00-06:00",
        "Mon-Fri 07:00-24:01",
        "Mon-Fri 23:59:60-24:00",
        "Mon-Fri 07:00-07:00",
        "Mon-Fri 07:00-19:00 ",
        "mon 07:00-19:00",
        "Mon- 07:00-19:00",
        "Mon,,Tue 07:00-19:00",
        "Mo 07:00-19:00",
        "Mon 0\u0667:00-19:00",
        "Mon 07:00-19:00\n",
    ],
)
def test_what_is_no_period(text: str) -> None:
    """H4: hours, minutes, days and leap seconds that no clock shows are refused, and so is a period of no length."""
    with pytest.raises(ValueError, match=r"must|times go|days are"):
        Period.parse(text)


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        ("2026-12-25", ["2026-12-25"], ["2026-12-24", "2026-12-26", "2027-12-25"]),
        ("12-25", ["2026-12-25", "2031-12-25"], ["2026-12-24"]),
        (
            "2026-12-24 to 2027-01-02",
            ["2026-12-24", "2026-12-31", "2027-01-02"],
            ["2026-12-23", "2027-01-03", "2027-12-25"],
        ),
        ("12-24 to 01-02", ["2026-12-24", "2027-01-02", "2030-01-01"], ["2026-12-23", "2027-01-03"]),
        ("02-29", ["2028-02-29", "2000-02-29"], ["2027-02-28", "2027-03-01", "2100-03-01"]),
        ("02-28 to 02-29", ["2027-02-28", "2028-02-28", "2028-02-29"], ["2027-03-01", "2028-03-01"]),
        ("02-29 to 03-01", ["2027-03-01", "2028-02-29"], ["2027-02-28", "2028-02-28"]),
    ],
)
def test_holidays_once_and_every_year(span: str, inside: list[str], outside: list[str]) -> None:
    """H4: single days and spans, over the end of a year, and 29 February in leap years only."""
    days = Span.parse(span)
    assert [day for day in inside if date.fromisoformat(day) not in days] == []
    assert [day for day in outside if date.fromisoformat(day) in days] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25-12-2026",
        "2026-02-29",
        "02-30",
        "13-01",
        "2026-12-26 to 2026-12-24",
        "2026-12-24 to 01-02",
        "12-24 to",
        "12-2\u0664",
    ],
)
def test_what_is_no_holiday(text: str) -> None:
    """H4: days that no calendar has, and spans that end before they begin, are refused."""
    with pytest.raises(ValueError, match=r"must|no such day|ends before"):
        Span.parse(text)


CHRISTMAS = datetime(2026, 12, 25, 10, 0, tzinfo=UTC)  # a Friday
MORNING = (Period.parse("09:00-11:00", with_days=False),)


def test_holiday_stands_in_the_place_of_a_day() -> None:
    """A holiday is closed, like a Sunday, of periods of its own, or a day like others, as the schedule says."""
    week = ("Fri 07:00-19:00", "Sun 10:00-12:00")
    closed = schedule(*week, christmas="12-25")
    as_sunday = schedule(*week, on_holidays=(Period.parse("Sun 10:00-12:00"),), christmas="12-25")
    own = schedule(*week, on_holidays=MORNING, christmas="12-25")
    ignored = schedule(*week, on_holidays=None, christmas="12-25")
    noon = CHRISTMAS + timedelta(hours=2)
    assert [one.covers(CHRISTMAS) for one in (closed, as_sunday, own, ignored)] == [False, True, True, True]
    assert [one.covers(noon) for one in (closed, as_sunday, own, ignored)] == [False, False, False, True]
    assert [one.covers(CHRISTMAS - timedelta(days=7)) for one in (closed, as_sunday, own, ignored)] == [True] * 4


def test_night_into_a_holiday_goes_on() -> None:
    """A night that begins before a holiday lasts until its end, and none begins on the holiday."""
    night = schedule("Mon-Sun 22:00-06:00", christmas="12-25")
    assert night.covers(datetime(2026, 12, 25, 5, 0, tzinfo=UTC))
    assert not night.covers(datetime(2026, 12, 25, 23, 0, tzinfo=UTC))
    assert not night.covers(datetime(2026, 12, 26, 5, 0, tzinfo=UTC))


def test_period_is_named_by_its_beginning() -> None:
    """All of one period has one name, also past midnight and over a change of the clock; the next has another."""
    night = schedule("Sat 22:00-06:00")
    begun = datetime(2026, 10, 24, 22, 0)  # noqa: DTZ001 - wall clock
    at = datetime(2026, 10, 24, 21, 0, tzinfo=UTC)  # 22:00 in summer time
    while at < datetime(2026, 10, 25, 6, 0, tzinfo=UTC):  # 06:00 in winter time
        assert night.begun(at) == begun
        at += timedelta(minutes=7)
    assert night.begun(at + timedelta(minutes=7)) is None
    assert night.begun(datetime(2026, 10, 31, 23, 0, tzinfo=UTC)) == begun + timedelta(days=7)


PERIODS = st.builds(
    lambda days, begin, length: Period(frozenset(days), begin, begin + length, ""),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
)
WEEKS = st.lists(PERIODS, min_size=1, max_size=4).map(tuple)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as st wants it


def walked(made: Schedule, at: datetime) -> bool:
    """Tell the same the slow way: walk every minute of each period that may reach here, on a wall clock."""
    wall = at.astimezone(made.zone).replace(tzinfo=None, second=0, microsecond=0, fold=0)
    for back in range(3):
        midnight = datetime.combine(wall.date() - timedelta(days=back), datetime.min.time())
        holiday = made.on_holidays is not None and holiday_on(midnight.date(), made.holidays)
        for period in (made.on_holidays or ()) if holiday else made.week:
            if holiday or midnight.weekday() in period.days:
                minutes = {midnight + timedelta(minutes=minute) for minute in range(period.begin, period.end)}
                if wall in minutes:
                    return True
    return False


@given(
    week=WEEKS,
    on_holidays=st.none() | WEEKS,
    zone=st.sampled_from(ZONES),
    holiday=st.sampled_from(["01-01", "02-29", "12-24 to 01-06", "10-25", "2027-03-28"]),
    at=MOMENTS,
)
def test_covers_agrees_with_walking(
    week: tuple[Period, ...], on_holidays: tuple[Period, ...] | None, zone: str, holiday: str, at: datetime
) -> None:
    """H4: whatever the periods, zone, holidays and moment, the answer is that of walking through every minute."""
    made = Schedule("any", week, on_holidays, ZoneInfo(zone), {"holiday": (Span.parse(holiday),)})
    assert made.covers(at) == walked(made, at)


@pytest.mark.parametrize(
    ("text", "ends", "moment"),
    [
        ("2026-12-01", False, "2026-12-01T00:00:00Z"),
        ("2026-12-01", True, "2026-12-02T00:00:00Z"),
        ("2026-07-01", False, "2026-06-30T23:00:00Z"),
        ("2026-07-01T08:30", True, "2026-07-01T07:30:00Z"),
        ("2026-07-01T08:30Z", False, "2026-07-01T08:30:00Z"),
        ("2026-07-01T08:30:15+05:45", False, "2026-07-01T02:45:15Z"),
        ("2026-10-25T01:30", False, "2026-10-25T00:30:00Z"),  # comes twice: the first
        ("2028-02-29", True, "2028-03-01T00:00:00Z"),
        ("2026-12-31", True, "2027-01-01T00:00:00Z"),
    ],
)
def test_moment_as_people_write_it(text: str, ends: bool, moment: str) -> None:
    """A day or a time is that of the wall clock, unless an offset is given; a day that ends something is included."""
    assert instant(text, LISBON, ends=ends) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2027-02-29",
        "2026-12-31T23:59:60",
        "2026-12-31T23:59:60Z",
        "2026-12-31T24:00",
        "2027-03-28T01:30",  # skipped in Lisbon
        "0001-01-01",
        "1969-12-31",
        "9999-12-31",
        "20261201",
        "2026-W01-1",
        "2026-12-01T08",
        "2026-12-01 08:30",
        "2026-12-01T08:30+99:00",
        "\u0662\u0660\u0662\u0666-12-01",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """H4: a leap second, a skipped hour, and days that no calendar has are refused."""
    with pytest.raises(ValueError, match=r"must look like|skips"):
        instant(text, LISBON, ends=True)


def test_words_say_why() -> None:
    """What a schedule says of a moment names its periods, the day and the holiday."""
    office = schedule("Mon-Fri 07:00-19:00", christmas="12-25")
    assert office.words(datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) == (
        "office: Mon-Fri 07:00-19:00; 2026-11-22 is a Sunday, 12:00"
    )
    assert office.words(CHRISTMAS).endswith("2026-12-25 is the holiday christmas, 10:00")
