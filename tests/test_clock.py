"""The wall clock is believed only where something has set it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.access.schedule import Moment
from appliance.clock import BUILT, WallClock, synchronised

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def hardware(folder: Path, told: str) -> Path:
    """Make what the kernel shows of one hardware clock."""
    (folder / "rtc0").mkdir()
    (folder / "rtc0" / "since_epoch").write_text(told)
    return folder


def clock(folder: Path, *, trusted: bool = False, by_network: bool = False, at: datetime = NOW) -> WallClock:
    """Return a clock beside the hardware clocks in this folder."""
    return WallClock(
        "trusted" if trusted else "checked", now=lambda: at, by_network=lambda: by_network, hardware=folder
    )


def test_nothing_has_set_it(tmp_path: Path) -> None:
    """H1: a plausible time that neither the network nor a hardware clock has set is not believed, unless trusted."""
    assert clock(tmp_path)() == Moment(NOW, clock_set=False)
    assert clock(tmp_path, trusted=True)() == Moment(NOW, clock_set=True)
    assert clock(tmp_path, by_network=True)() == Moment(NOW, clock_set=True)


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), BUILT - timedelta(microseconds=1)])
def test_time_before_this_version_is_none(tmp_path: Path, at: datetime) -> None:
    """H1: a device that wakes up in 1970 believes no clock, however it is trusted and whoever says so."""
    hardware(tmp_path, str(int(at.timestamp())))
    for trusted in (False, True):
        assert clock(tmp_path, trusted=trusted, by_network=True, at=at)() == Moment(at, clock_set=False)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (str(int(NOW.timestamp())), True),
        (str(int(NOW.timestamp()) + 300), True),
        (str(int(NOW.timestamp()) - 301), False),  # something else has set ours
        ("0", False),  # its battery is empty
        ("", False),
        ("noon", False),
        ("9" * 30, False),
    ],
)
def test_hardware_clock_must_say_the_same(tmp_path: Path, told: str, believed: bool) -> None:
    """H1: a hardware clock counts where it says the same as ours; one that is empty, wrong or broken does not."""
    assert clock(hardware(tmp_path, told))().clock_set is believed


def test_once_set_it_stays_set_until_it_falls_behind(tmp_path: Path) -> None:
    """H1: a network that goes away does not make the time unknown; a step to before this version does."""
    network, at = [True], [NOW]
    made = WallClock("checked", now=lambda: at[0], by_network=lambda: network[0], hardware=tmp_path)
    assert made().clock_set
    network[0], at[0] = False, NOW + timedelta(days=30)
    assert made().clock_set
    at[0] = datetime(1970, 1, 1, tzinfo=UTC)
    assert not made().clock_set
    at[0] = NOW
    assert made().clock_set


def test_kernel_is_asked() -> None:
    """H1: the kernel answers, on this very machine, and the answer is the same twice."""
    assert synchronised() is synchronised()
