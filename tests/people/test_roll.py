"""The roll: what the matcher sees follows the database, change by change, and each match sees one moment."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.drivers import faiss_index
from appliance.drivers.faiss_index import indexed
from appliance.errors import StorageError
from appliance.people import shelf, snapshot
from appliance.people.gallery import Consent, Gallery
from appliance.people.snapshot import MAX_REFERENCES, Ids
from appliance.pipeline.matching import search
from appliance.records import Embedding, GallerySnapshot, Grade
from tests.sealed import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

AGREED = Consent("Ada Lovelace", datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
MODEL = "m"
D = 64


def embedding(seed: int, model_id: str = MODEL) -> Embedding:
    """Return a template of its own for each seed."""
    numbers = np.random.default_rng(seed).normal(size=D)
    return Embedding((numbers / np.linalg.norm(numbers)).astype(np.float32), model_id)


def enrol(gallery: Gallery, *seeds: int) -> str:
    """Enrol one person with these templates; return the person's id."""
    return gallery.add("Ada", AGREED, [(embedding(seed), Grade.HIGH) for seed in seeds]).person_id


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pack galleries of a few dozen already, sixteen to a block."""
    monkeypatch.setattr(faiss_index, "MIN_ROWS", 40)
    monkeypatch.setattr(faiss_index, "BLOCK_ROWS", 16)


@pytest.fixture
def gallery(tmp_path: Path, small_blocks: None) -> Iterator[Gallery]:
    """Return an empty gallery that packs what it shows."""
    with Gallery(tmp_path / "gallery.db", indexed) as opened:
        yield opened


def rows(seen: GallerySnapshot) -> NDArray[np.float32]:
    """Return every row, wherever the snapshot holds it."""
    return seen.matrix if seen.index is None else seen.index.at(np.arange(seen.size))


def content(seen: GallerySnapshot) -> tuple[object, ...]:
    """Return everything that a snapshot says, in a form that compares."""
    ids = tuple(seen.person_ids), tuple(seen.reference_ids)
    return (*ids, rows(seen).tobytes("C"), seen.revision, seen.model_id, sorted(seen.quarantined))


def raw(gallery: Gallery, sql: str, *values: object) -> None:
    """Write as another program would: without our checks."""
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute(sql, values)


@pytest.mark.parametrize("seed", range(4))
def test_following_gives_what_reading_anew_gives(gallery: Gallery, seed: int) -> None:
    """C10, C12: after any changes, by whomever, the rows, ids, order and revision are those of the database."""
    rng = np.random.default_rng(seed)
    enrolled: list[str] = []
    packed = set()
    with Gallery(gallery.path) as other:
        for turn in range(60):
            by = gallery if rng.random() < 0.5 else other
            for _ in range(rng.integers(1, 4)):
                if enrolled and rng.random() < (0.2 if turn < 30 else 0.7):
                    by.remove(enrolled.pop(rng.integers(len(enrolled)) if rng.random() < 0.5 else -1))
                else:
                    enrolled.append(enrol(by, *rng.integers(0, 10**6, rng.integers(1, 5)).tolist()))
            seen = gallery.current(MODEL, D)
            assert content(seen) == content(other.snapshot(MODEL, D))
            packed.add(seen.index is not None)
    assert packed == {False, True}


def test_enrolled_is_found_and_erased_is_not(gallery: Gallery) -> None:
    """C10: from the first look after the change on; nothing that has gone comes back."""
    gone = [enrol(gallery, seed) for seed in range(50)]
    for seed in range(50):
        person_id = enrol(gallery, 1000 + seed)
        found = search(embedding(1000 + seed), gallery.current(MODEL, D))
        assert found[0].person_id == person_id
        assert found[0].similarity > 0.9999
        gallery.remove(gone[seed])
        assert all(one.person_id != gone[seed] for one in search(embedding(seed), gallery.current(MODEL, D)))


def test_nothing_changed_is_the_same_object(gallery: Gallery) -> None:
    """A look without a change costs nothing: it gives what was there."""
    enrol(gallery, 1)
    seen = gallery.current(MODEL, D)
    assert gallery.current(MODEL, D) is seen
    enrol(gallery, 2)
    assert gallery.current(MODEL, D) is not seen


def test_only_what_has_changed_is_copied(gallery: Gallery) -> None:
    """Blocks without a change are shared with the snapshot of before, and that one still shows what it did."""
    people = [enrol(gallery, seed) for seed in range(96)]
    before = gallery.current(MODEL, D)
    held = content(before)
    gallery.remove(people[20])
    after = gallery.current(MODEL, D)
    assert isinstance(before.index, faiss_index.PackedRows)
    assert isinstance(after.index, faiss_index.PackedRows)
    shared = [one in after.index._blocks for one in before.index._blocks]
    assert shared == [True, False, True, True, True, True]
    assert content(before) == held


def test_number_that_is_used_again_is_another_reference(gallery: Gallery) -> None:
    """C10: SQLite gives the newest number again once its row is erased; the new row is seen, the old one is not."""
    enrol(gallery, 1)
    old = enrol(gallery, 2, 3)
    gallery.current(MODEL, D)
    gallery.remove(old)
    new = enrol(gallery, 4, 5)
    assert gallery.current(MODEL, D).person_ids[1] == new
    assert content(gallery.current(MODEL, D)) == content(gallery.snapshot(MODEL, D))


def test_same_vector_under_two_people_is_told_at_once(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    """C8: the conflict is logged as it comes, once, with both people; the margin between them is nothing."""
    one = enrol(gallery, *range(5))
    gallery.current(MODEL, D)
    two = enrol(gallery, 50, 3)
    seen = gallery.current(MODEL, D)
    enrol(gallery, 60)
    gallery.current(MODEL, D)
    assert len(caplog.messages) == 2
    assert all("is the same as" in line for line in caplog.messages)
    assert {one, two} == {line.split("of person ")[1].split()[0] for line in caplog.messages}
    first, second = search(embedding(3), seen)[:2]
    assert (first.person_id, second.person_id) == (one, two)
    assert first.similarity == second.similarity


def test_same_vector_twice_under_one_person_is_not_told(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    """C8: a person's own doubled reference is no conflict."""
    enrol(gallery, 1, 1)
    gallery.current(MODEL, D)
    assert caplog.messages == []


def insert(gallery: Gallery, person_id: str, vector: NDArray[np.float32], reference_id: str) -> None:
    """Add a reference to somebody as another program with the keys would."""
    blob = vector.astype("<f4").tobytes()
    box = sealed(gallery, reference_id, person_id, MODEL, blob)
    turned, at = gallery.protection.protection_id, "2026-03-01"
    columns = (reference_id, person_id, MODEL, turned, D, 2, "photo", at, at, box)
    raw(gallery, "INSERT INTO reference VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *columns)


def test_person_with_very_many_references_has_no_more_than_the_cap(gallery: Gallery) -> None:
    """C7: of 260 templates of one person 248 are compared, and N, from which the FPIR is reckoned, counts these."""
    many, one = enrol(gallery, *range(240)), enrol(gallery, 500)
    gallery.current(MODEL, D)
    for seed in range(240, 260):
        insert(gallery, many, embedding(seed).vector, f"extra{seed}")
    seen = gallery.current(MODEL, D)
    assert sorted(seen.person_ids) == sorted([many] * MAX_REFERENCES + [one])
    assert seen.size == MAX_REFERENCES + 1
    assert len(seen.quarantined) == 12
    assert search(embedding(259), seen)[0].similarity < 0.9
    assert content(seen) == content(gallery.snapshot(MODEL, D))
    assert sum("one too many" in finding.reason for finding in gallery.findings(MODEL, D)) == 12


def test_unsound_row_that_comes_later_is_quarantined(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    """C2, C4, F6: a bad row is refused when it is new, and named; the others stay."""
    ada = enrol(gallery, 1)
    gallery.current(MODEL, D)
    insert(gallery, ada, np.full(D, np.nan, np.float32), "nan")
    insert(gallery, ada, 100 * embedding(7).vector, "long")
    raw(gallery, "UPDATE reference SET sealed = zeroblob(32) WHERE reference_id = 'long'")
    enrol(gallery, 2)
    seen = gallery.current(MODEL, D)
    assert sorted(seen.quarantined) == ["long", "nan"]
    assert seen.size == 2
    assert {line.split()[1] for line in caplog.messages} == {"long", "nan"}
    raw(gallery, "DELETE FROM reference WHERE reference_id = 'nan'")
    assert gallery.current(MODEL, D).quarantined == ("long",)


def test_reference_whose_person_goes_is_dropped(gallery: Gallery) -> None:
    """F6: a person deleted by a program that minds no foreign keys is not matched on."""
    enrol(gallery, 1)
    eve = enrol(gallery, 2)
    gallery.current(MODEL, D)
    raw(gallery, "DELETE FROM person WHERE person_id = ?", eve)
    seen = gallery.current(MODEL, D)
    assert eve not in seen.person_ids
    assert (seen.size, seen.quarantined) == (1, ())
    assert content(seen) == content(gallery.snapshot(MODEL, D))


def test_other_models_rows_are_passed_over(gallery: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    """C9: they are told of once, are compared with nothing, and are all that another model sees."""
    ada = enrol(gallery, 1)
    bob = gallery.add("Bob", AGREED, [(embedding(2, "n"), Grade.HIGH)]).person_id
    assert tuple(gallery.current(MODEL, D).person_ids) == (ada,)
    enrol(gallery, 3)
    assert gallery.current(MODEL, D).size == 2
    assert len(caplog.messages) == 1
    assert "another" not in caplog.messages[0]
    assert caplog.messages[0].startswith("1 references are of n, which is not in use")
    assert tuple(gallery.current("n", D).person_ids) == (bob,)
    gallery.remove(bob)
    assert gallery.current("n", D).size == 0
    assert gallery.current(MODEL, D).size == 2


def test_fault_while_reading_leaves_what_was_there(gallery: Gallery) -> None:
    """F4: where the news cannot be read the call raises, and the next one that can gives everything."""
    enrol(gallery, 1)
    gallery.current(MODEL, D)
    new = enrol(gallery, 2)
    raw(gallery, "ALTER TABLE change RENAME TO hidden")
    with pytest.raises(StorageError, match="change"):
        gallery.current(MODEL, D)
    raw(gallery, "ALTER TABLE hidden RENAME TO change")
    assert new in gallery.current(MODEL, D).person_ids


@pytest.mark.parametrize("known", [False, True])
def test_half_made_erasure_is_none_yet(gallery: Gallery, caplog: pytest.LogCaptureFixture, known: bool) -> None:
    """C10: while another process erases somebody, key first and rows then, they are seen whole and nothing is damaged.

    `known` is whether the gallery was read before and they are news, or everything is read for the first time.
    """
    with Gallery(gallery.path) as other:
        enrol(other, 1)
        if known:
            gallery.current(MODEL, D)
        going = enrol(other, 2, 3, 4, 5)
        with other.keyring.transaction(other.revision()):
            other.keyring.destroy(going)
        seen = gallery.current(MODEL, D)
        assert list(seen.person_ids).count(going) == 4
        assert seen.quarantined == ()
        assert caplog.messages == []
    with Gallery(gallery.path) as other:  # which takes back what was not kept
        other.remove(going)
    assert going not in gallery.current(MODEL, D).person_ids


def test_each_of_ten_thousand_matches_sees_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C10: while others enrol and erase, a match sees whole people of one revision, unchanged while it is held."""
    monkeypatch.setattr(faiss_index, "MIN_ROWS", 40)
    path = tmp_path / "gallery.db"
    stop = threading.Event()

    def keep_changing() -> None:
        rng = np.random.default_rng(1)
        with Gallery(path) as own:
            here = []
            while not stop.is_set():
                here.append(enrol(own, *rng.integers(1000, 10**6, 4).tolist()))
                if len(here) > 10:
                    own.remove(here.pop(rng.integers(len(here))))

    with Gallery(path, indexed) as gallery:
        stayed = enrol(gallery, 1, 2, 3, 4)
        for seed in range(10, 50):
            enrol(gallery, seed)
        writer = threading.Thread(target=keep_changing)
        writer.start()
        hashes: dict[int, str] = {}
        try:
            matches, moments = 0, 0
            while matches < 10_000 or moments < 20:
                seen = gallery.current(MODEL, D)
                moments += seen.revision not in hashes
                hashes.setdefault(seen.revision, hashed(seen))
                for probe in (1, 2, 3, 4) * 75:
                    assert search(embedding(probe), seen)[0].person_id == stayed
                    matches += 1
                assert hashed(seen) == hashes[seen.revision]
                assert set(np.unique(list(seen.person_ids), return_counts=True)[1].tolist()) <= {1, 4}
        finally:
            stop.set()
            writer.join()


def hashed(seen: GallerySnapshot) -> str:
    """Return one number for everything that a snapshot says."""
    return hashlib.sha256(repr(content(seen)).encode()).hexdigest()


def test_ids_are_a_sequence_of_texts() -> None:
    """Ids in little memory read as a tuple of them does, names beyond ASCII among them."""
    names = ("ada", "", "Žofie", "a" * 40)
    ids = Ids.of(names)
    assert tuple(ids) == names
    assert (ids[2], ids[-1], len(ids)) == ("Žofie", "a" * 40, 4)
    assert tuple(ids[1:3]) == names[1:3]
    assert "Žofie" in ids
    assert "eve" not in ids
    assert len(Ids.of(())) == 0
    with pytest.raises(IndexError):
        ids[4]


@pytest.mark.parametrize("others", [3, 60])
def test_erased_person_stays_erased_after_a_restart(gallery: Gallery, others: int) -> None:
    """C11: who was erased is not matched by a reader that starts anew, in a small gallery and in a packed one."""
    ada = enrol(gallery, 1)
    for number in range(others):
        enrol(gallery, 100 + number)
    assert search(embedding(1), gallery.current(MODEL, D))[0].person_id == ada
    gallery.remove(ada)
    gallery.close()
    with Gallery(gallery.path, indexed) as again:
        seen = again.current(MODEL, D)
        assert ada not in seen.person_ids
        assert seen.size == others
        assert all(one.person_id != ada for one in search(embedding(1), seen))


@pytest.mark.parametrize("odd", ["nothing", "model", "crowd", "altered", "nobody", "rotation", "size", "number", "key"])
def test_whole_gallery_is_read_alike_by_both_ways(gallery: Gallery, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    """C2, C5, C7, C9, F6: read at once or row by row, a gallery is the same, whatever is odd about one of its rows."""
    monkeypatch.setattr(shelf, "_AT_ONCE", 7)
    people = [enrol(gallery, 10 * seed, 10 * seed + 1) for seed in range(20)]
    victim = gallery.references(people[8])[0].reference_id
    where = f"WHERE reference_id = '{victim}'"
    match odd:
        case "model":
            gallery.add("Bob", AGREED, [(embedding(2, "n"), Grade.HIGH)])
        case "crowd":
            monkeypatch.setattr(shelf, "MAX_REFERENCES", 1)
            monkeypatch.setattr(snapshot, "MAX_REFERENCES", 1)
        case "altered":
            raw(gallery, f"UPDATE reference SET sealed = zeroblob(100) {where}")  # noqa: S608 - ours
        case "nobody":
            raw(gallery, "DROP TRIGGER all_goes_with_person")
            raw(gallery, "DELETE FROM person WHERE person_id = ?", people[8])
        case "rotation":
            raw(gallery, f"UPDATE reference SET protection = 'other' {where}")  # noqa: S608 - ours
        case "size":
            insert(gallery, people[8], embedding(7).vector[:-1], "short")
        case "number":
            insert(gallery, people[8], np.full(D, np.nan, np.float32), "nan")
        case "key":
            with closing(sqlite3.connect(gallery.path.with_name("keys.db"), isolation_level=None)) as keys:
                keys.execute("DELETE FROM person_key WHERE person_id = ?", [people[8]])
    with Gallery(gallery.path, indexed) as again:
        at_once, row_by_row = again.current(MODEL, D), again.snapshot(MODEL, D)
    assert content(at_once) == content(row_by_row)
    lost = {"nothing": 0, "model": 0, "crowd": 20, "nobody": 2, "key": 2, "size": 0, "number": 0}.get(odd, 1)
    assert at_once.size == 40 - lost
    assert len(at_once.quarantined) == (1 if odd in {"size", "number"} else lost)
