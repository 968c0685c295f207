"""Log lines that somebody else can cause."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from appliance.sparing import SparingLog

if TYPE_CHECKING:
    import pytest


def test_a_flood_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """D13: the first is said at once, a thousand after it are counted, and the count is said with the next."""
    times = [100.0]
    log = SparingLog(logging.getLogger("sparing"), lambda: times[0])
    for _ in range(1000):
        log.warning("refused: replayed")
    times[0] += 1.0
    log.warning("refused: expired")
    times[0] += 5.0
    log.warning("refused: future")
    assert caplog.messages == [
        "refused: replayed",
        "refused: expired; 999 more like it were not logged",
        "refused: future",
    ]
