"""The export: everything of one person, of nobody else, and nothing that would let somebody in."""

from __future__ import annotations

import json
import zipfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.ledger import Ledger
from appliance.access.passback import Passage, Side
from appliance.access.passes import new_pass
from appliance.access.pin import hash_pin
from appliance.audit import AuditLog
from appliance.contract import EventType, Reason
from appliance.errors import RefusedError, StorageError
from appliance.people.enrolment import CLI
from appliance.people.gallery import Consent, Gallery
from appliance.people.passes import PassBook
from appliance.privacy.export import Sources, export, gather
from appliance.records import Actor, ActorKind, Embedding, Event, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2030, 3, 1, 12, tzinfo=UTC)
PHOTO = b"\xff\xd8\xff\xe0 a photo of Ada"
VECTORS = np.eye(8, dtype=np.float32)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    """Give a device on which something of Ada lies in every place there is, and of Bea in some."""
    with ExitStack() as opening:
        found = Sources(
            opening.enter_context(Gallery(tmp_path / "gallery.db")),
            opening.enter_context(PassBook(tmp_path / "gallery.db")),
            opening.enter_context(Ledger(tmp_path / "ledger.db")),
            opening.enter_context(AuditLog(tmp_path / "audit.db", "ostiary", "front")),
        )
        consent = Consent("Ada <b>Lovelace</b>", NOON, "en", "2026-1", "0" * 64, photos=True, recorded_by="tablet")
        faces = [(found.gallery.protection.protect(Embedding(VECTORS[n], "m")), Grade.HIGH) for n in (0, 1)]
        ada = found.gallery.add(
            "Ada <b>Lovelace</b>", consent, faces, external_id="E-1", notes="left-handed", tags=["crew"], photos=[PHOTO]
        ).person_id
        bea = found.gallery.add("Bea", Consent("Bea", NOON), [(Embedding(VECTORS[2], "m"), Grade.HIGH)]).person_id
        found.gallery.set_details(ada, cards=["card-7"])
        found.gallery.set_pin(ada, hash_pin("2580"), hash_pin("1479"))
        found.gallery.seen(ada, NOON.date())
        for person_id in (ada, bea):
            with found.passes.transaction():
                found.passes.add(new_pass(person_id, int(NOON.timestamp()), timedelta(hours=8), 1))
            found.ledger.passed(person_id, Passage(Side.ENTRY, NOON))
            actor = Actor(ActorKind.PERSON, person_id)
            found.audit.append(Event(EventType.ACCESS_GRANTED, NOON, actor, "face", Reason.OK))
        found.audit.append(Event(EventType.UPDATED, NOON, CLI, "cli", detail=f"person {ada}, access: as before"))
        yield found


def ids(sources: Sources) -> tuple[str, str]:
    """Return Ada's and Bea's ids."""
    ada, bea = (sources.gallery.search(name, 1)[0].person_id for name in ("ada", "bea"))
    return ada, bea


def test_everything_of_one_person(sources: Sources, tmp_path: Path) -> None:
    """J7: the export holds what every place has of the person, templates as the model gave them, and nobody else."""
    ada, bea = ids(sources)
    export(sources, ada, tmp_path / "ada.zip", actor=CLI, method="cli")
    assert (tmp_path / "ada.zip").stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert sorted(archive.namelist()) == ["person.html", "person.json", "photos/1.jpg"]
        assert archive.read("photos/1.jpg") == PHOTO
        text = archive.read("person.json").decode()
    record = json.loads(text)
    assert (record["name"], record["external_id"], record["notes"]) == ("Ada <b>Lovelace</b>", "E-1", "left-handed")
    assert (record["tags"], record["cards"], record["last_let_in_on"]) == (["crew"], ["card-7"], "2030-03-01")
    assert record["consent"]["text_version"] == "2026-1"
    assert record["consent"]["recorded_by"] == "tablet"
    assert len(record["passes"]) == 1
    assert record["last_passage"]["side"] == "entry"
    assert [entry["event_type"] for entry in record["audit_log"]] == ["access_granted", "updated"]
    found = np.array([one["vector"] for one in record["references"]])
    assert np.allclose(found, VECTORS[:2], atol=0.01)
    assert bea not in text


def test_an_export_opens_no_door(sources: Sources) -> None:
    """J7: no hash of a PIN, nor whether there is one for duress, nor the device's rotation is in it."""
    ada, _ = ids(sources)
    text = json.dumps(gather(sources, ada).record)
    assert "argon2" not in text
    assert "duress" not in text
    assert json.loads(text)["pin"] == "set"


def test_the_page_shows_names_as_they_are(sources: Sources, tmp_path: Path) -> None:
    """D8: a name that is HTML is shown as text; the page has no script and nothing from elsewhere."""
    ada, _ = ids(sources)
    export(sources, ada, tmp_path / "ada.zip", actor=CLI, method="cli")
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        page = archive.read("person.html").decode()
    assert "<b>" not in page
    assert "Ada &lt;b&gt;Lovelace" in page
    assert "8 numbers, in person.json" in page
    assert not [word for word in ("<script", "http:", "https:", "src=") if word in page]


def test_the_log_keeps_that_it_was_done(sources: Sources, tmp_path: Path) -> None:
    """J7: an export leaves one entry, by id; one that cannot be logged leaves no file."""
    ada, _ = ids(sources)
    export(sources, ada, tmp_path / "ada.zip", actor=CLI, method="cli")
    (told,) = [entry.event for entry in sources.audit.read() if entry.event.event_type is EventType.EXPORTED]
    assert told.detail == f"person {ada}, export of 2 references, 1 photos, 2 entries"
    with pytest.raises(RefusedError, match="exists and is not overwritten"):
        export(sources, ada, tmp_path / "ada.zip", actor=CLI, method="cli")
    sources.audit._db.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(StorageError, match="disk full"):
        export(sources, ada, tmp_path / "again.zip", actor=CLI, method="cli")
    assert not list(tmp_path.glob("again*"))


def test_export_and_erase(sources: Sources, tmp_path: Path) -> None:
    """J7: after the export the person is erased with a receipt, and another export is refused."""
    ada, bea = ids(sources)
    export(sources, ada, tmp_path / "ada.zip", actor=CLI, method="cli")
    receipt = sources.gallery.remove(ada)
    assert (receipt.references, receipt.photos) == (2, 1)
    assert [person.person_id for person in sources.gallery.people()] == [bea]
    with pytest.raises(RefusedError, match="nobody is enrolled"):
        export(sources, ada, tmp_path / "again.zip", actor=CLI, method="cli")
    assert [one.key_hash for one in sources.gallery.tombstones()] == [receipt.key_hash]
