"""The bench of the interface for programs: what it asks is answered, by the real process."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.errors import UsageError
from scripts.benchmarks import api
from scripts.benchmarks.crowded import crowded, figures, spent_ms


def test_questions_are_answered() -> None:
    """Every kind of question has its answer from a web with people in it, and a question that has none is a fault."""
    with crowded(60, 120) as crowd:
        for paths in api._questions(crowd, 60, 120, 2).values():
            assert spent_ms(crowd.port, paths, crowd.by_key()).shape == (2,)
        assert spent_ms(crowd.port, ["/"], crowd.by_session()).size == 1
        with pytest.raises(UsageError, match="answers 404"):
            spent_ms(crowd.port, ["/nowhere"], crowd.by_key())


def test_figures_are_of_all_times() -> None:
    """The quantiles are those of the times, and the interval of the 95th holds it."""
    found = figures(np.arange(1.0, 1001.0))
    assert (found["n"], found["worst"]) == (1000, 1000)
    assert found["p50"] == pytest.approx(500.5)
    assert found["p95_low"] < found["p95"] < found["p95_high"]
