"""`ostiary privacy`: what an auditor is told, what is handed out, and who is erased."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.access.ledger import Ledger
from appliance.access.passback import Passage, Side
from appliance.audit import AuditLog
from appliance.cli import root
from appliance.clients import CLIENTS, Registry
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType, Role
from appliance.enrolment.book import ENROLMENT
from appliance.errors import ApplianceError
from appliance.kept_faces.schema import KEPT
from appliance.people.gallery import Consent, Gallery
from appliance.privacy.purge import MOST_UNASKED
from appliance.privacy.report import UNKNOWN
from appliance.records import Embedding, Grade
from appliance.signing import new_key
from appliance.storage import open_database

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)
MARKER = "Marker Ada Lovelace"


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return a device with a rule of retention, Ada whose time is over, and Bea, of whom a photo is kept."""
    (tmp_path / "appliance.toml").write_text("[retention]\nleaver_days = 7\n")
    made = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    with Gallery(made.gallery_file) as gallery, Ledger(made.ledger_file) as ledger:
        ada = gallery.add(MARKER, Consent(MARKER, NOW), [face(0), face(1)]).person_id
        consent = Consent("Bea", NOW, "de", "2026-1", "0" * 64, photos=True)
        gallery.add("Bea", consent, [face(2)], photos=[b"\xff\xd8\xff a photo"])
        subject = gallery.subject(ada)
        assert subject is not None
        gallery.set_access(replace(subject, valid_until=NOW - timedelta(days=20)))
        ledger.passed(ada, Passage(Side.ENTRY, NOW))
    with Registry(made.clients_file) as clients:
        clients.add("tablet", Role.OPERATOR, new_key(tmp_path / "tablet.pem"))
    return made


def face(number: int) -> tuple[Embedding, Grade]:
    """Return one template that may be enrolled."""
    return Embedding(np.eye(8, dtype=np.float32)[number], "m"), Grade.HIGH


def ostiary(installation: Installation, *words: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    places = ["--state", str(installation.state), "--config", str(installation.config_file)]
    done = CliRunner().invoke(root, ["privacy", *words, *places], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def told(installation: Installation) -> dict[str, Any]:
    """Return the report as programs read it."""
    code, said = ostiary(installation, "report", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(said)
    return found


def names(installation: Installation) -> list[str]:
    """Return who is enrolled."""
    with Gallery(installation.gallery_file) as gallery:
        return [person.name for person in gallery.people()]


def test_the_report_counts_what_is_there(installation: Installation) -> None:
    """J6: the report has what every table holds and why, consent by text, who falls due by which rule, and the keys."""
    found = told(installation)
    counted = {one["place"]: one["count"] for one in found["holdings"]}
    assert (counted["gallery.db: person"], counted["gallery.db: reference"], counted["gallery.db: photo"]) == (2, 3, 1)
    assert (counted["ledger.db: passage"], counted["clients.db: client"], counted["keys.db: person_key"]) == (1, 1, 2)
    assert found["references"] == {"m, photo": 3}
    assert [(one["version"], one["language"], one["photos"], one["people"]) for one in found["consents"]] == [
        ("", "en", False, 1),
        ("2026-1", "de", True, 1),
    ]
    assert [(one["days"], one["within"]) for one in found["endings"]] == [
        (0, {"0": 0, "30": 0, "365": 0}),
        (0, {"0": 0, "30": 0, "365": 0}),
        (7, {"0": 1, "30": 1, "365": 1}),
        (0, {"0": 0, "30": 0, "365": 0}),
    ]
    assert found["never_due"] == 1
    assert (found["keys"]["people"], found["erased"], found["log"]["chain"]) == (2, 0, "holds")
    assert (found["pictures"], found["of_nobody"], found["without_consent"]) == ([], 0, 0)


def test_every_table_and_file_has_a_purpose(installation: Installation) -> None:
    """Whatever a device keeps, the report says what for; what it does not know is called unknown, never left out."""
    ostiary(installation, "export", "Bea", "--to", str(installation.state.parent / "bea.zip"))
    opened = ((installation.enrolment_file, ENROLMENT), (installation.clients_file, CLIENTS))
    for path, schema in (*opened, (installation.kept_file, KEPT)):
        open_database(path, schema).close()
    assert [one["place"] for one in told(installation)["holdings"] if one["purpose"] == UNKNOWN] == []
    (installation.state / "notes.txt").write_text("x")
    assert [one["place"] for one in told(installation)["holdings"] if one["purpose"] == UNKNOWN] == ["notes.txt"]


def test_a_picture_that_should_not_be_there_is_found(installation: Installation) -> None:
    """J1: a picture left anywhere in the state folder, under whatever name, stands in the report."""
    (installation.state / "models").mkdir()
    (installation.state / "models" / "readme").write_bytes(b"\x89PNG\r\n")
    assert told(installation)["pictures"] == ["models/readme"]


def test_the_report_names_nobody(installation: Installation) -> None:
    """J3: neither form of the report has a name in it, and people read it without a bare list."""
    code, said = ostiary(installation, "report")
    assert code == 0
    assert MARKER not in said
    assert MARKER not in json.dumps(told(installation))
    assert "no longer let in: after 7 days; due 1 now, 1 within 30 days, 1 within 365 days" in said
    assert "files with a picture: none" in said


def test_purge_asks_and_erases(installation: Installation) -> None:
    """J6: a dry run changes nothing, a human is asked, and then whoever is due is gone, in the ledger too."""
    code, said = ostiary(installation, "purge", "--dry-run")
    assert code == 0
    assert "due; no longer let in" in said
    assert ostiary(installation, "purge", answer="n\n")[0] == 1
    assert names(installation) == ["Bea", MARKER]
    code, said = ostiary(installation, "purge", "--yes", "--json")
    assert code == 0
    (gone,) = json.loads(said)["due"]
    assert gone["why"] == "left"
    assert names(installation) == ["Bea"]
    with Ledger(installation.ledger_file) as ledger:
        assert ledger.people() == ()
    found = told(installation)
    assert found["erased"] == 1
    assert "erased 1" in found["log"]["purged"]
    code, said = ostiary(installation, "receipt", gone["person_id"], "--hash", gone["receipt"])
    assert code == 0
    assert "no longer let in" in said
    assert MARKER not in said


def test_a_timer_purges_as_a_reader_does(tmp_path: Path, installation: Installation) -> None:
    """J6: unasked, nobody is erased where many would be at once; else whoever is due is, and nobody is asked."""
    assert installation.config_file is not None
    with Gallery(installation.gallery_file) as gallery:
        for number in range(MOST_UNASKED):
            gone = gallery.add(f"Leaver {number}", Consent("Leaver", NOW), [face(number % 3)]).person_id
            subject = gallery.subject(gone)
            assert subject is not None
            gallery.set_access(replace(subject, valid_until=NOW - timedelta(days=20)))
    installation.config_file.write_text('[retention]\nleaver_days = 7\n[access]\nclock = "trusted"\n')
    assert ostiary(installation, "purge", "--unasked")[0] == 0
    assert len(names(installation)) == 2 + MOST_UNASKED
    with Gallery(installation.gallery_file) as gallery:
        gallery.remove(gallery.find("Leaver 0")[0].person_id)
    assert ostiary(installation, "purge", "--unasked")[0] == 0
    assert names(installation) == ["Bea"]


def test_a_receipt_that_is_not_one(installation: Installation) -> None:
    """C11: nobody erased, and a hash that the log does not hold, end with 1."""
    with Gallery(installation.gallery_file) as gallery:
        ada = gallery.find(MARKER)[0].person_id
        assert ostiary(installation, "receipt", ada)[0] == 1
        gallery.remove(ada)
    assert ostiary(installation, "receipt", ada)[0] == 0
    code, said = ostiary(installation, "receipt", ada, "--hash", "0" * 64)
    assert code == 1
    assert "no entry of the log holds the receipt" in said


def test_export_is_handed_out(installation: Installation, tmp_path: Path) -> None:
    """J7: the file holds the person's data, the log that it was made, and what is printed names the person by id."""
    code, said = ostiary(installation, "export", MARKER, "--to", str(tmp_path / "ada.zip"))
    assert code == 0
    assert "2 references, 0 photos, 0 entries" in said
    assert MARKER not in said
    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        assert json.loads(archive.read("person.json"))["name"] == MARKER
    with AuditLog(installation.audit_file, "ostiary", "front") as log:
        assert [entry.event.event_type for entry in log.read()] == [EventType.EXPORTED]
    code, said = ostiary(installation, "export", "Nobody", "--to", str(tmp_path / "x.zip"))
    assert (code, (tmp_path / "x.zip").exists()) == (1, False)
