"""The bench of power cuts ends with its figures, small enough for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_power_ends_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """F1, F13: cuts are counted beside those that must lose something, and so is what a day writes."""
    assert main(["power", "--cuts", "10", "--kills", "0", "--events", "10", "--no-idle"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["bench"] == "power"
    assert line["full"]["cuts"] >= 10
    assert line["full"]["faults"] == 0
    assert line["normal"]["faults"] > 0
    assert (line["events"], line["written_bytes"] > 0) == (10, True)
