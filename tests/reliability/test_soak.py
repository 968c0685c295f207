"""The soak of one reader: small enough for a test, and its figures."""

from __future__ import annotations

import json
import math
import os
import signal

import click
import pytest

from scripts.benchmarks.__main__ import main
from scripts.benchmarks.soak import controllers, slope, soak


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


def test_soak_ends_with_its_controller() -> None:
    """H7: where the controller was killed, by its guardian on a starved machine, that is said and nothing measured."""
    killed = [False]

    def kill(_line: str) -> None:
        if not killed[0]:
            (process,) = controllers()
            os.kill(int(process), signal.SIGKILL)
            killed[0] = True

    with pytest.raises(click.ClickException, match=r"the controller ended before frame 400"):
        soak(1000, models=False, told=kill)


def test_growth_and_its_interval() -> None:
    """H7: a steady growth is told for what it is, none as none, and one that is noise lies around nothing."""
    frames = list(range(1, 101))
    assert slope(frames, [5.0 + 2.0 * at for at in frames]) == pytest.approx((2.0, 2.0, 2.0))
    assert slope(frames, [7.0] * 100) == pytest.approx((0.0, 0.0, 0.0))
    at, low, high = slope(frames, [float((37 * number) % 11) for number in frames])
    assert low < 0 < high
    assert low < at < high
    assert all(math.isnan(one) for one in slope([1, 2], [1.0, 2.0]))
