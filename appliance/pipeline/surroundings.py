"""Surroundings: whether what lies around a face moved along with it.

The camera is fixed: behind a head that moves the room stands still. Around a print or a telephone in the hand the
picture's own background, its edge and the fingers move as the face does. Two guesses of what is seen now are held
against each other, pixel by pixel: what was seen before, and what was seen before moved like the face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance import pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACE_PX = 48  # width of the face in the pictures compared
REACH = 3.0  # face widths to each side of the face's middle
_SIDE_PX = round(2 * REACH * FACE_PX)
# Hair reaches 0.9 of a face's width to the side and 1.2 upwards; below the chin shoulders move with the head.
_BANDS = (1.0, 1.2, 1.5, 2.0, 3.0)
_ABOVE, _CHIN = -1.3, 0.3
_SIDES = 3  # left, right, above
_SLACK_PX = 1  # by which a guess from the face's own motion misses at so many widths from it
_CONTRAST = 10.0  # luma levels by which the two guesses must differ for a pixel to tell
_CLEAR = 0.4  # of the worse guess's error is the better one's, at most
_ENOUGH, _MAJORITY = 20, 4  # pixels of a cell that tell, and how many to one


def carried_sides(
    before: NDArray[np.uint8], now: NDArray[np.uint8], to_face: NDArray[np.float64], homography: NDArray[np.float64]
) -> int | None:
    """Return on how many sides of the face, 0..3, something moved along with it.

    `before` and `now` are (h, w) luma of one fixed camera, `to_face` the 2x3 matrix from their pixels to the face's
    middle as origin and its width as unit, and `homography` how the face moved in these. None where nothing around
    the face stood still or where nothing could be told: the camera moves, or a wall has no texture.
    """
    to_view = np.array([[FACE_PX, 0, _SIDE_PX / 2], [0, FACE_PX, _SIDE_PX / 2], [0, 0, 1.0]])
    placing = (to_view @ np.vstack([to_face, (0, 0, 1)]))[:2]
    stood, seen = (pixels.detail(pixels.warp(one, placing, _SIDE_PX)) for one in (before, now))
    inside = pixels.warp(np.full_like(before, 255), placing, _SIDE_PX) > 250
    along = to_view @ homography @ np.linalg.inv(to_view)
    came, covered = pixels.moved(stood, along), pixels.moved(inside.astype(np.float32), along) > 0.99
    tells = (np.abs(stood - came) > _CONTRAST) & inside & covered
    low, high = pixels.range_within(came, _SLACK_PX)
    if_still, if_carried = np.abs(seen - stood), np.maximum(np.maximum(low - seen, seen - high), 0)
    carried = _count(tells & (if_carried < _CLEAR * if_still))
    still = _count(tells & (if_still < _CLEAR * if_carried))
    if not ((still >= _ENOUGH) & (still >= _MAJORITY * carried)).any():
        return None
    return int(((carried >= _ENOUGH) & (carried >= _MAJORITY * still)).any(axis=1).sum())


def _cells() -> NDArray[np.uint8]:
    """Return each pixel's cell, 1 + 4 * side + band; 0 for none."""
    rows, columns = (np.indices((_SIDE_PX, _SIDE_PX)) - _SIDE_PX / 2) / FACE_PX
    out = np.maximum(np.abs(columns), np.where(rows < 0, -rows - 0.3, 0))
    band = np.digitize(out, _BANDS)
    beside = (np.abs(columns) >= _BANDS[0]) & (rows < _CHIN)
    above = (np.abs(columns) < _BANDS[0]) & (rows < _ABOVE)
    side = np.where(above, 2, (columns > 0).astype(int))
    cells = 1 + side * (len(_BANDS) - 1) + band - 1
    return np.where((beside | above) & (band >= 1) & (band < len(_BANDS)), cells, 0).astype(np.uint8)


_CELLS = _cells()


def _count(pixels_told: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the pixels lie in each cell, (3 sides, 4 bands)."""
    bands = len(_BANDS) - 1
    return np.bincount(_CELLS[pixels_told], minlength=1 + _SIDES * bands)[1:].reshape(_SIDES, bands)
