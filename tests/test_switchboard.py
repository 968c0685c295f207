"""The switchboard's inbox: the loop is called to it, and a flood does not call again and again."""

from __future__ import annotations

import queue

import pytest

from appliance.drivers.mqtt import Incoming
from appliance.switchboard import Inbox

ORDER = Incoming("ostiary/front/cmd/status", b"{}", retained=False)


def test_a_flood_calls_once() -> None:
    """D13: the first message that waits calls the loop; a thousand more do not, until all are taken."""
    calls: list[int] = []
    inbox = Inbox(8, lambda: calls.append(inbox.qsize()))
    for _ in range(8):
        inbox.put_nowait(ORDER)
    for _ in range(1000):
        with pytest.raises(queue.Full):
            inbox.put_nowait(ORDER)
    assert calls == [1]
    for _ in range(8):
        assert inbox.get_nowait() is ORDER
    inbox.put_nowait(ORDER)
    assert calls == [1, 1]
