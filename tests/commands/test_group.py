"""`ostiary group`: what it prints and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.commands.options import Installation, open_installation
from appliance.errors import ApplianceError
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation with Ada, who is crew, and Bea."""
    made = open_installation(None, tmp_path / "state")
    with Gallery(made.gallery_file) as gallery:
        for number, (name, tags) in enumerate((("Ada", ("crew",)), ("Bea", ()))):
            face = Embedding(np.eye(8, dtype=np.float32)[number], "m")
            gallery.add(name, Consent(name, NOON), [(face, Grade.HIGH)], tags=tags)
    return made


def ostiary(installation: Installation, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, ["group", *words, "--state", str(installation.state)])
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def test_from_first_to_last(installation: Installation) -> None:
    """Groups are made, filled, listed, shown and given up."""
    assert ostiary(installation, "list") == (0, "")
    assert ostiary(installation, "add", "visitors") == (0, "group visitors: static, 0 people\n")
    assert ostiary(installation, "add", "crew", "--tag", "crew") == (0, "group crew: dynamic, 1 people\n")
    assert ostiary(installation, "join", "visitors", "Ada", "Bea")[0] == 0
    assert ostiary(installation, "leave", "visitors", "Ada")[0] == 0
    assert ostiary(installation, "list") == (0, "crew\tdynamic\t\tall of crew\nvisitors\tstatic\t1\t\n")
    lines = [json.loads(line) for line in ostiary(installation, "list", "--json")[1].splitlines()]
    assert [(one["name"], one["people"]) for one in lines] == [("crew", None), ("visitors", 1)]
    assert [line.split("\t")[1] for line in ostiary(installation, "show", "crew")[1].splitlines()] == ["Ada"]
    assert ostiary(installation, "remove", "visitors") == (0, "removed visitors; 1 people were put into it\n")


def test_refusals(installation: Installation) -> None:
    """A group that there is not ends with 1, what is no name or no status with 2."""
    assert ostiary(installation, "show", "crew")[0] == 1
    assert ostiary(installation, "join", "crew", "Ada")[0] == 1
    assert ostiary(installation, "add", "a b")[0] == 2
    assert ostiary(installation, "add", "crew", "--status", "gone")[0] == 2
    assert ostiary(installation, "join", "crew")[0] == 2
