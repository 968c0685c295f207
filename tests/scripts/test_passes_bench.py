"""The bench of passes ends with its figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts.benchmarks.__main__ import main
from scripts.benchmarks.passes import LOOKS

if TYPE_CHECKING:
    import pytest


def test_passes_ends_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Each look has a count for each reader, ours reads a pass held up plainly, and every reader has its times."""
    assert main(["passes", "--draws", "1"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["bench"], line["draws"]) == ("passes", 1)
    readers = {"ours (zxing-cpp)", "OpenCV", "OpenCV, Aruco"}
    assert set(line["read"]) == set(LOOKS)
    assert all(set(counts) == readers and set(counts.values()) <= {0, 1} for counts in line["read"].values())
    assert line["read"]["180 px"]["ours (zxing-cpp)"] == 1
    assert set(line["ms"]) == set(line["ms_without"]) == readers
