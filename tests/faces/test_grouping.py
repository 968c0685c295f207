"""Grouping: disjoint groups, each of one person as far as can be told, and a messy rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.errors import ModelMismatchError, UsageError
from appliance.faces.comparing import ListedFace
from appliance.faces.grouping import group, linked
from appliance.records import Embedding
from tests.faces.made import IMPOSTORS, MODEL, THRESHOLDS, at, facing, listed


def about(direction: int, number: int, spread: float = 0.2) -> Embedding:
    """Return one of many faces about a direction of 64."""
    vector = spread * np.random.default_rng(number).normal(size=64) / 8
    vector[direction] += 1
    return Embedding((vector / np.linalg.norm(vector)).astype(np.float32), MODEL)


def test_people_are_told_apart() -> None:
    """Faces of three people and two strangers give three groups, the largest first, and a messy rest of two."""
    faces = [listed(f"{who}{number}", about(who, 10 * who + number)) for number in range(3) for who in (0, 1)]
    faces += [listed(f"2{number}", about(2, 20 + number)) for number in range(4)]
    faces += [listed("x", about(3, 30)), listed("y", about(4, 40))]
    found = group(faces, THRESHOLDS)
    assert found.groups == (("20", "21", "22", "23"), ("00", "01", "02"), ("10", "11", "12"))
    assert found.messy == ("x", "y")


def test_two_faces_join_at_one_false_match_in_10_000_pairs() -> None:
    """Two faces are a group from the cosine on that one pair of strangers in 10,000 reaches, and not below it."""
    threshold = IMPOSTORS.tail.threshold(1e-4)
    for cosine, groups in ((threshold + 0.01, 1), (threshold - 0.01, 0)):
        assert len(group([listed("a", facing(1.0)), listed("b", at(cosine))], THRESHOLDS).groups) == groups


def test_strangers_are_not_chained() -> None:
    """A row of people each like the next, the ends alike to nobody, is not one group: a mean joins, not one link."""
    steps = [listed(str(n), facing(float(np.cos(n)), float(np.sin(n)))) for n in np.arange(0, 3, 0.6)]
    assert np.cos(0.6) > THRESHOLDS.point(1, 1e-4).threshold
    found = group(steps, THRESHOLDS)
    assert len(found.groups) > 1


@given(rows=st.integers(2, 40), seed=st.integers(0, 10**6), spread=st.floats(0.0, 4.0))
@trials(max_examples=60, deadline=None)
def test_every_face_stands_in_one_place_whatever_the_order(rows: int, seed: int, spread: float) -> None:
    """Groups are disjoint, have two or more, lose nobody, and are the same groups whichever order they come in."""
    random = np.random.default_rng(seed)
    faces = [listed(f"f{n}", about(int(random.integers(5)), seed + n, spread)) for n in range(rows)]
    found = group(faces, THRESHOLDS)
    told = [one for each in found.groups for one in each] + list(found.messy)
    assert sorted(told) == sorted(one.face_id for one in faces)
    assert all(len(one) > 1 for one in found.groups)
    assert [len(one) for one in found.groups] == sorted((len(one) for one in found.groups), reverse=True)
    assert group(faces, THRESHOLDS) == found
    turned = group([faces[n] for n in random.permutation(rows)], THRESHOLDS)
    assert {frozenset(one) for one in turned.groups} == {frozenset(one) for one in found.groups}


@given(rows=st.integers(2, 14), seed=st.integers(0, 10**6))
@trials(max_examples=60, deadline=None)
def test_linkage_is_the_mean_over_all_pairs(rows: int, seed: int) -> None:
    """What is joined is what a plain reckoning of the mean over all pairs joins, step by step."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = [[n] for n in range(rows)]
    similarity = vectors @ vectors.T
    while len(groups) > 1:
        mean, one, other = max(
            (float(similarity[np.ix_(a, b)].mean()), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j
        )
        if mean < 0.5:
            break
        groups[one] += groups.pop(other)
    labels = linked(vectors, 0.5)
    found = {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}
    assert found == {frozenset(one) for one in groups}


def test_face_that_is_nan_is_like_no_other() -> None:
    """C1: a face of NaN joins nobody, and keeps nobody from joining."""
    bad = ListedFace("bad", Embedding(np.full(64, np.nan, np.float32), MODEL))
    found = group([listed("a", about(0, 1)), bad, listed("b", about(0, 2))], THRESHOLDS)
    assert (found.groups, found.messy) == ((("a", "b"),), ("bad",))


def test_what_cannot_be_grouped() -> None:
    """One face, more than 1,000, one face twice, and faces of two models are refused."""
    one = listed("a", facing(1.0))
    for faces in ([], [one], [listed(str(n), facing(1.0)) for n in range(1001)], [one, one]):
        with pytest.raises(UsageError):
            group(faces, THRESHOLDS)
    with pytest.raises(ModelMismatchError):
        group([one, listed("b", facing(1.0, model="other"))], THRESHOLDS)
