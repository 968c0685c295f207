"""The bench of outages ends with its figures, small enough for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_outage_ends_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """D11: events are fed while the power is cut, and what was missing then is counted."""
    assert main(["outage", "--rounds", "0", "--events", "50"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["events"] >= 50
    assert line["cuts"] >= 20
    assert line["faults"] == 0
