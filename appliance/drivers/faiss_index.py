"""Large galleries: templates of two bytes a number, the coarse bytes searched by faiss, one thread; exact all the same.

A product with every row in float32 is bound by memory (20 MB for 10,000 references). One byte of four is a quarter
of that, and leaves the cache to the models. The shortlist that it gives carries a bound on what it left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from appliance import fixed_point
from appliance.records import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import GallerySnapshot

MIN_ROWS = 3000  # below this the whole product is as quick, and a small door never loads the library
BLOCK_ROWS = 16384  # a change copies the blocks it touches, 16 MB at most; a search pays about 10 us a block
MOST_SHORTLISTS = 8  # what is kept of many blocks, in shortlists of one
_SLACK = 1.002  # rows and probes are of unit length to 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some templates, n of them. Never changed once made."""

    index: Any  # faiss.IndexScalarQuantizer, which owns the coarse bytes
    codes: NDArray[np.uint8]  # (n, D) the coarse bytes plus 128, seen inside the index
    fine: NDArray[np.int8] | None  # (n, D) what the coarse bytes leave, in steps; None where that is not whole
    plain: NDArray[np.float32] | None  # (n, D) the rows themselves, in the place of `fine`
    error: float  # the most by which a row differs from its coarse bytes, L2

    @classmethod
    def of(cls, rows: NDArray[np.float32]) -> Self:
        coarse, left = fixed_point.split(rows)
        squares = np.einsum("nd,nd->n", left, left, dtype=np.float32)
        error = float(np.sqrt(squares.max())) * fixed_point.step(rows.shape[1]) * _SLACK
        fine, plain = (
            (frozen(left.astype(np.int8, copy=False)), None) if left.dtype == np.int8 else (None, frozen(rows))
        )
        return cls(*_index(coarse.view(np.uint8) ^ np.uint8(128)), fine, plain, error)

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return these rows as they were given, (k, D)."""
        if self.fine is None:
            assert self.plain is not None  # noqa: S101 - one of the two is there
            return self.plain.take(rows, axis=0)
        # Small types as long as they last: most of the time goes into memory.
        steps = self.codes.take(rows, axis=0).astype(np.int16)
        steps -= 128
        steps *= 256
        steps += self.fine.take(rows, axis=0).astype(np.int16)
        found = steps.astype(np.float32)
        found *= np.float32(fixed_point.step(self.index.d))
        return found

    def only(self, keep: NDArray[np.bool_]) -> Self:
        """Return the block of the rows that are kept; itself where all are."""
        if keep.all():
            return self
        index, codes = _index(self.codes[keep])
        fine = None if self.fine is None else frozen(self.fine[keep])
        plain = None if self.plain is None else frozen(self.plain[keep])
        return replace(self, index=index, codes=codes, fine=fine, plain=plain)

    def joined(self, other: Self) -> Self:
        """Return the block of this one's rows and then the other's."""
        if self.fine is None or other.fine is None:
            return type(self).of(np.concatenate([one.at(np.arange(one.index.ntotal)) for one in (self, other)]))
        index, codes = _index(np.concatenate((self.codes, other.codes)))
        fine = frozen(np.concatenate((self.fine, other.fine)))
        return replace(self, index=index, codes=codes, fine=fine, error=max(self.error, other.error))


class PackedRows:
    """Templates of unit length at 2 bytes a number, where `fixed_point.rounded` gave them; at 5 else.

    A value: a change gives another, which shares every block that it did not touch. Belongs to one thread.
    """

    def __init__(self, dimension: int, blocks: tuple[_Block, ...] = ()) -> None:
        self._dimension = dimension
        self._blocks = blocks
        self._ends = np.cumsum([0, *(block.index.ntotal for block in self._blocks)])

    def nearest(self, vector: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], float]:
        """Return `count` rows or more, the most alike as one byte tells, and how much alike any other is at most."""
        # Whole numbers, as one of faiss's kernels cuts the fraction off and another does not: so every score is
        # exact, and what rounding the probe costs is part of the bound.
        scale = 127 / float(np.abs(vector).max())
        whole = np.rint(vector * np.float32(scale))
        unit = fixed_point.step(self._dimension) * 256 / scale
        lost = vector - whole / np.float32(scale)
        probe_error = math.sqrt(float(lost.dot(lost))) * _SLACK
        found, scores, bound = [], [], -math.inf
        for start, block in zip(self._ends, self._blocks, strict=False):
            score, row = block.index.search(whole[np.newaxis], min(count, block.index.ntotal))
            found.append(row[0] + start)
            scores.append(score[0])
            if count < block.index.ntotal:
                bound = max(bound, float(score[0, -1]) * unit + self._error(block, probe_error))
        if len(found) == 1:
            return found[0], bound
        rows, coarse = np.concatenate(found), np.concatenate(scores)
        # Of many blocks more is kept than of one: the more rows there are, the closer stand the best of them, and to
        # be unsure costs a second search of all blocks.
        most = count * min(len(found), MOST_SHORTLISTS)
        if rows.size <= most:
            return rows, bound
        order = np.argpartition(-coarse, most)
        error = max(self._error(block, probe_error) for block in self._blocks)
        return rows[order[:most]], max(bound, float(coarse[order[most]]) * unit + error)

    @staticmethod
    def _error(block: _Block, probe_error: float) -> float:
        """Return by how much a coarse similarity may differ from the exact one, by Cauchy and Schwarz."""
        return _SLACK * (block.error + probe_error * (1 + block.error))

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return these rows exactly, (k, D), in the order asked for."""
        if len(self._blocks) == 1:
            return self._blocks[0].at(rows)
        found = np.empty((rows.size, self._dimension), np.float32)
        homes = np.searchsorted(self._ends, rows, side="right") - 1
        for home in np.unique(homes):
            here = homes == home
            found[here] = self._blocks[home].at(rows[here] - self._ends[home])
        return found

    def products(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarity of every row, (N,), in float32."""
        chunks = [
            block.at(np.arange(start, min(start + 1024, block.index.ntotal))) @ vector
            for block in self._blocks
            for start in range(0, block.index.ntotal, 1024)
        ]
        return np.concatenate(chunks)

    def changed(self, keep: NDArray[np.bool_], added: NDArray[np.float32]) -> PackedRows:
        """Return what is kept of these rows, `keep` (N,), and then the `added`, (m, D)."""
        parts = [
            keep[start : start + block.index.ntotal] for start, block in zip(self._ends, self._blocks, strict=False)
        ]
        blocks = [block.only(part) for block, part in zip(self._blocks, parts, strict=True) if part.any()]
        while len(added):
            room = BLOCK_ROWS - blocks[-1].index.ntotal if blocks else 0
            if room > 0:
                blocks[-1] = blocks[-1].joined(_Block.of(added[:room]))
                added = added[room:]
            else:
                blocks.append(_Block.of(added[:BLOCK_ROWS]))
                added = added[BLOCK_ROWS:]
        return PackedRows(self._dimension, tuple(blocks))


def indexed(gallery: GallerySnapshot) -> GallerySnapshot:
    """Return the gallery with its rows packed where there are enough of them to gain by it."""
    rows = gallery.matrix
    if len(rows) < MIN_ROWS:
        return gallery
    packed = PackedRows(rows.shape[1]).changed(np.empty(0, np.bool_), rows)
    return replace(gallery, matrix=frozen(np.empty((0, rows.shape[1]), np.float32)), index=packed)


def _index(codes: NDArray[np.uint8]) -> tuple[Any, NDArray[np.uint8]]:
    """Return an index that owns a copy of the codes, and the codes as they lie in it."""
    import faiss  # noqa: PLC0415 - a quarter of a second, for large galleries only

    faiss.omp_set_num_threads(1)
    quantiser, metric = faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexScalarQuantizer(codes.shape[1], quantiser, metric)
    index.add_sa_codes(np.ascontiguousarray(codes))
    return index, frozen(faiss.rev_swig_ptr(index.codes.data(), codes.size).reshape(codes.shape))
