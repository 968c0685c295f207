"""`ostiary backup`: what it prints, what it refuses, and what it leaves in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from appliance import manifest
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


def test_the_newest_backups_are_kept(installation: Installation, tmp_path: Path) -> None:
    """F12: a timer's backups are whole, the oldest of them go and nothing else, and none before a new one is there."""
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [folder / f"20{year}-01-01T020000Z.ostiary" for year in (21, 22, 70)]  # the last of a clock that was wrong
    for one in [*old, folder / "mine.ostiary", folder / "2020-01-01T020000Z.ostiary.bak"]:
        one.write_bytes(b"x")
    code, said = ostiary(installation, "keep", str(folder), "--last", "2")
    assert code == 0
    assert f"deleted {old[0]}" in said
    (made,) = {one.name for one in folder.iterdir()} - {
        old[2].name,
        "mine.ostiary",
        "2020-01-01T020000Z.ostiary.bak",
    }
    assert ostiary(installation, "verify", str(folder / made))[0] == 0
    (installation.state / "gallery.db").write_bytes(b"damaged")
    assert ostiary(installation, "keep", str(folder), "--last", "1")[0] != 0
    assert old[2].exists()


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


def dimension(installation: Installation) -> tuple[str, int]:
    """Return the embedder in use and how many numbers its templates have."""
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    return entry.model_id, entry.output[0].shape[-1]


def enrol(installation: Installation, name: str, number: int) -> str:
    """Enrol somebody with a template of the model in use."""
    model_id, size = dimension(installation)
    with Gallery(installation.gallery_file) as gallery:
        face = gallery.protection.protect(Embedding(np.eye(size, dtype=np.float32)[number], model_id))
        return gallery.add(name, Consent(name, NOON), [(face, Grade.HIGH)]).person_id


def test_people_move_to_another_door(installation: Installation, tmp_path: Path) -> None:
    """J2 J10: people go to the door whose address is named, and nowhere else; the signer is asked for or named."""
    back = open_installation(None, tmp_path / "back")
    ada = enrol(installation, "Cleo", 5)
    lines = ostiary(back, "address")[1].splitlines()
    address = lines[0].removeprefix("address ")
    file = str(tmp_path / "people")
    code, said = ostiary(installation, "templates", file, "--to", address, "--names")
    assert code == 0
    assert said.startswith("1 people in ")  # Ada and Bea have templates of another model
    signer = said.partition("signed as ")[2].strip()
    assert ostiary(installation, "import-templates", file, "--signer", signer)[0] == 1  # not for this device
    code, said = ostiary(back, "import-templates", file, "--signer", "0" * 32)
    assert code == 1
    assert "is not trusted" in said
    assert ostiary(back, "import-templates", file, answer="n\n")[0] == 1
    code, said = ostiary(back, "import-templates", file, "--signer", signer)
    assert code == 0
    assert f"{ada}: enrolled\n" in said
    code, said = ostiary(back, "import-templates", file, answer="y\n")
    assert code == 0
    assert "0 enrolled, 1 here already, 0 refused" in said
    with Gallery(back.gallery_file) as gallery:
        assert [person.name for person in gallery.people()] == ["Cleo"]


def test_people_move_by_a_passphrase(installation: Installation, tmp_path: Path) -> None:
    """A passphrase is asked for twice, opens the file, and a wrong one does not; a refused person ends with 1."""
    enrol(installation, "Cleo", 5)
    back, file = open_installation(None, tmp_path / "back"), str(tmp_path / "people")
    words = "correct horse battery\n"
    assert ostiary(installation, "templates", file, "--passphrase", answer=words * 2)[0] == 0
    assert ostiary(back, "import-templates", file, answer="y\nwrong horse battery\n")[0] == 1
    code, said = ostiary(back, "import-templates", file, answer=f"y\n{words}")
    assert (code, "1 enrolled" in said) == (0, True)
    with Gallery(back.gallery_file) as gallery:
        gallery.remove(gallery.people()[0].person_id)
    code, said = ostiary(back, "import-templates", file, answer=f"y\n{words}")
    assert code == 1
    assert "was erased here" in said


def test_for_whom_must_be_said(installation: Installation, tmp_path: Path) -> None:
    """Neither an address nor a passphrase, both, and a group that there is not, are refused; no file is left."""
    file = tmp_path / "people"
    address = ostiary(installation, "address")[1].splitlines()[0].removeprefix("address ")
    assert ostiary(installation, "templates", str(file))[0] == 2
    assert ostiary(installation, "templates", str(file), "--to", address, "--passphrase")[0] == 2
    assert ostiary(installation, "templates", str(file), "--to", "x")[0] == 2
    assert ostiary(installation, "templates", str(file), "--to", address, "--group", "crew")[0] == 1
    assert not file.exists()


def test_the_day_on_which_the_device_is_lost(installation: Installation, tmp_path: Path) -> None:
    """F12 C11: the key bundle and a backup bring everybody back on another device; either of them alone, nobody.

    Who was erased after the bundle was made is erased here too, as far as the backup is newer than the erasure.
    """
    bundle, file, typed = str(tmp_path / "bundle"), str(tmp_path / "backup"), "correct horse battery\n"
    places = ["--state", str(installation.state)]
    assert CliRunner().invoke(root, ["keys", "export", bundle, "--stdin", *places], input=typed).exit_code == 0
    with Gallery(installation.gallery_file) as gallery:
        gallery.remove(gallery.find("Ada")[0].person_id)
        before = gallery.snapshot("m", 8).matrix
    said = ostiary(installation, "create", file)[1]
    signer = said.partition("signed by the key ")[2].partition("\n")[0]
    new = open_installation(None, tmp_path / "new")
    code, said = ostiary(new, "restore", file, "--yes", "--signer", signer)
    assert (code, "sealed for somebody else" in said) == (1, True)
    new = open_installation(None, tmp_path / "other")
    places = ["--state", str(new.state)]
    assert CliRunner().invoke(root, ["keys", "import", bundle, "--stdin", *places], input=typed).exit_code == 0
    code, said = ostiary(new, "restore", file, "--yes")
    assert (code, "signed by another device" in said) == (1, True)
    code, said = ostiary(new, "restore", file, "--yes", "--signer", signer)
    assert code == 0
    with Gallery(new.gallery_file) as gallery:
        assert [person.name for person in gallery.people()] == ["Bea"]
        assert gallery.search("bea", 5)[0].name == "Bea"
        assert np.array_equal(gallery.snapshot("m", 8).matrix, before)
