"""The ledger: what a door remembers over a restart, and what it forgets."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.access.ledger import Ledger
from appliance.access.passback import Passage, Side
from appliance.audit import AuditLog
from appliance.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger."""
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def test_pass_is_used_once(ledger: Ledger) -> None:
    """D5: a pass is new once, also after a restart and for another process; another pass is not touched by it."""
    until = datetime.now(UTC) + timedelta(hours=8)
    assert ledger.use("a", until)
    assert not ledger.use("a", until)
    with Ledger(ledger.path) as other:
        assert not other.use("a", until)
        assert other.use("b", until)
    assert not ledger.use("b", until)


def test_used_pass_outlives_a_clock_that_was_ahead(ledger: Ledger) -> None:
    """H3: a pass that ran out lately stays used, so that a clock set back does not make it new; old ones go."""
    now = datetime.now(UTC)
    assert ledger.use("late", now - timedelta(days=31))
    assert ledger.use("old", now - timedelta(days=40))
    assert ledger.use("other", now)
    assert not ledger.use("late", now - timedelta(days=31))
    assert ledger.use("old", now - timedelta(days=40))


def test_use_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    """F2: a pass that was acknowledged as used is used after SIGKILL."""
    program = (
        "import sys, os, signal\n"
        "from datetime import datetime, UTC\n"
        "from pathlib import Path\n"
        "from appliance.access.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "assert ledger.use('a', datetime(2100, 1, 1, tzinfo=UTC))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "ledger.db"
    killed = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    with Ledger(path) as ledger:
        assert not ledger.use("a", datetime(2100, 1, 1, tzinfo=UTC))


def test_latest_passage_is_kept_and_no_other(ledger: Ledger) -> None:
    """One passage a person: the latest, as it was, also after a restart; of nobody else there is none."""
    ledger.passed("ada", Passage(Side.ENTRY, NOON))
    ledger.passed("ada", Passage(Side.EXIT, NOON + timedelta(minutes=5)))
    with Ledger(ledger.path) as again:
        assert again.passage("ada") == Passage(Side.EXIT, NOON + timedelta(minutes=5))
        assert again.passage("bob") is None


def test_forgotten_passages_leave_no_byte(ledger: Ledger) -> None:
    """J7: who is erased, or passed before the reset, stands in no file any more; everybody else stays."""
    ledger.passed("marker-ada", Passage(Side.ENTRY, NOON))
    ledger.passed("marker-bob", Passage(Side.ENTRY, NOON - timedelta(days=1)))
    ledger.passed("marker-eve", Passage(Side.ENTRY, NOON))
    ledger.passed("cyd", Passage(Side.EXIT, NOON))
    assert any(b"marker-ada" in file.read_bytes() for file in ledger.path.parent.iterdir())
    ledger.forget_before(NOON)
    ledger.forget("marker-ada")
    ledger.forget_all_but({"cyd"})
    for file in ledger.path.parent.iterdir():
        assert b"marker" not in file.read_bytes(), file.name
    assert ledger.passage("cyd") == Passage(Side.EXIT, NOON)


def test_begun_day_outlasts_a_restart(ledger: Ledger) -> None:
    """A reader that starts again at eleven knows that somebody began the day at eight."""
    assert not ledger.begun()
    ledger.begin_day("2026-11-23T08:00")
    with Ledger(ledger.path) as again:
        assert again.begun() == "2026-11-23T08:00"


def test_damaged_passage_is_a_fault(ledger: Ledger) -> None:
    """F6: a passage that cannot be read is one line, never taken for none."""
    ledger.passed("ada", Passage(Side.ENTRY, NOON))
    ledger._db.execute("UPDATE passage SET at = 'yesterday'")
    with pytest.raises(StorageError, match="when person ada passed is unclear"):
        ledger.passage("ada")


def test_another_database_in_its_place_is_refused(tmp_path: Path) -> None:
    """F6: one of our own databases in the ledger's place is told apart."""
    AuditLog(tmp_path / "ledger.db", "ostiary", "front").close()
    with pytest.raises(StorageError, match="not an Ostiary ledger"):
        Ledger(tmp_path / "ledger.db")
