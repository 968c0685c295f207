"""The door's events without a gap: what the broker did not bring is asked for."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, Protocol

from appliance.errors import RefusedError
from ostiary_client.heard import UNREADABLE, Event, event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ostiary_client.heard import Reply

_PAGE = 100  # events asked for at a time
_LOOK_S = 0.25  # how soon a closed client is noticed
_ASK_S = 60.0  # the last events of a burst may be lost, and nothing after them would show it


class Send(Protocol):
    """Sends a signed command."""

    def __call__(self, verb: str, args: Mapping[str, Any], /) -> Reply:
        """Return the door's reply."""


class Feed:
    """One reader of the feed; `live` is filled by the network's thread."""

    def __init__(self, live: queue.Queue[Event], send: Send, closed: Callable[[], bool]) -> None:
        self._live = live
        self._send = send
        self._closed = closed
        self._last = 0

    def events(self, after: int, quiet_s: float | None) -> Iterator[Event]:
        """Give every event above `after`, as `Client.events` promises."""
        self._last = after
        yield from self._missing()
        heard_s = asked_s = time.monotonic()
        while not self._closed():
            try:
                event = self._live.get(timeout=_LOOK_S if quiet_s is None else min(_LOOK_S, quiet_s))
            except queue.Empty:
                now_s = time.monotonic()
                if quiet_s is not None and now_s - heard_s >= quiet_s:
                    return
                if now_s - asked_s >= _ASK_S:
                    asked_s = now_s
                    yield from self._missing()
                continue
            heard_s = time.monotonic()
            if event.seq > self._last + 1:
                yield from self._missing()
            if event.seq == self._last + 1:
                self._last = event.seq
                yield event

    def _missing(self) -> Iterator[Event]:
        """Give what the door has beyond the last event; nothing where it does not answer, which the next one shows."""
        head = self._last + 1
        while self._last < head:
            reply = self._send("feed", {"after": self._last, "limit": _PAGE})
            if reply.error == "no_reply":
                return
            if not reply.ok:
                raise RefusedError(f"the door does not tell its events: {reply.error}")
            before = self._last
            for event in _page(reply):
                if event.seq != self._last + 1:
                    raise RefusedError(f"the door's log has no event {self._last + 1}; the next one is {event.seq}")
                self._last = event.seq
                yield event
            head = int(reply.result["head"])
            if self._last == before:
                return


def _page(reply: Reply) -> list[Event]:
    try:
        return [event_of(fields) for fields in reply.result["events"]]
    except UNREADABLE as fault:
        raise RefusedError("the door's events cannot be read: they are not of this contract") from fault
