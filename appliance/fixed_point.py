"""Templates in fixed point: two bytes a number, of which the coarse one is searched and both together are exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_LARGEST = 127 * 256 + 127  # steps that one coarse byte and one fine one can tell
_IN_CACHE = 256  # rows: what is computed of them together stays in a core's cache


def step(dimension: int) -> float:
    """Return what the last bit of a number counts for, a power of two; 2^-17 for templates of 512 numbers.

    Numbers of a unit vector scatter by 1/sqrt(D). Room for five times that was enough for all numbers of 500
    faces by either shipped embedder; a row with a larger one is kept in float32.
    """
    return 2.0 ** (min(0, math.ceil(math.log2(5 / math.sqrt(dimension)))) - 15)


def rounded(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows, (..., D), as fixed point tells them: no number moves by more than half a step.

    A row that does not fit comes back as it is. Rounding twice is rounding once.
    """
    last = np.float32(step(rows.shape[-1]))
    near = np.rint(rows / last) * last + np.float32(
        0
    )  # plus nothing makes -0 a 0, which whole numbers do not tell apart
    fits = np.abs(near).max(axis=-1, keepdims=True, initial=0) <= _LARGEST * last
    return np.where(fits, near, rows).astype(np.float32)


def split(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.int8] | NDArray[np.float32]]:
    """Return the coarse bytes, -127..127, and what they leave, in steps; both (n, D).

    What is left is int8 for rows that `rounded` gave, all of them, and float32 for others.
    """
    coarse, fine = np.empty(rows.shape, np.int8), np.empty(rows.shape, np.int8)
    scale = np.float32(1 / step(rows.shape[-1]))  # exact: a power of two
    for start in range(0, len(rows), _IN_CACHE):
        part = slice(start, start + _IN_CACHE)
        steps = rows[part] * scale
        if not np.abs(steps).max() <= _LARGEST:  # this way round, NaN is none
            return _split_any(rows * scale)
        whole = steps.astype(np.int16)
        if (whole != steps).any():
            return _split_any(rows * scale)
        upper = (whole + np.int16(128)) >> 8
        coarse[part] = upper
        fine[part] = whole - (upper << 8)
    return coarse, fine


def _split_any(steps: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    coarse = np.clip(np.floor(steps / 256 + np.float32(0.5)), -127, 127)
    return coarse.astype(np.int8), steps - 256 * coarse
