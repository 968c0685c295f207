"""The event feed: every entry of the audit log goes to the broker in order, as fast as the broker acknowledges.

The audit log is the queue: an event is durable there before anything else is done with it. All that is kept beside it
is a cursor, the last entry that the broker has.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from appliance.audit import Head, as_payload, canonical
from appliance.contract import Topic, topic
from appliance.drivers.mqtt import Message
from appliance.errors import RefusedError, StorageError
from appliance.messages import FeedGap
from appliance.verbs import AuditHead, Feed
from appliance.whole_file import new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from appliance.audit import AuditLog
    from appliance.envelope import Command
    from appliance.records import AuditEvent
    from appliance.usecases import Acts, Answer

_log = logging.getLogger(__name__)

MOST_BYTES = 96 * 1024  # of a page that a client asks for: what any client of ours takes as one message
_PAGE = 50
_AHEAD = 100  # entries that are read and not taken yet


@dataclass(frozen=True, slots=True)
class FeedPace:
    """How fast the feed is, and how often it writes."""

    page_s: float = (
        0.25  # between two pages: 200 entries a second, so that an outage that ends takes nothing off the door
    )
    look_s: float = 2.0  # whether another process has appended too
    again_s: float = 60.0  # after a refusal by the broker, and after a fault of the disk
    keep_every: int = 100  # acknowledgements after which the cursor is kept, or
    keep_s: float = 1800.0  # so long after the latest time


@dataclass(frozen=True, slots=True)
class _Item:
    message: Message
    place: Head | None  # where the cursor stands once it is acknowledged; None for a notice, which moves nothing


class Cursor:
    """The last entry that the broker acknowledged, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, place: Head) -> None:
        """Write it down, durable on return. Raises StorageError where it cannot be."""
        with new_file(self._path, replace=True) as file:
            file.write(canonical({"seq": place.seq, "hash": place.hash}) + b"\n")

    def place(self, audit: AuditLog, backlog: int) -> Head:
        """Return where to go on: at the first start ever at the head of the log, later where the cursor stands.

        Where the cursor cannot be read, or stands on an entry that this log does not have (an older one was put back),
        the newest `backlog` entries come once more. Raises StorageError where the log cannot be read.
        """
        head = audit.head()
        if not self._path.exists():
            return head
        kept = self._kept()
        if kept is not None and kept.seq <= head.seq and _stands(audit, kept):
            return kept
        _log.warning("%s does not fit the audit log: the newest %d events are sent again", self._path, backlog)
        return Head(max(0, head.seq - backlog), "")

    def _kept(self) -> Head | None:
        try:
            told = json.loads(self._path.read_bytes())
            return Head(int(told["seq"]), str(told["hash"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class EventFeed:
    """What the broker has not acknowledged of the audit log, for a connection to send behind everything else.

    A thread of its own reads the log on a connection of its own. Raises StorageError where the log cannot be opened.
    After a power cut some entries come twice, and none is missing.
    """

    def __init__(
        self,
        open_audit: Callable[[], AuditLog],
        device_id: str,
        cursor_file: Path,
        backlog: int,
        pace: FeedPace = FeedPace(),
    ) -> None:
        self._open = open_audit
        self._pace = pace
        self._topic = topic(device_id, Topic.EVENT_FEED)
        self._backlog = backlog
        self._cursor = Cursor(cursor_file)
        with open_audit() as audit:
            self._place = self._cursor.place(audit, backlog)  # as the broker has it
            self._head_seq = audit.head().seq
        self._kept = self._place  # as the file has it
        self._kept_s = time.monotonic()
        self._read_seq = self._place.seq
        if not cursor_file.exists():  # or a power cut before the first acknowledgement would begin at a later head
            self._keep()
        self._lock = threading.Lock()
        self._ready: deque[_Item] = deque()
        self._taken: deque[_Item] = deque()  # and neither acknowledged nor refused
        self._refused: deque[_Item] = deque()  # with everything that was taken behind it
        self._not_before_s = 0.0
        self._wake: Callable[[], None] = lambda: None
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read; `wake` is called from the feed's thread when there is something to take."""
        self._wake = wake
        self._bell.set()
        self._thread.start()

    def close(self) -> None:
        """End the thread and keep the cursor; the connection is closed already."""
        self._stopping.set()
        self._bell.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        if self._place != self._kept:
            self._keep()

    def ring(self) -> None:
        """Take note that an event was written; from any thread, and returns at once."""
        self._bell.set()

    @property
    def lag(self) -> int:
        """Entries of the log that the broker has not acknowledged."""
        return max(0, self._head_seq - self._place.seq)

    def take(self) -> Message | None:
        """Return the next message; None for none now."""
        with self._lock:
            if self._refused or not self._ready or time.monotonic() < self._not_before_s:
                return None
            self._taken.append(self._ready.popleft())
            if len(self._ready) <= _AHEAD - _PAGE:
                self._bell.set()
            return self._taken[-1].message

    def settled(self, refusal: str) -> None:
        """Move on past the oldest that was taken, or stay there for a while where the broker refuses it."""
        with self._lock:
            item = self._taken.popleft()
            if refusal or self._refused:  # what comes behind it waits for it
                self._refused.append(item)
            elif item.place is not None:
                self._place = item.place
            if self._refused and not self._taken:
                self._not_before_s = time.monotonic() + self._pace.again_s
                self._again()
        if refusal:
            _log.warning(
                "the broker refuses %s: %s; it is tried again in %.0f s", self._topic, refusal, self._pace.again_s
            )

    def lost(self) -> None:
        """Give everything that was taken and not settled once more."""
        with self._lock:
            self._again()

    def _again(self) -> None:
        self._refused.extend(self._taken)
        self._ready.extendleft(reversed(self._refused))
        self._refused.clear()
        self._taken.clear()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._open() as audit:
                    while not self._stopping.is_set():
                        self._look(audit)
            except StorageError as fault:
                _log.error("the event feed waits: %s", fault)
                self._stopping.wait(self._pace.again_s)

    def _look(self, audit: AuditLog) -> None:
        """Read a page where there is room for it, and keep the cursor where it is due."""
        self._bell.wait(self._pace.look_s)
        self._bell.clear()
        self._head_seq = audit.head().seq
        if len(self._ready) <= _AHEAD - _PAGE:
            for item in self._page(audit):
                with self._lock:
                    self._ready.append(item)
            if self._read_seq < self._head_seq:
                self._bell.set()
        if self._ready:
            self._wake()
        behind = self._place.seq - self._kept.seq
        if behind >= self._pace.keep_every or (behind and time.monotonic() - self._kept_s >= self._pace.keep_s):
            self._keep()
        self._stopping.wait(self._pace.page_s)

    def _page(self, audit: AuditLog) -> Iterator[_Item]:
        if self._head_seq - self._read_seq > self._backlog:
            yield self._gap(self._head_seq - self._backlog, "backlog")
        for entry in audit.read(self._read_seq, _PAGE):
            if entry.seq != self._read_seq + 1:
                yield self._gap(entry.seq - 1, "missing")
            self._read_seq = entry.seq
            yield _Item(Message(self._topic, as_bytes(entry)), Head(entry.seq, entry.hash))

    def _gap(self, last: int, why: Literal["backlog", "missing"]) -> _Item:
        """Pass over everything up to this entry, and return the notice of it."""
        _log.warning("events %d to %d are not in the feed: %s", self._read_seq + 1, last, why)
        gap = FeedGap(first=self._read_seq + 1, last=last, why=why)
        self._read_seq = last
        return _Item(Message(self._topic, gap.json_bytes()), None)

    def _keep(self) -> None:
        place = self._place
        try:
            self._cursor.keep(place)
        except StorageError as fault:  # then more events come twice
            _log.warning("%s", fault)
        else:
            self._kept = place
        self._kept_s = time.monotonic()


def feed_acts(audit: AuditLog) -> Acts:
    """Return what an auditor is told of the log: its events a page at a time, and its head. In the loop's thread."""

    def page(_command: Command, args: Feed, answer: Answer) -> None:
        try:
            events = _bounded(audit.read(args.after, args.limit))
            head = audit.head().seq
        except StorageError as fault:
            raise RefusedError(str(fault)) from fault
        answer({"events": events, "next": events[-1]["seq"] if events else args.after, "head": head})

    def tell_head(_command: Command, _args: AuditHead, answer: Answer) -> None:
        head = audit.head()
        answer({"seq": head.seq, "hash": head.hash})

    return {Feed: page, AuditHead: tell_head}


def as_bytes(entry: AuditEvent) -> bytes:
    """Return the entry as it goes out, to the letter: whoever has it can check its hash."""
    return json.dumps(as_payload(entry)).encode()


def _bounded(entries: Iterable[AuditEvent]) -> list[dict[str, Any]]:
    """Return as many entries as `MOST_BYTES` hold, and the first in any case."""
    events: list[dict[str, Any]] = []
    left = MOST_BYTES
    for entry in entries:
        left -= len(as_bytes(entry))
        if events and left < 0:
            break
        events.append(as_payload(entry))
    return events


def _stands(audit: AuditLog, place: Head) -> bool:
    """Tell whether the log has no other entry in this place."""
    try:
        found = next(audit.read(place.seq - 1, 1), None)
    except StorageError:  # it cannot be read; what comes behind it was not acknowledged all the same
        return True
    return found is None or found.seq != place.seq or found.hash == place.hash
