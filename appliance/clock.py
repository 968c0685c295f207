"""The wall clock, and whether it can be believed. Only what people call a time rests on it: schedules and validity."""

from __future__ import annotations

import ctypes
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from appliance.access.schedule import Moment

if TYPE_CHECKING:
    from collections.abc import Callable

BUILT = datetime(2026, 11, 1, tzinfo=UTC)  # a clock before this has never been set
_HARDWARE = Path("/sys/class/rtc")
_AGREE = timedelta(minutes=5)  # a hardware clock that says something else did not set ours
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd(8): touched at every synchronisation
_TIMEX_BYTES = 512  # struct timex is 208 bytes on a 64-bit machine
_TIME_ERROR = 5  # adjtimex(2): not synchronised


def synchronised() -> bool:
    """Tell whether the network has set the clock, as the kernel or systemd knows it."""
    # The kernel forgets after some nine hours without the network (its error bound passes 16 s); systemd does not.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return 0 <= state < _TIME_ERROR or _TIMESYNCD.exists()


class WallClock:
    """What time it is. `checked` is believed only once the network or a hardware clock has set it, until the restart.

    A clock from before this version was made is never believed, not even a `trusted` one.
    """

    def __init__(
        self,
        trust: Literal["checked", "trusted"],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        by_network: Callable[[], bool] = synchronised,
        hardware: Path = _HARDWARE,
    ) -> None:
        self._now = now
        self._by_network = by_network
        self._hardware = hardware
        self._believed = trust == "trusted"

    def __call__(self) -> Moment:
        """Return the time in UTC, and whether it can be believed."""
        at = self._now()
        if at < BUILT:
            return Moment(at, clock_set=False)
        self._believed = self._believed or self._by_network() or self._by_hardware(at)
        return Moment(at, clock_set=self._believed)

    def _by_hardware(self, at: datetime) -> bool:
        """Tell whether a hardware clock runs that says the same."""
        for clock in sorted(self._hardware.glob("rtc*/since_epoch")):
            try:
                told = datetime.fromtimestamp(int(clock.read_text(encoding="ascii")), UTC)
            except (OSError, ValueError, OverflowError):  # without a battery some give no time at all
                continue
            if abs(told - at) <= _AGREE:
                return True
        return False
