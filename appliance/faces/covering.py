"""Covering a face so that nobody, and no machine, recognises it again.

A blur or a mosaic of the face's own pixels can be undone, or matched by blurring what is known. So the face is not
blurred at all: it is painted over with a mosaic of chance about the colour of its surroundings. Nothing of what lies
under the cover is in the picture any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.records import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WIDER = 1.6  # of the detection box: an ellipse so large holds the box with its corners, ears and chin
UPWARD = 0.12  # of the box's height that the ellipse is moved: the box ends at the brows
CELLS = 8  # across a cover
SPREAD = 25.0  # luma levels that cells differ by, standard deviation
NO_SURROUNDINGS = 128.0  # where the face fills the picture


def cover(pixels: NDArray[np.uint8], boxes: Iterable[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB pixels with every box, (4,) x0 y0 x1 y1 px, covered; read-only, the same where none is.

    Boxes may overlap and reach past the picture. Two pictures that differ under the covers alone give the same.
    """
    places = [_Place(box, pixels.shape[1], pixels.shape[0]) for box in boxes]
    hidden = np.zeros(pixels.shape[:2], np.bool_)
    for place in places:
        hidden[place.rows, place.columns] |= place.ellipse
    covered = pixels.copy()
    for place in places:
        part = covered[place.rows, place.columns]
        part[place.ellipse] = place.mosaic(_surroundings(pixels, hidden, place))[place.ellipse]
    return frozen(covered)


class _Place:
    """Where one cover lies in a picture."""

    def __init__(self, box: NDArray[np.float32], width_px: int, height_px: int) -> None:
        size = np.maximum(box[2:] - box[:2], 1.0).astype(np.float64)
        centre = (box[:2] + box[2:]) / 2 - (0.0, UPWARD * size[1])
        half = size * WIDER / 2
        low = np.clip(np.floor(centre - half), 0, (width_px, height_px)).astype(int)
        high = np.clip(np.ceil(centre + half), low, (width_px, height_px)).astype(int)
        self.columns, self.rows = slice(low[0], high[0]), slice(low[1], high[1])
        x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])
        across, down = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
        self.ellipse: NDArray[np.bool_] = across**2 + down[:, np.newaxis] ** 2 <= 1
        # Cells are counted from the cover's own corner, so that they go with a face through a film.
        self._cell_x = np.clip((across + 1) / 2 * CELLS, 0, CELLS - 1).astype(int)
        self._cell_y = np.clip((down + 1) / 2 * CELLS, 0, CELLS - 1).astype(int)

    def mosaic(self, about: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return (h, w, 3): cells of chance about a colour, the same chance each time."""
        chance = np.random.default_rng(1).normal(0, SPREAD, (CELLS, CELLS, 1))
        cells = np.clip(about + chance, 0, 255).astype(np.uint8)
        drawn: NDArray[np.uint8] = cells[self._cell_y[:, np.newaxis], self._cell_x]
        return drawn


def _surroundings(pixels: NDArray[np.uint8], hidden: NDArray[np.bool_], place: _Place) -> NDArray[np.float64]:
    """Return the mean colour, (3,), of what stays to be seen in the rectangle about a cover."""
    seen: NDArray[np.uint8] = pixels[place.rows, place.columns][~hidden[place.rows, place.columns]]
    return seen.mean(axis=0) if len(seen) else np.full(3, NO_SURROUNDINGS)
