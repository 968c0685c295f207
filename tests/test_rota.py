"""The rota: who is rung at what time of day, and that doubt about the time rings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance.config import AttendantSettings
from appliance.rota import Groups, Rota

ORDER = AttendantSettings(order="desk, guard; manager", quiet="22:00-06:00", quiet_order="watchman")
DAY, NIGHT = (("desk", "guard"), ("manager",)), (("watchman",),)
LISBON = ZoneInfo("Europe/Lisbon")


def at(text: str) -> datetime:
    """Return this time on the wall clock in Lisbon."""
    return datetime.fromisoformat(text).replace(tzinfo=LISBON)


def groups_at(settings: AttendantSettings, moment: datetime) -> Groups | None:
    """Return who is rung at this moment."""
    return Rota(settings, lambda: moment).groups()


@pytest.mark.parametrize(
    ("time", "groups"),
    [("21:59", DAY), ("22:00", NIGHT), ("23:59", NIGHT), ("00:00", NIGHT), ("05:59", NIGHT), ("06:00", DAY)],
)
def test_quiet_hours_go_past_midnight(time: str, groups: Groups) -> None:
    """They begin and end to the minute, on the wall clock of the door."""
    assert groups_at(ORDER, at(f"2030-11-20T{time}")) == groups


def test_quiet_hours_of_one_day() -> None:
    """Hours that begin and end on one day hold on that day alone."""
    noon = AttendantSettings(quiet="12:00-13:00", quiet_order="watchman")
    shown = [groups_at(noon, at(f"2030-11-20T{time}")) for time in ("11:59", "12:30", "13:00")]
    assert shown == [(), NIGHT, ()]


def test_quiet_hours_follow_the_clock_through_its_changes() -> None:
    """H4: the night on which clocks change is quiet for as long as the wall clock says so, an hour less or more."""
    quiet = AttendantSettings(quiet="00:30-02:00", quiet_order="watchman")
    counts = {}
    for day in ("2030-03-31", "2030-10-27", "2030-06-15"):  # forward at 01:00, back at 02:00, neither
        midnight = at(f"{day}T00:00").astimezone(UTC)
        moments = [(midnight + timedelta(minutes=one)).astimezone(LISBON) for one in range(6 * 60)]
        counts[day] = sum(groups_at(quiet, one) == NIGHT for one in moments)
    assert counts == {"2030-03-31": 30, "2030-10-27": 150, "2030-06-15": 90}


def test_nobody_is_rung_where_quiet_hours_name_nobody() -> None:
    """Quiet hours without an order: None, which is not the same as everybody."""
    assert Rota(AttendantSettings(quiet="22:00-06:00"), lambda: at("2030-11-20T23:00")).groups() is None
    assert Rota(AttendantSettings(), lambda: at("2030-11-20T23:00")).groups() == ()


def test_a_clock_that_is_not_believed_rings() -> None:
    """H1: without a time of day nothing is quiet: somebody is asked rather than nobody."""
    assert Rota(AttendantSettings(order="desk", quiet="00:00-24:00"), lambda: None).groups() == (("desk",),)
