"""The bench of updates that are cut off ends with its figures, small enough for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_updates_end_with_their_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """I4: the cuts are counted, and so are those after which no whole release would boot: none."""
    assert main(["updates", "--every", "30", "--no-power"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["bench"], line["faults"]) == ("updates", 0)
    assert line["kill"]["points"] >= 2
    assert line["kill, ill"]["ran"].keys() == {"1.0.0"}
