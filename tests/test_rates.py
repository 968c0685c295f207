"""Rates: intervals with answers worked out by hand."""

from __future__ import annotations

import pytest

from appliance.rates import upper_bound, wilson


def test_wilson_is_the_textbook_interval() -> None:
    """Half of ten is 0.2366 to 0.7634; none of ten reaches to z^2 / (n + z^2); no trial says nothing."""
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson(10, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_upper_bound_is_exact() -> None:
    """Nothing seen in n trials leaves 1 - 0.05^(1/n); one of 13 still leaves 32 %; all of them leaves everything."""
    assert upper_bound(0, 13) == pytest.approx(1 - 0.05 ** (1 / 13), abs=1e-9)
    assert upper_bound(1, 13) == pytest.approx(0.3163, abs=1e-4)
    assert upper_bound(3, 3) == 1.0
    assert upper_bound(0, 0) == 1.0
