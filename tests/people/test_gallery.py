"""The gallery: whole people or none, and nothing believed that lies in the file."""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import AuditLog
from appliance.errors import RefusedError, StorageError
from appliance.fixed_point import rounded
from appliance.people.gallery import Consent, Gallery, Person
from appliance.people.migrations import GALLERY
from appliance.people.sealing import encoded
from appliance.people.snapshot import MAX_REFERENCES
from appliance.records import Embedding, GallerySnapshot, Grade
from tests.sealed import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sqlite_utils import Database

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA_AGREES = Consent("Ada Lovelace", NOON)
ROOT = Path(__file__).resolve().parents[2]
D = 64


def vector(seed: int, dimension: int = D) -> NDArray[np.float32]:
    """Return a unit vector of its own for each seed."""
    numbers = np.random.default_rng(seed).normal(size=dimension)
    return (numbers / np.linalg.norm(numbers)).astype(np.float32)


def reference(seed: int, model_id: str = "m", dimension: int = D) -> tuple[Embedding, Grade]:
    """Return one embedding that may be enrolled, and its grade."""
    return Embedding(vector(seed, dimension), model_id), Grade.HIGH


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return an empty gallery."""
    with Gallery(tmp_path / "gallery.db") as opened:
        yield opened


def raw(gallery: Gallery, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Run SQL as another program would: without our checks."""
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as db:
        db.execute("PRAGMA ignore_check_constraints=ON")
        return db.execute(sql, values).fetchall()


def overwrite(gallery: Gallery, reference_id: str, blob: bytes, dimension: int = D) -> None:
    """Put other bytes in a reference's place, sealed as its own were."""
    query = "SELECT person_id, model_id FROM reference WHERE reference_id = ?"
    person_id, model_id = map(str, raw(gallery, query, reference_id)[0])
    box = sealed(gallery, reference_id, person_id, model_id, blob)
    query = "UPDATE reference SET sealed = ?, dimension = ? WHERE reference_id = ?"
    raw(gallery, query, box, dimension, reference_id)


def test_empty_gallery_has_a_shape(gallery: Gallery) -> None:
    """C6: nobody enrolled gives a matrix of (0, D), no people, and no fault."""
    seen = gallery.snapshot("m", 512)
    assert seen.matrix.shape == (0, 512)
    assert seen.matrix.dtype == np.float32
    assert (seen.size, seen.person_ids, seen.quarantined) == (0, (), ())
    assert gallery.people() == ()
    assert gallery.find("ada") == ()


def test_who_is_added_is_seen(gallery: Gallery) -> None:
    """A person comes back with id, name, references, models and consent; the matcher sees their vectors."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1), reference(2), reference(3, "other", 32)])
    assert gallery.people() == (ada,)
    assert ada == Person(ada.person_id, "Ada", 3, ("m", "other"), ada.enrolled_at, "Ada Lovelace")
    assert len(ada.person_id) == 32
    seen = gallery.snapshot("m", D)
    assert seen.person_ids == (ada.person_id,) * 2
    assert len(set(seen.reference_ids)) == 2
    assert np.array_equal(seen.matrix, rounded(np.array([vector(1), vector(2)])))
    assert seen.matrix.flags.c_contiguous
    assert not seen.matrix.flags.writeable
    assert gallery.findings("m", D)[0].reason.startswith("is of model other")


def test_ids_tell_nothing(gallery: Gallery) -> None:
    """J10: the same person enrolled twice gets ids that have nothing in common."""
    one, two = (gallery.add("Ada", ADA_AGREES, [reference(1)]) for _ in range(2))
    assert one.person_id != two.person_id


def test_found_by_name_or_id(gallery: Gallery) -> None:
    """A name finds everybody of that name, an id one person, anything else nobody."""
    one, two, bob = (gallery.add(name, ADA_AGREES, [reference(s)]) for s, name in enumerate(("Ada", "Ada", "Bob")))
    assert set(gallery.find("Ada")) == {one, two}
    assert gallery.find(two.person_id) == (two,)
    assert gallery.find("Bob") == (bob,)
    assert gallery.find("bo") == ()
    assert gallery.find("'; DROP TABLE person; --") == ()


@pytest.mark.parametrize("size", [0.0, 1e-4, 0.99, 1.01, 1e4, np.nan, np.inf])
def test_vector_that_is_not_of_unit_length_is_not_enrolled(gallery: Gallery, size: float) -> None:
    """C2, C3, C4: a vector of zeros, NaN, infinity or another length is refused whole; nobody is half enrolled."""
    with np.errstate(all="ignore"):
        bad = Embedding((vector(2) * size).astype(np.float32), "m")
    with pytest.raises(RefusedError, match="not a unit vector"):
        gallery.add("Ada", ADA_AGREES, [reference(1), (bad, Grade.HIGH)])
    assert gallery.people() == ()
    assert raw(gallery, "SELECT COUNT(*) FROM consent") == [(0,)]


def test_nobody_without_a_reference(gallery: Gallery) -> None:
    """C7: a person whom nothing could recognise is refused, and so is one with more references than are compared."""
    with pytest.raises(RefusedError, match="0 references"):
        gallery.add("Ada", ADA_AGREES, [])
    with pytest.raises(RefusedError, match="249 references"):
        gallery.add("Ada", ADA_AGREES, [reference(seed) for seed in range(MAX_REFERENCES + 1)])
    assert gallery.people() == ()


def test_fault_midway_leaves_nothing(gallery: Gallery) -> None:
    """J5, F3: when the third row of a person cannot be written, the first two and the consent are not there either."""
    gallery._db.execute(
        "CREATE TEMP TRIGGER third BEFORE INSERT ON main.reference WHEN (SELECT COUNT(*) FROM reference) = 2 "
        "BEGIN SELECT RAISE(ABORT, 'disk fault'); END"
    )
    before = gallery.revision()
    with pytest.raises(StorageError, match=r"gallery\.db cannot be used: disk fault"):
        gallery.add("Ada", ADA_AGREES, [reference(s) for s in range(3)])
    for table in ("person", "consent", "reference"):
        assert raw(gallery, f"SELECT * FROM {table}") == []  # noqa: S608  our own words
    assert gallery.revision() == before


def test_full_disk_leaves_nothing(gallery: Gallery) -> None:
    """F3: when the disk is full, the person is not enrolled, everybody else still is, and one line says so."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    gallery._db.execute("PRAGMA max_page_count = 1")  # no less than it has: no page can be added
    many = [reference(s, dimension=512) for s in range(2, 2 + MAX_REFERENCES)]
    with pytest.raises(StorageError, match="full") as fault:
        gallery.add("Bob", ADA_AGREES, many)
    assert "\n" not in str(fault.value)
    assert gallery.people() == (ada,)
    assert gallery.snapshot("m", D).size == 1


def test_person_without_consent_is_refused_by_the_schema(gallery: Gallery) -> None:
    """J5: whoever writes, and even without foreign keys, no person stands without a consent record."""
    columns = "person_id, consent_id, enrolled_at, changed_at, name_index, who, facts"
    insert = f"INSERT INTO person ({columns}) VALUES (?, ?, '2026-03-01', '2026-03-01', x'', x'', x'')"  # noqa: S608
    for consent_id in ("nothing", None):
        with pytest.raises(sqlite3.IntegrityError, match="consent"):
            raw(gallery, insert, "f" * 32, consent_id)
    gallery.add("Ada", ADA_AGREES, [reference(1)])
    with pytest.raises(sqlite3.IntegrityError, match="consent"):
        raw(gallery, "DELETE FROM consent")
    assert len(gallery.people()) == 1


def test_consent_names_somebody(gallery: Gallery) -> None:
    """J5: a consent given by nobody is refused, and with it the person."""
    with pytest.raises(RefusedError, match="names nobody"):
        gallery.add("Ada", Consent("", NOON), [reference(1)])
    assert gallery.people() == ()


def test_erased_means_erased(gallery: Gallery) -> None:
    """J1, J7: no file ever shows a name, a consent or a vector; after removal the tombstone alone tells of the id."""
    planted = "Marker-Ada-Lovelace-7731"
    ada = gallery.add(planted, Consent("Marker-Consent-4482", NOON), [reference(s) for s in range(20)])
    bob = gallery.add("Bob", ADA_AGREES, [reference(99)])
    marks = [planted.encode(), b"Marker-Consent-4482", ada.person_id.encode()]
    marks += [vector(seed).tobytes() for seed in range(20)]
    marks += [
        blob for seed in range(20) for blob in (encoded(rounded(vector(seed))), encoded(rounded(vector(seed)))[:24])
    ]
    assert found(gallery, marks) == {("gallery.db", marks[2]), ("keys.db", marks[2])}
    gallery.remove(ada.person_id)
    assert found(gallery, marks) == {("keys.db", marks[2])}
    assert gallery.people() == (bob,)
    assert gallery.snapshot("m", D).person_ids == (bob.person_id,)


def found(gallery: Gallery, marks: list[bytes]) -> set[tuple[str, bytes]]:
    """Return which marks stand in which file, each file's write-ahead log taken as a part of it."""
    files = {file.name: file.read_bytes() for file in gallery.path.parent.iterdir()}
    return {(name.removesuffix("-wal"), mark) for name, content in files.items() for mark in marks if mark in content}


def test_removing_nobody_is_refused(gallery: Gallery) -> None:
    """An id that is not enrolled is refused, and the revision stays."""
    before = gallery.revision()
    with pytest.raises(RefusedError, match="nobody"):
        gallery.remove("f" * 32)
    assert gallery.revision() == before


def test_revision_rises_with_every_change(gallery: Gallery) -> None:
    """Adding and removing raise the revision, and a snapshot carries the one it was taken at."""
    seen = [gallery.revision()]
    ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    seen.append(gallery.revision())
    gallery.remove(ada.person_id)
    seen.append(gallery.revision())
    assert seen == sorted(set(seen))
    assert gallery.snapshot("m", D).revision == seen[-1]


def test_other_processes_changes_are_noticed(gallery: Gallery) -> None:
    """A reader that stays open learns that somebody else has written, once, and that nobody has."""
    assert gallery.changed()  # nothing was read yet
    gallery.current("m", D)
    assert not gallery.changed()
    with Gallery(gallery.path) as other:
        other.add("Ada", ADA_AGREES, [reference(1)])
        assert gallery.changed()
        assert gallery.current("m", D).size == 1
        assert not gallery.changed()
    gallery.add("Bob", ADA_AGREES, [reference(2)])
    assert gallery.changed()


def test_transaction_is_all_or_nothing(gallery: Gallery) -> None:
    """Two changes in one transaction that ends in a fault leave neither."""

    def change_twice() -> None:
        with gallery.transaction():
            ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
            assert gallery.people() == (ada,)
            gallery.remove("nobody")

    with pytest.raises(RefusedError):
        change_twice()
    assert gallery.people() == ()


def _scaled(factor: float) -> bytes:
    with np.errstate(all="ignore"):
        return (vector(5) * np.float32(factor)).astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("blob", "dimension", "why"),
    [
        (_scaled(np.nan), D, "not finite"),
        (_scaled(np.inf), D, "not finite"),
        (b"\x01\x00\xa0\x7f" + _scaled(1)[4:], D, "not finite"),  # a signalling NaN
        (bytes(4 * D), D, "length 0"),
        (_scaled(1e4), D, "length 10000"),
        (_scaled(1e-4), D, "length 0.0001"),
        (_scaled(1.002), D, "length 1.002"),
        (_scaled(1)[:-4], D, "bytes"),
        (_scaled(1)[:-1], D, "bytes"),
        (b"", D, "bytes"),
        (_scaled(1), D // 2, "bytes"),
        (vector(5).astype("<f8").tobytes(), D, "bytes"),
        (vector(5, 32).tobytes(), 32, "bytes"),
        (vector(5).astype(">f4").tobytes(), D, "not finite|length"),
    ],
)
def test_bad_row_is_quarantined_and_the_rest_still_match(
    gallery: Gallery, blob: bytes, dimension: int, why: str
) -> None:
    """C2, C3, C4, C5: NaN, zeros, another length, size, type or byte order is left out and named; others stay."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    gallery.add("Eve", ADA_AGREES, [reference(5)])
    bad = gallery.snapshot("m", D).reference_ids[1]
    overwrite(gallery, bad, blob, dimension)
    seen = gallery.snapshot("m", D)
    assert seen.quarantined == (bad,)
    assert seen.person_ids == (ada.person_id,)
    assert np.isfinite(seen.matrix).all()
    (finding,) = gallery.findings("m", D)
    assert finding.quarantined
    assert re.search(why, finding.reason)


def test_row_nearly_of_unit_length_is_made_so(gallery: Gallery) -> None:
    """C4: a row within the tolerance is brought to unit length, so that it gains nothing by being longer."""
    gallery.add("Eve", ADA_AGREES, [reference(5)])
    overwrite(gallery, gallery.snapshot("m", D).reference_ids[0], _scaled(1.0009))
    assert abs(float(np.linalg.norm(gallery.snapshot("m", D).matrix[0])) - 1) < 1e-6


def test_rows_of_another_model_are_not_compared(gallery: Gallery) -> None:
    """C9: a reference of another model is not in the snapshot, is no damage, and asks for enrolment anew."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1, "m")])
    bob = gallery.add("Bob", ADA_AGREES, [reference(2, "n", 32)])
    assert gallery.snapshot("m", D).person_ids == (ada.person_id,)
    assert gallery.snapshot("n", 32).person_ids == (bob.person_id,)
    assert gallery.snapshot("m", D).quarantined == ()
    assert [(f.person_id, f.quarantined) for f in gallery.findings("m", D)] == [(bob.person_id, False)]


def test_same_vector_under_two_people_is_told(gallery: Gallery) -> None:
    """C8: both rows stay, so that the margin sends the visitor to a human, and both are reported."""
    one, two = (gallery.add(name, ADA_AGREES, [reference(1)]) for name in ("Ada", "Eve"))
    seen = gallery.snapshot("m", D)
    assert seen.person_ids == (one.person_id, two.person_id)
    assert np.array_equal(seen.matrix[0], seen.matrix[1])
    findings = gallery.findings("m", D)
    assert {f.person_id for f in findings} == {one.person_id, two.person_id}
    assert all("is the same as" in f.reason and not f.quarantined for f in findings)


def test_same_vector_twice_under_one_person_is_nothing(gallery: Gallery) -> None:
    """C8: a person's own doubled reference is no conflict."""
    gallery.add("Ada", ADA_AGREES, [reference(1), reference(1)])
    assert gallery.findings("m", D) == ()


def test_altered_row_is_quarantined(gallery: Gallery) -> None:
    """F6: a reference moved to another person, without being sealed anew, is not believed."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    eve = gallery.add("Eve", ADA_AGREES, [reference(2)])
    raw(gallery, "UPDATE reference SET person_id = ? WHERE person_id = ?", ada.person_id, eve.person_id)
    seen = gallery.snapshot("m", D)
    assert seen.person_ids == (ada.person_id,)
    assert len(seen.quarantined) == 1
    assert "cannot be opened with the key of its person" in gallery.findings("m", D)[0].reason


def test_reference_of_nobody_is_quarantined(gallery: Gallery) -> None:
    """F6: a reference whose person is gone opens nothing."""
    ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    raw(gallery, "DROP TRIGGER all_goes_with_person")
    raw(gallery, "DELETE FROM person")
    assert gallery.person(ada.person_id) is None
    assert gallery.snapshot("m", D).size == 0
    assert gallery.findings("m", D)[0].reason == "belongs to nobody"


def test_snapshot_is_of_one_moment(gallery: Gallery) -> None:
    """C10: while another thread enrols and erases, each snapshot holds whole people only, at a revision of its own."""
    stop = threading.Event()

    def keep_changing() -> None:
        with Gallery(gallery.path) as own:
            while not stop.is_set():
                person = own.add("Ada", ADA_AGREES, [reference(s) for s in range(4)])
                own.remove(person.person_id)

    writer = threading.Thread(target=keep_changing)
    writer.start()
    try:
        seen, end_s = [gallery.snapshot("m", D)], time.monotonic() + 20
        # However slowly the writer starts on a busy machine, the snapshots go on until they have met it at work.
        while len(seen) < 150 or (len({one.revision for one in seen}) < 10 and time.monotonic() < end_s):
            seen.append(gallery.snapshot("m", D))
    finally:
        stop.set()
        writer.join()
    assert {one.size for one in seen} <= {0, 4}
    assert len({one.revision for one in seen}) > 1
    assert [one.revision for one in seen] == sorted(one.revision for one in seen)
    first = {one.revision: one.reference_ids for one in reversed(seen)}
    # Whoever is being erased this very moment may be gone already; nobody else comes or goes within a revision.
    assert all(one.reference_ids in {first[one.revision], ()} for one in seen)


def test_connection_belongs_to_one_thread(gallery: Gallery) -> None:
    """Use from another thread is a bug that shows at once, never a storage fault that is survived."""
    met: list[BaseException] = []

    def misuse() -> None:
        try:
            gallery.people()
        except sqlite3.ProgrammingError as fault:
            met.append(fault)

    thread = threading.Thread(target=misuse)
    thread.start()
    thread.join()
    assert len(met) == 1


def test_ten_thousand_references_load_fast(gallery: Gallery) -> None:
    """10,000 references of 512 numbers are checked one by one and loaded in under a second."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(10_000, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with gallery.transaction():
        for person in range(500):
            own = vectors[person * 20 : (person + 1) * 20]
            gallery.add(f"person {person}", ADA_AGREES, [(Embedding(one, "m"), Grade.HIGH) for one in own])
    started = time.thread_time()  # the processor's, not the clock's: neighbours do not count
    seen = gallery.snapshot("m", 512)
    assert time.thread_time() - started < 1.0
    assert seen.size == 10_000
    assert np.array_equal(seen.matrix, rounded(vectors))


KILLED = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from appliance.fixed_point import rounded
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade
rng = np.random.default_rng()
with Gallery(Path(sys.argv[1])) as gallery:
    while True:
        rows = rng.normal(size=(5, 64))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        gallery.add("Ada", Consent("Ada", datetime.now(UTC)), [(Embedding(row, "m"), Grade.HIGH) for row in rows])
        print("added", flush=True)
"""


def test_killed_while_enrolling(tmp_path: Path) -> None:
    """F2: after SIGKILL at any moment everybody acknowledged is there, and everybody there is whole."""
    acknowledged = 0
    chance = random.Random(3)  # noqa: S311  a moment, not a secret
    for _ in range(4):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "gallery.db")]
        writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(chance.uniform(0, 0.1))
        writer.kill()
        lines += writer.stdout.readlines()
        writer.stdout.close()
        writer.wait()
        acknowledged += lines.count("added\n")
        with Gallery(tmp_path / "gallery.db") as gallery:
            people = gallery.people()
            assert len(people) >= acknowledged
            assert {(one.references, one.consent_by) for one in people} == {(5, "Ada")}
            assert gallery.findings("m", D) == ()


def test_gallery_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """F9: a gallery from before there were calibrations keeps everybody and takes one."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as gallery:
        ada = gallery.add("Ada", ADA_AGREES, [reference(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("DROP TABLE calibration; DELETE FROM _sqlite_migrations WHERE name = '0002_calibration';")
        db.execute("PRAGMA user_version = 1")
    with Gallery(path) as gallery:
        assert gallery.people() == (ada,)
        assert gallery.calibrations() == {}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (GALLERY.version,)


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """F9: a gallery from a newer version is refused in one line, and not touched."""
    path = tmp_path / "gallery.db"
    Gallery(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {GALLERY.version + 1}")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer Ostiary"):
        Gallery(path)
    assert path.read_bytes() == before


def test_migration_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F10: a migration that fails at its last step leaves an empty file, which the next start migrates."""
    path = tmp_path / "gallery.db"
    true_apply = GALLERY.migrations.apply

    def failing(db: Database) -> None:
        true_apply(db)
        raise sqlite3.OperationalError("power cut")

    monkeypatch.setattr(GALLERY.migrations, "apply", failing)
    with pytest.raises(StorageError, match="power cut"):
        Gallery(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == []
    monkeypatch.undo()
    with Gallery(path) as gallery:
        assert gallery.revision() == 0


def test_audit_log_in_the_gallerys_place_is_refused(tmp_path: Path) -> None:
    """F6: one of our own databases in the other's place is told apart."""
    AuditLog(tmp_path / "gallery.db", "ostiary", "front").close()
    with pytest.raises(StorageError, match="not an Ostiary gallery"):
        Gallery(tmp_path / "gallery.db")


def rows_of(seen: GallerySnapshot) -> set[tuple[str, str, bytes]]:
    """Return who each row belongs to, with its numbers."""
    rows = zip(seen.person_ids, seen.reference_ids, seen.matrix, strict=True)
    return {(person_id, reference_id, row.tobytes()) for person_id, reference_id, row in rows}


def test_flipped_and_missing_bytes_never_crash_and_never_lie(tmp_path: Path) -> None:
    """F6: wherever a byte is flipped or the file is cut, a row is as enrolled, or quarantined, or a storage fault."""
    path = tmp_path / "gallery.db"
    with Gallery(path) as gallery:
        for person in range(6):
            gallery.add(f"person {person}", ADA_AGREES, [reference(10 * person + s) for s in range(3)])
        before = gallery.snapshot("m", D)
    sound = rows_of(before)
    whole = path.read_bytes()
    chance = random.Random(5)  # noqa: S311
    damages = [bytearray(whole) for _ in range(150)]
    for at, damaged in zip(chance.sample(range(len(whole)), len(damages)), damages, strict=True):
        damaged[at] ^= 1 << chance.randrange(8)
    damages += [bytearray(whole[: chance.randrange(1, len(whole))]) for _ in range(30)]
    faults, quarantined = [], 0
    for damaged in damages:
        path.write_bytes(damaged)
        try:
            with Gallery(path) as gallery:
                seen = gallery.snapshot("m", D)
                gallery.people()
        except StorageError as fault:
            faults.append(str(fault))
        else:
            assert rows_of(seen) <= sound
            quarantined += len(seen.quarantined) > 0
        for left in ("gallery.db-wal", "gallery.db-shm"):
            (tmp_path / left).unlink(missing_ok=True)
    assert len(faults) >= 25
    assert all("gallery" in line and "\n" not in line for line in faults)
    assert quarantined > 1
