"""Calibration: what a gallery says of itself, and that it can only ask for more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance import manifest
from appliance.audit import AuditLog
from appliance.config import RecognitionSettings
from appliance.contract import EventType
from appliance.errors import RefusedError, StorageError
from appliance.manifest import Impostors, Measured
from appliance.people.calibration import MAX_COMPARED, apply, as_visits, door_point, measure, own_tail
from appliance.people.enrolment import CLI
from appliance.people.gallery import Gallery
from appliance.records import GallerySnapshot, OperatingPoint, frozen

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

POINT = OperatingPoint(0.5, 0.1, 1e-3, 4, "a test")
RECOGNITION = RecognitionSettings()


def impostors(start: float = 0.3, scale: float = 0.03) -> Impostors:
    """Return a tail."""
    return Impostors(
        data="made up", comparisons=30_000, tail_start=start, tail_fmr=1e-3, tail_scale=scale, tail_scale_ci95=(0.0, 1)
    )


MEASURED = Measured(impostors=impostors(), visits=impostors(0.33, 0.033))


def gallery_of(rows: NDArray[np.float64], people: list[str]) -> GallerySnapshot:
    """Return a gallery of these rows, brought to unit length."""
    matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return GallerySnapshot(frozen(matrix), tuple(people), tuple(f"r{n}" for n in range(len(people))), "m", 1)


def crowd(people: int, alike: float = 0.0, seed: int = 1) -> GallerySnapshot:
    """Return so many people with one template each, who all share a direction to this extent."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(people, 64)) + alike * 8 * np.eye(64)[0]
    return gallery_of(rows, [f"p{number}" for number in range(people)])


def test_every_pair_of_people_is_compared_once() -> None:
    """Comparisons are those of different people, each once; those at the threshold are counted, the nearest named."""
    rows = np.array([[1, 0, 0], [1, 0.1, 0], [0.9, 0.5, 0], [0, 0, 1.0]])
    found = measure(gallery_of(rows, ["ada", "ada", "bo", "cy"]), POINT)
    assert (found.people, found.references) == (3, 4)
    assert (found.accepted.count, found.accepted.n) == (2, 5)
    assert found.nearest[0][:2] == ("ada", "bo")
    assert found.referred == 1
    assert found.nearest[0][2] == pytest.approx(
        float(rows[1] @ rows[2] / np.linalg.norm(rows[1]) / np.linalg.norm(rows[2]))
    )
    assert found.own is None
    assert "at least 20000 are needed" in found.why_none


@pytest.mark.parametrize("people", [[], ["ada"], ["ada", "ada"]])
def test_fewer_than_two_people_cannot_be_compared(people: list[str]) -> None:
    """With nobody, or one person however many times, there is nothing to compare, and one line says so."""
    with pytest.raises(RefusedError, match="at least 2 are needed") as fault:
        measure(gallery_of(np.eye(3)[: len(people)], people), POINT)
    assert "\n" not in str(fault.value)


def test_tail_of_the_gallery_is_that_of_its_comparisons() -> None:
    """With enough people the tail starts where one in a thousand of their comparisons lies, and is reproducible."""
    gallery = crowd(300)
    found = measure(gallery, POINT)
    assert found.own is not None
    scores = (gallery.matrix @ gallery.matrix.T)[np.triu_indices(300, 1)]
    assert found.own.comparisons == scores.size == 44_850
    assert np.mean(scores >= found.own.tail_start) == pytest.approx(found.own.tail_fmr, abs=1e-9)
    assert found.own.tail_fmr <= 1e-3
    assert found.own.tail_scale_ci95[0] < found.own.tail_scale < found.own.tail_scale_ci95[1]
    again = measure(gallery, POINT).own
    assert again == found.own


def test_people_all_alike_have_no_tail_and_no_crash() -> None:
    """C8: where everybody has one and the same template, every comparison counts as accepted and no tail is made up."""
    found = measure(gallery_of(np.ones((300, 8)), [f"p{number}" for number in range(300)]), POINT)
    assert found.accepted.count == found.accepted.n == found.referred == 44_850
    assert found.own is None
    assert found.why_none


def test_large_gallery_is_compared_in_part() -> None:
    """Of a gallery beyond the limit, that many references are compared, from its first to its last."""
    size = 2 * MAX_COMPARED
    rows = np.zeros((size, 2))
    rows[:, 0] = 1
    rows[0], rows[-1] = (0, 1), (0, 1)
    thin = gallery_of(rows, ["first", *["many"] * (size - 2), "last"])
    found = measure(thin, POINT)
    assert found.references == MAX_COMPARED
    assert found.nearest[0] == ("first", "last", 1.0)


def test_own_tail_like_the_models_own_changes_nothing() -> None:
    """A gallery whose people are as alike as those of the manifest has the shipped threshold, at every size."""
    for size in (1, 100, 100_000):
        shipped, own = (door_point(MEASURED, tail, RECOGNITION, size) for tail in (None, MEASURED.impostors))
        assert own.threshold == pytest.approx(shipped.threshold, abs=1e-12)
    assert as_visits(impostors(), MEASURED) == MEASURED.visits


@given(
    start=st.floats(0.05, 0.6),
    scale=st.floats(0.001, 0.2),
    sizes=st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)),
    which=st.sampled_from(["face_embedder_a", "face_embedder_b"]),
)
@trials(max_examples=200)
def test_calibration_only_raises_and_never_falls_with_size(
    start: float, scale: float, sizes: tuple[int, int], which: str
) -> None:
    """Whatever was measured here, the door asks for no less than shipped, and for no less of a larger gallery."""
    measured, own = SHIPPED[which], impostors(start, scale)
    few, many = (door_point(measured, own, RECOGNITION, size).threshold for size in sorted(sizes))
    assert few <= many
    assert many >= door_point(measured, None, RECOGNITION, max(sizes)).threshold


SHIPPED = {which: manifest.read().entry("embedder", which).measured for which in ("face_embedder_a", "face_embedder_b")}


def test_people_more_alike_than_the_models_own_raise_the_threshold() -> None:
    """A gallery of people who look alike asks for more, and the operating point names what it rests on."""
    found = measure(crowd(300, alike=1.0), POINT)
    assert found.own is not None
    assert found.own.tail_start > 0.5
    raised = door_point(SHIPPED["face_embedder_a"], found.own, RECOGNITION, 300)
    shipped = door_point(SHIPPED["face_embedder_a"], None, RECOGNITION, 300)
    assert raised.threshold > shipped.threshold
    assert "this gallery, 300 people" in raised.source
    assert "Labeled Faces" in shipped.source


def test_applied_is_kept_by_model_and_audited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is applied holds for that model alone, survives a restart, is logged, and goes with a reset."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as gallery, AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        apply(gallery, audit, "m", impostors(0.4), detail="0.4 to 0.5", actor=CLI)
        apply(gallery, audit, "m", impostors(0.5), detail="0.5 to 0.6", actor=CLI)
    with Gallery(path) as gallery, AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        assert own_tail(gallery, "m") == impostors(0.5)
        assert caplog.messages == []
        assert own_tail(gallery, "n") is None
        assert caplog.messages == ["the calibration of m is not used: n is in use; calibrate again"]
        apply(gallery, audit, "m", None, detail="removed", actor=CLI)
        assert own_tail(gallery, "m") is None
        told = [(entry.event.event_type, entry.event.detail) for entry in audit.read()]
    assert told == [(EventType.CONFIG_CHANGED, detail) for detail in ("0.4 to 0.5", "0.5 to 0.6", "removed")]


def test_no_entry_no_calibration(tmp_path: Path) -> None:
    """J8, F3: where the log cannot take the entry, the calibration stays as it was."""
    with Gallery(tmp_path / "gallery.db") as gallery, AuditLog(tmp_path / "audit.db", "ostiary", "front") as audit:
        audit._db.execute("PRAGMA query_only=ON")
        with pytest.raises(StorageError, match=r"the calibration was not changed.*audit\.db"):
            apply(gallery, audit, "m", impostors(), detail="", actor=CLI)
        assert gallery.calibrations() == {}


@pytest.mark.parametrize(
    "tail", ["", "{}", "no json", '{"data": 1}', impostors().model_dump_json().replace("0.3", "7.0")]
)
def test_damaged_calibration_is_a_fault_and_no_threshold(tmp_path: Path, tail: str) -> None:
    """F6: a calibration that is not one is refused in one line, rather than read as a low threshold."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as gallery:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO calibration VALUES ('m', ?)", [tail])
        with pytest.raises(StorageError, match=r"gallery\.db is damaged: its calibration") as fault:
            own_tail(gallery, "m")
        assert "\n" not in str(fault.value)


def test_calibration_of_another_process_is_noticed(tmp_path: Path) -> None:
    """A reader that runs sees a new gallery, and asks for the tail again, when another process applies one."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as reader, Gallery(path) as command:
        before = reader.current("m", 8)
        assert reader.current("m", 8) is before
        command.calibrate("m", impostors())
        assert reader.current("m", 8) is not before
        assert own_tail(reader, "m") == impostors()
