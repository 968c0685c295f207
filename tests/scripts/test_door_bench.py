"""The bench of the door ends with its figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_door_ends_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Faults at random moments and random schedules end with their worst case and how many were beyond their bound."""
    assert main(["door", "--moments", "3", "--schedules", "20", "--doors", "1"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["bench"] == "door"
    assert line["moments"]["moments"] == 3
    assert 0 <= line["moments"]["over"] <= 3
    assert 1 <= len(line["moments"]["late_ms_worst"]) <= 3
    assert line["schedules"]["core_past_s"] <= 1e-6
    assert (line["schedules"]["schedules"], line["schedules"]["real"]) == (20, 4)
