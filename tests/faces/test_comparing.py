"""Comparing faces: verify, identify, find similar; unknown is the default, and a score is no slope to climb."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import manifest
from appliance.config import Settings
from appliance.drivers.faiss_index import PackedRows
from appliance.errors import ModelMismatchError, RefusedError, UsageError
from appliance.faces.comparing import (
    Mode,
    Thresholds,
    confidence,
    find_similar,
    identify,
    listed_references,
    only_of,
    verify_faces,
    verify_person,
)
from appliance.records import Embedding, GallerySnapshot, frozen
from tests.faces.made import IMPOSTORS, MODEL, THRESHOLDS, at, facing, listed

PROBE = facing(1.0)


def gallery_of(*faces: tuple[str, Embedding]) -> GallerySnapshot:
    """Return a gallery of these people's references."""
    rows = np.stack([one.vector for _, one in faces]) if faces else np.empty((0, 8), np.float32)
    names = tuple(f"r{number}" for number in range(len(faces)))
    return GallerySnapshot(frozen(rows), tuple(person for person, _ in faces), names, MODEL, 1)


def test_threshold_of_one_comparison_is_that_of_the_false_match_rate() -> None:
    """Two faces are the same at the cosine that one stranger in 1,000 reaches, and not a hair below."""
    threshold = THRESHOLDS.point(1).threshold
    assert threshold == pytest.approx(IMPOSTORS.tail_start)
    assert verify_faces(PROBE, at(threshold + 0.001), THRESHOLDS).identical
    assert not verify_faces(PROBE, at(threshold - 0.001), THRESHOLDS).identical


def test_two_shown_faces_are_told_how_alike_they_are() -> None:
    """Of two pictures that the caller has, similarity and words are told whatever they are."""
    found = verify_faces(PROBE, at(0.2), THRESHOLDS)
    assert found.similarity == pytest.approx(0.2, abs=1e-6)
    assert found.words == "a stranger comes this near more often than once in 1,000 comparisons"


def test_more_references_ask_for_more() -> None:
    """C7: somebody with 20 references is met by accident no more often than one with a single one."""
    one, many = (THRESHOLDS.point(count).threshold for count in (1, 20))
    assert many - one == pytest.approx(0.03 * math.log(20), abs=1e-3)
    near = at((one + many) / 2)
    assert verify_person(PROBE, [near], THRESHOLDS).identical
    assert not verify_person(PROBE, [near, *[at(0.0)] * 19], THRESHOLDS).identical


def test_nobody_climbs_towards_somebody_enrolled() -> None:
    """B13: below the threshold two probes, however near, get the very same answer about somebody enrolled."""
    threshold = THRESHOLDS.point(1).threshold
    far, near = (verify_person(PROBE, [at(cosine)], THRESHOLDS) for cosine in (-0.5, threshold - 1e-4))
    assert asdict(far) == asdict(near)
    assert (far.identical, far.similarity, far.words) == (False, None, "")
    shown = [
        identify(PROBE, gallery_of(("ada", at(cosine))), THRESHOLDS, most=5) for cosine in (-0.5, threshold - 1e-4)
    ]
    assert asdict(shown[0]) == asdict(shown[1])
    alike = [
        find_similar(PROBE, [listed("r", at(cosine), enrolled=True)], THRESHOLDS, mode=Mode.MATCH_FACE)
        for cosine in (-0.5, threshold - 1e-4)
    ]
    assert alike[0] == alike[1]


def test_person_without_a_reference_cannot_be_verified() -> None:
    """C9: somebody of whom nothing is enrolled with the model in use is refused, not denied."""
    with pytest.raises(RefusedError, match="enrol them again"):
        verify_person(PROBE, [], THRESHOLDS)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e4])
def test_reference_that_is_no_unit_vector_matches_nobody(bad: float) -> None:
    """C2, C4: a reference of NaN, infinity or a great length is passed over, and the others still count."""
    row = np.full(8, bad, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        assert not verify_person(PROBE, [Embedding(row, MODEL)], THRESHOLDS).identical
        assert verify_person(PROBE, [Embedding(row, MODEL), at(0.9)], THRESHOLDS).identical
        assert find_similar(PROBE, [listed("bad", Embedding(row, MODEL))], THRESHOLDS, mode=Mode.MATCH_FACE) == ()


def test_probe_that_is_nan_is_nobody() -> None:
    """C1: a face of NaN is not the same as any, not even as itself."""
    bad = Embedding(np.full(8, math.nan, np.float32), MODEL)
    assert not verify_faces(bad, bad, THRESHOLDS).identical
    assert not verify_person(bad, [at(1.0)], THRESHOLDS).identical
    assert identify(bad, gallery_of(("ada", PROBE)), THRESHOLDS).person_id is None


def test_faces_of_different_models_are_never_compared() -> None:
    """C9: templates of two models, or of two lengths, raise rather than give a number."""
    for other in (facing(1.0, model="other"), facing(1.0, dimension=16)):
        with pytest.raises(ModelMismatchError):
            verify_faces(PROBE, other, THRESHOLDS)
        with pytest.raises(ModelMismatchError):
            find_similar(PROBE, [listed("a", other)], THRESHOLDS)


def test_model_that_was_never_measured_matches_nobody() -> None:
    """Without a measurement of how alike strangers look nobody is ever the same, not even the same picture."""
    unknown = Thresholds(None, None, 1e-3, 0.08)
    assert not verify_faces(PROBE, PROBE, unknown).identical
    assert identify(PROBE, gallery_of(("ada", PROBE)), unknown).candidates == ()


def test_own_people_can_only_raise_the_threshold() -> None:
    """What was measured of the gallery's own people is asked for too, and never lowers what the model's asks for."""
    alike = IMPOSTORS.model_copy(update={"tail_start": 0.4})
    unlike = IMPOSTORS.model_copy(update={"tail_start": 0.2})
    plain = THRESHOLDS.point(10).threshold
    assert replace(THRESHOLDS, own=alike).point(10).threshold > plain
    assert replace(THRESHOLDS, own=unlike).point(10).threshold == plain


def test_stranger_is_unknown() -> None:
    """C6: somebody whom nobody is like is unknown, and so is everybody where nobody is enrolled."""
    for gallery in (gallery_of(), gallery_of(("ada", at(0.1)), ("bea", at(-0.2)))):
        found = identify(PROBE, gallery, THRESHOLDS, most=100)
        assert (found.person_id, found.candidates, found.words) == (None, (), ())
    assert identify(None, gallery_of(("ada", PROBE)), THRESHOLDS).person_id is None


def test_candidates_are_ranked_and_the_first_must_lead() -> None:
    """C13, B10: candidates come by similarity; with another person within the margin it is nobody for sure."""
    alone = gallery_of(("ada", at(0.9)), ("ada", at(0.89)), ("bea", at(0.5)), ("cyd", at(0.1)))
    found = identify(PROBE, alone, THRESHOLDS, most=10)
    assert [one.person_id for one in found.candidates] == ["ada", "bea"]
    assert (found.person_id, found.compared) == ("ada", 4)
    twins = gallery_of(("ada", at(0.9)), ("bea", at(0.85)))
    for most in (1, 10):
        assert identify(PROBE, twins, THRESHOLDS, most=most).person_id is None
    same = identify(PROBE, gallery_of(("ada", at(0.9)), ("bea", at(0.9))), THRESHOLDS, most=2)
    assert ([one.person_id for one in same.candidates], same.person_id) == (["ada", "bea"], None)


def test_hundred_candidates_can_be_asked_for() -> None:
    """C12: up to 100 people are told of a gallery of any form, as many as reach the threshold, and no more."""
    many = gallery_of(*((f"p{number}", at(0.99 - number / 1000)) for number in range(150)))
    packed = replace(many, index=PackedRows(8).changed(np.empty(0, np.bool_), many.matrix), matrix=many.matrix[:0])
    for gallery in (many, packed):
        found = identify(PROBE, gallery, THRESHOLDS, most=100)
        assert [one.person_id for one in found.candidates] == [f"p{number}" for number in range(100)]
    for most in (0, 101):
        with pytest.raises(UsageError, match="1 to 100"):
            identify(PROBE, many, THRESHOLDS, most=most)


def test_threshold_can_be_raised_and_not_lowered() -> None:
    """B13: a caller's threshold counts above the derived one; below it, it changes nothing."""
    gallery = gallery_of(("ada", at(0.6)), ("bea", at(0.1)))
    assert identify(PROBE, gallery, THRESHOLDS, threshold=0.5).person_id == "ada"
    assert identify(PROBE, gallery, THRESHOLDS, threshold=0.7).person_id is None
    lowered = identify(PROBE, gallery, THRESHOLDS, most=5, threshold=-1.0)
    assert [one.person_id for one in lowered.candidates] == ["ada"]
    assert lowered.threshold == identify(PROBE, gallery, THRESHOLDS).threshold
    for no_cosine in (1.1, -2.0, math.nan):
        with pytest.raises(UsageError, match="no cosine"):
            identify(PROBE, gallery, THRESHOLDS, threshold=no_cosine)


def test_whoever_asked_for_a_lower_rate_needs_more() -> None:
    """A target FPIR that was set for a person raises the threshold for that person alone, and never lowers it."""
    gallery = gallery_of(("ada", at(0.45)), ("bea", at(0.1)))
    plain, strict = THRESHOLDS.point(2).threshold, THRESHOLDS.stricter(1e-5).point(2).threshold
    assert plain < 0.45 < strict
    assert identify(PROBE, gallery, THRESHOLDS, target_of=lambda _: 0.5).person_id == "ada"
    assert identify(PROBE, gallery, THRESHOLDS, target_of={"bea": 1e-5, "ada": None}.get).person_id == "ada"
    refused = identify(PROBE, gallery, THRESHOLDS, target_of={"ada": 1e-5}.get)
    assert (refused.person_id, refused.candidates) == (None, ())
    assert verify_person(PROBE, [at(0.4)], THRESHOLDS.stricter(0.5)).identical
    assert not verify_person(PROBE, [at(0.4)], THRESHOLDS.stricter(1e-5)).identical


@pytest.mark.parametrize("packed", [False, True])
def test_identifying_within_a_group_sees_nobody_else(*, packed: bool) -> None:
    """Among some people nobody else is told of, nor in the way, and the threshold is that of their references."""
    gallery = gallery_of(("ada", at(0.9)), ("bea", at(0.88)), ("cyd", at(0.3)), ("bea", at(0.87)))
    if packed:
        index = PackedRows(8).changed(np.empty(0, np.bool_), gallery.matrix)
        gallery = replace(gallery, index=index, matrix=gallery.matrix[:0])
    found = identify(PROBE, gallery, THRESHOLDS, within=frozenset({"bea", "cyd", "nobody"}), most=5)
    assert (found.person_id, found.compared) == ("bea", 3)
    assert found.threshold == THRESHOLDS.point(3).threshold
    assert identify(PROBE, gallery, THRESHOLDS, within=frozenset()).candidates == ()
    assert only_of(gallery, frozenset({"bea"})).reference_ids == ("r1", "r3")


def test_similar_faces_of_the_same_person_or_of_anybody() -> None:
    """Matching a person leaves out whoever is not the same; matching a face ranks everybody, however unlike."""
    faces = [listed("far", at(0.1)), listed("near", at(0.9)), listed("also", at(0.8)), listed("no", at(-0.5))]
    assert [one.face_id for one in find_similar(PROBE, faces, THRESHOLDS)] == ["near", "also"]
    ranked = find_similar(PROBE, faces, THRESHOLDS, mode=Mode.MATCH_FACE)
    assert [(one.face_id, one.same) for one in ranked] == [
        ("near", True),
        ("also", True),
        ("far", False),
        ("no", False),
    ]
    assert [one.face_id for one in find_similar(PROBE, faces, THRESHOLDS, mode=Mode.MATCH_FACE, most=1)] == ["near"]


def test_similar_faces_have_bounds_and_an_order() -> None:
    """C13: faces exactly as alike keep the list's order; 20 are told by default, 1,000 at most; of none none."""
    same = [listed(f"f{number}", at(0.9)) for number in range(30)]
    assert [one.face_id for one in find_similar(PROBE, same, THRESHOLDS)] == [f"f{n}" for n in range(20)]
    assert find_similar(PROBE, [], THRESHOLDS) == ()
    for most in (0, 1001):
        with pytest.raises(UsageError, match="1 to 1000"):
            find_similar(PROBE, same, THRESHOLDS, most=most)


def test_longer_list_asks_for_more() -> None:
    """A stranger meets somebody of a long list by accident no more often than of a short one."""
    between = at((THRESHOLDS.point(1).threshold + THRESHOLDS.point(100).threshold) / 2)
    assert find_similar(PROBE, [listed("a", between)], THRESHOLDS)[0].same
    others = [listed(f"f{number}", at(0.0)) for number in range(99)]
    assert find_similar(PROBE, [listed("a", between), *others], THRESHOLDS) == ()


def test_references_as_a_list() -> None:
    """The references of some people are a list under their ids, each marked as somebody's."""
    gallery = gallery_of(("ada", at(0.9)), ("bea", at(0.8)), ("ada", at(0.7)))
    found = listed_references(gallery, frozenset({"ada"}))
    assert [(one.face_id, one.enrolled) for one in found] == [("r0", True), ("r2", True)]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=2), st.floats(0.05, 0.95))
def test_scale_of_face_services_rises_and_has_its_middle_at_the_threshold(two: list[float], threshold: float) -> None:
    """On the scale 0..1 the order of similarities stays, and whoever is the same has 0.5 or more."""
    low, high = sorted(two)
    assert 0 <= confidence(low, threshold) <= confidence(high, threshold) <= 1
    assert (confidence(low, threshold) >= 0.5) == (low >= threshold)
    assert confidence(math.nan, threshold) == confidence(0.9, math.inf) == 0.0


def test_thresholds_of_the_shipped_embedder() -> None:
    """The shipped settings rest on photographs, not on visits: that is what is compared here."""
    entry = manifest.embedder(Settings().recognition)
    found = Thresholds.of(Settings().recognition, entry)
    assert found.impostors == entry.measured.impostors
    assert found.own is None
