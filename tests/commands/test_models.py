"""`ostiary models`: what it prints, what it writes into the log, and with which exit code."""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

import pytest

from appliance import manifest
from appliance.audit import AuditLog
from appliance.commands.options import Installation, open_installation
from tests.commands.test_person import ostiary

if TYPE_CHECKING:
    from pathlib import Path

LIVENESS = manifest.SHIPPED / manifest.read().entry("liveness", "face_liveness").file
EMBEDDER = manifest.SHIPPED / manifest.read().entry("embedder", "face_embedder_b").file
ENTRY = 'model_id = "mine"\nlicence = "MIT"\npackage = "made here"\ncolour = "BGR"\nmean = 0\nscale = 1\n'
ENTRY_B = ENTRY.replace("BGR", "RGB").replace("mean = 0", "mean = 127.5").replace("scale = 1", "scale = 128")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an empty installation with an entry file beside it."""
    (tmp_path / "entry.toml").write_text(ENTRY)
    return open_installation(None, tmp_path / "state")


def models(installation: Installation, *words: str | Path) -> tuple[int, str]:
    """Run `ostiary models`."""
    return ostiary(installation, "models", *map(str, words))


def add(installation: Installation, file: Path = LIVENESS, role: str = "liveness") -> tuple[int, str]:
    """Add a model with the entry file."""
    return models(installation, "add", file, "--role", role, "--entry", installation.state.parent / "entry.toml")


def said_of_it(installation: Installation) -> list[str]:
    """Return what the audit log says of the configuration."""
    with AuditLog(installation.audit_file, "ostiary", "front") as audit:
        return [entry.event.detail for entry in audit.read() if entry.event.event_type == "config_changed"]


def test_model_is_added_listed_and_removed(installation: Installation) -> None:
    """What is added is listed, not in use, and in the audit log; what is removed is gone, and in the log too."""
    code, said = add(installation)
    assert code == 0
    assert "guards against change alone" in said
    assert 'liveness.models = "mine"' in said
    assert "ostiary commission spoof" in said
    code, said = models(installation, "list")
    sha256 = manifest.read().entry("liveness", "face_liveness").sha256
    assert code == 0
    assert said.splitlines()[-1].split("\t") == ["liveness", "mine", "MIT", sha256[:12], "added", "not in use"]
    assert models(installation, "remove", "mine") == (0, "removed mine\n")
    assert "mine" not in models(installation, "list")[1]
    assert [detail.split(",")[0] for detail in said_of_it(installation)] == [
        "liveness model mine added",
        "liveness model mine removed",
    ]


def test_list_says_what_is_in_use(installation: Installation, tmp_path: Path) -> None:
    """Exactly the models that these settings load are in use."""
    add(installation)
    config = tmp_path / "appliance.toml"
    config.write_text(
        '[liveness]\nmodels = "mine, faceplugin-minifasnet-tuned-hybrid"\n[recognition]\nembedder = "b"\n'
    )
    code, said = models(installation, "list", "--config", config)
    assert code == 0
    assert {line.split("\t")[1] for line in said.splitlines() if line.endswith("\tin use")} == {
        "blazeface-short-f16",
        "facemesh-468-f16",
        "mobilefacenet-192-hybrid",
        "faceplugin-minifasnet-tuned-hybrid",
        "mine",
    }
    code, said = models(installation, "remove", "mine", "--config", config)
    assert (code, said) == (1, "ostiary: model mine is in use; take it out of the configuration first\n")


def test_embedder_without_a_tail_is_told(installation: Installation, tmp_path: Path) -> None:
    """An embedder whose impostors were not measured is taken, and one line says that nobody is matched by it."""
    (tmp_path / "entry.toml").write_text(ENTRY_B)
    code, said = add(installation, EMBEDDER, "embedder")
    assert code == 0
    assert "nobody is matched by it yet" in said
    assert "scripts/bench impostors" in said


def test_refusals_are_one_line_and_leave_no_trace(installation: Installation, tmp_path: Path) -> None:
    """I2, I3: a file that is missing, is no model, or is there already: exit code 1, one line, nothing in the log."""
    (tmp_path / "no-model.tflite").write_bytes(b"TFL3" * 100)
    for file, word in (
        (tmp_path / "none.tflite", "No such file"),
        (tmp_path / "no-model.tflite", "cannot be loaded"),
        (tmp_path, "is a directory"),
    ):
        code, said = add(installation, file)
        assert code in {1, 2}
        assert word in said
    assert models(installation, "remove", "../mine")[0] == 1
    assert said_of_it(installation) == []
    assert not (installation.models_folder / "manifest.toml").exists()
    shutil.rmtree(installation.models_folder, ignore_errors=True)
    add(installation)
    code, said = add(installation)
    assert (code, said.count("\n")) == (1, 1)
    assert len(said_of_it(installation)) == 1


def test_two_at_once_are_one_after_the_other(installation: Installation) -> None:
    """F8: while another command changes the models, this one is refused in one line."""
    with (installation.state / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = add(installation)
    assert (code, said.count("\n")) == (3, 1)
    assert "another ostiary models command" in said
