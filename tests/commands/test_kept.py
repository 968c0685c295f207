"""`ostiary privacy kept` and `erase-kept`: what clients keep, and its end by whoever runs the device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType
from appliance.errors import ApplianceError
from appliance.kept_faces.room import open_kept_faces
from appliance.kept_faces.schema import Kind
from appliance.records import Embedding

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return a device on which a client keeps a list of two faces and an empty group."""
    made = Installation(Settings(), tmp_path, None)
    with open_kept_faces(made) as kept:
        for kind, name in ((Kind.LIST, "staff"), (Kind.GROUP, "guests")):
            kept.add_collection(kind, name, "Marker", "", "recognition_04", answers_for="the officer", made_by="key:a")
        for row in np.eye(2, 16, dtype=np.float32):
            kept.add_face(Kind.LIST, "staff", Embedding(row, "m"), "")
    return made


def ostiary(installation: Installation, *words: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, ["privacy", *words, "--state", str(installation.state)], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_what_clients_keep_is_shown(installation: Installation) -> None:
    """J6: whoever runs the device sees every list and group, how many are in it and who answers, and no name."""
    code, said = ostiary(installation, "kept")
    assert code == 0
    assert "face list staff: 0 people, 2 faces" in said
    assert "person group guests: 0 people, 0 faces" in said
    assert said.count("the officer answers") == 2
    assert "Marker" not in said
    found = json.loads(ostiary(installation, "kept", "--json")[1])
    assert [(one["kind"], one["id"], one["faces"]) for one in found] == [
        ("face list", "staff", 2),
        ("person group", "guests", 0),
    ]


def test_what_clients_keep_is_erased(installation: Installation) -> None:
    """J6, J8: a list is erased with its faces when a human agrees, and the log says so; nothing by another id."""
    assert ostiary(installation, "erase-kept", "list", "staff", answer="n\n")[0] == 1
    assert ostiary(installation, "erase-kept", "group", "staff", "--yes")[0] == 1
    code, said = ostiary(installation, "erase-kept", "list", "staff", answer="y\n")
    assert (code, said.splitlines()[-1]) == (0, "erased face list staff: 2 faces")
    assert ostiary(installation, "erase-kept", "group", "guests", "--yes")[0] == 0
    assert ostiary(installation, "kept")[1] == "clients keep nothing here\n"
    with installation.open_audit() as audit:
        entries = [one.event for one in audit.read()]
    assert [(one.event_type, one.method) for one in entries] == [(EventType.ERASED, "cli")] * 2
    assert entries[0].detail == "face list staff erased with all its faces"
