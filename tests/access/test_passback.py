"""When a passage is forgotten, whatever the clock does on that day."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.passback import last_reset

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - st's way


@pytest.mark.parametrize(
    ("zone", "reset", "at", "last"),
    [
        ("Europe/Lisbon", "04:00", "2026-11-24T03:59:59Z", "2026-11-23T04:00Z"),
        ("Europe/Lisbon", "04:00", "2026-11-24T04:00:00Z", "2026-11-24T04:00Z"),
        ("Europe/Lisbon", "04:00", "2026-07-01T03:00:00Z", "2026-07-01T03:00Z"),  # summer time
        ("Europe/Lisbon", "04:00", "2027-01-01T00:00:00Z", "2026-12-31T04:00Z"),
        ("Asia/Kathmandu", "00:00", "2026-11-23T18:15:00Z", "2026-11-23T18:15Z"),
        # Lisbon, 28 March 2027: there is no 01:30; the reset falls half an hour into the new time.
        ("Europe/Lisbon", "01:30", "2027-03-28T01:29:59Z", "2027-03-27T01:30Z"),
        ("Europe/Lisbon", "01:30", "2027-03-28T01:30:00Z", "2027-03-28T01:30Z"),
        # Lisbon, 25 October 2026: 01:30 comes twice; the first is the reset, and the second changes nothing.
        ("Europe/Lisbon", "01:30", "2026-10-25T00:30:00Z", "2026-10-25T00:30Z"),
        ("Europe/Lisbon", "01:30", "2026-10-25T01:10:00Z", "2026-10-25T00:30Z"),
        ("Europe/Lisbon", "01:30", "2026-10-25T01:30:00Z", "2026-10-25T00:30Z"),
    ],
)
def test_reset_is_at_its_time_of_day(zone: str, reset: str, at: str, last: str) -> None:
    """H4: the latest reset, across midnight, the year, skipped and repeated hours."""
    found = last_reset(datetime.fromisoformat(at), ZoneInfo(zone), time.fromisoformat(reset))
    assert found == datetime.fromisoformat(last)


def test_no_reset_is_none() -> None:
    """A door without a reset forgets nothing by the clock."""
    assert last_reset(datetime(2026, 11, 24, tzinfo=UTC), ZoneInfo("UTC"), None) is None


@given(
    at=MOMENTS,
    zone=st.sampled_from(["UTC", "Europe/Lisbon", "America/St_Johns", "Africa/Cairo", "Australia/Lord_Howe"]),
    reset=st.times(timezones=st.none()),
)
def test_reset_is_of_the_last_day(at: datetime, zone: str, reset: time) -> None:
    """H4: whatever the zone and time, a reset is in the past, within a day and what the clock is put back by."""
    found = last_reset(at, ZoneInfo(zone), reset)
    assert found is not None
    assert timedelta(0) <= at - found <= timedelta(hours=25)
