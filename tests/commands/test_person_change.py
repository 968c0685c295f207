"""`ostiary person set`, `search`, `list`, `withdraw` and `forget`, as an office manager uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog, as_payload, canonical
from appliance.cli import root
from appliance.errors import ApplianceError
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state of a device that knows three people."""
    rows = np.eye(64, dtype=np.float32)
    with Gallery(tmp_path / "gallery.db") as gallery:
        for number, name in enumerate(("Ada Lovelace", "Bo Berg", "Ada Berg")):
            gallery.add(
                name, Consent(name, NOON), [(Embedding(row, "m"), Grade.HIGH) for row in rows[2 * number :][:2]]
            )
    return tmp_path


def ostiary(state: Path, *words: str) -> tuple[int, str]:
    """Run one command; return its exit code and what was shown, the fault's line among it."""
    done = CliRunner().invoke(root, ["person", *words, "--state", str(state)], standalone_mode=False)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, str(done.exception)
    if done.exception is not None:
        return 2, getattr(done.exception, "message", repr(done.exception))
    return 0, done.output


def entries(state: Path) -> list[str]:
    """Return the details of the audit log, none of which may hold a name."""
    with AuditLog(state / "audit.db", "ostiary", "front") as audit:
        found = list(audit.read())
    assert not [one for one in found if b"Lovelace" in canonical(as_payload(one))]
    return [one.event.detail for one in found]


def test_people_are_searched_and_listed_by_the_page(state: Path) -> None:
    """A beginning of a name finds its people; a page is in order of enrolment; JSON has every field."""
    assert [line.split("\t")[1] for line in ostiary(state, "search", "ada")[1].splitlines()] == [
        "Ada Lovelace",
        "Ada Berg",
    ]
    assert [line.split("\t")[1] for line in ostiary(state, "search", "ber a")[1].splitlines()] == []
    code, told = ostiary(state, "list", "--json", "--limit", "1", "--after", "1")
    assert code == 0
    (found,) = [json.loads(line) for line in told.splitlines()]
    assert (found["name"], found["status"], found["withdrawn"], found["groups"]) == ("Bo Berg", "active", False, [])
    assert datetime.fromisoformat(found["enrolled_at"]).tzinfo is not None


def test_what_is_known_is_changed_and_written_down_without_its_value(state: Path) -> None:
    """J6, J8: each change is one entry that tells what was changed of whom, and no name, number or note."""
    said = ("--external-id", "4711", "--tag", "vip", "--card", "0042", "--notes", "left-handed", "--max-fpir", "1e-4")
    code, told = ostiary(state, "set", "Ada Lovelace", *said)
    assert code == 0, told
    for line in ("external id: 4711", "tags: vip", "cards: 0042", "notes: left-handed", "target FPIR: 0.0001"):
        assert line in told.splitlines()
    assert ostiary(state, "set", "4711", "--no-tag", "vip", "--no-card", "0042", "--max-fpir", "none")[0] == 0
    told = ostiary(state, "set", "4711")[1]
    assert "tags: none" in told
    assert "cards: none" in told
    first, second = entries(state)
    assert first.endswith("changed: external_id, notes, tags, cards, max_fpir")
    assert second.endswith("changed: tags, cards, max_fpir")
    assert "4711" not in first


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--max-fpir", "0.5"), "above 0 and up to 0.1"),
        (("--max-fpir", "nan"), "above 0 and up to 0.1"),
        (("--max-fpir", "often"), "above 0 and up to 0.1"),
        (("--name", "\x1b[31mRed"), "control character"),
        (("--name", "x" * 201), "1 to 200 are allowed"),
        (("--tag", "x" * 64), "at most 63 are allowed"),
        (("--tag", " "), "a tag is empty"),
        (("--notes", "x" * 4001), "at most 4000 are allowed"),
        (("--notes", "one\u202etwo"), "control character"),
        (("--external-id", "x" * 201), "at most 200 are allowed"),
    ],
)
def test_bad_value_is_refused_in_one_line(state: Path, words: tuple[str, str], why: str) -> None:
    """D8, E18: a value that may not be is named with what is allowed, and nothing is changed."""
    before = ostiary(state, "set", "Bo Berg")
    code, told = ostiary(state, "set", "Bo Berg", *words)
    assert code in {1, 2}
    assert why in told
    assert "\n" not in told
    assert ostiary(state, "set", "Bo Berg") == before
    assert entries(state) == []


def test_withdrawing_and_forgetting_are_told_and_written_down(state: Path) -> None:
    """J7, J8: the face goes, the person stays; a second withdrawal is refused; one reference can be forgotten."""
    with Gallery(state / "gallery.db") as gallery:
        (ada,) = gallery.find("Ada Lovelace")
        (bo,) = gallery.find("Bo Berg")
        reference = gallery.references(bo.person_id)[0].reference_id
    assert ostiary(state, "withdraw", "Ada Lovelace", "--yes")[0] == 0
    assert "has withdrawn their consent before" in ostiary(state, "withdraw", "Ada Lovelace", "--yes")[1]
    assert ostiary(state, "forget", reference)[0] == 0
    assert "there is no reference" in ostiary(state, "forget", reference)[1]
    with Gallery(state / "gallery.db") as gallery:
        assert gallery.snapshot("m", 64).size == 3
        known = gallery.person(ada.person_id)
        assert known is not None
        assert (known.withdrawn, known.references) == (True, 0)
    assert entries(state) == [
        f"person {ada.person_id}, consent withdrawn, 2 references erased",
        f"reference {reference} erased",
    ]


def test_erasure_shows_its_receipt(state: Path) -> None:
    """J7: what is shown of an erasure is what the audit log keeps, and the tombstone has its hash."""
    code, told = ostiary(state, "remove", "Bo Berg", "--yes")
    assert code == 0
    receipt = told.split("receipt ")[1].strip()
    (entry,) = entries(state)
    assert entry.endswith(f"2 references, 0 photos, receipt {receipt}")
    with Gallery(state / "gallery.db") as gallery:
        (stone,) = gallery.tombstones()
        assert stone.person_id in told
