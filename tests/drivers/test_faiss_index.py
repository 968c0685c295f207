"""Large galleries: never another answer than the product with every row, only sooner and in less memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.drivers import faiss_index
from appliance.drivers.faiss_index import MIN_ROWS, PackedRows, indexed
from appliance.fixed_point import rounded
from appliance.pipeline.matching import search
from appliance.records import Embedding, GallerySnapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "test"
D = 512
ROWS = MIN_ROWS + 500


def units(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the rows brought to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def gallery(matrix: NDArray[np.float32], per_person: int = 1) -> GallerySnapshot:
    """Return a gallery in which `per_person` rows in a row are one person's."""
    people = tuple(f"p{row // per_person}" for row in range(len(matrix)))
    return GallerySnapshot(matrix, people, tuple(f"r{row}" for row in range(len(matrix))), MODEL, 1)


def packed(rows: NDArray[np.float32]) -> PackedRows:
    """Return the rows in blocks, however few they are."""
    return PackedRows(rows.shape[1]).changed(np.empty(0, np.bool_), rows)


@pytest.fixture(scope="module")
def random_rows() -> NDArray[np.float32]:
    """Give random rows as they are enrolled."""
    return rounded(units(np.random.default_rng(3).normal(size=(ROWS, D))))


def test_small_gallery_has_no_index(random_rows: NDArray[np.float32]) -> None:
    """Below `MIN_ROWS` nothing is loaded and nothing packed."""
    assert indexed(gallery(random_rows[: MIN_ROWS - 1])).index is None
    large = indexed(gallery(random_rows))
    assert large.index is not None
    assert large.matrix.shape == (0, D)
    assert indexed(large) is large


@pytest.mark.parametrize("per_person", [1, 5, 100])
def test_answers_are_those_of_the_whole_product(random_rows: NDArray[np.float32], per_person: int) -> None:
    """C12: for strangers, for the enrolled and for near-duplicates, the candidates are the same people."""
    rng = np.random.default_rng(4)
    plain = gallery(random_rows, per_person)
    quick = indexed(plain)
    strangers = units(rng.normal(size=(100, D)))
    mated = units(random_rows[rng.integers(0, ROWS, 100)] + 0.02 * rng.normal(size=(100, D)))
    for probe in (*strangers, *mated):
        exact, found = (search(Embedding(probe, MODEL), one) for one in (plain, quick))
        assert [one.reference_id for one in found] == [one.reference_id for one in exact]
        assert [one.similarity for one in found] == pytest.approx([one.similarity for one in exact], abs=1e-6)


@pytest.mark.parametrize("apart", [2e-5, 2e-4])
@pytest.mark.parametrize("fixed_point", [True, False])
def test_near_duplicates_are_told_apart(random_rows: NDArray[np.float32], apart: float, *, fixed_point: bool) -> None:
    """C12: among 400 rows nearer to one another than a byte, or float32, can tell, the first is that of float64."""
    rng = np.random.default_rng(5)
    crowd = units(random_rows[0].astype(np.float64) + apart * rng.normal(size=(400, D)))
    rows = np.vstack([random_rows, rounded(crowd) if fixed_point else crowd])
    quick = indexed(gallery(rows))
    for row in range(ROWS, ROWS + 400, 4):
        noisy = units(rows[row] + 1e-5 * rng.normal(size=D))
        exact = (rows.astype(np.float64) * noisy).sum(axis=1)
        assert search(Embedding(noisy, MODEL), quick)[0].reference_id == f"r{exact.argmax()}"


@pytest.mark.parametrize("scale", [0.02, 1.0])
@pytest.mark.parametrize("count", [1, 48, 384])
def test_bound_holds(
    random_rows: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, scale: float, count: int
) -> None:
    """C12: no row that is left out is more alike than the bound says, in one block or in several, for skewed probes."""
    monkeypatch.setattr(faiss_index, "BLOCK_ROWS", 1000)
    rng = np.random.default_rng(6)
    weights = np.where(np.arange(D) < 3, 1.0, scale)  # a few great numbers: coarse steps for all others
    for index in (packed(random_rows), packed(random_rows[:900])):
        size = len(index.products(random_rows[0]))
        for probe in units(weights * rng.normal(size=(30, D))):
            rows, bound = index.nearest(probe, count)
            exact = random_rows[:size].astype(np.float64) @ probe.astype(np.float64)
            assert len(set(rows.tolist())) == len(rows)
            assert np.delete(exact, rows).max() <= bound


def test_everything_asked_for_leaves_no_bound(random_rows: NDArray[np.float32]) -> None:
    """C12: a shortlist of all rows says that nothing was left out."""
    rows, bound = packed(random_rows[:60]).nearest(random_rows[0], 64)
    assert sorted(rows) == list(range(60))
    assert bound == -math.inf


def test_rows_come_back_as_they_were(random_rows: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    """C12: packed rows are the same numbers, in fixed point or not, in any order, across blocks."""
    monkeypatch.setattr(faiss_index, "BLOCK_ROWS", 1000)
    odd = random_rows.copy()
    odd[1500] = units(np.random.default_rng(7).normal(size=D))  # not in fixed point: its block keeps float32
    odd[2500] = np.eye(D, dtype=np.float32)[0]  # too great for fixed point
    for rows in (random_rows, odd):
        order = np.random.default_rng(8).permutation(ROWS)
        assert np.array_equal(packed(rows).at(order), rows[order])
        assert np.allclose(packed(rows).products(rows[3]), rows @ rows[3], atol=1e-6)


def test_change_gives_another_and_leaves_the_first(
    random_rows: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C10: rows leave and come, block by block; whoever holds the index of before sees what was there before."""
    monkeypatch.setattr(faiss_index, "BLOCK_ROWS", 64)
    rng = np.random.default_rng(9)
    rows, index = random_rows[:0], packed(random_rows[:0])
    fresh = iter(random_rows)
    for _ in range(40):
        keep = rng.random(len(rows)) > rng.choice([0.0, 0.02, 0.5, 1.0])
        added = np.array([next(fresh) for _ in range(rng.integers(0, 90))], np.float32).reshape(-1, D)
        if rng.random() < 0.1 and len(added):
            added = units(added.astype(np.float64) + 1e-3)  # not in fixed point
        before, held = index, rows
        rows, index = np.concatenate((rows[keep], added)), index.changed(keep, added)
        assert np.array_equal(index.at(np.arange(len(rows))), rows)
        assert np.array_equal(before.at(np.arange(len(held))), held)
        if len(rows):
            assert search(Embedding(rows[-1], MODEL), gallery(rows))[0].reference_id == f"r{len(rows) - 1}"
            best, bound = index.nearest(rows[-1], 5)
            assert len(rows) - 1 in best
            assert bound < 1


def test_enrolled_template_takes_two_bytes_a_number(random_rows: NDArray[np.float32]) -> None:
    """Of a template in fixed point, one byte is in the index and one beside it; nothing else of a row's size."""
    (block,) = packed(random_rows)._blocks
    assert block.fine is not None
    assert block.plain is None
    assert block.fine.nbytes + block.index.codes.size() == 2 * D * ROWS
