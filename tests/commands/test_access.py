"""`ostiary person access`: what somebody may do is shown, changed, and written down without a name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.access.ledger import Ledger
from appliance.access.passback import Passage, Side
from appliance.access.subject import FactorPolicy, Status, Subject
from appliance.audit import AuditLog
from appliance.cli import root
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType
from appliance.errors import ApplianceError
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = 'time_zone = "Europe/Lisbon"\n[groups.staff]\ndoors = ["front"]\n[groups.night]\ndoors = ["*"]\n'


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation where Ada is enrolled and access rules lie beside the settings."""
    (tmp_path / "appliance.toml").write_text("")
    (tmp_path / "access.toml").write_text(RULES)
    made = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    with Gallery(made.gallery_file) as gallery:
        face = Embedding(np.eye(1, 64, dtype=np.float32)[0], "m")
        gallery.add("Ada Lovelace", Consent("Ada", NOON), [(face, Grade.HIGH)])
    return made


def ostiary(installation: Installation, *words: str) -> tuple[int, str]:
    """Run `ostiary person`; return its exit code and all that it printed."""
    place = ["--state", str(installation.state), "--config", str(installation.config_file)]
    done = CliRunner().invoke(root, ["person", *words, *place])
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def ada(installation: Installation) -> Subject:
    """Return what is known of Ada."""
    with Gallery(installation.gallery_file) as gallery:
        found = gallery.subject(gallery.find("Ada Lovelace")[0].person_id)
    assert found is not None
    return found


def details(installation: Installation) -> list[str]:
    """Return the detail of every entry in the audit log, all of which must be changes."""
    with AuditLog(installation.audit_file, "ostiary", "front") as audit:
        entries = list(audit.read())
    assert {entry.event.event_type for entry in entries} <= {EventType.UPDATED}
    return [entry.event.detail for entry in entries]


def test_facts_are_shown_and_nothing_is_written(installation: Installation) -> None:
    """With no option the command shows what is known and leaves no entry."""
    code, told = ostiary(installation, "access", "Ada Lovelace")
    assert code == 0
    assert told.splitlines()[2:] == [
        "status: active",
        "valid_from: none",
        "valid_until: none",
        "groups: none",
        "always: no",
        "extended: no",
        "factor: none",
        "max_fpir: none",
    ]
    assert details(installation) == []


def test_everything_can_be_said_and_taken_back(installation: Installation) -> None:
    """Each option does what it says, and its opposite undoes it; days are those of the rules' time zone."""
    person_id = ada(installation).person_id
    words = (
        "--group staff --group night --from 2026-07-01 --until 2026-07-31 --suspend --always --extended --factor any"
    )
    assert ostiary(installation, "access", "Ada Lovelace", *words.split())[0] == 0
    assert ada(installation) == Subject(
        person_id,
        "Ada Lovelace",
        Status.SUSPENDED,
        datetime(2026, 6, 30, 23, 0, tzinfo=UTC),  # midnight of the 1st in Lisbon's summer
        datetime(2026, 7, 31, 23, 0, tzinfo=UTC),  # the 31st is included
        frozenset({"staff", "night"}),
        always=True,
        extended=True,
        factor=FactorPolicy.ANY,
    )
    for words in (
        "--no-group night --from none",
        "--until none --deny-list",
        "--not-always --not-extended --factor none",
    ):
        assert ostiary(installation, "access", person_id, *words.split())[0] == 0
    assert ada(installation) == Subject(person_id, "Ada Lovelace", Status.DENY_LISTED, groups=frozenset({"staff"}))
    assert ostiary(installation, "access", person_id, "--resume")[0] == 0
    assert ada(installation).status is Status.ACTIVE


def test_change_is_written_down_without_a_name(installation: Installation) -> None:
    """J3: the audit log keeps what became different, under the id alone."""
    person_id = ada(installation).person_id
    assert ostiary(installation, "access", "Ada Lovelace", "--group", "staff", "--suspend")[0] == 0
    assert ostiary(installation, "access", "Ada Lovelace", "--suspend", "--until", "2026-12-01T08:30")[0] == 0
    assert details(installation) == [
        f"person {person_id}, access: status suspended; groups staff",
        f"person {person_id}, access: valid_until 2026-12-01T08:30Z",
    ]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ("--group cleaners", 1, "there is no group cleaners in the access rules; there are staff, night"),
        ("--group a/b", 2, "--group is 'a/b'; allowed are 1 to 63"),
        ("--from yesterday", 2, "--from is 'yesterday'; it must look like 2026-12-01"),
        ("--until 2026-12-31T23:59:60", 2, "--until is '2026-12-31T23:59:60'; it must look like"),
        ("--from 2027-03-28T01:30", 2, "--from is '2027-03-28T01:30'; the clock skips that time"),
        ("--from 2026-12-02 --until 2026-12-01", 1, "no time would be left"),
        ("--factor face", 2, "Invalid value for '--factor'"),
    ],
)
def test_bad_words_change_nothing(installation: Installation, words: str, code: int, why: str) -> None:
    """H4: a group or time that there is not is refused in one line, and nothing is changed or written down."""
    before = ada(installation)
    got, told = ostiary(installation, "access", "Ada Lovelace", *words.split())
    assert (got, why in told) == (code, True), told
    assert ada(installation) == before
    assert details(installation) == []


def test_nobody_has_no_access(installation: Installation) -> None:
    """Somebody who is not enrolled is refused, with what to do."""
    code, told = ostiary(installation, "access", "Eve", "--group", "staff")
    assert (code, told) == (1, "ostiary: nobody is enrolled as 'Eve'; ostiary person list shows everybody\n")


def test_passage_is_erased_with_the_person(installation: Installation) -> None:
    """J7: removing a person leaves nothing of them in the ledger."""
    person_id = ada(installation).person_id
    with Ledger(installation.ledger_file) as ledger:
        ledger.passed(person_id, Passage(Side.ENTRY, NOON))
    assert ostiary(installation, "remove", "Ada Lovelace", "--yes")[0] == 0
    for file in installation.state.glob("ledger*"):
        assert person_id.encode() not in file.read_bytes()
