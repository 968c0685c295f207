"""What is pushed to a screen as long as it is looked at: the door's state, and what the camera sees."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError
from appliance.web.desk import BusyError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from appliance.web.reader import Reader

SILENT_S = 3.0  # the reader says something every second; a camera that is slower than this is no mirror
AGAIN_S = 1.0
AT_ONCE = 4  # streams of a kind: a page that is loaded anew has two for a moment
BOUNDARY = "frame"
_BEAT = "event: beat\ndata:\n\n"  # by which either side notices that the other is not there
_AWAY = json.dumps({"state": "away"})


@dataclass
class Seats:
    """How many look at one kind of stream. Belongs to the event loop."""

    taken: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a seat while the block runs. Raises BusyError where there is none."""
        if self.taken >= AT_ONCE:
            raise BusyError(f"{AT_ONCE} screens look on already")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


async def states(reader: Reader, seats: Seats, stopping: Callable[[], bool]) -> AsyncGenerator[str, None]:
    """Give server-sent events until the server stops: each is what is to be shown.

    `{"state": "away"}` is told while no reader is there, a beat where nothing has changed. Raises BusyError.
    """
    told = ""
    with seats.one():
        yield f"retry: {int(1000 * AGAIN_S)}\n\n"
        while not stopping():
            async for event in _heard(reader, stopping):
                yield _BEAT if event == told else f"data: {event}\n\n"
                told = event
            yield _BEAT if told == _AWAY else f"data: {_AWAY}\n\n"
            told = _AWAY
            await asyncio.sleep(AGAIN_S)


async def _heard(reader: Reader, stopping: Callable[[], bool]) -> AsyncGenerator[str, None]:
    """Give each state that the reader tells, until it is gone or we are."""
    try:
        async with aclosing(reader.hear({"verb": "watch"}, SILENT_S)) as told:
            async for state in told:
                if stopping():
                    return
                yield json.dumps(state)
    except ApplianceError:  # away, stuck or too busy: the next try is in a moment
        return


async def pictures(reader: Reader, seats: Seats, stopping: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """Give the parts of a multipart/x-mixed-replace of JPEGs until the reader is gone.

    Each part has the camera's time, monotonic and in seconds, in `X-Captured-At`. Raises as `Reader.hear`, and
    BusyError; before the first part where there is nothing to see at all.
    """
    # A browser shows a part when it has seen the boundary behind it, so that comes with the part, not with the next.
    yield_first = f"--{BOUNDARY}\r\n".encode()
    with seats.one():
        async with aclosing(reader.hear({"verb": "preview"}, SILENT_S)) as seen:
            async for one in seen:
                if stopping():
                    return
                jpeg = base64.b64decode(one["jpeg"])
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n"
                head += f"X-Captured-At: {one['captured_at_s']:.6f}\r\n\r\n"
                yield yield_first + head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
                yield_first = b""
