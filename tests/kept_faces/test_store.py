"""Kept faces: what is kept comes back, what is erased is gone, and the file shows nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import AuditLog
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType
from appliance.errors import RefusedError, StorageError
from appliance.fixed_point import rounded
from appliance.kept_faces import store
from appliance.kept_faces.room import KeptRoom, open_kept_faces, open_kept_room
from appliance.kept_faces.schema import AlreadyKeptError, FullError, Kind, NotKeptError, UntrainedError
from appliance.kept_faces.store import KeptFaces
from appliance.people.protection import Protection
from appliance.people.sealing import encoded
from appliance.records import Embedding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

D = 16
MARKERS = ("Marker Name", "Marker User Data", "Marker Officer")


def face(number: int, model: str = "m") -> Embedding:
    """Return one template, a unit vector of its own."""
    return Embedding(np.eye(D, dtype=np.float32)[number], model)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptFaces]:
    """Give a store with an empty list `staff` and an empty group `crew`."""
    with KeptFaces(tmp_path / "faces.db", b"s" * 32, Protection(b"p" * 32)) as made:
        add(made, Kind.LIST, "staff")
        add(made, Kind.GROUP, "crew")
        yield made


def add(kept: KeptFaces, kind: Kind, name: str, answers_for: str = MARKERS[2]) -> None:
    """Make a collection."""
    kept.add_collection(kind, name, MARKERS[0], MARKERS[1], "recognition_04", answers_for=answers_for, made_by="key:a")


def test_a_collection_comes_back_as_it_was_made(kept: KeptFaces) -> None:
    """What was said of a collection is told again, who answers for it among it; its kind has ids of its own."""
    add(kept, Kind.GROUP, "staff")
    for kind in (Kind.LIST, Kind.GROUP):
        told = kept.collection(kind, "staff")
        assert (told.name, told.user_data, told.answers_for) == MARKERS
        assert (told.recognition_model, told.training) == ("recognition_04", None)
    kept.change_collection(Kind.LIST, "staff", name="other")
    assert kept.collection(Kind.LIST, "staff").name == "other"
    assert kept.collection(Kind.LIST, "staff").user_data == MARKERS[1]
    with pytest.raises(AlreadyKeptError):
        add(kept, Kind.LIST, "staff")


def test_nobody_answers_nothing_is_kept(kept: KeptFaces) -> None:
    """J5: without somebody who answers for the consent there is no collection to put a face into."""
    with pytest.raises(RefusedError, match="nobody answers"):
        add(kept, Kind.LIST, "anybody", answers_for="")
    with pytest.raises(NotKeptError):
        kept.collection(Kind.LIST, "anybody")


def test_pages_follow_each_other(kept: KeptFaces) -> None:
    """Paging by the last id of the page before gives everything once, sorted."""
    for name in ("b", "d", "a", "c"):
        add(kept, Kind.LIST, name)
    first = kept.collections(Kind.LIST, "", 3)
    rest = kept.collections(Kind.LIST, first[-1].collection_id, 3)
    assert [one.collection_id for one in (*first, *rest)] == ["a", "b", "c", "d", "staff"]
    ids = sorted(kept.add_person("crew", str(at), "") for at in range(5))
    assert [one.person_id for one in kept.people("crew", ids[1], 2)] == ids[2:4]
    faces = sorted(kept.add_face(Kind.LIST, "staff", face(at), "") for at in range(5))
    assert [one.face_id for one in kept.faces("staff", faces[2], 9)] == faces[3:]


def test_what_was_trained_is_compared(kept: KeptFaces) -> None:
    """Faces count from the training on, those that came later from the next one, and people have their own."""
    ada, bob = (kept.add_person("crew", name, "") for name in ("Ada", "Bob"))
    with pytest.raises(UntrainedError):
        kept.trained(Kind.GROUP, "crew", "m", D)
    one = kept.add_face(Kind.GROUP, "crew", face(0), "", ada)
    two = kept.add_face(Kind.GROUP, "crew", face(1), "", bob)
    made = kept.train(Kind.GROUP, "crew", "m", D)
    assert (made.failure, made.trained_at is not None) == ("", True)
    later = kept.add_face(Kind.GROUP, "crew", face(2), "", ada)
    found = kept.trained(Kind.GROUP, "crew", "m", D)
    assert dict(zip(found.reference_ids, found.person_ids, strict=True)) == {one: ada, two: bob}
    assert np.abs(found.matrix @ found.matrix.T - np.eye(2)).max() < 1e-3
    assert kept.person("crew", ada).face_ids == tuple(sorted((one, later)))
    assert set(kept.of_person("crew", ada, "m", D).reference_ids) == {one, later}


def test_what_is_erased_is_compared_no_more(kept: KeptFaces) -> None:
    """J6: an erased face, person or collection is gone from the very next comparison, without a training."""
    ada, bob = (kept.add_person("crew", name, "") for name in ("Ada", "Bob"))
    for number, person in enumerate((ada, ada, bob)):
        kept.add_face(Kind.GROUP, "crew", face(number), "", person)
    kept.train(Kind.GROUP, "crew", "m", D)
    assert kept.trained(Kind.GROUP, "crew", "m", D).size == 3
    kept.drop_face(Kind.GROUP, "crew", kept.person("crew", ada).face_ids[0], ada)
    assert kept.trained(Kind.GROUP, "crew", "m", D).size == 2
    assert kept.drop_person("crew", ada) == 1
    assert set(kept.trained(Kind.GROUP, "crew", "m", D).person_ids) == {bob}
    assert kept.drop_collection(Kind.GROUP, "crew") == 1
    with pytest.raises(NotKeptError):
        kept.trained(Kind.GROUP, "crew", "m", D)


def test_a_training_that_cannot_be_leaves_the_old_one(kept: KeptFaces) -> None:
    """C9: a face of another model fails the training and names itself; what was trained before still holds."""
    assert "no face" in kept.train(Kind.LIST, "staff", "m", D).failure
    with pytest.raises(UntrainedError):
        kept.trained(Kind.LIST, "staff", "m", D)
    kept.add_face(Kind.LIST, "staff", face(0), "")
    kept.train(Kind.LIST, "staff", "m", D)
    odd = kept.add_face(Kind.LIST, "staff", face(1, "other"), "")
    assert odd in kept.train(Kind.LIST, "staff", "m", D).failure
    assert kept.trained(Kind.LIST, "staff", "m", D).size == 1
    with pytest.raises(UntrainedError):
        kept.trained(Kind.LIST, "staff", "other", D)


def test_a_face_belongs_to_one_place(kept: KeptFaces) -> None:
    """E12: a face is found under its own collection and person alone."""
    ada, bob = (kept.add_person("crew", name, "") for name in ("Ada", "Bob"))
    one = kept.add_face(Kind.GROUP, "crew", face(0), "first", ada)
    assert kept.face(Kind.GROUP, "crew", one, ada).user_data == "first"
    kept.change_face(Kind.GROUP, "crew", one, "second", ada)
    assert kept.face(Kind.GROUP, "crew", one, ada).user_data == "second"
    add(kept, Kind.GROUP, "others")
    for group, person in (("crew", bob), ("others", ada), ("crew", None)):
        with pytest.raises(NotKeptError):
            kept.face(Kind.GROUP, group, one, person)
    with pytest.raises(NotKeptError):
        kept.person("others", ada)


def test_there_is_an_end_to_it(kept: KeptFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    """H7: lists, people and faces have a most, beyond which nothing is taken in."""
    monkeypatch.setattr(store, "MAX_FACES", 2)
    monkeypatch.setattr(store, "MAX_PEOPLE", 1)
    monkeypatch.setattr(store, "MAX_COLLECTIONS", 1)
    for number in range(2):
        kept.add_face(Kind.LIST, "staff", face(number), "")
    kept.add_person("crew", "Ada", "")
    for one_more in (
        lambda: kept.add_face(Kind.LIST, "staff", face(2), ""),
        lambda: kept.add_person("crew", "Bob", ""),
        lambda: add(kept, Kind.LIST, "more"),
    ):
        with pytest.raises(FullError):
            one_more()


def test_there_is_an_end_to_all_lists_together(kept: KeptFaces, monkeypatch: pytest.MonkeyPatch) -> None:
    """H7: all lists together have a most, on the disk and in memory; what memory lets go of is opened again."""
    monkeypatch.setattr(store, "MAX_IN_ALL", 3)
    monkeypatch.setattr(store, "HELD_ROWS", 2)
    add(kept, Kind.LIST, "more")
    for number, name in enumerate(("staff", "staff", "more")):
        kept.add_face(Kind.LIST, name, face(number), "")
    with pytest.raises(FullError, match="in all"):
        kept.add_face(Kind.LIST, "more", face(3), "")
    for number in range(3):
        kept.add_person("crew", str(number), "")
    with pytest.raises(FullError, match="in all"):
        kept.add_person("crew", "one too many", "")
    for name in ("staff", "more"):
        kept.train(Kind.LIST, name, "m", D)
    sizes = [kept.trained(Kind.LIST, name, "m", D).size for name in ("staff", "more", "staff", "more")]
    assert sizes == [2, 1, 2, 1]
    assert sum(one.size for one in kept._snapshots.values()) <= 2


@pytest.mark.parametrize("vector", [np.zeros(D), np.full(D, np.nan), np.eye(D)[0] * 2])
def test_what_is_no_template_is_not_kept(kept: KeptFaces, vector: np.ndarray) -> None:
    """C1, C3, C4: a vector that is not finite, or not of unit length, is refused."""
    with pytest.raises(RefusedError, match="no unit vector"):
        kept.add_face(Kind.LIST, "staff", Embedding(vector.astype(np.float32), "m"), "")


def test_the_file_shows_nothing(tmp_path: Path, kept: KeptFaces) -> None:
    """J1: neither file nor log holds a name, user data, who answers, or a template; nor, once erased, their bytes."""
    ada = kept.add_person("crew", MARKERS[0], MARKERS[1])
    vector = np.random.default_rng(1).normal(size=D).astype(np.float32)
    vector /= np.linalg.norm(vector)
    kept.add_face(Kind.GROUP, "crew", Embedding(vector, "m"), MARKERS[1], ada)
    sealed = kept._rows("SELECT template FROM kept_face")[0][0]
    plain = (vector.tobytes(), encoded(rounded(vector)))
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert not [one for one in MARKERS if one.encode() in content], path.name
        assert not [one for one in plain if one in content], path.name
    kept.drop_collection(Kind.GROUP, "crew")
    assert not [path.name for path in tmp_path.iterdir() if sealed in path.read_bytes()]


def test_a_row_that_was_moved_does_not_open(tmp_path: Path, kept: KeptFaces) -> None:
    """F6, C5: a template that was given to somebody else by hand is compared with nobody."""
    ada, bob = (kept.add_person("crew", name, "") for name in ("Ada", "Bob"))
    kept.add_face(Kind.GROUP, "crew", face(0), "", ada)
    kept.train(Kind.GROUP, "crew", "m", D)
    with closing(sqlite3.connect(tmp_path / "faces.db")) as db, db:
        db.execute("UPDATE kept_face SET person = (SELECT number FROM kept_person WHERE person_id = ?)", [bob])
    with pytest.raises(UntrainedError):
        kept.trained(Kind.GROUP, "crew", "m", D)
    assert kept.of_person("crew", bob, "m", D).size == 0
    with closing(sqlite3.connect(tmp_path / "faces.db")) as db, db:
        db.execute("UPDATE kept_person SET sealed = (SELECT sealed FROM kept_person WHERE person_id = ?)", [ada])
    with pytest.raises(StorageError, match="cannot be opened"):
        kept.person("crew", bob)


def test_another_rotation_is_not_compared(tmp_path: Path, kept: KeptFaces) -> None:
    """C9: templates of an earlier rotation are compared with nobody until their faces are added again."""
    kept.add_face(Kind.LIST, "staff", face(0), "")
    kept.train(Kind.LIST, "staff", "m", D)
    with KeptFaces(tmp_path / "faces.db", b"s" * 32, Protection(b"q" * 32)) as renewed:
        with pytest.raises(UntrainedError):
            renewed.trained(Kind.LIST, "staff", "m", D)
        assert "rotation" in renewed.train(Kind.LIST, "staff", "m", D).failure


def test_templates_are_turned_into_another_rotation(tmp_path: Path, kept: KeptFaces) -> None:
    """J10: once turned, templates lie otherwise, and are as like each other as before; the old rotation fits none."""
    old, new = Protection(b"p" * 32), Protection(b"q" * 32)
    for number in range(3):
        kept.add_face(Kind.LIST, "staff", old.protect(face(number)), "")
    kept.train(Kind.LIST, "staff", "m", D)
    before = kept.trained(Kind.LIST, "staff", "m", D)
    with KeptFaces(tmp_path / "faces.db", b"s" * 32, new) as renewed:
        assert renewed.turn(old) == 3
        after = renewed.trained(Kind.LIST, "staff", "m", D)
        assert after.reference_ids == before.reference_ids
        assert np.abs(after.matrix @ after.matrix.T - before.matrix @ before.matrix.T).max() < 1e-3
        assert np.abs(after.matrix[0] @ new.protect(face(0)).vector) > 0.999
        assert renewed.turn(old) == 0
    with pytest.raises(UntrainedError):
        kept.trained(Kind.LIST, "staff", "m", D)


def test_every_change_is_in_the_log(tmp_path: Path) -> None:
    """J8: a change and its entry are both there or neither, with the key that asked and without a name."""
    installation = Installation(Settings(), tmp_path, None)
    with open_kept_room(installation) as room:
        done = room.changed("key:hr", EventType.UPDATED, lambda kept: add(kept, Kind.LIST, "staff"), "list staff made")
        assert done is None
        with pytest.raises(AlreadyKeptError):
            room.changed("key:hr", EventType.UPDATED, lambda kept: add(kept, Kind.LIST, "staff"), "list staff made")
        room.audit.close()
        with pytest.raises(sqlite3.ProgrammingError):
            room.changed("key:hr", EventType.ERASED, lambda kept: kept.drop_collection(Kind.LIST, "staff"), "erased")
        assert room.kept.collection(Kind.LIST, "staff").name == MARKERS[0]
    with installation.open_audit() as audit:
        (entry,) = audit.read()
    assert entry.event.event_type is EventType.UPDATED
    assert (entry.event.actor is not None and entry.event.actor.id, entry.event.method) == ("key:hr", "api")
    assert entry.event.detail == "list staff made"


def test_it_is_opened_with_the_keys_of_the_device(tmp_path: Path) -> None:
    """J9: what one opening sealed the next one reads, and without the device's keys nobody does."""
    installation = Installation(Settings(), tmp_path, None)
    with open_kept_faces(installation) as kept:
        add(kept, Kind.LIST, "staff")
    with open_kept_faces(installation) as kept:
        assert kept.collection(Kind.LIST, "staff").name == MARKERS[0]
    with (
        KeptFaces(installation.kept_file, b"x" * 32, Protection(b"x" * 32)) as stranger,
        pytest.raises(StorageError, match="cannot be opened"),
    ):
        stranger.collection(Kind.LIST, "staff")


def test_room_holds_both(tmp_path: Path) -> None:
    """The room gives the store and the log of one installation, and closes both."""
    with open_kept_room(Installation(Settings(), tmp_path, None)) as room:
        assert isinstance(room, KeptRoom)
        assert isinstance(room.audit, AuditLog)
    with pytest.raises(sqlite3.ProgrammingError):
        room.kept.collection(Kind.LIST, "staff")
