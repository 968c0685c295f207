"""Several connections and processes at one database, and what they may not do to each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.access.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
OTHER = """
import sys
from pathlib import Path
from appliance.access.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    print(ledger.begun())
"""


def seen_by_another(path: Path) -> str:
    """Return what another process reads, which then leaves."""
    command = [sys.executable, "-c", OTHER, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_process_that_leaves_takes_nothing_along(tmp_path: Path) -> None:
    """F8: however often one process opens a file, another that comes and goes leaves its log in place.

    Opening and closing a database's file beside SQLite drops this process's locks on it; whoever leaves next then
    believes to be the last one and deletes the log, and what is written to it afterwards is lost.
    """
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger, Ledger(path) as second:
        ledger.begin_day("first")
        assert seen_by_another(path) == "first"
        ledger.begin_day("second")
        assert (tmp_path / "ledger.db-wal").exists()
        assert seen_by_another(path) == second.begun() == "second"
