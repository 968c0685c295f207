"""`ostiary person`: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.audit import AuditLog
from appliance.cli import root
from appliance.commands.options import Installation, open_installation
from appliance.commands.person_add import add_person
from appliance.drivers.photo import encode_png
from appliance.errors import ApplianceError, PhotoError, RefusedError
from appliance.manifest import Impostors
from appliance.people.gallery import Consent, Gallery
from appliance.people.references import Standard
from appliance.records import Embedding, Grade, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.people.enrolment import Enrolled

REPOSITORY = Path(__file__).resolve().parents[2]
STANDARD = Standard(
    Impostors(
        data="colours", comparisons=10**6, tail_start=0.8, tail_fmr=1e-3, tail_scale=0.02, tail_scale_ci95=(0.01, 0.03)
    ),
    1e-3,
)
CONSENT = Consent("Ada Lovelace", datetime(2026, 3, 1, tzinfo=UTC))


class ColourReader:
    """A face reader for which a photo's colour is its face; black has none."""

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return a template made of the mean colour."""
        colour = pixels.reshape(-1, 3).mean(axis=0) - 128
        if not pixels.any():
            raise PhotoError(f"photo {name} shows no face")
        vector = (colour / np.linalg.norm(colour)).astype(np.float32)
        return Embedding(vector, "colour"), Quality(Grade.HIGH, (), 200.0, 90.0, 1.0, 120.0, 1.0)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an empty installation."""
    return open_installation(None, tmp_path / "state")


def photo(folder: Path, name: str, colour: tuple[int, int, int]) -> Path:
    """Write a photo of one colour."""
    path = folder / name
    path.write_bytes(encode_png(np.full((16, 16, 3), colour, np.uint8)))
    return path


def enrolled(installation: Installation, name: str, colour: tuple[int, int, int]) -> str:
    """Enrol somebody whose face is this colour, and return the id."""
    picture = photo(installation.state, "photo.png", colour)
    return add(installation, name, picture).person.person_id


def add(installation: Installation, name: str, *pictures: Path) -> Enrolled:
    """Enrol somebody whose face is the colour of these pictures."""
    return add_person(installation, name, pictures, consent=CONSENT, reader=ColourReader(), standard=STANDARD)


def ostiary(installation: Installation, *words: str, answer: str = "") -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    done = CliRunner().invoke(root, [*words, "--state", str(installation.state)], input=answer)
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def test_photos_of_one_person_are_enrolled(installation: Installation, tmp_path: Path) -> None:
    """Every photo is read from its file, and the person is in the gallery and in the log."""
    pictures = [photo(tmp_path, "a.png", (250, 130, 120)), photo(tmp_path, "b.png", (230, 170, 130))]
    seen = add(installation, "Ada", *pictures)
    assert [look.name for look in seen.kept] == [f"photo {path}" for path in pictures]
    with Gallery(installation.gallery_file) as gallery, AuditLog(installation.audit_file, "ostiary", "front") as audit:
        assert gallery.people() == (seen.person,)
        assert audit.head().seq == 1


def test_one_bad_photo_enrols_nobody(installation: Installation, tmp_path: Path) -> None:
    """A9, A13: a good photo followed by a broken, missing or faceless one leaves nobody enrolled."""
    good = photo(tmp_path, "good.png", (250, 130, 120))
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:-20])
    for bad in (cut, tmp_path / "none.png", photo(tmp_path, "black.png", (0, 0, 0))):
        with pytest.raises(PhotoError, match=bad.name):
            add(installation, "Ada", good, bad)
    with Gallery(installation.gallery_file) as gallery:
        assert gallery.people() == ()


def test_two_people_in_one_set(installation: Installation, tmp_path: Path) -> None:
    """B15: photos of two people are refused by the names of the two files."""
    pictures = [photo(tmp_path, "red.png", (250, 100, 100)), photo(tmp_path, "green.png", (100, 250, 100))]
    with pytest.raises(RefusedError, match=r"red\.png and .*green\.png"):
        add(installation, "Ada", *pictures)


def test_list_of_nobody(installation: Installation) -> None:
    """An empty gallery lists nothing, and that is no fault."""
    assert ostiary(installation, "person", "list") == (0, "")
    assert ostiary(installation, "person", "list", "--json") == (0, "")


def test_list_is_plain_when_nobody_looks(installation: Installation) -> None:
    """Into a pipe go one line a person with tabs, or one JSON object a line; names stay as they are."""
    ada = enrolled(installation, "Ada [bold]", (250, 130, 120))
    bob = enrolled(installation, "Zo\u00eb", (100, 250, 100))
    code, said = ostiary(installation, "person", "list")
    assert code == 0
    assert [line.split("\t")[:3] for line in said.splitlines()] == [[ada, "Ada [bold]", "1"], [bob, "Zo\u00eb", "1"]]
    code, said = ostiary(installation, "person", "list", "--json")
    people = [json.loads(line) for line in said.splitlines()]
    assert code == 0
    assert [(one["person_id"], one["name"], one["consent_by"]) for one in people] == [
        (ada, "Ada [bold]", "Ada Lovelace"),
        (bob, "Zo\u00eb", "Ada Lovelace"),
    ]


def test_list_is_a_table_on_a_terminal(installation: Installation) -> None:
    """On a terminal the list is a table, and a name that looks like markup is shown as it is."""
    enrolled(installation, "Ada [red]", (250, 130, 120))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "appliance", "person", "list", "--state", str(installation.state)]
    wide = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    subprocess.run(command, cwd=REPOSITORY, stdout=theirs, env=wide, timeout=60, check=True)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "consent by" in said
    assert "Ada [red]" in said


def test_remove_asks_and_erases(installation: Installation) -> None:
    """Without --yes a human is asked; no leaves everything and ends with 1, yes erases and ends with 0."""
    ada = enrolled(installation, "Ada", (250, 130, 120))
    code, said = ostiary(installation, "person", "remove", "Ada", answer="n\n")
    assert code == 1
    assert "Erase Ada" in said
    assert len(ostiary(installation, "person", "list")[1].splitlines()) == 1
    code, said = ostiary(installation, "person", "remove", "Ada", answer="y\n")
    assert code == 0
    assert f"erased {ada}" in said
    assert ostiary(installation, "person", "list") == (0, "")


def test_remove_of_nobody_and_of_several(installation: Installation) -> None:
    """Nobody, or several of one name, ends with 1 and one line that helps; an id says which."""
    code, said = ostiary(installation, "person", "remove", "Ada", "--yes")
    assert (code, said.count("\n")) == (1, 1)
    assert "nobody is enrolled as 'Ada'" in said
    ids = [enrolled(installation, "Ada", colour) for colour in ((250, 130, 120), (100, 250, 100))]
    code, said = ostiary(installation, "person", "remove", "Ada", "--yes")
    assert code == 1
    assert all(person_id in said for person_id in ids)
    assert ostiary(installation, "person", "remove", ids[0], "--yes")[0] == 0


@pytest.mark.parametrize("words", [
    ("add", "Ada", "--consent-by", "Ada"),
    ("add", "Ada", "--photo", "a.png"),
    ("add", "--photo", "a.png", "--consent-by", "Ada"),
    ("remove",),
    ("list", "--nonsense"),
])  # fmt: skip
def test_what_cannot_be_understood(installation: Installation, words: tuple[str, ...]) -> None:
    """A missing photo, consent or name, or an unknown option, is a usage fault: exit code 2."""
    done = CliRunner().invoke(root, ["person", *words, "--state", str(installation.state)])
    assert done.exit_code == 2


def test_bad_name_is_refused_before_a_model_is_loaded(installation: Installation) -> None:
    """E18: a name with a control character ends with 1 and one printable line, within a moment."""
    code, said = ostiary(installation, "person", "add", "A\x1b[2J", "--photo", "a.png", "--consent-by", "Ada")
    assert code == 1
    assert said.count("\n") == 1
    assert said.strip().isprintable()


def test_damaged_gallery_ends_with_three(installation: Installation) -> None:
    """F6: a gallery file that is no database ends with 3 and one line that names it."""
    installation.gallery_file.write_bytes(b"no database" * 1000)
    command = [sys.executable, "-m", "appliance", "person", "list", "--state", str(installation.state)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "gallery.db" in done.stderr
