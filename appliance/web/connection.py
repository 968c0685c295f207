"""One connection: how long it may take for what it sends and reads, and how many there may be.

uvicorn waits for the rest of a request, and for whoever does not read an answer, without end.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.web.gate import ANSWER_HEADERS
from appliance.web.limits import network_of

if TYPE_CHECKING:
    import asyncio

_log = logging.getLogger(__name__)
_log.setLevel(logging.ERROR)  # uvicorn warns of every request that is none, which anybody could fill the disk with
HEAD_S = 10.0  # from the first moment on, however slowly it drips
BODY_S = 60.0
READ_S = 30.0  # that whoever asked may leave an answer unread
OF_ONE_ADDRESS = 48
OF_ALL = 256


class Connection(H11Protocol):
    """HTTP/1.1 with an end to every wait."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self.logger = _log
        self._made_at_s = time.monotonic()
        self._owed: object = None  # h11's word for what the other side is to send: a head, a body, or nothing
        self._sending: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    @property
    def network(self) -> str:
        """What counts as the address of the other side."""
        return network_of(self.client[0] if self.client else "")

    @property
    def is_open(self) -> bool:
        """Whether it was not dropped a moment ago."""
        return not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, in place of one that has only kept us waiting where there are too many already."""
        super().connection_made(transport)
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self and one.is_open]
        neighbours = [one for one in others if one.network == self.network]
        if len(neighbours) >= OF_ONE_ADDRESS:
            self._take_the_place_of_one_of(neighbours)
        elif len(others) >= OF_ALL:
            self._take_the_place_of_one_of(others)
        self._wait_no_longer_than_due()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._wait_no_longer_than_due()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        for timer in (self._sending, self._reading):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """Hold the answer back, for so long: its reader does not read."""
        super().pause_writing()
        self._reading = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP/1.1, as every other answer is given."""
        headers = [*ANSWER_HEADERS.items(), ("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
        # Nothing is said in a state in which h11 lets nothing be said, such as amid a body that another answer is for.
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=msg.encode("ascii") + b"\n"),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True  # whoever works on what came before has nobody to answer any more
        self.transport.close()

    def _take_the_place_of_one_of(self, others: list[Connection]) -> None:
        idle = [one for one in others if one.conn.their_state is h11.IDLE]
        leaving = min(idle, key=lambda one: one._made_at_s, default=self)  # noqa: SLF001 - of our own kind
        leaving.transport.abort()

    def _wait_no_longer_than_due(self) -> None:
        state = self.conn.their_state
        owed = state if state in {h11.IDLE, h11.SEND_BODY} else None
        if owed is self._owed:
            return
        self._owed = owed
        if self._sending is not None:
            self._sending.cancel()
        self._sending = None
        if owed is not None:
            self._sending = self.loop.call_later(HEAD_S if owed is h11.IDLE else BODY_S, self.transport.abort)
