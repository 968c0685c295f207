"""The models' manifest: complete, and refused in one line where anything in it is not as it must be."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from appliance import manifest
from appliance.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (manifest.SHIPPED / "manifest.toml").read_text(encoding="utf-8")


def refusal(folder: Path, text: str) -> str:
    """Return the one line with which a manifest of this text is refused."""
    (folder / "manifest.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="manifest") as fault:
        manifest.read(folder)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_shipped_files_are_those_of_the_manifest() -> None:
    """Every entry's file is there with its SHA-256, and no model lies there without an entry (I1)."""
    entries = manifest.read().model
    for entry in entries:
        assert hashlib.sha256((manifest.SHIPPED / entry.file).read_bytes()).hexdigest() == entry.sha256
        assert entry.licence in {"Apache-2.0", "MIT"}
        assert entry.package
        assert len(entry.package_sha256) == 64
    assert {entry.file for entry in entries} == {path.name for path in manifest.SHIPPED.glob("*.tflite")}
    assert len({entry.model_id for entry in entries}) == len(entries)


@pytest.mark.parametrize("role", ["detector", "detector_full_range", "landmarks", "embedder", "liveness"])
def test_every_role_has_a_default(role: manifest.Role) -> None:
    """There is exactly one default for each role."""
    assert manifest.read().entry(role).default
    assert sum(entry.default for entry in manifest.read().model if entry.role == role) == 1


def test_entry_by_name_has_its_role() -> None:
    """A model is asked for by role and file; a right name in another role, and an unknown one, is a fault."""
    shipped = manifest.read()
    assert shipped.entry("embedder", "face_embedder_b").model_id == "mobilefacenet-192-hybrid"
    for role, name in [("liveness", "face_embedder_b"), ("embedder", "face_embedder_z")]:
        with pytest.raises(ModelError, match=f"no {role} {name}"):
            shipped.entry(role, name)  # type: ignore[arg-type]  # the roles are a closed list, and these are in it


def test_missing_manifest_is_one_line(tmp_path: Path) -> None:
    """A folder without a manifest says so by its path."""
    with pytest.raises(ModelError, match=re.escape(str(tmp_path))):
        manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["", "\0", "model = 5", "[[model]", "schema = 1", "schema = 2\nmodel = []"])
def test_garbled_manifest_is_one_line(tmp_path: Path, text: str) -> None:
    """What is no TOML, has no models or another schema is refused."""
    refusal(tmp_path, text)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    """A manifest of other bytes is refused."""
    (tmp_path / "manifest.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="cannot be read"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "instead", "name"),
    [
        (r'^file = "face_liveness.tflite"$', 'file = "../face_liveness.tflite"', "file"),
        (r'^file = "face_liveness.tflite"$', 'file = "/etc/shadow"', "file"),
        (r'^sha256 = "8f6', 'sha256 = "8F6', "sha256"),
        (r'^sha256 = "8f600c8', 'sha256 = "', "sha256"),
        (r'^role = "liveness"$', 'role = "lifelines"', "role"),
        (r'^colour = "BGR"$', 'colour = "GBR"', "colour"),
        (r"^scale = 1.0$", "scale = 0.0", "scale"),
        (r"^scale = 1.0$", "scale = nan", "scale"),
        (r"^mean = 0.0$", "mean = inf", "mean"),
        (r"^input_shape = \[1, 128, 128, 3\]$", "input_shape = [1, 128, 128]", "input_shape"),
        (r'^input_dtype = "float32"$', 'input_dtype = "uint8"', "input_dtype"),
        (r"^tail_scale = .*$", "tail_scale = -0.03425", "tail_scale"),
        (r"^tail_fmr = .*$", "tail_fmr = nan", "tail_fmr"),
        (r"^default = true$", "default = true\nfavourite = true", "favourite"),
        (r"^licence = .*$", "", "licence"),
    ],
)
def test_each_field_is_checked(tmp_path: Path, pattern: str, instead: str, name: str) -> None:
    """A value out of range, of another type, missing or unknown is refused by the field's name."""
    text, count = re.subn(pattern, instead, TEXT, flags=re.MULTILINE)
    assert count
    assert name in refusal(tmp_path, text)


def test_two_defaults_of_one_role_are_refused(tmp_path: Path) -> None:
    """Which embedder is used must not hang on the order in a file."""
    assert "embedder" in refusal(tmp_path, TEXT.replace("default = false", "default = true"))


def test_two_entries_for_one_file_are_refused(tmp_path: Path) -> None:
    """One file under two entries, or one name for two embedding spaces, is refused (C9)."""
    assert "face_embedder_a.tflite" in refusal(
        tmp_path, TEXT.replace("face_embedder_b.tflite", "face_embedder_a.tflite")
    )
    assert "faceplugin-512-hybrid" in refusal(
        tmp_path, TEXT.replace("mobilefacenet-192-hybrid", "faceplugin-512-hybrid")
    )
