"""The rota: who is rung about a visitor, and who next."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from appliance.access.schedule import Period
    from appliance.config import AttendantSettings

_DAY = 24 * 60

Groups = tuple[tuple[str, ...], ...]


class Rota:
    """Says who is rung now. It says nothing of who may answer: that is any operator, whoever was rung.

    `local_time` tells the time of day here, aware; None where the clock is not to be believed.
    """

    def __init__(self, settings: AttendantSettings, local_time: Callable[[], datetime | None]) -> None:
        self._settings = settings
        self._quiet = settings.quiet_period
        self._local_time = local_time

    def groups(self) -> Groups | None:
        """Return the client ids that are rung, group after group; () for everybody at once, None for nobody.

        A time of day that cannot be believed is never quiet: then somebody is asked.
        """
        at = self._local_time()
        if self._quiet is None or at is None or not _within(self._quiet, at):
            return self._settings.groups
        return self._settings.quiet_groups or None


def _within(period: Period, at: datetime) -> bool:
    minute = 60 * at.hour + at.minute
    return any(period.begin <= one < period.end for one in (minute, minute + _DAY))
