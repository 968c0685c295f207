"""The soak of one reader: small enough for a test, and its figures."""

from __future__ import annotations

import json
import math

import pytest

from scripts.benchmarks.__main__ import main
from scripts.benchmarks.soak import slope


def test_reader_holds_no_more_after_a_thousand_frames(capsys: pytest.CaptureFixture[str]) -> None:
    """H7: a reader that lets a visitor in holds as many descriptors and threads as before, and ends with figures."""
    assert main(["soak", "--frames", "1000"]) == 0
    said = capsys.readouterr().out
    assert "access_granted 1" in said
    line = json.loads(said.splitlines()[-1])
    assert (line["bench"], line["frames"]) == ("soak", 1000)
    for name in ("descriptors", "controller's descriptors"):
        assert line[name]["last"] == line[name]["first"] > 0
    assert line["threads"]["last"] <= line["threads"]["first"] + 1  # that of liveness begins with the first face


def test_growth_and_its_interval() -> None:
    """H7: a steady growth is told for what it is, none as none, and one that is noise lies around nothing."""
    frames = list(range(1, 101))
    assert slope(frames, [5.0 + 2.0 * at for at in frames]) == pytest.approx((2.0, 2.0, 2.0))
    assert slope(frames, [7.0] * 100) == pytest.approx((0.0, 0.0, 0.0))
    at, low, high = slope(frames, [float((37 * number) % 11) for number in frames])
    assert low < 0 < high
    assert low < at < high
    assert all(math.isnan(one) for one in slope([1, 2], [1.0, 2.0]))
