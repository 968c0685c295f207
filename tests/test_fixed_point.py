"""Templates in fixed point: nearly what was given, and from then on exactly what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fixed_point import rounded, split, step

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_rows(dimension: int, seed: int, count: int = 50) -> NDArray[np.float32]:
    """Return random rows of unit length."""
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@given(dimension=st.integers(1, 1024), seed=st.integers(0, 100))
def test_rounding_is_small_and_happens_once(dimension: int, seed: int) -> None:
    """C12: no number moves by more than half a step, a row keeps its length, and rounding again changes nothing."""
    rows = unit_rows(dimension, seed, 5)
    once = rounded(rows)
    assert np.abs(once - rows).max() <= step(dimension) / 2
    assert np.abs(np.linalg.norm(once.astype(np.float64), axis=1) - 1).max() < 1e-4
    assert np.array_equal(rounded(once), once)
    assert np.array_equal(rounded(once[0]), once[0])


@pytest.mark.parametrize("dimension", [1, 16, 128, 192, 256, 512])
def test_both_bytes_make_the_row_again(dimension: int) -> None:
    """C12: of a rounded row nothing is lost between the coarse byte and the fine one."""
    rows = rounded(unit_rows(dimension, 1))
    coarse, fine = split(rows)
    fits = np.abs(rows).max(axis=1) <= 32639 * step(dimension)
    assert np.array_equal(fine[fits], fine[fits].astype(np.int8))
    whole = (coarse.astype(np.float64) * 256 + fine) * step(dimension)
    assert np.array_equal(whole, rows)


def test_row_with_one_great_number_stays_as_it_is() -> None:
    """C4: what does not fit is neither cut off nor wrapped round."""
    rows = np.zeros((1, 512), np.float32)
    rows[0, 0], rows[0, 1] = 0.8, 0.6
    assert np.array_equal(rounded(rows), rows)
    coarse, fine = split(rows)
    assert coarse.max() == 127
    assert np.array_equal((coarse.astype(np.float64) * 256 + fine) * step(512), rows)
