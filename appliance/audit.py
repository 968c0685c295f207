"""The audit log: append-only, each entry chained to the one before by its hash.

An entry is durable before its event has any effect. docs/audit.md says what the chain proves and what not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlite_utils import Migrations

from appliance.contract import SCHEMA, EventType, Reason
from appliance.errors import StorageError
from appliance.records import Actor, ActorKind, AuditEvent, Event
from appliance.storage import DatabaseFile, Schema, named_faults, one_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlite_utils import Database

_ZEROS = "0" * 64
_CLOCK_STEP = timedelta(minutes=1)  # less is two processes that waited for each other
_PAGE = 500  # entries read at once; between pages no read lock is held


_MIGRATIONS = Migrations("ostiary.audit")
AUDIT = Schema("audit log", 0x4F537041, 1, _MIGRATIONS, checked=False)  # "OSpA"


@_MIGRATIONS(name="0001_entries")
def _entries(db: Database) -> None:
    # `body` is the very bytes that were hashed. The triggers stop accidents and honest programs; the chain
    # is what shows the work of anybody else.
    db.executescript("""
        CREATE TABLE entry (
            seq INTEGER PRIMARY KEY,
            body TEXT NOT NULL,
            hash TEXT NOT NULL CHECK (length(hash) = 64)
        ) STRICT;
        CREATE TRIGGER entry_follows BEFORE INSERT ON entry
            WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM entry)
            BEGIN SELECT RAISE(ABORT, 'an audit entry follows the one before'); END;
        CREATE TRIGGER entry_is_not_changed BEFORE UPDATE ON entry
            BEGIN SELECT RAISE(ABORT, 'an audit entry is never changed'); END;
        CREATE TRIGGER entry_is_not_deleted BEFORE DELETE ON entry
            BEGIN SELECT RAISE(ABORT, 'an audit entry is never deleted'); END;
    """)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a chain; seq 0 and 64 zeros for an empty one."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reading of the whole chain showed."""

    count: int  # entries that hold, from the first
    head: Head  # the last entry that holds
    first_bad: int | None  # seq of the first entry that does not hold; None when all do
    why: str  # one line; "" when all hold
    remembered: Head | None  # the head that the tail was compared with; None when none was remembered
    steps_back: tuple[int, ...]  # entries whose time lies over a minute before the entry above: a clock was set

    @property
    def ok(self) -> bool:
        """Whether every entry holds."""
        return self.first_bad is None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries are asked for: what is left empty does not matter."""

    kinds: tuple[EventType, ...] = ()  # any of these
    reason: Reason | None = None
    text: str = ""  # stands in the entry, letter by letter


class AuditLog(DatabaseFile):
    """The audit chain of one door in the file at `path`; a connection belongs to one thread.

    Several processes may append to one file. Raises StorageError, one line that names the file, where the
    file is damaged, foreign, of a newer version, or cannot be read or written.
    """

    def __init__(self, path: Path, device_id: str, door: str) -> None:
        super().__init__(path, AUDIT)
        self._device_id = device_id
        self._door = door
        self._head_file = path.with_suffix(".head")

    def append(self, event: Event) -> AuditEvent:
        """Return the event as it is sealed; when this returns, it is on disk. Raises as `append_all`."""
        return self.append_all((event,))[0]

    def append_all(self, events: Sequence[Event]) -> tuple[AuditEvent, ...]:
        """Return the events as they are sealed, all of them on disk, or raise with none of them written.

        Numbers that are not finite are stored as None. Raises StorageError when nothing was written, and
        ValueError for a time without a zone.
        """
        sealed: list[AuditEvent] = []
        with named_faults(AUDIT, self.path), one_change(self._db):
            head = self.head()
            for event in events:
                fields = self._fields(event, head)
                body = canonical(fields)
                head = Head(head.seq + 1, hashlib.sha256(body).hexdigest())
                self._db.execute("INSERT INTO entry VALUES (?, ?, ?)", [head.seq, body.decode(), head.hash])
                sealed.append(_from_fields(fields, head.hash))
        self._remember(head)
        return tuple(sealed)

    def read(self, after_seq: int = 0, limit: int | None = None) -> Iterator[AuditEvent]:
        """Yield the entries above `after_seq`, oldest first, at most `limit`; nothing from an empty log.

        Raises StorageError at an entry that is no event; whether the chain holds is for `verify` to say.
        """
        left = limit
        while left is None or left > 0:
            page = list(self._rows(after_seq, _PAGE if left is None else min(left, _PAGE)))
            for seq, body, digest in page:
                yield self._entry(seq, body, digest)
                after_seq = seq
            left = None if left is None else left - len(page)
            if not page:
                return

    def newest(self, sought: Sought, limit: int, *, below: int | None = None, above: int = 0) -> tuple[AuditEvent, ...]:
        """Return at most so many of the entries sought, newest first, that lie between two sequence numbers.

        `below` None: from the head on. Every entry between is looked at until enough are found.
        Raises StorageError as `read`.
        """
        where, values = _where(sought, above, below)
        query = f"SELECT seq, body, hash FROM entry WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - ours
        with named_faults(AUDIT, self.path):
            rows = self._db.execute(query, [*values, limit]).fetchall()
        return tuple(self._entry(*row) for row in rows)

    def oldest(self, sought: Sought, limit: int, *, above: int = 0, below: int | None = None) -> tuple[AuditEvent, ...]:
        """Return at most so many of the entries sought, oldest first, as `newest` does from the other end."""
        where, values = _where(sought, above, below)
        query = f"SELECT seq, body, hash FROM entry WHERE {where} ORDER BY seq LIMIT ?"  # noqa: S608 - as above
        with named_faults(AUDIT, self.path):
            rows = self._db.execute(query, [*values, limit]).fetchall()
        return tuple(self._entry(*row) for row in rows)

    def counts(self, sought: Sought, *, above: int = 0, below: int | None = None) -> dict[tuple[str, str], int]:
        """Return how often each event type with each reason ("" for none) stands among the entries sought."""
        where, values = _where(sought, above, below)
        kinds = "json_extract(body, '$.event_type'), COALESCE(json_extract(body, '$.reason'), '')"
        query = f"SELECT {kinds}, COUNT(*) FROM entry WHERE {where} GROUP BY 1, 2"  # noqa: S608 - as above
        with named_faults(AUDIT, self.path):
            return {(kind, reason): count for kind, reason, count in self._db.execute(query, values).fetchall()}

    def first_since(self, at: datetime) -> int:
        """Return the first entry of that time or later; one above the head where there is none.

        The clock is taken never to have been set back: around where it was, entries may be passed over.
        """
        with named_faults(AUDIT, self.path):
            low, high = 1, self.head().seq + 1
            while low < high:
                middle = (low + high) // 2
                row = self._db.execute(
                    "SELECT json_extract(body, '$.at') FROM entry WHERE seq = ?", [middle]
                ).fetchone()
                low, high = (middle + 1, high) if row is not None and row[0] < _instant(at) else (low, middle)
        return low

    def naming(self, text: str) -> Iterator[AuditEvent]:
        """Yield the entries in which `text` stands, oldest first. Raises StorageError as `read`."""
        query = "SELECT seq, body, hash FROM entry WHERE instr(body, ?) ORDER BY seq"
        with named_faults(AUDIT, self.path):
            rows = self._db.execute(query, [text]).fetchall()
        return (self._entry(*row) for row in rows)

    def head(self) -> Head:
        """Return the newest entry's place and hash."""
        with named_faults(AUDIT, self.path):
            row = self._db.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(*row) if row else Head(0, _ZEROS)

    def verify(self, remembered: Head | None = None) -> Verdict:
        """Return whether every entry is the one that was appended, in its place.

        The tail is compared with `remembered`, or with the head file beside the database where it is None.
        """
        remembered = remembered or self._remembered()
        head, latest, why = Head(0, _ZEROS), None, ""
        back: list[int] = []
        while not why and (page := list(self._rows(head.seq, _PAGE))):
            for seq, body, digest in page:
                why, at = _check(seq, body, digest, head)
                if not why and remembered and seq == remembered.seq and digest != remembered.hash:
                    why = "is not the entry that was remembered under this number"
                if why or at is None:
                    break
                back += [seq] if latest is not None and at < latest - _CLOCK_STEP else []
                head, latest = Head(seq, digest), at
        if not why and remembered and head.seq < remembered.seq:
            why = f"is missing: the log was cut after it had reached entry {remembered.seq}"
        return Verdict(head.seq, head, head.seq + 1 if why else None, why, remembered, tuple(back))

    def _rows(self, after_seq: int, count: int) -> list[tuple[int, bytes, str]]:
        # As bytes, because a damaged text must fail its hash, not its decoding.
        query = "SELECT seq, CAST(body AS BLOB), hash FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
        with named_faults(AUDIT, self.path):
            return self._db.execute(query, [after_seq, count]).fetchall()

    def _entry(self, seq: int, body: bytes | str, digest: str) -> AuditEvent:
        try:
            return _from_fields(json.loads(body), digest)
        except (KeyError, TypeError, ValueError) as fault:
            msg = f"audit log {self.path}: entry {seq} is not an event; ostiary audit verify says more"
            raise StorageError(msg) from fault

    def _fields(self, event: Event, before: Head) -> dict[str, Any]:
        entry = AuditEvent(before.seq + 1, uuid.uuid4().hex, self._device_id, self._door, event, before.hash, "")
        fields = as_payload(entry)
        del fields["hash"]
        return fields

    def _remembered(self) -> Head | None:
        try:
            told = json.loads(self._head_file.read_text(encoding="utf-8"))
            return Head(int(told["seq"]), str(told["hash"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never written, or torn by a power cut: then there is nothing to compare with

    def _remember(self, head: Head) -> None:
        """Note the new head beside the database, unless the log no longer holds the one noted before."""
        noted = self._remembered()
        # The entry is durable already: a note that fails (a full disk) only makes the next check weaker. It is
        # not synced either, which would double the cost of an entry; after a power cut it may lag behind.
        with suppress(OSError, sqlite3.OperationalError):
            if (
                noted
                and not self._db.execute(
                    "SELECT 1 FROM entry WHERE seq = ? AND hash = ?", [noted.seq, noted.hash]
                ).fetchone()
            ):
                return
            draft = self._head_file.with_suffix(f".{os.getpid()}.tmp")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(canonical({"seq": head.seq, "hash": head.hash}) + b"\n")
            draft.replace(self._head_file)


def canonical(fields: dict[str, Any]) -> bytes:
    """Return the bytes that are hashed: JSON with sorted keys, no spaces, UTF-8. Raises ValueError for NaN."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def as_payload(entry: AuditEvent) -> dict[str, Any]:
    """Return the entry in the words of the contract, ready for JSON; all but `hash` is what the hash covers."""
    event = entry.event
    return {
        "schema": SCHEMA,
        "seq": entry.seq,
        "id": entry.id,
        "event_type": event.event_type.value,
        "at": _instant(event.at),
        "device_id": entry.device_id,
        "door": entry.door,
        "actor": {"kind": event.actor.kind.value, "id": _text(event.actor.id)} if event.actor else None,
        "method": _text(event.method),
        "reason": event.reason.value if event.reason else None,
        "presentation_id": _text(event.presentation_id),
        "ticket_id": _text(event.ticket_id),
        "liveness": _number(event.liveness),
        "quality": _text(event.quality),
        "frames": None if event.frames is None else int(event.frames),
        "decision_ms": _number(event.decision_ms),
        "policy": _text(event.policy),
        "detail": _text(event.detail),
        "prev_hash": entry.prev_hash,
        "hash": entry.hash,
    }


def _from_fields(fields: dict[str, Any], digest: str) -> AuditEvent:
    actor, reason = fields["actor"], fields["reason"]
    event = Event(
        EventType(fields["event_type"]),
        datetime.fromisoformat(fields["at"]),
        Actor(ActorKind(actor["kind"]), actor["id"]) if actor else None,
        fields["method"],
        Reason(reason) if reason else None,
        *(fields[name] for name in ("presentation_id", "ticket_id", "liveness", "quality", "frames")),
        *(fields[name] for name in ("decision_ms", "policy", "detail")),
    )
    place = (fields["seq"], fields["id"], fields["device_id"], fields["door"])
    return AuditEvent(*place, event, fields["prev_hash"], digest)


def _where(sought: Sought, above: int, below: int | None) -> tuple[str, list[str | int]]:
    """Return the condition, of words of ours alone, and the values that it is asked with."""
    asked: list[tuple[str, list[str | int]]] = [("seq > ?", [above])]
    if below is not None:
        asked.append(("seq < ?", [below]))
    # `body` is canonical, and a quotation mark within a text is escaped: these letters are the field, nothing else is.
    if sought.kinds:
        # Reading the field is ten times as quick as looking for twenty kinds letter by letter.
        marks = ", ".join("?" * len(sought.kinds))
        asked.append((f"json_extract(body, '$.event_type') IN ({marks})", [kind.value for kind in sought.kinds]))
    if sought.reason is not None:
        asked.append(("instr(body, ?)", [f'"reason":"{sought.reason.value}"']))
    if sought.text:
        asked.append(("instr(body, ?)", [sought.text]))
    return " AND ".join(words for words, _ in asked), [value for _, values in asked for value in values]


def _check(seq: int, body: bytes, digest: str, before: Head) -> tuple[str, datetime | None]:
    """Return why this row cannot follow the entry before, "" when it does, and the row's time."""
    if seq != before.seq + 1:
        return f"is missing: entry {seq} follows entry {before.seq}", None
    if hashlib.sha256(body).hexdigest() != digest:
        return "was changed: its hash does not fit it", None
    try:
        entry = _from_fields(json.loads(body), digest)
    except (KeyError, TypeError, ValueError):
        return "is not an event of this version", None
    if entry.seq != seq:
        return f"stands in the wrong place: it was appended as entry {entry.seq}", None
    if entry.prev_hash != before.hash:
        return f"does not follow entry {before.seq}: that one was replaced, or this one was put in", None
    return "", entry.event.at


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        msg = f"event time {at} has no zone; UTC is wanted"
        raise ValueError(msg)
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
