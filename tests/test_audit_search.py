"""What is looked for in the audit log is found, newest first, and nothing else is."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit import AuditLog, Sought
from appliance.contract import EventType, Reason
from appliance.records import Event

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = ['"event_type":"bell"', "' OR 1=1 --", '"reason":"ok"', "%", "\\", '"; DROP TABLE entry; --']
KINDS = [EventType.BELL, EventType.ACCESS_DENIED, EventType.ACCESS_GRANTED]
REASONS = [None, Reason.OK, Reason.EXPIRED]

happenings = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(REASONS), st.sampled_from(["", "ada", *HOSTILE])), max_size=30
)
asked = st.builds(
    Sought,
    kinds=st.lists(st.sampled_from(KINDS), max_size=2, unique=True).map(tuple),
    reason=st.sampled_from(REASONS),
    text=st.sampled_from(["", "ada"]),
)


@settings(max_examples=40, deadline=None)
@given(happenings, asked, st.integers(0, 31), st.integers(1, 32), st.integers(1, 8))
def test_search_finds_what_reading_finds(
    happened: list[tuple[EventType, Reason | None, str]], sought: Sought, above: int, below: int, limit: int
) -> None:
    """E2: whatever stands in an entry or is asked for, a search finds what reading every entry would."""
    with tempfile.TemporaryDirectory() as folder, AuditLog(Path(folder) / "audit.db", "front", "front") as log:
        log.append_all([Event(kind, NOON, reason=reason, detail=said) for kind, reason, said in happened])
        expected = [
            entry
            for entry in log.read()
            if above < entry.seq < below
            and (not sought.kinds or entry.event.event_type in sought.kinds)
            and sought.reason in (None, entry.event.reason)
            and sought.text in entry.event.detail
        ]
        assert log.newest(sought, limit, above=above, below=below) == tuple(expected[::-1][:limit])
        counted = log.counts(sought, above=above, below=below)
        assert sum(counted.values()) == len(expected)
        assert set(counted) == {(entry.event.event_type.value, (entry.event.reason or "")) for entry in expected}


def test_metacharacters_are_letters() -> None:
    """E2: SQL, patterns and JSON in what is looked for are letters, found where they stand and nowhere else."""
    with tempfile.TemporaryDirectory() as folder, AuditLog(Path(folder) / "audit.db", "front", "front") as log:
        log.append_all([Event(EventType.FAULT, NOON, detail=said) for said in ("plain", "100 % sure", "' OR 1=1 --")])
        assert [entry.seq for entry in log.newest(Sought(text="' OR 1=1 --"), 9)] == [3]
        assert [entry.seq for entry in log.newest(Sought(text="%"), 9)] == [2]
        assert log.newest(Sought(text="'; DROP TABLE entry; --"), 9) == ()


def test_first_entry_of_a_time() -> None:
    """The first entry of a time is found, at the ends too."""
    with tempfile.TemporaryDirectory() as folder, AuditLog(Path(folder) / "audit.db", "front", "front") as log:
        assert log.first_since(NOON) == 1
        log.append_all([Event(EventType.BELL, NOON + timedelta(hours=hour)) for hour in range(5)])
        found = [log.first_since(NOON + timedelta(hours=hour, minutes=-1)) for hour in (-1, 0, 1, 4, 5)]
        assert found == [1, 1, 2, 5, 6]
