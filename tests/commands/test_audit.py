"""`ostiary audit`: what it shows, and what it says of a chain that does not hold."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog, as_payload
from appliance.cli import root
from appliance.contract import EventType, Reason
from appliance.errors import ApplianceError
from appliance.records import Actor, ActorKind, Event

REPOSITORY = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder whose log holds 30 entries."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as log:
        for second in range(30):
            log.append(
                Event(
                    EventType.ACCESS_DENIED,
                    NOON + timedelta(seconds=second),
                    Actor(ActorKind.CLIENT, "tablet"),
                    "face",
                    Reason.UNKNOWN_FACE,
                    detail=f"visit {second + 1} [red]\x1b[2J",
                )
            )
    return tmp_path


def ostiary(state: Path, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, ["audit", *words, "--state", str(state)])
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def numbers(said: str) -> list[int]:
    """Return the entry numbers that stand first in each line."""
    return [int(line.split("\t")[0]) for line in said.splitlines()]


def test_show_gives_the_newest(state: Path) -> None:
    """Without options the newest 20 entries, oldest first; --limit says how many."""
    assert numbers(ostiary(state, "show")[1]) == list(range(11, 31))
    assert numbers(ostiary(state, "show", "--limit", "3")[1]) == [28, 29, 30]
    assert numbers(ostiary(state, "show", "--limit", "300")[1]) == list(range(1, 31))


def test_show_after_an_entry(state: Path) -> None:
    """--after gives all that follows, or the first --limit of it; past the end there is nothing."""
    assert numbers(ostiary(state, "show", "--after", "25")[1]) == [26, 27, 28, 29, 30]
    assert numbers(ostiary(state, "show", "--after", "0", "--limit", "2")[1]) == [1, 2]
    assert ostiary(state, "show", "--after", "30") == (0, "")


def test_lines_cannot_move_the_cursor(state: Path) -> None:
    """D8: what came from outside is shown as text, into a pipe and on a terminal; never as a command to it."""
    code, said = ostiary(state, "show", "--limit", "1")
    assert code == 0
    assert "access_denied\tclient tablet\tunknown_face\tface\tvisit 30 [red]?[2J" in said
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "appliance", "audit", "show", "--limit", "1", "--state", str(state)]
    wide = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    subprocess.run(command, cwd=REPOSITORY, stdout=theirs, env=wide, timeout=60, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "visit 30 [red]?[2J" in shown
    assert "\x1b[2J" not in shown


def test_json_is_what_the_wire_carries(state: Path) -> None:
    """--json prints the payload of each entry, one object a line."""
    with AuditLog(state / "audit.db", "ostiary", "front") as log:
        wanted = [as_payload(entry) for entry in log.read(27)]
    code, said = ostiary(state, "show", "--json", "--after", "27")
    assert (code, [json.loads(line) for line in said.splitlines()]) == (0, wanted)


def test_whole_chain_ends_with_zero(state: Path) -> None:
    """F15: a chain that holds is said to, with its length and a head to note elsewhere."""
    code, said = ostiary(state, "verify")
    assert code == 0
    assert said.startswith("ok: 30 entries, head 30:")
    head = said.split()[-1]
    assert ostiary(state, "verify", "--head", head)[0] == 0


def test_broken_chain_ends_with_one(state: Path) -> None:
    """F15: a changed entry ends with 1 and one line that names it and the file."""
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER entry_is_not_changed")
        db.execute("UPDATE entry SET body = replace(body, 'visit 7 ', 'visit 8 ') WHERE seq = 7")
    code, said = ostiary(state, "verify")
    assert (code, said.count("\n")) == (1, 1)
    assert "audit.db is broken: entry 7 was changed" in said


def test_cut_tail_ends_with_one(state: Path) -> None:
    """F15: a log cut at its end fails against the note beside it, and against a head noted elsewhere."""
    head = ostiary(state, "verify")[1].split()[-1]
    with closing(sqlite3.connect(state / "audit.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER entry_is_not_deleted")
        db.execute("DELETE FROM entry WHERE seq > 20")
    assert "entry 21 is missing" in ostiary(state, "verify")[1]
    (state / "audit.head").unlink()
    code, said = ostiary(state, "verify")
    assert code == 0
    assert "would not show" in said
    code, said = ostiary(state, "verify", "--head", head)
    assert code == 1
    assert "entry 21 is missing" in said


@pytest.mark.parametrize("head", ["", "x", "30", "30:abc", "-1:" + "0" * 64, "\u0663:" + "0" * 64])
def test_head_that_is_none(state: Path, head: str) -> None:
    """A head that does not read SEQ:HASH is a usage fault: exit code 2, never "the chain is broken"."""
    code, said = ostiary(state, "verify", f"--head={head}")
    assert code == 2
    assert "SEQ:HASH" in said


def test_damaged_log_ends_with_three(tmp_path: Path) -> None:
    """F6: a log file that is no database ends with 3 and one line that names it."""
    (tmp_path / "audit.db").write_bytes(b"no database" * 1000)
    for word in ("show", "verify"):
        command = [sys.executable, "-m", "appliance", "audit", word, "--state", str(tmp_path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert "audit.db" in done.stderr


def test_empty_log(tmp_path: Path) -> None:
    """A device on which nothing has happened shows nothing, and its chain holds."""
    assert ostiary(tmp_path, "show") == (0, "")
    code, said = ostiary(tmp_path, "verify")
    assert code == 0
    assert said.startswith("ok: 0 entries")
