"""A shortlist for large galleries through faiss: half-precision rows, one thread; what it finds is computed again.

A product with every row in float32 is bound by memory (20 MB for 10,000 references); half of the bytes is half of
the time, and leaves the other half of the cache to the models.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import GallerySnapshot

MIN_ROWS = 2000  # below this the exact product is as quick, and a small door never loads the library


class HalfPrecisionIndex:
    """Rows of unit length in half precision. Belongs to one thread."""

    # A half has 11 significant bits, so that a rounded unit row lies within 2^-11 of the exact one, and so does
    # its product with a unit probe; 2^-10 leaves room for the order in which float32 sums.
    error = 2.0**-10

    def __init__(self, rows: NDArray[np.float32]) -> None:
        import faiss  # noqa: PLC0415 - a quarter of a second, for large galleries only

        faiss.omp_set_num_threads(1)
        quantiser, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        self._index = faiss.IndexScalarQuantizer(rows.shape[1], quantiser, metric)
        self._index.add(np.ascontiguousarray(rows))

    def nearest(self, vector: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], float]:
        """Return the rows most alike, at most `count`, and the approximate similarity of the last of them."""
        scores, rows = self._index.search(vector[np.newaxis], count)
        return rows[0], float(scores[0, -1])


def indexed(gallery: GallerySnapshot) -> GallerySnapshot:
    """Return the gallery with an index where it is large enough to gain by one."""
    return replace(gallery, index=HalfPrecisionIndex(gallery.matrix)) if gallery.size >= MIN_ROWS else gallery
