"""The shortlist of large galleries: never another answer than the whole product, only sooner."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.drivers.faiss_index import MIN_ROWS, HalfPrecisionIndex, indexed
from appliance.pipeline.matching import MAX_CANDIDATES, search
from appliance.records import Embedding, GallerySnapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "test"
D = 512


def units(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the rows brought to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def gallery(matrix: NDArray[np.float32], per_person: int = 1) -> GallerySnapshot:
    """Return a gallery in which `per_person` rows in a row are one person's."""
    people = tuple(f"p{row // per_person}" for row in range(len(matrix)))
    return GallerySnapshot(matrix, people, tuple(f"r{row}" for row in range(len(matrix))), MODEL, 1)


@pytest.fixture(scope="module")
def random_rows() -> NDArray[np.float32]:
    """Give 3,000 random unit rows."""
    return units(np.random.default_rng(3).normal(size=(3000, D)))


def test_small_gallery_has_no_index(random_rows: NDArray[np.float32]) -> None:
    """Below `MIN_ROWS` nothing is loaded and nothing built."""
    assert indexed(gallery(random_rows[: MIN_ROWS - 1])).index is None
    assert indexed(gallery(random_rows)).index is not None


@pytest.mark.parametrize("per_person", [1, 5, 100])
def test_answers_are_those_of_the_whole_product(random_rows: NDArray[np.float32], per_person: int) -> None:
    """For strangers, for the enrolled and for near-duplicates, the candidates are the same people (C12)."""
    rng = np.random.default_rng(4)
    plain = gallery(random_rows, per_person)
    quick = indexed(plain)
    strangers = units(rng.normal(size=(100, D)))
    mated = units(random_rows[rng.integers(0, 3000, 100)] + 0.02 * rng.normal(size=(100, D)))
    for probe in (*strangers, *mated):
        exact, found = (search(Embedding(probe, MODEL), one) for one in (plain, quick))
        assert [one.person_id for one in found] == [one.person_id for one in exact]
        assert [one.similarity for one in found] == pytest.approx([one.similarity for one in exact], abs=1e-6)


def test_near_duplicates_are_told_apart_or_left_to_the_product(random_rows: NDArray[np.float32]) -> None:
    """Rows nearer to one another than half precision can tell still give the exact order (C12)."""
    rng = np.random.default_rng(5)
    centre = random_rows[0].astype(np.float64)
    crowd = units(centre + 2e-5 * rng.normal(size=(400, D)))
    plain = gallery(np.vstack([random_rows, crowd]))
    quick = indexed(plain)
    for row in range(3000, 3400, 4):
        probe = Embedding(crowd[row - 3000], MODEL)
        assert search(probe, quick)[0] == search(probe, plain)[0]


def test_error_bound_holds(random_rows: NDArray[np.float32]) -> None:
    """What the index says of a row is never further from the exact similarity than it promises."""
    index = HalfPrecisionIndex(random_rows)
    for probe in units(np.random.default_rng(6).normal(size=(50, D))):
        rows, floor = index.nearest(probe, 3000)
        exact = random_rows[rows].astype(np.float64) @ probe.astype(np.float64)
        assert abs(float(exact[-1]) - floor) <= index.error
        assert (np.diff(exact) <= 2 * index.error).all()


class LyingIndex:
    """An index that finds what it is told, for a test of what is made of it."""

    error = 2.0**-10

    def __init__(self, rows: list[int], floor: float) -> None:
        self._answer = np.array(rows, np.int64), floor

    def nearest(self, _vector: NDArray[np.float32], _count: int) -> tuple[NDArray[np.int64], float]:
        """Return the prepared answer."""
        return self._answer


@given(rows=st.lists(st.integers(-1, 199), unique=True, max_size=64), seed=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_shortlist_that_leaves_a_doubt_is_not_used(rows: list[int], seed: int) -> None:
    """Whatever rows an index names, with their true floor, the answer is that of the whole product."""
    rng = np.random.default_rng(seed)
    plain = gallery(units(rng.normal(size=(200, 16))))
    probe = Embedding(units(rng.normal(size=16)), MODEL)
    left_out = np.delete(plain.matrix @ probe.vector, [row for row in rows if row >= 0])
    floor = float(left_out.max()) if left_out.size else -1.0
    assert search(probe, replace(plain, index=LyingIndex(rows, floor))) == search(probe, plain)
    assert len(search(probe, plain)) == MAX_CANDIDATES
