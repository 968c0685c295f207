"""SIGKILL at any moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_kill_loses_nothing() -> None:
    """F2: killed 15 times in a row at random moments, an appliance has everything it acknowledged, and all whole."""
    command = [sys.executable, "-m", "tests.durability.kills", "15", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    told = json.loads(done.stdout)
    assert told["faults"] == []
    assert told["kills"] == 15
    assert told["acknowledged"] > 15
