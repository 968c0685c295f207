"""What a camera looks at, in numbers: which way the edges in its view run, and how fine its detail is.

Of a view, only the direction of its edges on a grid of 80 x 60 is kept, in sixteenths of a turn: enough to know a
place again, without brightness, colour or anything as small as a face's features.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels
from appliance.records import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from appliance.records import Frame

WIDTH, HEIGHT = 80, 60
SIZE = WIDTH * HEIGHT
_FINE = (320, 240)
_MIN_SLOPE = 2.0  # luma levels a pixel of the grid; below it, grain and the wall's own shading decide
_SURROUNDINGS_PX = 9
_STEADY = 0.8  # length of the mean of an edge's directions; 1 where it was the same in every look
_LEAST = 150  # edges; the simulated hall has about 350, a bare wall none
_TURNS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One look at what is before the camera."""

    edges: NDArray[np.complex64]  # (60, 80); length 1 on an edge, else 0; twice the angle of its slope
    fine: NDArray[np.float32]  # (240, 320), second differences of luma
    coarse: NDArray[np.float32]  # (60, 80), likewise
    light: float  # 0..255, mean luma


@dataclass(frozen=True, slots=True)
class Detail:
    """How much detail looks have in common, against the square of their light. What grain adds is in none of them."""

    fine: float  # about 0.001 to 0.02; 0.00001 is none
    coarse: float  # about 0.03 to 0.4


def look(frame: Frame) -> Look:
    """Return one look at a frame, of any size and shape."""
    grey = pixels.luma(pixels.averaged(frame.pixels, *_FINE))
    small = pixels.averaged(grey, WIDTH, HEIGHT)
    right, down = pixels.slopes(pixels.against_surroundings(small.astype(np.float32), _SURROUNDINGS_PX))
    # Squared, light on dark and dark on light run the same way: a lamp may turn one into the other.
    slope = (right + 1j * down) ** 2
    size = np.abs(slope)
    edges = np.divide(slope, size, out=np.zeros_like(slope), where=size > _MIN_SLOPE**2)
    fine, coarse = pixels.second_differences(grey), pixels.second_differences(small)
    return Look(frozen(edges.astype(np.complex64)), frozen(fine), frozen(coarse), float(small.mean()))


def detail(looks: Sequence[Look]) -> Detail:
    """Return how much detail each look shares with the next; two at least, of the same view and not in the dark."""
    pairs = list(itertools.pairwise(looks))
    fine = [float((one.fine * other.fine).mean()) / (one.light * other.light) for one, other in pairs]
    coarse = [float((one.coarse * other.coarse).mean()) / (one.light * other.light) for one, other in pairs]
    return Detail(max(0.0, sum(fine) / len(pairs)), max(0.0, sum(coarse) / len(pairs)))


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A view that was learnt."""

    directions: bytes  # of 4,800 places, row by row: 0 for no edge, else 1 and the sixteenths of a turn
    _spectrum: NDArray[np.complex128] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        codes = np.frombuffer(self.directions, np.uint8).reshape(HEIGHT, WIDTH)
        edges = np.where(codes > 0, np.exp(2j * np.pi * (codes - 1.0) / _TURNS), 0)
        object.__setattr__(self, "_spectrum", frozen(np.conj(np.fft.fft2(edges))))

    def fit(self, now: Look) -> float:
        """Return how surely this is the same view from the same place, 0..1; near 0 for another or a moved one.

        By phase correlation of the edges' directions (after Fitch et al., BMVC 2002): a peak within a pixel of the
        grid from the middle, 1.25 % of the view's width.
        """
        both = np.fft.fft2(now.edges) * self._spectrum
        peaks = np.fft.ifft2(both / (np.abs(both) + 1e-9)).real
        return max(0.0, *(float(peaks[down, right]) for down in (-1, 0, 1) for right in (-1, 0, 1)))


def learnt(looks: Sequence[Look]) -> View | None:
    """Return what was steady in these looks; None where that is too little to know the view again by."""
    mean = np.mean([one.edges for one in looks], axis=0)
    steady = np.abs(mean) > _STEADY
    if np.count_nonzero(steady) < _LEAST:
        return None
    turns = np.round(np.angle(mean) / (2 * np.pi) * _TURNS).astype(int) % _TURNS
    return View(np.where(steady, turns + 1, 0).astype(np.uint8).tobytes())
