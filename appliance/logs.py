"""Log lines: to the journal with fields where systemd reads along, else to standard error.

Whoever logs or prints never waits for whoever reads: lines go through a bounded queue to a thread of their own, and
what does not fit is dropped, counted and told. Lines and fields hold ids, never a name.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from logging_journald import JournaldTransport, check_journal_stream

from appliance.contract import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from appliance.config import LogsSettings
    from appliance.records import AuditEvent

_Item = TypeVar("_Item")
Fields = dict[str, Any]

_WAITING = 1000
_FLUSH_S = 0.5  # a stop waits so long for whoever reads
_MOST = 8192  # characters of one line
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_EVENTS = logging.getLogger("appliance.events")
# Somebody should look.
_WARNINGS = frozenset(
    {
        EventType.FORCED_OPEN,
        EventType.HELD_OPEN,
        EventType.TAMPER,
        EventType.FIRE_RELEASE,
        EventType.LOCKDOWN,
        EventType.SPOOF_SUSPECTED,
        EventType.TAILGATING_SUSPECTED,
        EventType.CAMERA_FAULT,
        EventType.FAULT,
    }
)


class Drain(Generic[_Item]):
    """What a thread of its own writes, one after the other; `put` never waits for it and never raises.

    `write` may block, and may raise OSError or ValueError, which drops the item. `lost` makes the item that tells how
    many were dropped before it.
    """

    def __init__(self, name: str, write: Callable[[_Item], None], lost: Callable[[int], _Item] | None = None) -> None:
        self._write = write
        self._lost = lost
        self._waiting: queue.Queue[_Item | None] = queue.Queue(_WAITING)
        self._told = 0
        self.dropped = 0  # items that nobody took
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: _Item) -> None:
        """Take an item, or drop it where too many wait."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def close(self) -> bool:
        """Write what waits, for a second at most; False where the thread hangs in a write, for good."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=_FLUSH_S)
        self._thread.join(_FLUSH_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            missing = self.dropped - self._told
            if missing and self._lost is not None and self._wrote(self._lost(missing)):
                self._told += missing
            if not self._wrote(item):
                self.dropped += 1

    def _wrote(self, item: _Item) -> bool:
        try:
            self._write(item)
        except (OSError, ValueError):  # nobody reads any more, the journal is away, or text that has no UTF-8
            return False
        return True


class _Handler(logging.Handler):
    """Passes each record on with its line."""

    def __init__(self, put: Callable[[logging.LogRecord, str], None]) -> None:
        super().__init__()
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except (TypeError, ValueError):  # arguments that do not fit: whoever logs is not to fail by that
            line = str(record.msg)
        self._put(record, line[:_MOST].encode(errors="replace").decode())  # a lone surrogate has no UTF-8


@contextlib.contextmanager
def logging_to(settings: LogsSettings, program: str) -> Iterator[Callable[[AuditEvent, str], None] | None]:
    """Log as the settings say while the block runs, under the name `program`.

    Gives what writes an event with its fields, and a line for it, into the journal; None where lines go to standard
    error, and events to standard output as ever.
    """
    journal = settings.to == "journal" or (settings.to == "auto" and _under_systemd())
    drain: Drain[Any]
    if journal:
        transport: Any = JournaldTransport(connected=False)  # by its path each time: the journal may be started anew
        drain = Drain("log", lambda fields: transport.send(fields.items()), lambda count: _lost_fields(program, count))
        handler = _Handler(lambda record, line: drain.put(_fields(program, record, line)))
    else:
        drain = Drain("log", lambda line: write_all(2, line), lambda count: _line(program, _lost(count)))
        handler = _Handler(lambda _record, line: drain.put(_line(program, line)))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    try:
        yield _tell if journal else None
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        end(drain, 2)


def write_all(descriptor: int, data: bytes) -> None:
    """Write the bytes, however long that takes. Raises OSError."""
    while data:
        data = data[os.write(descriptor, data) :]


def end(drain: Drain[Any], descriptor: int) -> None:
    """Close what writes to the descriptor; where whoever reads it hangs, the end of the program does not."""
    if not drain.close():
        give_up(descriptor)


def give_up(descriptor: int) -> None:
    """Let nobody read this any more: at the end libraries of others write there too, and would wait for ever."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _under_systemd() -> bool:
    try:
        return bool(check_journal_stream())
    except (OSError, ValueError):  # no standard error, or a variable that somebody else has set
        return False


def _tell(sealed: AuditEvent, line: str) -> None:
    level = logging.WARNING if sealed.event.event_type in _WARNINGS else logging.INFO
    _EVENTS.log(level, "%s", line, extra={"fields": _of_event(sealed)})


def _of_event(sealed: AuditEvent) -> Fields:
    """Return an event's fields, those with nothing in them left out."""
    event = sealed.event
    named = {
        "EVENT_ID": sealed.id,
        "EVENT_TYPE": event.event_type.value,
        "SEQ": sealed.seq,
        "DOOR": sealed.door,
        "REASON": event.reason.value if event.reason else "",
        "METHOD": event.method,
        "ACTOR_KIND": event.actor.kind.value if event.actor else "",
        "ACTOR_ID": event.actor.id if event.actor else "",
        "TICKET_ID": event.ticket_id,
        "PRESENTATION_ID": event.presentation_id,
    }
    return {f"OSTIARY_{name}": value for name, value in named.items() if value != ""}


def _fields(program: str, record: logging.LogRecord, line: str) -> Fields:
    own: Mapping[str, Any] = getattr(record, "fields", {})
    return {
        "MESSAGE": line,
        "PRIORITY": _PRIORITY.get(record.levelno, 6),
        "SYSLOG_IDENTIFIER": program.replace(" ", "-"),
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        **own,
    }


def _line(program: str, line: str) -> bytes:
    return f"{program}: {line}\n".encode()


def _lost_fields(program: str, count: int) -> Fields:
    return {
        "MESSAGE": _lost(count),
        "PRIORITY": 4,
        "SYSLOG_IDENTIFIER": program.replace(" ", "-"),
        "OSTIARY_LOST_LINES": count,
    }


def _lost(count: int) -> str:
    return f"{count} lines before this one were lost: nobody read them in time"
