"""Enrolment and erasure: gallery and audit log together, or neither."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.audit import AuditLog, as_payload, canonical
from appliance.contract import EventType
from appliance.errors import ModelMismatchError, PhotoError, RefusedError, StorageError
from appliance.manifest import Impostors
from appliance.people.enrolment import (
    MAX_PHOTOS,
    Photo,
    checked_language,
    checked_name,
    enrol,
    enrol_seen,
    remove,
)
from appliance.people.gallery import Gallery
from appliance.people.person import Consent, Person
from appliance.people.references import MAX_KEPT, Standard
from appliance.records import Actor, ActorKind, Embedding, Flaw, Grade, Quality

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

IMPOSTORS = Impostors(
    data="made up", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)
STANDARD = Standard(IMPOSTORS, 1e-3)
CONSENT = Consent("Ada Lovelace", datetime(2026, 3, 1, tzinfo=UTC))
GOOD = Quality(Grade.HIGH, (), 200.0, 90.0, 1.0, 120.0, 1.0)
FAIR = Quality(Grade.MEDIUM, (Flaw.YAW,), 200.0, 90.0, 1.0, 120.0, 1.0)
POOR = Quality(Grade.LOW, (Flaw.BLUR, Flaw.YAW), 60.0, 20.0, 0.1, 120.0, 1.0)


def towards(seed: int, spread: float = 0.3, model_id: str = "m") -> Embedding:
    """Return a template of person `seed // 10`; those of one person are alike, those of two are not."""
    person = np.random.default_rng(seed // 10).normal(size=256)
    numbers = person + spread * np.random.default_rng(1000 + seed).normal(size=256)
    return Embedding((numbers / np.linalg.norm(numbers)).astype(np.float32), model_id)


class SceneReader:
    """A face reader to which each photo's name says what it shows."""

    def __init__(self, scenes: dict[str, tuple[Embedding, Quality]]) -> None:
        self._scenes = scenes
        self.read_names: list[str] = []

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return what stands under the name; a photo of nothing has no face."""
        assert pixels.shape == (8, 8, 3)
        self.read_names.append(name)
        if name not in self._scenes:
            raise PhotoError(f"photo {name} shows no face")
        return self._scenes[name]


READER = SceneReader(
    {
        "ada1": (towards(10), GOOD),
        "ada2": (towards(11), GOOD),
        "ada3": (towards(12), GOOD),
        "bob": (towards(20), GOOD),
        "blurred": (towards(13), POOR),
        "turned": (towards(15), FAIR),
        "ada1 again": (towards(10), GOOD),
        **{f"many{n}": (towards(100 + n), GOOD) for n in range(9)},
        "other model": (towards(14, model_id="n"), GOOD),
        "NaN": (Embedding(np.full(256, np.nan, np.float32), "m"), GOOD),
    }
)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return an empty gallery."""
    with Gallery(tmp_path / "gallery.db") as opened:
        yield opened


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Return an empty audit log."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as opened:
        yield opened


def photos(*names: str) -> list[Photo]:
    """Return pictures of these names."""
    return [Photo(name, np.zeros((8, 8, 3), np.uint8)) for name in names]


def enrol_ada(gallery: Gallery, audit: AuditLog, *names: str) -> Person:
    """Enrol Ada from the photos of these names."""
    return enrol(gallery, audit, photos(*names), "Ada", consent=CONSENT, reader=READER, standard=STANDARD).person


def left_as_it_was(gallery: Gallery, audit: AuditLog) -> bool:
    """Tell whether nobody is enrolled and nothing is logged."""
    return gallery.people() == () and audit.head().seq == 0


def test_enrolled_is_in_gallery_and_log(gallery: Gallery, audit: AuditLog) -> None:
    """J8: a person is enrolled from every photo given, and the log says so once, by id, without a name."""
    enrolled = enrol(
        gallery, audit, photos("ada1", "ada2"), "  Ada  ", consent=CONSENT, reader=READER, standard=STANDARD
    )
    assert gallery.people() == (enrolled.person,)
    assert (enrolled.person.name, enrolled.person.references) == ("Ada", 2)
    assert [look.name for look in enrolled.kept] == ["photo ada1", "photo ada2"]
    assert (enrolled.dropped, enrolled.rival) == ((), None)
    (entry,) = audit.read()
    assert entry.event.event_type is EventType.ENROLLED
    assert entry.event.actor is not None
    assert (entry.event.actor.kind, entry.event.method) == (ActorKind.OPERATOR, "cli")
    assert enrolled.person.person_id in entry.event.detail
    assert b"Ada" not in canonical(as_payload(entry))


def test_erased_is_in_the_log_and_nowhere_else(gallery: Gallery, audit: AuditLog) -> None:
    """J7, J8: erasure leaves nobody in the gallery and one more entry, by id, in the log."""
    ada = enrol_ada(gallery, audit, "ada1")
    receipt = remove(gallery, audit, "Ada")
    assert (receipt.person_id, receipt.references) == (ada.person_id, ada.references)
    assert gallery.people() == ()
    last = list(audit.read())[-1]
    assert last.event.event_type is EventType.ERASED
    assert ada.person_id in last.event.detail
    assert receipt.receipt_hash in last.event.detail
    assert b"Ada" not in canonical(as_payload(last))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("ada1", "bob"), "photo ada1 and photo bob do not show the same person"),
        (("ada1", "ada2", "bob"), "do not show the same person.*photo bob is the least like the rest"),
        (("ada1", "nothing"), "no face"),
        (("ada1", "blurred"), "photo blurred is of low quality .blur, yaw."),
        (("ada1", "NaN"), "do not show the same person"),
        (("NaN",), "not a unit vector"),
        ((), "no photo"),
        (tuple(f"ada{1 + n % 3}" for n in range(MAX_PHOTOS + 1)), f"more than {MAX_PHOTOS}"),
    ],
)
def test_bad_set_of_photos_enrols_nobody(gallery: Gallery, audit: AuditLog, names: tuple[str, ...], why: str) -> None:
    """B14, B15: two people, no face, a poor view or NaN among the photos: nobody is enrolled, nothing logged."""
    with pytest.raises(RefusedError, match=why) as fault:
        enrol_ada(gallery, audit, *names)
    assert "\n" not in str(fault.value)
    assert left_as_it_was(gallery, audit)


def test_photos_of_two_models_are_never_compared(gallery: Gallery, audit: AuditLog) -> None:
    """C9: templates of two models in one set are a fault, not a low similarity."""
    with pytest.raises(ModelMismatchError):
        enrol_ada(gallery, audit, "ada1", "other model")
    assert left_as_it_was(gallery, audit)


def test_picture_that_is_enrolled_already(gallery: Gallery, audit: AuditLog) -> None:
    """B14, C8: the same picture under a second person is refused with the id of the first."""
    ada = enrol_ada(gallery, audit, "ada1", "ada2")
    with pytest.raises(RefusedError, match=ada.person_id):
        enrol(gallery, audit, photos("ada3", "ada1"), "Eve", consent=CONSENT, reader=READER, standard=STANDARD)
    assert gallery.people() == (ada,)
    assert audit.head().seq == 1


@pytest.mark.parametrize(
    "name", ["", "   ", "a" * 201, "a\nb", "a\x1b[31mb", "a\x00", "\ud800", "a\u202eb", "a\u2028b"]
)
def test_name_that_cannot_be_shown_is_refused(gallery: Gallery, audit: AuditLog, name: str) -> None:
    """E18: empty, overlong, control characters and turned text are refused, before any photo is read."""
    reader = SceneReader({})
    for person, given_by in ((name, "Ada"), ("Ada", name)):
        consent = Consent(given_by, CONSENT.given_at)
        with pytest.raises(RefusedError) as fault:
            enrol(gallery, audit, photos("ada1"), person, consent=consent, reader=reader, standard=STANDARD)
        assert str(fault.value).isprintable()
    assert reader.read_names == []
    assert left_as_it_was(gallery, audit)


def test_names_are_normalised() -> None:
    """E18: one name typed in two ways is one name; what people are really called stays."""
    assert checked_name("Zoe\u0308", "name") == "Zo\u00eb"
    niloufar = "\u0646\u06cc\u200c\u0644\u0648\u0641\u0631"  # with the joiner that Persian needs
    for name in ("O'Brien; DROP TABLE person", niloufar, "\u674e\u5c0f\u9f99", "a" * 200):
        assert checked_name(name, "name") == name


def test_language_is_a_tag() -> None:
    """A consent's language is a tag; anything else is refused."""
    assert checked_language("pt-BR") == "pt-BR"
    for tag in ("", "e", "english please", "en\n", "a" * 40):
        with pytest.raises(RefusedError, match="tag"):
            checked_language(tag)


def test_ambiguous_name_erases_nobody(gallery: Gallery, audit: AuditLog) -> None:
    """Two people of one name: refused with both ids, and an id says which; an unknown name is refused too."""
    one = enrol_ada(gallery, audit, "ada1")
    two = enrol(gallery, audit, photos("bob"), "Ada", consent=CONSENT, reader=READER, standard=STANDARD).person
    with pytest.raises(RefusedError) as fault:
        remove(gallery, audit, "Ada")
    assert one.person_id in str(fault.value)
    assert two.person_id in str(fault.value)
    with pytest.raises(RefusedError, match="nobody is enrolled as 'Eve'"):
        remove(gallery, audit, "Eve")
    assert len(gallery.people()) == 2
    assert remove(gallery, audit, two.person_id).person_id == two.person_id
    assert gallery.people() == (one,)


def test_no_entry_no_enrolment(gallery: Gallery, audit: AuditLog) -> None:
    """J8, F3: when the log cannot take the entry, the person is not enrolled, and the fault says so."""
    audit._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match=r"nobody was enrolled.*audit\.db") as fault:
        enrol_ada(gallery, audit, "ada1")
    assert "\n" not in str(fault.value)
    assert left_as_it_was(gallery, audit)


def test_no_entry_no_erasure(gallery: Gallery, audit: AuditLog) -> None:
    """J8, F3: when the log cannot take the entry, the person stays, with every reference and the consent."""
    ada = enrol_ada(gallery, audit, "ada1", "ada2")
    before = gallery.snapshot("m", 256)
    audit._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StorageError, match=r"nobody was erased.*audit\.db"):
        remove(gallery, audit, "Ada")
    assert gallery.people() == (ada,)
    assert np.array_equal(gallery.snapshot("m", 256).matrix, before.matrix)


def test_gallery_that_fails_last_is_told_in_the_log(gallery: Gallery, audit: AuditLog) -> None:
    """J8: when the gallery fails after the entry is written, nobody is enrolled and the log takes the entry back."""
    # A deferred foreign key is looked at only on COMMIT: a fault at the very last step.
    gallery._db.execute("CREATE TABLE late (person TEXT REFERENCES person (person_id) DEFERRABLE INITIALLY DEFERRED)")
    gallery._db.execute(
        "CREATE TEMP TRIGGER fail AFTER INSERT ON main.reference BEGIN INSERT INTO late VALUES ('nobody'); END"
    )
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        enrol_ada(gallery, audit, "ada1")
    assert gallery.people() == ()
    told = [(entry.event.event_type, entry.event.detail) for entry in audit.read()]
    assert [kind for kind, _ in told] == [EventType.ENROLLED, EventType.FAULT]
    assert told[1][1] == "entry 1 was not carried out"


def test_locked_gallery_is_a_storage_fault(gallery: Gallery, audit: AuditLog) -> None:
    """A gallery that another process keeps locked gives one line after the wait, and nothing is logged."""
    gallery._db.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(gallery.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            enrol_ada(gallery, audit, "ada1")
    assert left_as_it_was(gallery, audit)


def joined(*parts: Embedding) -> Embedding:
    """Return the mean direction of templates: what a morph of the faces would look like to the matcher."""
    total = np.sum([part.vector for part in parts], axis=0)
    return Embedding((total / np.linalg.norm(total)).astype(np.float32), parts[0].model_id)


def reader_of(**scenes: Embedding) -> SceneReader:
    """Return a reader to which every photo is good."""
    return SceneReader({name: (embedding, GOOD) for name, embedding in scenes.items()})


def details(audit: AuditLog) -> list[str]:
    """Return what the log says of each enrolment."""
    return [entry.event.detail for entry in audit.read() if entry.event.event_type is EventType.ENROLLED]


def test_medium_quality_enrols_only_where_an_admin_answers_for_it(gallery: Gallery, audit: AuditLog) -> None:
    """B14: a photo of medium quality is refused with its flaw; an admin can have it taken, and the log says so."""
    with pytest.raises(PhotoError, match=r"photo turned is of medium quality \(yaw\)"):
        enrol_ada(gallery, audit, "ada1", "turned")
    assert left_as_it_was(gallery, audit)
    lax = replace(STANDARD, accept_medium=True)
    enrol(gallery, audit, photos("ada1", "turned"), "Ada", consent=CONSENT, reader=READER, standard=lax)
    assert details(audit)[0].endswith("; accepted 1 of medium quality (yaw)")
    with pytest.raises(PhotoError, match="low quality"):
        enrol(gallery, audit, photos("blurred"), "Ada", consent=CONSENT, reader=READER, standard=lax)


def test_same_view_is_kept_once_and_named(gallery: Gallery, audit: AuditLog) -> None:
    """Of two photos that are one picture the second is dropped by name; the others stay."""
    enrolled = enrol(
        gallery, audit, photos("ada1", "ada1 again", "ada2"), "Ada", consent=CONSENT, reader=READER, standard=STANDARD
    )
    assert enrolled.person.references == 2
    assert len(enrolled.dropped) == 1
    assert enrolled.dropped[0] in {
        ("photo ada1 again", "shows the same as photo ada1"),
        ("photo ada1", "shows the same as photo ada1 again"),
    }


def test_of_many_views_the_most_different_are_kept(gallery: Gallery, audit: AuditLog) -> None:
    """Of nine different views five are kept, and every dropped one is nearer to them than they are to each other."""
    names = [f"many{n}" for n in range(9)]
    enrolled = enrol(gallery, audit, photos(*names), "Cy", consent=CONSENT, reader=READER, standard=STANDARD)
    assert enrolled.person.references == len(enrolled.kept) == MAX_KEPT
    assert [why for _, why in enrolled.dropped] == [f"is one too many; {MAX_KEPT} are kept"] * (9 - MAX_KEPT)
    kept = np.stack([look.embedding.vector for look in enrolled.kept])
    apart = (kept @ kept.T)[~np.eye(MAX_KEPT, dtype=bool)].max()
    left = [READER._scenes[name.removeprefix("photo ")][0] for name, _ in enrolled.dropped]
    assert all((kept @ gallery.protection.protect(one).vector).max() >= apart - 1e-6 for one in left)


@pytest.mark.parametrize("share", [0.5, 0.4, 0.6])
def test_set_of_two_people_and_their_morph_is_refused(gallery: Gallery, audit: AuditLog, share: float) -> None:
    """B15: two people and the average of both are no one person, though each is like the average."""
    ada, bob = towards(10), towards(20)
    mean = joined(*[ada] * round(10 * share), *[bob] * round(10 * (1 - share)))
    reader = reader_of(ada=ada, bob=bob, mean=mean)
    with pytest.raises(RefusedError, match="photo ada and photo bob do not show the same person"):
        enrol(gallery, audit, photos("ada", "bob", "mean"), "Ada", consent=CONSENT, reader=reader, standard=STANDARD)
    assert left_as_it_was(gallery, audit)


def test_morph_with_somebody_enrolled_is_refused(gallery: Gallery, audit: AuditLog) -> None:
    """B14, B15: the average of an enrolled and a new person is too alike to the one enrolled, who is named by id."""
    ada = enrol_ada(gallery, audit, "ada1", "ada2")
    morph = joined(towards(12), towards(20))
    reader = reader_of(morph=morph, bob=joined(morph, towards(21)))
    with pytest.raises(RefusedError, match=ada.person_id) as fault:
        enrol(gallery, audit, photos("morph", "bob"), "Bob", consent=CONSENT, reader=reader, standard=STANDARD)
    assert "a stranger comes this near" in str(fault.value)
    assert gallery.people() == (ada,)


def test_twin_is_enrolled_only_where_an_admin_answers_for_it(gallery: Gallery, audit: AuditLog) -> None:
    """B14, C8: somebody enrolled is refused under a second name; a twin needs an admin, and the log says whose."""
    ada = enrol_ada(gallery, audit, "ada1")
    with pytest.raises(RefusedError, match=f"this is person {ada.person_id} or somebody very alike"):
        enrol(gallery, audit, photos("ada2", "ada3"), "Eve", consent=CONSENT, reader=READER, standard=STANDARD)
    assert gallery.people() == (ada,)
    lax = replace(STANDARD, accept_alike=True)
    eve = enrol(gallery, audit, photos("ada2", "ada3"), "Eve", consent=CONSENT, reader=READER, standard=lax)
    assert eve.rival is not None
    assert eve.rival.person_id == ada.person_id
    assert details(audit)[1].endswith(f"; accepted although alike to person {ada.person_id}")
    with pytest.raises(RefusedError, match="enrolled already"):  # one picture for two is nobody's to accept
        enrol(gallery, audit, photos("ada1"), "Eve", consent=CONSENT, reader=READER, standard=lax)


def test_visit_is_held_to_the_same_standard(gallery: Gallery, audit: AuditLog) -> None:
    """B14, B15: what the camera saw enrols only in high quality, of one person, and of nobody who is enrolled."""
    ada = enrol_ada(gallery, audit, "ada1")

    def enrol_visit(*references: tuple[Embedding, Grade], standard: Standard = STANDARD) -> Person:
        """Enrol Bob from a visit."""
        actor = Actor(ActorKind.CLIENT, "desk")
        seen = [(gallery.protection.protect(embedding), grade) for embedding, grade in references]
        return enrol_seen(
            gallery, audit, seen, "Bob", consent=CONSENT, standard=standard, actor=actor, method="mqtt"
        ).person

    high, medium = Grade.HIGH, Grade.MEDIUM
    for references, why in [
        ([], "nothing was read"),
        ([(towards(20), medium)], "view 1 is of medium quality"),
        ([(towards(20), high), (towards(30), high)], "do not show the same person"),
        ([(towards(11), high)], ada.person_id),
    ]:
        with pytest.raises(RefusedError, match=why):
            enrol_visit(*references)
    assert gallery.people() == (ada,)
    assert enrol_visit((towards(21), medium), (towards(20), high), (towards(22), high)).references == 2
    assert enrol_visit((towards(31), medium), standard=replace(STANDARD, accept_medium=True)).references == 1
    assert details(audit)[-1].endswith("; accepted 1 of medium quality")


def test_embedder_that_was_never_measured_enrols_nobody(gallery: Gallery, audit: AuditLog) -> None:
    """Where nobody knows how alike strangers look, no set can be checked, and nobody is enrolled."""
    with pytest.raises(RefusedError, match="was never measured"):
        enrol(gallery, audit, photos("ada1"), "A", consent=CONSENT, reader=READER, standard=Standard(None, 1e-3))
    assert left_as_it_was(gallery, audit)
