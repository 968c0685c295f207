"""Matching: exact, deterministic, and never the easier the more people are enrolled."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance import manifest
from appliance.contract import Reason
from appliance.drivers.faiss_index import PackedRows
from appliance.errors import ModelMismatchError
from appliance.manifest import Impostors
from appliance.pipeline.embedding import unit
from appliance.pipeline.matching import (
    MAX_CANDIDATES,
    Rivals,
    in_words,
    operating_point,
    search,
)
from appliance.pipeline.policy import Rules, decide
from appliance.pipeline.presentation import Presentations
from appliance.records import Candidate, Embedding, GallerySnapshot, Grant, Presentation, Refer, frozen
from tests.pipeline.faces import live_walk, observation

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "m"
DIMENSION = 16
RULES = Rules(min_frames=3, intent_s=0.3, reading_s=4.0, min_bona_fide=0.5, face_only=True)
SIZES = [0, 1, 2, 31, 32, 33, 1000]
IMPOSTORS = Impostors(
    data="made up", comparisons=1000, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)


def gallery_of(rows: np.ndarray[tuple[int, ...], np.dtype[np.floating]], people: list[str]) -> GallerySnapshot:
    """Return a gallery of these rows as they are, each with its own reference."""
    matrix = frozen(rows.reshape(-1, DIMENSION).astype(np.float32))
    return GallerySnapshot(matrix, tuple(people), tuple(f"r{n}" for n in range(len(people))), MODEL, 1)


def random_gallery(size: int, seed: int, *, people: int | None = None) -> GallerySnapshot:
    """Return unit rows, a tenth of them twice, and several references for a person."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(size, DIMENSION))
    if size > 1:
        twice = random.integers(0, size, size // 10 + 1)
        rows[twice] = rows[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) if size else 1
    owners = random.integers(0, people or max(1, size // 3), size)
    return gallery_of(rows, [f"p{owner}" for owner in owners])


def probe_of(*numbers: float) -> Embedding:
    """Return a probe of unit length in this direction."""
    vector = np.zeros(DIMENSION)
    vector[: len(numbers)] = numbers
    probe = unit(vector, MODEL)
    assert probe is not None
    return probe


def packing(gallery: GallerySnapshot) -> GallerySnapshot:
    """Return the gallery as a large one is held, however small it is."""
    index = PackedRows(DIMENSION).changed(np.empty(0, np.bool_), gallery.matrix)
    return replace(gallery, index=index, matrix=gallery.matrix[:0])


def by_brute_force(probe: Embedding, gallery: GallerySnapshot) -> list[tuple[str, str, float]]:
    """Return each person, their best reference and its similarity in double precision, the best first, ties by age."""
    exact = gallery.matrix.astype(np.float64, order="C") * probe.vector.astype(np.float64)
    best: dict[str, tuple[str, str, float]] = {}
    rows = zip(gallery.person_ids, gallery.reference_ids, exact.sum(axis=1).tolist(), strict=True)
    for person, reference, score in rows:
        if person not in best or score > best[person][2]:
            best[person] = (person, reference, score)
    age = {reference: row for row, reference in enumerate(gallery.reference_ids)}
    return sorted(best.values(), key=lambda one: (-one[2], age[one[1]]))


@given(
    size=st.sampled_from(SIZES) | st.integers(0, 80),
    people=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([1.0, 1e-2, 1e-4, 1e-6, 1e-8]),
    most=st.sampled_from([MAX_CANDIDATES, 1, 30, 100]),
    packed=st.booleans(),
)
@trials(max_examples=300, deadline=None)
def test_search_agrees_with_brute_force(
    size: int, people: int, seed: int, spread: float, most: int, *, packed: bool
) -> None:
    """C12: in a gallery of any size, scattered or crowded, candidates and their order are exactly those of float64.

    However many are asked for.
    """
    random = np.random.default_rng(seed)
    rows = random.normal(size=DIMENSION) + spread * random.normal(size=(size, DIMENSION))
    if size > 1:
        rows[random.integers(0, size, size // 10 + 1)] = rows[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) if size else 1
    gallery = gallery_of(rows, [f"p{owner}" for owner in random.integers(0, people, size)])
    probe = unit(random.normal(size=DIMENSION) if seed % 2 or not size else rows[-1], MODEL)
    assert probe is not None
    expected = by_brute_force(probe, gallery)[:most]
    found = search(probe, packing(gallery) if packed and size else gallery, most)
    assert [(one.person_id, one.reference_id) for one in found] == [one[:2] for one in expected]
    assert [one.similarity for one in found] == pytest.approx([one[2] for one in expected], abs=1e-6)


class LyingIndex(PackedRows):
    """An index that names what rows it is told to, with a true bound for the others, for a test of what comes of it."""

    def __init__(self, rows: NDArray[np.float32], named: list[int]) -> None:
        super().__init__(DIMENSION, PackedRows(DIMENSION).changed(np.empty(0, np.bool_), rows)._blocks)
        self._named = np.array(named, np.int64)

    def nearest(self, vector: NDArray[np.float32], _count: int) -> tuple[NDArray[np.int64], float]:
        """Return the rows that were told."""
        left_out = np.delete(self.products(vector), self._named)
        return self._named, float(left_out.max()) + 1e-6 if left_out.size else -math.inf


@given(named=st.lists(st.integers(0, 199), unique=True, max_size=64), seed=st.integers(0, 5))
@trials(max_examples=60, deadline=None)
def test_shortlist_that_leaves_a_doubt_is_not_used(named: list[int], seed: int) -> None:
    """C12: whatever rows an index names, the answer is that of the product with every row."""
    plain = random_gallery(200, seed, people=200)
    lying = replace(plain, index=LyingIndex(plain.matrix, named), matrix=plain.matrix[:0])
    probe = unit(np.random.default_rng(seed).normal(size=DIMENSION), MODEL)
    assert probe is not None
    assert [one.reference_id for one in search(probe, lying)] == [one.reference_id for one in search(probe, plain)]


@pytest.mark.parametrize("size", [50, 500, 6000])
def test_crowd_larger_than_any_shortlist_is_reckoned_whole(size: int) -> None:
    """C12, C13: though everybody is alike within a step, the first is that of float64; if exactly alike, the oldest."""
    random = np.random.default_rng(size)
    rows = probe_of(1.0).vector + 1e-6 * random.normal(size=(size, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery = gallery_of(rows, [f"p{row}" for row in range(size)])
    probe = probe_of(1.0, 1e-3)
    expected = by_brute_force(probe, gallery)[:MAX_CANDIDATES]
    for one in (gallery, packing(gallery)):
        assert [found.reference_id for found in search(probe, one)] == [row for _, row, _ in expected]
    same = packing(gallery_of(np.tile(rows[0], (size, 1)), [f"p{row}" for row in range(size)]))
    assert [found.reference_id for found in search(probe, same)] == [f"r{row}" for row in range(MAX_CANDIDATES)]


@pytest.mark.parametrize("size", [2, 33, 1000])
def test_person_with_many_references_leaves_room_for_a_rival(size: int) -> None:
    """One person with all but one of the references still has the other as second (C7)."""
    rows = np.tile(probe_of(1.0, 0.1).vector, (size, 1))
    rows[-1] = probe_of(0.2, 1.0).vector
    found = search(probe_of(1.0), gallery_of(rows, ["many"] * (size - 1) + ["one"]))
    assert [one.person_id for one in found] == ["many", "one"]


def test_empty_gallery_has_no_candidates() -> None:
    """With nobody enrolled nobody is found, and nothing is raised (C6)."""
    assert search(probe_of(1.0), random_gallery(0, 1)) == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_probe_that_is_not_finite_finds_nobody(bad: float) -> None:
    """One NaN or infinity in a probe finds nobody (C1)."""
    vector = probe_of(1.0).vector.copy()
    vector[3] = bad
    assert search(Embedding(vector, MODEL), random_gallery(33, 1)) == ()


@pytest.mark.parametrize("length", [0.0, 1e-4, 0.9, 1.1, 1e4])
def test_probe_that_is_not_of_unit_length_finds_nobody(length: float) -> None:
    """A zero probe and one that is too short or long are no probes (C3, C4)."""
    rows = np.zeros((3, DIMENSION))
    rows[0, 0] = 1.0
    probe = Embedding((length * probe_of(1.0).vector).astype(np.float32), MODEL)
    assert search(probe, gallery_of(rows, ["a", "b", "c"])) == ()
    assert search(None, gallery_of(rows, ["a", "b", "c"])) == ()


@pytest.mark.filterwarnings("ignore:(invalid value|overflow)")
@pytest.mark.parametrize("row", [0.0, 1e4, -1e4, math.nan, math.inf, -math.inf])
def test_row_that_is_no_unit_vector_cannot_win(row: float) -> None:
    """A row that is zero, huge, NaN or infinite is never the best, should it ever get past the loading (C2, C3, C4)."""
    rows = np.zeros((3, DIMENSION))
    rows[0] = row
    rows[1] = probe_of(0.5, 1.0).vector
    rows[2] = probe_of(0.6, 1.0).vector
    found = search(probe_of(1.0), gallery_of(rows, ["bad", "b", "c"]))
    assert [one.person_id for one in found[:2]] == ["c", "b"]
    assert all(abs(one.similarity) <= 1.001 for one in found)


@pytest.mark.parametrize("size", [2, 5, 40, 333])
def test_ties_fall_in_the_gallerys_own_order(size: int) -> None:
    """People who are exactly as alike come in the order of the gallery, each time, with a margin of nothing (C13)."""
    gallery = gallery_of(np.tile(probe_of(1.0).vector, (size, 1)), [f"p{n}" for n in range(size)])
    found = search(probe_of(1.0), gallery)
    # Written out: who is alone has NaN for a rival, which since Python 3.13 makes a record unlike itself.
    assert [repr(search(probe_of(1.0), gallery)) for _ in range(3)] == [repr(found)] * 3
    assert len(found) == min(size, MAX_CANDIDATES)
    assert found[0].similarity == found[1].similarity
    assert [one.person_id for one in found] == [f"p{n}" for n in range(len(found))]


def test_other_model_is_never_compared() -> None:
    """A probe of another model, or of another length, is a fault and no similarity (C5, C9)."""
    gallery = random_gallery(3, 1)
    with pytest.raises(ModelMismatchError, match="another"):
        search(replace(probe_of(1.0), model_id="another"), gallery)
    with pytest.raises(ModelMismatchError):
        search(Embedding(np.ones(1, np.float32), MODEL), gallery)


def test_candidates_fall_in_similarity() -> None:
    """The candidates come most alike first, at most five, each person once."""
    for seed in range(10):
        found = search(probe_of(1.0), random_gallery(200, seed, people=50))
        assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)
        assert len(found) == MAX_CANDIDATES
        assert isinstance(found[0], Candidate)


def test_rival_is_the_nearest_other_person_to_any_reference() -> None:
    """B10: whichever of two references is the nearer to somebody else, that somebody is the rival, exactly."""
    rows = np.stack([probe_of(1.0).vector, probe_of(0.0, 1.0).vector, probe_of(0.6, 0.0, 0.8).vector])
    gallery = gallery_of(np.vstack([rows, probe_of(0.0, 0.9, 0.1).vector]), ["ada", "ada", "bo", "cy"])
    for one in (gallery, packing(gallery)):
        rival = Rivals().of("ada", one)
        assert rival is not None
        assert rival.person_id == "cy"
        assert rival.similarity == pytest.approx(0.9 / math.hypot(0.9, 0.1))
    assert Rivals().of("ada", gallery_of(rows[:2], ["ada", "ada"])) is None


def test_rivals_are_those_of_the_gallery_as_it_is() -> None:
    """B10, C8: whoever is enrolled later is a rival from that revision on, and whoever is erased is none any more."""
    rows = np.stack([probe_of(1.0).vector, probe_of(0.2, 1.0).vector, probe_of(1.0).vector])
    alone, both = gallery_of(rows[:2], ["ada", "bo"]), replace(gallery_of(rows, ["ada", "bo", "eve"]), revision=2)
    rivals = Rivals()
    nearest = [
        rivals.named(search(probe_of(1.0), one), one, 0.5)[0].rival
        for one in (alone, both, replace(alone, revision=3), replace(gallery_of(rows[:1], ["ada"]), revision=4))
    ]
    assert nearest == [pytest.approx(0.2 / math.hypot(0.2, 1)), 1.0, pytest.approx(0.2 / math.hypot(0.2, 1)), -1.0]


def test_rival_is_looked_up_for_who_may_be_let_in_alone() -> None:
    """Below the threshold nobody's rival is asked for, and what was not looked up is no number that could grant."""
    gallery = gallery_of(np.stack([probe_of(1.0).vector, probe_of(0.2, 1.0).vector]), ["ada", "bo"])
    found = search(probe_of(1.0), gallery)
    assert math.isnan(Rivals().named(found, gallery, 1.5)[0].rival)
    assert Rivals().named((), gallery, 0.5) == ()


@pytest.fixture(scope="module")
def visit() -> Presentation:
    """Give a visit of somebody live, read until the reading time was over."""
    presentations = Presentations(RULES.reading_s)
    for at_s, embedding in live_walk(62):
        seen = presentations.observe(observation(at_s, embedding, 0.9))
    return seen


def test_people_who_are_not_alike_are_let_in_by_their_faces(visit: Presentation) -> None:
    """The rule about rivals can be met: of two people who are not alike, each is granted."""
    gallery = gallery_of(np.stack([probe_of(1.0).vector, probe_of(0.0, 1.0).vector]), ["ada", "bo"])
    point = operating_point(IMPOSTORS, 1e-3, 2, 0.08)
    for probe, person in ((probe_of(1.0, 0.1), "ada"), (probe_of(0.1, 1.0), "bo")):
        candidates = Rivals().named(search(probe, gallery), gallery, point.threshold)
        assert decide(visit, candidates, point, RULES) == Grant(person)


@given(
    seed=st.integers(0, 10**6),
    towards=st.floats(0, 1),
    kin=st.floats(0, 0.5),
    noise=st.floats(0, 1.2),
    asking=st.sampled_from([0, 1]),
)
@trials(max_examples=200, deadline=None)
def test_sibling_is_never_taken_for_the_other(
    visit: Presentation, seed: int, towards: float, kin: float, noise: float, *, asking: int
) -> None:
    """B10: a template moved any way from one person towards another is never accepted as the other, nor the reverse."""
    random = np.random.default_rng(seed)
    start, other, *apart = random.normal(size=(8, 512)) / math.sqrt(512)
    other = kin * start + (1 - kin) * other
    sibling = (1 - towards) * start / np.linalg.norm(start) + towards * other / np.linalg.norm(other)
    rows = np.stack([sibling, other, *apart])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    people = ("sibling", "other", *"abcdef")
    gallery = GallerySnapshot(frozen(rows.astype(np.float32)), people, people, MODEL, 1)
    point = operating_point(IMPOSTORS, 1e-3, gallery.size, 0.08)
    probe = unit(rows[asking] + noise / math.sqrt(512) * random.normal(size=512), MODEL)
    candidates = Rivals().named(search(probe, gallery), gallery, point.threshold)
    decision = decide(visit, candidates, point, RULES)
    assert decision in (Grant(people[asking]), Refer(Reason.AMBIGUOUS_MATCH), Refer(Reason.UNKNOWN_FACE))
    if float(rows[0] @ rows[1]) >= point.threshold - point.margin + 1e-6:
        assert not isinstance(decision, Grant)


TARGET = st.floats(1e-9, 0.1)
SIZE = st.integers(0, 10_000_000)


OWN = st.none() | st.builds(
    Impostors,
    data=st.just("this gallery"),
    comparisons=st.just(30_000),
    tail_start=st.floats(0.1, 0.6),
    tail_fmr=st.floats(1e-4, 1e-2),
    tail_scale=st.floats(0.001, 0.1),
    tail_scale_ci95=st.just((0.001, 0.1)),
)


@given(target=TARGET, sizes=st.tuples(SIZE, SIZE), own=OWN)
@trials(max_examples=300)
def test_threshold_never_falls_as_the_gallery_grows(
    target: float, sizes: tuple[int, int], own: Impostors | None
) -> None:
    """More people never make it easier, whatever the installation measured of its own gallery."""
    few, many = (operating_point(IMPOSTORS, target, size, 0.1, own).threshold for size in sorted(sizes))
    assert few <= many


@given(target=TARGET, size=SIZE, own=OWN)
@trials(max_examples=300)
def test_own_measurement_only_raises_the_threshold(target: float, size: int, own: Impostors | None) -> None:
    """An installation's own tail never lowers the shipped threshold, and the source names which of them decides."""
    shipped, point = operating_point(IMPOSTORS, target, size, 0.1), operating_point(IMPOSTORS, target, size, 0.1, own)
    assert point.threshold >= shipped.threshold
    assert ("this gallery" in point.source) == (point.threshold > shipped.threshold)
    assert operating_point(None, target, size, 0.1, own).threshold == math.inf


@pytest.mark.parametrize(
    ("similarity", "words"),
    [
        (-1.0, "more often than once in 1,000 comparisons"),
        (0.2999, "more often than once in 1,000 comparisons"),
        (0.3, "about once in 1,000 comparisons"),
        (0.3 + 0.03 * math.log(12.34), "about once in 12,000 comparisons"),
        (0.3 + 0.03 * math.log(999.0), "about once in 1,000,000 comparisons"),
        (1.0, "less than once in 1,000,000 comparisons"),
        (1.0000001, "less than once in 1,000,000 comparisons"),
        (math.nan, "was never measured"),
        (math.inf, "was never measured"),
        (1.1, "was never measured"),
    ],
)
def test_similarity_is_told_as_a_rate(similarity: float, words: str) -> None:
    """B13: people are told how often strangers come so near, never a bare cosine, and no rarer than was measured."""
    measured = IMPOSTORS.model_copy(update={"comparisons": 1_000_000})
    assert words in in_words(similarity, measured)
    assert in_words(similarity, None) == "how often a stranger comes this near was never measured"


@given(targets=st.tuples(TARGET, TARGET), size=SIZE)
@trials(max_examples=300)
def test_threshold_never_falls_as_the_target_falls(targets: tuple[float, float], size: int) -> None:
    """Asking for fewer strangers never makes it easier."""
    strict, lax = sorted(targets)
    assert (
        operating_point(IMPOSTORS, strict, size, 0.1).threshold >= operating_point(IMPOSTORS, lax, size, 0.1).threshold
    )


@given(target=TARGET, size=SIZE)
def test_threshold_is_finite_and_not_below_what_was_measured(target: float, size: int) -> None:
    """The threshold is a number, at or above where the measured tail begins."""
    point = operating_point(IMPOSTORS, target, size, 0.1)
    assert IMPOSTORS.tail_start <= point.threshold < math.inf


def test_threshold_keeps_its_target() -> None:
    """At the threshold, the fitted tail and 1 - (1 - FMR)^N give the target again."""
    for size in (1, 10, 1000, 100_000):
        threshold = operating_point(IMPOSTORS, 1e-3, size, 0.1).threshold
        fmr = IMPOSTORS.tail_fmr * math.exp(-(threshold - IMPOSTORS.tail_start) / IMPOSTORS.tail_scale)
        assert -math.expm1(size * math.log1p(-fmr)) == pytest.approx(1e-3, rel=1e-6)


def test_without_a_measurement_nobody_is_matched() -> None:
    """An embedder whose impostors were never measured has a threshold that no similarity reaches."""
    assert operating_point(None, 1e-3, 10, 0.1).threshold > 1


def test_point_says_what_it_was_derived_from() -> None:
    """Margin, target and gallery size come back, and the source names the measurement."""
    point = operating_point(IMPOSTORS, 1e-3, 10, 0.1)
    assert (point.margin, point.target_fpir, point.gallery_size) == (0.1, 1e-3, 10)
    assert "1000 impostor comparisons of made up" in point.source


def test_shipped_embedders_have_measured_impostors() -> None:
    """Both shipped embedders have a threshold that somebody alike can reach, for a gallery of a thousand."""
    for which in ("face_embedder_a", "face_embedder_b"):
        impostors = manifest.read().entry("embedder", which).measured.impostors
        assert 0.3 < operating_point(impostors, 1e-3, 1000, 0.08).threshold < 0.9
