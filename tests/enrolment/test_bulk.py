"""Enrolment in bulk: row by row, with a consent each, whole after every crash, and every refusal with its reason."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.contract import EventType
from appliance.drivers.scene import FACES
from appliance.enrolment.book import BulkBook
from appliance.enrolment.bulk import Came, Outcome, Refused
from appliance.enrolment.report import Report, as_csv
from appliance.enrolment.rows import COLUMNS, Agreed, BadRow, Row, from_folder, from_table
from appliance.errors import RefusedError, UsageError
from appliance.people.enrolment import remove
from appliance.people.gallery import Gallery
from tests.enrolment.bulk_worker import STATED, enrol, picture

ROOT = Path(__file__).resolve().parents[2]
UNSTATED = replace(STATED, stated=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of twelve people with one to three photos each."""
    made = tmp_path / "photos"
    made.mkdir()
    for person in range(1, 13):
        (made / f"Person {person}").mkdir()
        for view in range(1 + person % 3):
            (made / f"Person {person}" / f"{view}.png").write_bytes(picture(10 * person + view))
    return made


def state_of(tmp_path: Path, name: str = "state") -> Path:
    """Return an empty state folder."""
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def enrolled(state: Path) -> list[tuple[str, int, tuple[str, ...], str]]:
    """Return everybody in a gallery, by name, with what was said of them."""
    with Gallery(state / "gallery.db") as gallery:
        return [(one.name, one.references, one.groups, one.external_id) for one in gallery.people()]


def came(outcomes: list[Outcome]) -> list[Came]:
    """Return what each row came to."""
    return [one.came for one in outcomes]


def reasons(outcomes: list[Outcome]) -> str:
    """Return every reason given, in one text."""
    return " / ".join(f"{one.where}: {refused.why}" for one in outcomes for refused in one.refused)


def test_killed_run_is_taken_up_and_gives_the_same_gallery(folder: Path, tmp_path: Path) -> None:
    """F2: a run killed after any number of people, and started again, enrols everybody once, as one run would."""
    whole, state = state_of(tmp_path, "whole"), state_of(tmp_path)
    assert came(enrol(folder, whole)) == [Came.ENROLLED] * 12
    done = 0
    for kills_after in (1, 3, 4):
        command = [sys.executable, "-m", "tests.enrolment.bulk_worker", str(folder), str(state)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for _ in range(done + kills_after):  # in the middle of the person after that
                run.stdout.readline()
            os.kill(run.pid, signal.SIGKILL)
        done = len(enrolled(state))
        assert 0 < done <= 12
    outcomes = enrol(folder, state)
    assert set(came(outcomes)) <= {Came.KNOWN, Came.ENROLLED}
    assert came(outcomes).count(Came.KNOWN) >= done
    assert enrolled(state) == enrolled(whole)
    assert came(enrol(folder, state)) == [Came.KNOWN] * 12


def test_run_killed_between_the_gallery_and_the_book_is_known_by_its_photos(folder: Path, tmp_path: Path) -> None:
    """F2: somebody in the gallery and not in the book is known; the same photo under another name is refused."""
    state = state_of(tmp_path)
    enrol(folder, state)
    (state / "enrolment.db").unlink()
    outcomes = enrol(folder, state)
    assert came(outcomes) == [Came.KNOWN] * 12
    assert len(enrolled(state)) == 12
    (state / "enrolment.db").unlink()
    (folder / "Person 1").rename(folder / "Somebody else")
    (other,) = (one for one in enrol(folder, state) if one.name == "Somebody else")
    assert other.came is Came.REFUSED
    assert "is enrolled already" in other.refused[-1].why
    assert len(enrolled(state)) == 12


def test_erased_people_do_not_come_back_with_a_second_run(folder: Path, tmp_path: Path) -> None:
    """C11: a folder that still lies about does not enrol again whoever was erased since."""
    state = state_of(tmp_path)
    enrol(folder, state)
    with Gallery(state / "gallery.db") as gallery, AuditLog(state / "audit.db", "ostiary", "front") as audit:
        remove(gallery, audit, "Person 5")
    outcomes = enrol(folder, state)
    assert [one.name for one in outcomes if one.came is Came.REFUSED] == ["Person 5"]
    assert "erased since" in reasons(outcomes)
    assert len(enrolled(state)) == 11


def test_every_enrolment_is_in_the_audit_log_by_id_alone(folder: Path, tmp_path: Path) -> None:
    """J8: each person enrolled in bulk has one entry, made by the command, without a name."""
    state = state_of(tmp_path)
    outcomes = enrol(folder, state)
    with AuditLog(state / "audit.db", "ostiary", "front") as audit:
        entries = [one.event for one in audit.read() if one.event.event_type is EventType.ENROLLED]
    assert [(one.method, one.detail.split(",")[0]) for one in entries] == [
        ("bulk", f"person {outcome.person_id}") for outcome in outcomes
    ]
    assert all("text 1" in one.detail and "Person" not in one.detail for one in entries)


def test_refused_photos_do_not_keep_the_others_from_being_taken(tmp_path: Path) -> None:
    """B14: of one person's photos those that cannot be read are reported one by one, and the good ones enrol."""
    folder, state = tmp_path / "photos", state_of(tmp_path)
    folder.mkdir()
    (folder / "Ada_1.png").write_bytes(picture(11))
    (folder / "Ada_2.png").write_bytes(picture(12, good=False))
    (folder / "Ada_3.png").write_bytes(picture(0))
    (folder / "Ada_4.jpg").write_bytes(b"GIF89a")
    (folder / "Bob.png").write_bytes(picture(0))
    (folder / "Cy_1.png").write_bytes(picture(31))
    (folder / "Cy_2.png").write_bytes(picture(41))
    (folder / ".hidden.png").write_bytes(picture(51))
    (folder / "notes.txt").write_text("no photo")
    ada, bob, cy = enrol(folder, state)
    assert (ada.came, ada.references) == (Came.ENROLLED, 1)
    assert [Path(one.photo).name for one in ada.refused] == ["Ada_4.jpg", "Ada_2.png", "Ada_3.png"] or [
        Path(one.photo).name for one in ada.refused
    ] == ["Ada_2.png", "Ada_3.png", "Ada_4.jpg"]
    assert (bob.came, len(bob.refused)) == (Came.REFUSED, 1)
    assert cy.came is Came.REFUSED
    assert "do not show the same person" in cy.refused[0].why
    assert enrolled(state) == [("Ada", 1, (), "")]


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Return a table with photos of persons 1 to 9 beside it."""
    for number in range(1, 10):
        (tmp_path / f"{number}.png").write_bytes(picture(10 * number))
        (tmp_path / f"{number}b.png").write_bytes(picture(10 * number + 1))
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_table_says_everything_of_a_person(tmp_path: Path) -> None:
    """J5: groups, tags, bounds and the consent of a row reach the gallery; photos are kept only where it says so."""
    path = table(
        tmp_path,
        "\ufeffName;photos;external_id;groups;tags;valid_until;consent_by;consent_at;language;consent_text;keep_photos\r\n"
        '"Zoë ""Z"" Müller";1.png|1b.png;E1;staff|floor-2;night;2030-05-31;Her mother;2026-02-03T10:00Z;de;1;yes\r\n'
        "李小龙;2.png;;;;;李小龙;;zh;;\r\n",
    )
    state = state_of(tmp_path)
    assert came(enrol(path, state, UNSTATED)) == [Came.ENROLLED] * 2
    with Gallery(state / "gallery.db") as gallery:
        (zoe,) = gallery.find('Zoë "Z" Müller')
        (li,) = gallery.find("李小龙")
        details = gallery.details(zoe.person_id)
        assert details.external_id == "E1"
        assert details.tags == {"night"}
        assert details.groups == {"staff", "floor-2"}
        assert details.consent.given_by == "Her mother"
        assert details.consent.given_at == datetime(2026, 2, 3, 10, tzinfo=UTC)
        assert (details.consent.language, details.consent.text_version, details.consent.photos) == ("de", "1", True)
        assert len(details.consent.text_hash) == 64
        assert details.consent.recorded_by == "root"
        assert details.subject.valid_until is not None
        assert details.subject.valid_until.astimezone().strftime("%Y-%m-%dT%H:%M") == "2030-06-01T00:00"
        assert len(gallery.photos(zoe.person_id)) == 2
        assert gallery.photos(li.person_id) == ()
        assert gallery.details(li.person_id).consent.text_version == "1"  # of whoever runs the command
        assert {one.source for one in gallery.references(zoe.person_id)} == {"bulk"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Ada,1.png,Ada", "has 3 cells; 2 are wanted"),
        ("Ada,", "no photo is given"),
        (",1.png", "name has 0 characters"),
        ("A\u202eda,1.png", "control character"),
        ("Ada,../1.png", "outside the table's folder"),
        ("Ada,/etc/passwd", "outside the table's folder"),
        ("Ada,link.png", "outside the table's folder"),
        ("Ada,1\0.png", "is no path"),
        ("Ada,nowhere.png", "cannot be read"),
        ("Ada,state", "is not a file|cannot be read"),
    ],
)
def test_bad_row_is_named_by_its_line(tmp_path: Path, line: str, why: str) -> None:
    """E3, E4: a row that cannot be is refused with its line, and those around it are enrolled."""
    path = table(tmp_path, f'name,photos\nBo,"2.png|\n2b.png"\n\n{line}\nCy,3.png\n')
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    outcomes = enrol(path, state_of(tmp_path))
    assert came(outcomes) == [Came.ENROLLED, Came.REFUSED, Came.ENROLLED]
    assert [one.where for one in outcomes] == ["line 2", "line 5", "line 6"]
    (refused,) = outcomes[1].refused
    assert any(part in refused.why for part in why.split("|"))


@pytest.mark.parametrize(
    ("columns", "cells", "why"),
    [
        ("consent_by", "", "no consent"),
        ("consent_by,language", "Ada,english please", "not there in 'english please'"),
        ("consent_by,language,consent_text", "Ada,en,7", "no consent text '7'"),
        ("consent_by,language,consent_text", "Ada,fi,1", "not there in 'fi'"),
        ("consent_by,consent_at", "Ada,yesterday", "consent_at is 'yesterday'"),
        ("consent_by,keep_photos", "Ada,perhaps", "keep_photos is 'perhaps'"),
        ("consent_by,valid_until", "Ada,2026-02-30", "valid_until is '2026-02-30'"),
        ("consent_by,groups", "Ada,a b", "group 'a b'"),
        ("consent_by,tags", "Ada," + "|".join(f"t{n}" for n in range(60)), "60 tags"),
    ],
)
def test_nobody_is_enrolled_without_a_consent_that_can_be(tmp_path: Path, columns: str, cells: str, why: str) -> None:
    """J5: a row without a consent, or with one that makes no sense, enrols nobody."""
    path = table(tmp_path, f"name,photos,{columns}\nAda,1.png,{cells}\n")
    state = state_of(tmp_path)
    (outcome,) = enrol(path, state, UNSTATED)
    assert outcome.came is Came.REFUSED
    assert why in outcome.refused[0].why
    assert enrolled(state) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no column 'name'"),
        (b"name\nAda\n", "no column 'photos'"),
        (b"name,photos,shoe_size\n", "unknown column 'shoe_size'"),
        (b"name,photos,name\n", "twice the column 'name'"),
        (b"name,photos\nAda,1.png\nB\xe9a,2.png\n", "line 3 is not UTF-8"),
        ("name,photos\nAda,1.png\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b'name,photos\n"Ada,1.png\n', "line 2"),
        (b"name,photos\nAda," + b"x" * 200_000 + b"\n", "line 2"),
    ],
)
def test_table_that_is_none_is_refused_as_a_whole(tmp_path: Path, content: bytes, why: str) -> None:
    """What cannot be read as a table of our columns is one line with the place, before anybody is enrolled."""
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=why) as fault:
        from_table(path, STATED)
    assert "\n" not in str(fault.value)


def test_folder_without_photos_is_refused(tmp_path: Path) -> None:
    """An empty folder is named rather than enrolled from."""
    with pytest.raises(UsageError, match="holds no photo"):
        from_folder(tmp_path, STATED)
    with pytest.raises(UsageError, match="cannot be read"):
        from_folder(tmp_path / "nowhere", STATED)
    (tmp_path / "Ada").mkdir()
    assert from_folder(tmp_path, STATED) == [BadRow(str(tmp_path / "Ada"), "Ada", "no photo is given")]


def test_consent_for_everybody_is_each_persons_own_unless_said(tmp_path: Path) -> None:
    """J5: stated for everybody, it is given by each person, or by whoever is named."""
    (tmp_path / "Ada.jpg").write_bytes(b"x")
    agreed: list[tuple[Agreed, str]] = [(STATED, "Ada"), (replace(STATED, given_by="The head"), "The head")]
    for said, given_by in agreed:
        (row,) = from_folder(tmp_path, said)
        assert isinstance(row, Row)
        assert row.consent.given_by == given_by


def test_book_tells_nothing_of_names_or_photos(tmp_path: Path) -> None:
    """J1: the book of what was enrolled holds digests under a secret of the device; two devices' do not compare."""
    with BulkBook(tmp_path / "one.db", b"1" * 32) as one, BulkBook(tmp_path / "two.db", b"2" * 32) as two:
        digest = one.digest("Ada", "E1", [b"a", b"b"])
        assert digest == one.digest("Ada", "E1", [b"b", b"a"])
        others = [("Ada", "E1", [b"a"]), ("Ad", "aE1", [b"a", b"b"]), ("Ada", "", [b"a", b"b"])]
        assert digest not in [one.digest(*other) for other in others]
        assert two.digest("Ada", "E1", [b"a", b"b"]) != digest
        one.note(digest, "p1")
        assert (one.enrolled(digest), two.enrolled(digest)) == ("p1", None)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
def test_no_spreadsheet_runs_a_report(tmp_path: Path, cell: str) -> None:
    """D8: a name that a spreadsheet would take for a formula is text in the report."""
    (read,) = csv.reader([as_csv((cell, "plain")).rstrip("\n")]) if "\r" not in cell else [["'" + cell, "plain"]]
    assert read == ["'" + cell, "plain"]
    assert as_csv((cell, "plain")).startswith(("'", "\"'"))


def test_report_has_every_refusal(tmp_path: Path) -> None:
    """A report is its owner's alone, never overwrites, and holds one line an outcome and one a refusal."""
    outcome = Outcome("line 2", "Ada", Came.ENROLLED, "p1", 2, (Refused("a.jpg", "is broken"),))
    for name in ("report.csv", "report.jsonl"):
        report = Report(tmp_path / name)
        report.add(outcome)
        report.close()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        with pytest.raises(RefusedError, match="is not overwritten"):
            Report(tmp_path / name)
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        from_csv: list[dict[str, Any]] = list(csv.DictReader(file))
    from_json = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert from_csv == from_json
    assert [(one["came"], one["photo"], one["why"]) for one in from_json] == [
        ("enrolled", "", ""),
        ("refused", "a.jpg", "is broken"),
    ]


def test_command_enrols_real_photos(tmp_path: Path) -> None:
    """The command reads photos with the shipped models, needs a stated consent, and tells with exit 1 of refusals."""
    folder, state = tmp_path / "photos", tmp_path / "state"
    folder.mkdir()
    for face in ("astronaut", "official"):
        (folder / f"{face}.png").write_bytes((FACES / f"{face}.png").read_bytes())
    (folder / "nobody.png").write_bytes(picture(7))

    def run(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(root, ["enrol", "bulk", str(folder), "--state", str(state), *options])
        fault = result.exception
        return getattr(fault, "exit_code", result.exit_code), f"{result.output}{fault or ''}"

    assert run("--consent-by", "each") == (
        2,
        "--consent-by for everybody needs --consent-held: that you hold the consent of each of them",
    )
    code, said = run()
    assert (code, said.count("no consent")) == (1, 3)
    code, said = run("--consent-by", "each", "--consent-held", "--keep-photos", "--report", str(tmp_path / "r.csv"))
    assert code == 1
    assert "2 enrolled, 0 known, 1 refused" in said
    assert "nobody.png shows no face" in said
    with Gallery(state / "gallery.db") as gallery:
        people = gallery.people()
        assert [one.name for one in people] == ["astronaut", "official"]
        assert all(len(gallery.photos(one.person_id)) == 1 for one in people)


def test_columns_are_documented() -> None:
    """Every column of the table stands in docs/enrolment.md."""
    page = (ROOT / "docs" / "enrolment.md").read_text(encoding="utf-8")
    assert [column for column in COLUMNS if f"`{column}`" not in page] == []
