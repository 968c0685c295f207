"""Templates in fixed point: two bytes a number, of which the coarse one is searched and both together are exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    fits = np.abs(near).max(axis=-1, keepdims=True, initial=0) <= (127 * 256 + 127) * last
    return np.where(fits, near, rows).astype(np.float32)


def split(rows: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the coarse bytes, -127..127, and what they leave, in steps; both (n, D).

    What is left is whole and -128..127 for a row that `rounded` gave, and anything for another.
    """
    last = np.float32(step(rows.shape[-1]))
    steps = rows / last  # exact: by a power of two
    coarse = np.clip(np.floor(steps / 256 + np.float32(0.5)), -127, 127)
    return coarse.astype(np.int8), steps - 256 * coarse
