"""The model runtime: only the very files of the manifest run, and they run as the manifest says."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.errors import ModelError
from tests.models import crafted

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = manifest.read().model
FLIPS = 1000


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.file)
def test_every_shipped_model_loads_and_runs(entry: manifest.ModelEntry, capfd: pytest.CaptureFixture[str]) -> None:
    """Each model takes a picture of its size and gives the stated outputs, finite, the same each time, in silence."""
    model = load_model(entry, manifest.SHIPPED)
    picture = np.random.default_rng(1).integers(0, 256, (model.side_px, model.side_px, 3)).astype(np.uint8)
    first = [output.copy() for output in model.run(picture)]
    assert [output.shape for output in first] == [output.shape[1:] for output in entry.output]
    assert all(output.dtype == np.float32 and np.isfinite(output).all() for output in first)
    model.run(255 - picture)
    assert all(np.array_equal(one, again) for one, again in zip(first, model.run(picture), strict=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.file)
def test_thousand_flipped_bits_are_refused(entry: manifest.ModelEntry) -> None:
    """A file with one bit flipped, anywhere, has another SHA-256: 1,000 of 1,000 (I1)."""
    content = bytearray((manifest.SHIPPED / entry.file).read_bytes())
    random = np.random.default_rng(9)
    refused, hashed, at = 0, hashlib.sha256(), 0
    # In order of their places, so that what lies before a flip is hashed once and not a thousand times.
    for place in sorted(random.choice(len(content), FLIPS, replace=False)):
        hashed.update(content[at:place])
        at = int(place)
        flipped, right = hashed.copy(), hashed.copy()
        flipped.update(bytes([content[at] ^ (1 << int(random.integers(8)))]))
        right.update(content[at : at + 1])
        # Until the flip's own block is full the states agree in part; a few blocks on, they must not.
        rest = content[at + 1 : at + 257]
        flipped.update(rest)
        right.update(rest)
        refused += flipped.digest() != right.digest()
    assert refused == FLIPS


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.file)
def test_flipped_file_is_refused_before_it_is_loaded(entry: manifest.ModelEntry, tmp_path: Path) -> None:
    """A file with its first, a middle or its last bit flipped, cut short or empty is one line with both hashes (I1)."""
    content = (manifest.SHIPPED / entry.file).read_bytes()
    damaged = [bytearray(content) for _ in range(3)]
    for one, place in zip(damaged, (0, len(content) // 2, -1), strict=True):
        one[place] ^= 1
    for bad in (*map(bytes, damaged), content[:-1], content + b"\0", b""):
        (tmp_path / entry.file).write_bytes(bad)
        with pytest.raises(ModelError, match=rf"{entry.file} has SHA-256 .*allows only {entry.sha256[:16]}") as fault:
            load_model(entry, tmp_path)
        assert "\n" not in str(fault.value)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    """A model that is not there, or is a folder, is one line that names it."""
    entry = manifest.read().entry("liveness")
    with pytest.raises(ModelError, match=rf"{entry.file} cannot be read: No such file"):
        load_model(entry, tmp_path)
    (tmp_path / entry.file).mkdir()
    with pytest.raises(ModelError, match=rf"{entry.file} cannot be read: Is a directory"):
        load_model(entry, tmp_path)


def test_other_shipped_model_in_its_place_is_refused(tmp_path: Path) -> None:
    """A valid model under another one's name is refused for its hash (I3)."""
    shutil.copy(manifest.SHIPPED / "face_embedder_b.tflite", tmp_path / "face_embedder_a.tflite")
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(manifest.read().entry("embedder", "face_embedder_a"), tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"input_shape": (1, 128, 128, 3)}, {"output": ()}, {"output": (manifest.Output(meaning="x", shape=(1, 4)),)}],
)
def test_other_tensors_than_stated_are_refused(change: dict[str, object]) -> None:
    """A file whose tensors are not those of its entry is refused, and the line says both (I2)."""
    entry = manifest.read().entry("embedder", "face_embedder_a").model_copy(update=change)
    with pytest.raises(ModelError, match=r"has tensors \[\(1, 112, 112, 3\), \(1, 512\)\].*the manifest says"):
        load_model(entry, manifest.SHIPPED)


@pytest.mark.parametrize("content", [b"not a model", b"\0" * 4096, b"\x1c\0\0\0TFL3" + b"\xff" * 64])
def test_file_that_is_no_model_is_one_line(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Even with a manifest that vouches for it, what is no model is refused in one line and in silence (I2)."""
    entry = manifest.read().entry("liveness").model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    (tmp_path / entry.file).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{entry.file} cannot be loaded") as fault:
        load_model(entry, tmp_path)
    assert "\n" not in str(fault.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [crafted.with_two_inputs(), crafted.with_custom_operator(), crafted.of_no_fixed_shape(), crafted.huge()],
    ids=["two inputs", "custom operator", "no fixed shape", "huge"],
)
def test_crafted_model_is_not_loaded(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Even with a manifest that vouches for it, a model that asks for too much is refused in one line (I2)."""
    entry = manifest.read().entry("liveness").model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    (tmp_path / entry.file).write_bytes(content)
    with pytest.raises(ModelError, match=entry.file) as fault:
        load_model(entry, tmp_path)
    assert "has tensors [(1, 64, 64, 3)" not in str(fault.value)
    assert "\n" not in str(fault.value)
    assert capfd.readouterr() == ("", "")


def test_file_without_end_is_refused(tmp_path: Path) -> None:
    """A file larger than any model here is refused before it is read to its end (I2)."""
    entry = manifest.read().entry("liveness")
    with (tmp_path / entry.file).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="larger than 64 MiB"):
        load_model(entry, tmp_path)


@pytest.mark.parametrize("shape", [(112, 111, 3), (112, 112), (112, 112, 4), (1, 112, 112, 3), (0, 0, 3)])
def test_picture_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    """Pixels of another size or shape never reach the interpreter."""
    model = load_model(manifest.read().entry("embedder"), manifest.SHIPPED)
    with pytest.raises(ValueError, match="takes"):
        model.run(np.zeros(shape, np.uint8))
