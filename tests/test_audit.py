"""The audit log: durable, chained, and honest about damage."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.audit import AuditLog, Head, as_payload, canonical
from appliance.contract import EventType, Reason
from appliance.errors import StorageError
from appliance.records import Actor, ActorKind, Event

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]
CONTRACT_WORDS = [
    *("schema", "seq", "id", "event_type", "at", "device_id", "door", "actor", "method", "reason"),
    *("presentation_id", "ticket_id", "liveness", "quality", "frames", "decision_ms", "policy", "detail"),
    *("prev_hash", "hash"),
]

events = st.builds(
    Event,
    event_type=st.sampled_from(EventType),
    at=st.datetimes(timezones=st.just(UTC)),
    actor=st.none() | st.builds(Actor, kind=st.sampled_from(ActorKind), id=st.text()),
    method=st.text(),
    reason=st.none() | st.sampled_from(Reason),
    presentation_id=st.text(),
    liveness=st.none() | st.floats(),
    frames=st.none() | st.integers(0, 1000),
    decision_ms=st.none() | st.floats(),
    detail=st.text(),
)


def opened(folder: Path) -> AuditLog:
    """Return the log in the folder."""
    return AuditLog(folder / "audit.db", "ostiary", "front")


def filled(folder: Path, count: int) -> list[Event]:
    """Append `count` events, a second apart, and return them."""
    happened = [
        Event(EventType.BELL, NOON + timedelta(seconds=at), Actor(ActorKind.DEVICE, "bell"), detail=f"ring {at}")
        for at in range(count)
    ]
    with opened(folder) as log:
        for event in happened:
            log.append(event)
    return happened


def tamper(folder: Path, *statements: tuple[str, list[str | int]]) -> None:
    """Change the file as somebody would who owns it: the triggers are the first thing to go."""
    with closing(sqlite3.connect(folder / "audit.db", isolation_level=None)) as db:
        for trigger in ("entry_follows", "entry_is_not_changed", "entry_is_not_deleted"):
            db.execute(f"DROP TRIGGER {trigger}")
        for statement, values in statements:
            db.execute(statement, values)


def test_what_is_appended_is_what_is_read(tmp_path: Path) -> None:
    """Entries come back in order, numbered from 1 without a gap, and equal to what append gave."""
    with opened(tmp_path) as log:
        sealed = [log.append(Event(kind, NOON)) for kind in EventType]
        assert list(log.read()) == sealed
        assert [entry.seq for entry in sealed] == list(range(1, len(EventType) + 1))
        assert list(log.read(after_seq=3, limit=2)) == sealed[3:5]
        assert list(log.read(limit=0)) == []
        assert log.head() == Head(sealed[-1].seq, sealed[-1].hash)


def test_what_happened_together_is_written_together_or_not_at_all(tmp_path: Path) -> None:
    """J8, F3: of an approval and its grant the log never holds one without the other, and each once."""
    together = (Event(EventType.APPROVAL_GRANTED, NOON), Event(EventType.ACCESS_GRANTED, NOON))
    with opened(tmp_path) as log:
        with closing(sqlite3.connect(tmp_path / "audit.db", isolation_level=None)) as db:
            full = "CREATE TRIGGER full BEFORE INSERT ON entry WHEN NEW.seq = 2 BEGIN SELECT RAISE(ABORT, 'full'); END"
            db.execute(full)
            with pytest.raises(StorageError, match="full"):
                log.append_all(together)
            assert list(log.read()) == []
            db.execute("DROP TRIGGER full")
        sealed = log.append_all(together)
        assert tuple(log.read()) == sealed
        assert [one.event for one in sealed] == list(together)
        assert log.verify().ok


def test_reading_goes_past_one_page(tmp_path: Path) -> None:
    """However many entries there are, each is read once, and a limit holds across pages."""
    with opened(tmp_path) as log:
        log._db.execute("PRAGMA synchronous=OFF")  # for speed: durability is not what is tested here
        for at in range(510):
            log.append(Event(EventType.BELL, NOON + timedelta(seconds=at)))
        assert [entry.seq for entry in log.read()] == list(range(1, 511))
        assert [entry.seq for entry in log.read(4, 503)] == list(range(5, 508))
        assert log.verify().count == 510


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    """Nothing appended: nothing read, head 0, and the chain holds."""
    with opened(tmp_path) as log:
        assert list(log.read()) == []
        assert log.head() == Head(0, "0" * 64)
        assert log.verify().ok


@settings(max_examples=60, deadline=None)
@given(event=events)
@example(event=Event(EventType.BELL, NOON, liveness=math.nan, decision_ms=-math.inf))
def test_payload_has_the_contracts_words_and_its_own_proof(event: Event) -> None:
    """Any event, hostile text and NaN included, becomes strict JSON that anybody can check by its hash."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as log:
        entry = log.append(event)
        assert list(log.read()) == [entry]
        assert log.verify().ok
    payload = json.loads(json.dumps(as_payload(entry), allow_nan=False))
    assert list(payload) == CONTRACT_WORDS
    digest = payload.pop("hash")
    assert hashlib.sha256(canonical(payload)).hexdigest() == digest
    for value, stored in ((event.liveness, payload["liveness"]), (event.decision_ms, payload["decision_ms"])):
        assert stored == (None if value is None or not math.isfinite(value) else value)


def test_lone_surrogates_are_stored_as_text(tmp_path: Path) -> None:
    """D8: text that has no UTF-8 is stored with a substitute, not refused: the event still counts."""
    with opened(tmp_path) as log:
        assert log.append(Event(EventType.FAULT, NOON, detail="a\ud800b")).event.detail == "a?b"
        assert log.verify().ok


def test_time_without_a_zone_is_a_bug(tmp_path: Path) -> None:
    """A time that could mean any zone is refused, and nothing is written."""
    with opened(tmp_path) as log:
        with pytest.raises(ValueError, match="no zone"):
            log.append(Event(EventType.BELL, NOON.replace(tzinfo=None)))
        assert log.head().seq == 0


def test_times_are_kept_in_utc(tmp_path: Path) -> None:
    """The same moment in another zone is stored as that moment in UTC."""
    with opened(tmp_path) as log:
        entry = log.append(Event(EventType.BELL, datetime.fromisoformat("2026-03-01T13:00:00+01:00")))
        assert as_payload(entry)["at"] == "2026-03-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET hash = hash WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 3",
        "INSERT OR REPLACE INTO entry SELECT seq, body, hash FROM entry WHERE seq = 2",
        "INSERT INTO entry SELECT seq + 7, body, hash FROM entry WHERE seq = 2",
    ],
)
def test_schema_refuses_to_change_the_past(tmp_path: Path, statement: str) -> None:
    """F15: another program that opens the file honestly cannot edit, delete, replace or leave a gap."""
    filled(tmp_path, 3)
    refusal = pytest.raises(sqlite3.IntegrityError, match="audit entry")
    with closing(sqlite3.connect(tmp_path / "audit.db")) as db, refusal:
        db.execute(statement)
    with opened(tmp_path) as log:
        assert log.verify().count == 3


@settings(max_examples=40, deadline=None)
@given(field=st.sampled_from([*CONTRACT_WORDS[:-1]]), seq=st.integers(1, 6))
def test_any_edited_field_is_named(field: str, seq: int) -> None:
    """F15: whichever field of whichever entry is edited, clock included, that entry is the first bad one."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        filled(folder, 6)
        tamper(folder, ("UPDATE entry SET body = json_set(body, ?, 'edited') WHERE seq = ?", [f"$.{field}", seq]))
        with opened(folder) as log:
            verdict = log.verify()
    assert (verdict.first_bad, verdict.count) == (seq, seq - 1)
    assert "changed" in verdict.why


@settings(max_examples=30, deadline=None)
@given(seq=st.integers(1, 6))
def test_any_deleted_entry_is_named(seq: int) -> None:
    """F15: whichever entry is deleted, the last included, it is the one named as missing."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        filled(folder, 6)
        tamper(folder, ("DELETE FROM entry WHERE seq = ?", [seq]))
        with opened(folder) as log:
            verdict = log.verify()
    assert verdict.first_bad == seq
    assert "missing" in verdict.why


@settings(max_examples=30, deadline=None)
@given(pair=st.lists(st.integers(1, 6), min_size=2, max_size=2, unique=True).map(sorted))
def test_any_swapped_pair_is_named(pair: list[int]) -> None:
    """F15: whichever two entries change places, the earlier place is the first bad one."""
    one, two = pair
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        filled(folder, 6)
        tamper(
            folder,
            ("UPDATE entry SET seq = 0 WHERE seq = ?", [one]),
            ("UPDATE entry SET seq = ? WHERE seq = ?", [one, two]),
            ("UPDATE entry SET seq = ? WHERE seq = 0", [two]),
        )
        with opened(folder) as log:
            verdict = log.verify()
    assert verdict.first_bad == one
    assert f"appended as entry {two}" in verdict.why


def test_rehashed_entry_is_found_by_the_next(tmp_path: Path) -> None:
    """F15: an entry rewritten together with its own hash no longer fits the entry after it."""
    filled(tmp_path, 4)
    with opened(tmp_path) as log:
        body = canonical({**{k: v for k, v in as_payload(list(log.read())[1]).items() if k != "hash"}, "detail": "x"})
    digest = hashlib.sha256(body).hexdigest()
    tamper(tmp_path, ("UPDATE entry SET body = ?, hash = ? WHERE seq = 2", [body.decode(), digest]))
    with opened(tmp_path) as log:
        verdict = log.verify()
    assert verdict.first_bad == 3
    assert "does not follow entry 2" in verdict.why


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", "{", '{"seq":2}'])
def test_entry_that_is_no_event_is_named(tmp_path: Path, body: str) -> None:
    """F15: a body that is hashed rightly and is no event is a bad entry, and reading it is a storage fault."""
    filled(tmp_path, 3)
    digest = hashlib.sha256(body.encode()).hexdigest()
    tamper(tmp_path, ("UPDATE entry SET body = ?, hash = ? WHERE seq = 2", [body, digest]))
    with opened(tmp_path) as log:
        assert log.verify().first_bad == 2
        with pytest.raises(StorageError, match="entry 2 is not an event"):
            list(log.read())


def test_cut_tail_is_seen_against_the_remembered_head(tmp_path: Path) -> None:
    """F15: a log cut at its end is found by the head noted beside it, even after new entries hide the cut."""
    filled(tmp_path, 5)
    tamper(tmp_path, ("DELETE FROM entry WHERE seq > 3", []))
    with opened(tmp_path) as log:
        assert log.verify().first_bad == 4
        for _ in range(4):
            log.append(Event(EventType.BELL, NOON))
        verdict = log.verify()
    assert verdict.first_bad == 5
    assert "remembered" in verdict.why


def test_cut_tail_is_seen_against_a_head_noted_elsewhere(tmp_path: Path) -> None:
    """F15: without the note, a cut tail is invisible here, and visible to whoever kept a head elsewhere."""
    filled(tmp_path, 5)
    with opened(tmp_path) as log:
        kept = log.head()
    tamper(tmp_path, ("DELETE FROM entry WHERE seq > 3", []))
    (tmp_path / "audit.head").unlink()
    with opened(tmp_path) as log:
        assert log.verify().ok
        assert log.verify().remembered is None
        assert log.verify(kept).first_bad == 4


@pytest.mark.parametrize("note", ["", "{", "[]", '{"seq":"x"}', "\udcff"])
def test_torn_note_of_the_head_is_no_note(tmp_path: Path, note: str) -> None:
    """F1: a note that a power cut tore counts as none; the chain itself is still read, and noted anew."""
    filled(tmp_path, 2)
    (tmp_path / "audit.head").write_bytes(note.encode("utf-8", "surrogateescape"))
    with opened(tmp_path) as log:
        assert log.verify().ok
        assert log.verify().remembered is None
        log.append(Event(EventType.BELL, NOON))
        assert log.verify().remembered == log.head()


def test_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    """H2: a clock set back by an hour breaks no chain, and the entry after it is named."""
    with opened(tmp_path) as log:
        for minutes in (0, 60, 1, 2):
            log.append(Event(EventType.BELL, NOON + timedelta(minutes=minutes)))
        assert log.verify().steps_back == (3,)
        assert log.verify().ok


APPENDER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.records import Event
print("ready", flush=True)
sys.stdin.readline()
with AuditLog(Path(sys.argv[1]), "ostiary", "front") as log:
    for _ in range(int(sys.argv[2])):
        print(log.append(Event(EventType.BELL, datetime.now(UTC))).seq, flush=True)
"""


def appender(folder: Path, count: int) -> subprocess.Popen[str]:
    """Start a process that waits for a line, appends `count` entries, and prints each number once it is durable."""
    command = [sys.executable, "-c", APPENDER, str(folder / "audit.db"), str(count)]
    writer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    """F8: processes that make the same file and append at once wait for each other; nothing is lost or torn."""
    writers = [appender(tmp_path, 40) for _ in range(3)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    told = [[int(line) for line in writer.communicate(timeout=60)[0].split()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert sorted(seq for part in told for seq in part) == list(range(1, 121))
    with opened(tmp_path) as log:
        assert log.verify().ok
        assert log.verify().count == 120


def test_killed_in_the_middle_of_appending(tmp_path: Path) -> None:
    """F2: after SIGKILL at any moment every entry that was acknowledged is there and the chain holds."""
    acknowledged = 0
    chance = random.Random(7)  # noqa: S311  a moment, not a secret
    for _ in range(5):
        writer = appender(tmp_path, 100_000)
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("\n")
        writer.stdin.close()
        first = writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
        writer.stdout.close()
        writer.wait()
        acknowledged = max(int(line) for line in (first, *rest) if line.strip().isdigit())
        with opened(tmp_path) as log:
            verdict = log.verify()
            assert verdict.ok, verdict.why
            assert verdict.count >= acknowledged
    assert acknowledged > 5


def append_for_ever(log: AuditLog) -> None:
    """Append until something gives way."""
    for _ in range(10_000):
        log.append(Event(EventType.BELL, NOON, detail="x" * 500))


def test_full_disk_refuses_and_writes_nothing(tmp_path: Path) -> None:
    """F3: when the disk is full, append says so in one line, the chain holds, and works again with room."""
    filled(tmp_path, 3)
    with opened(tmp_path) as log:
        log._db.execute(f"PRAGMA max_page_count = {log._db.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(StorageError, match=r"audit\.db cannot be used: database or disk is full") as fault:
            append_for_ever(log)
        assert "\n" not in str(fault.value)
        kept = log.verify()
        assert kept.ok
        log._db.execute("PRAGMA max_page_count = 100000")
        assert log.append(Event(EventType.BELL, NOON)).seq == kept.count + 1


FILE_LIMIT = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.errors import StorageError
from appliance.records import Event
with AuditLog(Path(sys.argv[1]), "ostiary", "front") as log:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        while True:
            log.append(Event(EventType.BELL, datetime.now(UTC)))
    except StorageError as fault:
        print(fault)
"""


@pytest.mark.parametrize("limit", [60_001, 90_000, 123_456])
def test_write_that_the_system_refuses_midway(tmp_path: Path, limit: int) -> None:
    """F3, F4: a write that fails in the middle of a page is one line, and leaves a chain that holds."""
    command = [sys.executable, "-c", FILE_LIMIT, str(tmp_path / "audit.db"), str(limit)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("\n") == 1
    assert "audit.db cannot be used" in done.stdout
    with opened(tmp_path) as log:
        verdict = log.verify()
        assert verdict.ok, verdict.why
        assert log.append(Event(EventType.BELL, NOON)).seq == verdict.count + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY


def test_read_only_connection_refuses_and_writes_nothing(tmp_path: Path) -> None:
    """F5: a database that has become read-only refuses an append in one line, and can still be read."""
    filled(tmp_path, 2)
    with opened(tmp_path) as log:
        log._db.execute("PRAGMA query_only=ON")
        with pytest.raises(StorageError, match="readonly"):
            log.append(Event(EventType.BELL, NOON))
        assert [entry.seq for entry in log.read()] == [1, 2]


def test_place_that_cannot_hold_a_file(tmp_path: Path) -> None:
    """A missing folder, or a folder in the file's place, is one line that names it."""
    (tmp_path / "folder.db").mkdir()
    for place in (tmp_path / "missing" / "audit.db", tmp_path / "folder.db"):
        with pytest.raises(StorageError, match=place.name):
            AuditLog(place, "ostiary", "front")


def test_foreign_files_are_refused_and_not_touched(tmp_path: Path) -> None:
    """F6: a text, another program's database and the gallery are each refused, and left byte for byte."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE notes (text)")
    (tmp_path / "text.db").write_bytes(b"not a database\n" * 400)
    for name in ("other.db", "text.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(StorageError, match=name) as fault:
            AuditLog(tmp_path / name, "ostiary", "front")
        assert "\n" not in str(fault.value)
        assert (tmp_path / name).read_bytes() == before


def test_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    """F9: a file from a newer version is refused by name; going back damages nothing."""
    filled(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "audit.db", isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 9")
    before = (tmp_path / "audit.db").read_bytes()
    with pytest.raises(StorageError, match=r"newer Ostiary: its schema is 9, this one knows 1"):
        opened(tmp_path)
    assert (tmp_path / "audit.db").read_bytes() == before


def test_flipped_and_missing_bytes_never_crash_and_never_pass(tmp_path: Path) -> None:
    """F6: a byte flipped anywhere or a file cut anywhere is a storage fault, a bad entry, or not in the entries."""
    happened = filled(tmp_path, 60)
    whole = (tmp_path / "audit.db").read_bytes()
    chance = random.Random(11)  # noqa: S311
    flips = [bytearray(whole) for _ in range(120)]
    for at, damaged in zip(chance.sample(range(len(whole)), len(flips)), flips, strict=True):
        damaged[at] ^= 1 << chance.randrange(8)
    cuts = [bytearray(whole[: chance.randrange(1, len(whole))]) for _ in range(30)]
    told: list[str] = []
    bad = 0
    for damaged in (*flips, *cuts):
        (tmp_path / "audit.db").write_bytes(damaged)
        try:
            with opened(tmp_path) as log:
                verdict = log.verify()
                if verdict.ok:
                    assert [entry.event for entry in log.read()] == happened
                bad += not verdict.ok
        except StorageError as fault:
            told.append(str(fault))
        for left in ("audit.db-wal", "audit.db-shm"):
            (tmp_path / left).unlink(missing_ok=True)
    assert len(told) >= 25
    assert all("audit.db" in line and "\n" not in line for line in told)
    assert bad > 0


def test_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """J3: whatever the umask, nobody else on the device can read the log or the note of its head."""
    before = os.umask(0)
    try:
        filled(tmp_path, 1)
    finally:
        os.umask(before)
    for name in ("audit.db", "audit.head"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
