"""The tail of an impostor distribution: found again where it is known, and never lighter than what was measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance import tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

CENSORED = tail.CENSORED_FMR


def exponential(total: int, start: float, scale: float) -> NDArray[np.float64]:
    """Return the highest 4 in 1,000 of `total` comparisons whose tail is exactly exponential."""
    ranks = np.arange(1, 4 * total // 1000 + 1) - 0.5
    highest: NDArray[np.float64] = start + scale * np.log(1e-3 * total / ranks)
    return highest


def test_tail_finds_a_known_exponential() -> None:
    """A tail of scale 0.03 from 0.3 at FMR 1e-3 is found again, and gives the thresholds it was made of."""
    found = tail.fit(tail.Measured(exponential(1_000_000, 0.3, 0.03), 1_000_000))
    assert found.start == pytest.approx(0.3, abs=2e-4)
    assert found.scale == pytest.approx(0.03, rel=0.02)
    assert found.threshold(1e-6) == pytest.approx(0.3 + 0.03 * math.log(1000), abs=0.01)


def test_tail_is_not_moved_by_mislabelled_people() -> None:
    """A handful of comparisons that are mated in truth changes nothing, however alike they look."""
    honest = np.sort(exponential(1_000_000, 0.3, 0.03))[::-1]
    spoilt = honest.copy()
    spoilt[: int(CENSORED * 1_000_000) - 1] = 0.99
    assert tail.fit(tail.Measured(spoilt, 1e6)) == tail.fit(tail.Measured(honest, 1e6))


def test_tail_is_never_lighter_than_measured() -> None:
    """Where the measured curve bulges, the fit is raised to it: its threshold is nowhere below the measured one."""
    bulging = np.sort(exponential(10_000_000, 0.3, 0.03))[::-1]
    bulging[:3000] += 0.05
    measured = tail.Measured(bulging, 10_000_000)
    found = tail.fit(measured)
    for fmr in tail.HELD_AT:
        assert found.threshold(fmr) >= measured.threshold(fmr) - 1e-9


def test_tail_of_weights_is_the_tail_of_repeats() -> None:
    """A comparison of weight two counts as two comparisons."""
    single = exponential(1_000_000, 0.3, 0.03)
    weighted = tail.fit(tail.Measured(single, 2e6, np.full(single.size, 2.0)))
    repeated = tail.fit(tail.Measured(np.repeat(single, 2), 2e6))
    assert weighted.scale == pytest.approx(repeated.scale, rel=1e-9)
    assert weighted.fmr == pytest.approx(repeated.fmr, rel=1e-9)


def test_too_few_comparisons_give_no_tail() -> None:
    """A thousand comparisons have one beyond FMR 1e-3, which is no tail: the fit refuses."""
    with pytest.raises(ValueError, match="at least 20000 are needed"):
        tail.fit(tail.Measured(exponential(1000, 0.3, 0.03), 1000))
