"""`ostiary backup`: what it prints, what it refuses, and what it leaves in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType
from appliance.errors import ApplianceError
from appliance.lone import only_one
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation with Ada and Bea."""
    made = open_installation(None, tmp_path / "state")
    with Gallery(made.gallery_file) as gallery:
        for number, name in enumerate(("Ada", "Bea")):
            gallery.add(name, Consent(name, NOON), [(Embedding(np.eye(8, dtype=np.float32)[number], "m"), Grade.HIGH)])
    return made


def ostiary(installation: Installation, *words: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, ["backup", *words, "--state", str(installation.state)], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def test_there_and_back(installation: Installation, tmp_path: Path) -> None:
    """C11 F12: a backup is written, verified and put back; the erased stay so, and all of it is logged."""
    file = str(tmp_path / "backup")
    code, said = ostiary(installation, "create", file)
    assert code == 0
    assert "written and read back: 2 people of ostiary" in said
    code, said = ostiary(installation, "verify", file)
    assert code == 0
    assert "whole and unaltered" in said
    with Gallery(installation.gallery_file) as gallery:
        gallery.remove(gallery.find("Ada")[0].person_id)
        gallery.set_details(gallery.find("Bea")[0].person_id, name="Beatrix")
    code, said = ostiary(installation, "restore", file, "--yes")
    assert code == 0
    assert "gallery.db; 1 people" in said
    assert "erased since, and not brought back: 1" in said
    assert "ostiary audit show --after 0" in said
    with Gallery(installation.gallery_file) as gallery:
        assert [person.name for person in gallery.people()] == ["Bea"]
    with AuditLog(installation.audit_file, "ostiary", "front") as log:
        events = [entry.event for entry in log.read()]
    assert [event.event_type for event in events] == [EventType.BACKED_UP, EventType.RESTORED]
    assert "Bea" not in "".join(event.detail for event in events)


def test_a_human_is_asked(installation: Installation, tmp_path: Path) -> None:
    """Without --yes a restore asks, and no changes nothing and ends with 1."""
    file = str(tmp_path / "backup")
    ostiary(installation, "create", file)
    code, said = ostiary(installation, "restore", file, answer="n\n")
    assert code == 1
    assert "Replace the people of" in said
    with AuditLog(installation.audit_file, "ostiary", "front") as log:
        assert log.head().seq == 1


def test_refusals_are_one_line(installation: Installation, tmp_path: Path) -> None:
    """E5 F8: no backup, an altered or existing one, a running reader: one line each and the right exit code."""
    file = tmp_path / "backup"
    assert ostiary(installation, "verify", str(tmp_path / "none"))[0] == 2
    ostiary(installation, "create", str(file))
    code, said = ostiary(installation, "create", str(file))
    assert (code, said.count("\n")) == (1, 1)
    assert "exists and is not overwritten" in said
    with only_one(installation.state / "reader.lock"):
        code, said = ostiary(installation, "restore", str(file), "--yes")
    assert (code, said.count("\n")) == (3, 1)
    assert "another reader is running" in said
    file.write_bytes(file.read_bytes()[:-1])
    for words in (("verify", str(file)), ("restore", str(file), "--yes")):
        code, said = ostiary(installation, *words)
        assert (code, said.count("\n")) == (1, 1)
        assert "altered or is cut short" in said
