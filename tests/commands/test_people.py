"""`ostiary people`: what it measures, what it changes, and with which exit code."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance import manifest
from appliance.audit import AuditLog
from appliance.commands.options import Installation, open_installation
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade
from tests.commands.test_person import ostiary

if TYPE_CHECKING:
    from pathlib import Path

CONSENT = Consent("they themselves", datetime(2026, 3, 1, tzinfo=UTC))
MODEL = manifest.read().entry("embedder")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an empty installation."""
    return open_installation(None, tmp_path / "state")


def enrolled(installation: Installation, people: int, alike: float = 0.0) -> list[str]:
    """Enrol so many people who share a direction to this extent, and return their ids."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(people, 512)) / np.sqrt(512) + alike * np.eye(512)[0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with Gallery(installation.gallery_file) as gallery, gallery.transaction():
        return [
            gallery.add(
                f"person {n}", CONSENT, [(Embedding(row.astype(np.float32), MODEL.model_id), Grade.HIGH)]
            ).person_id
            for n, row in enumerate(rows)
        ]


def changes(installation: Installation) -> list[str]:
    """Return what the audit log says of the configuration."""
    with AuditLog(installation.audit_file, "ostiary", "front") as audit:
        return [entry.event.detail for entry in audit.read() if entry.event.event_type == "config_changed"]


@pytest.mark.parametrize("people", [0, 1])
def test_nobody_to_compare(installation: Installation, people: int) -> None:
    """With fewer than two people the command ends with 1 and one line, and changes nothing."""
    enrolled(installation, people)
    code, said = ostiary(installation, "people", "calibrate", "--apply")
    assert (code, said.count("\n")) == (1, 1)
    assert "at least 2 are needed" in said
    assert changes(installation) == []


def test_few_people_are_told_of_and_not_applied(installation: Installation) -> None:
    """B10: a small gallery names its most alike pairs in words, and is too small for a threshold of its own."""
    ids = enrolled(installation, 4, alike=3.0)
    code, said = ostiary(installation, "people", "calibrate")
    assert code == 0
    assert "4 people, 4 references, 6 comparisons" in said
    assert "most alike: " in said
    assert any(one in said for one in ids)
    assert "less than once in 7,300,000 comparisons" in said
    code, said = ostiary(installation, "people", "calibrate", "--apply")
    assert code == 1
    assert said.splitlines()[-1].startswith("ostiary: nothing is applied: 6 comparisons give no tail")
    assert changes(installation) == []


def test_alike_people_raise_the_threshold_until_reset(installation: Installation) -> None:
    """What is measured is told, changes nothing until applied, holds afterwards, and is given up by a reset."""
    enrolled(installation, 250, alike=1.0)

    def measured() -> dict[str, dict[str, float]]:
        """Return what the command says to a program."""
        code, said = ostiary(installation, "people", "calibrate", "--json")
        assert code == 0
        said_as: dict[str, dict[str, float]] = json.loads(said)
        return said_as

    first = measured()
    assert first["with_own_tail"]["threshold"] > first["now"]["threshold"]
    assert measured()["now"] == first["now"]
    code, said = ostiary(installation, "people", "calibrate", "--apply")
    assert (code, said.splitlines()[-1]) == (0, "applied")
    assert measured()["now"]["threshold"] == pytest.approx(first["with_own_tail"]["threshold"])
    assert ostiary(installation, "people", "calibrate", "--reset")[0] == 0
    assert measured()["now"] == first["now"]
    applied, removed = changes(installation)
    assert f"{first['now']['threshold']:.3f} to {first['with_own_tail']['threshold']:.3f} at N 250" in applied
    assert removed == f"calibration of {MODEL.model_id} removed"


def test_what_makes_no_sense(installation: Installation) -> None:
    """Applying and resetting at once is a usage fault: exit code 2."""
    assert ostiary(installation, "people", "calibrate", "--apply", "--reset")[0] == 2


def test_person_is_shown_with_their_rival_in_words(installation: Installation) -> None:
    """B10, B13: a person's nearest rival is told by name, id and false-match rate, flagged if a human is asked."""
    ids = enrolled(installation, 2, alike=3.0)
    code, said = ostiary(installation, "person", "show", ids[0])
    assert code == 0
    last = said.splitlines()[-1]
    assert last.startswith(f"most alike: person 1 ({ids[1]}); a stranger comes this near less than once in")
    assert last.endswith("A human is asked whenever one of the two comes")
    assert "0.9" not in said


def test_person_who_is_like_nobody_is_shown_so(installation: Installation) -> None:
    """Alone in the gallery there is no rival; a person of another model is told to be enrolled again (C9)."""
    (alone,) = enrolled(installation, 1)
    assert (
        ostiary(installation, "person", "show", alone)[1].splitlines()[-1] == "most alike: nobody, there is no one else"
    )
    with Gallery(installation.gallery_file) as gallery:
        old = gallery.add("Old", CONSENT, [(Embedding(np.eye(8, dtype=np.float32)[0], "old"), Grade.HIGH)])
    code, said = ostiary(installation, "person", "show", old.person_id)
    assert (code, said.splitlines()[-1]) == (
        0,
        f"no reference of {MODEL.model_id}, which is in use: enrol this person again",
    )
