"""Models of one's own: what is taken, what is refused in one line, and that nothing half-done stays behind."""

from __future__ import annotations

import json
import re
import stat
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance import manifest, model_store
from appliance.config import Settings
from appliance.drivers import golden
from appliance.drivers.tflite import load_model
from appliance.errors import ModelError, RefusedError, StorageError
from appliance.pipeline.reading import ModelStages
from scripts.benchmarks import written
from tests.models import crafted
from tests.pipeline.faces import frame, placed, portrait

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.model_store import AddedRole

SHIPPED = manifest.SHIPPED / manifest.read().entry("liveness", "face_liveness").file
EMBEDDER = manifest.SHIPPED / manifest.read().entry("embedder", "face_embedder_b").file
AS_SHIPPED = {"model_id": "mine", "licence": "MIT", "package": "made here", "colour": "BGR", "mean": 0, "scale": 1}
FOR_B = AS_SHIPPED | {"colour": "RGB", "mean": 127.5, "scale": 128}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where added models go; it is not there yet."""
    return tmp_path / "state-models"


def described(folder: Path, table: dict[str, Any]) -> Path:
    """Write an entry as TOML; tables inline, which JSON is but for its colons."""
    path = folder.parent / "entry.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in table.items()), encoding="utf-8")
    return path


def toml(value: object) -> str:
    """Return a value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def add(
    folder: Path,
    content: bytes | Path = SHIPPED,
    role: AddedRole = "liveness",
    table: dict[str, Any] = AS_SHIPPED,
    **changes: object,
) -> model_store.Added:
    """Add a model."""
    if isinstance(content, bytes):
        (folder.parent / "mine.tflite").write_bytes(content)
        content = folder.parent / "mine.tflite"
    return model_store.add(content, role, described(folder, table | changes), Settings(), folder)


def refusal(
    folder: Path,
    content: bytes | Path = SHIPPED,
    role: AddedRole = "liveness",
    table: dict[str, Any] = AS_SHIPPED,
    **changes: object,
) -> str:
    """Return the one line with which this is refused; nothing new is there afterwards."""
    before = {path: path.read_bytes() for path in folder.glob("*")} if folder.exists() else {}
    with pytest.raises(RefusedError) as fault:
        add(folder, content, role, table, **changes)
    assert {path: path.read_bytes() for path in folder.glob("*")} == before
    assert str(fault.value).isprintable()
    return str(fault.value)


def using(**keys: object) -> Settings:
    """Return settings that name models."""
    sections = {"models": "liveness", "embedder": "recognition"}
    return Settings.model_validate({sections[key]: {key: value} for key, value in keys.items()})


def test_added_liveness_model_judges_as_it_did(folder: Path) -> None:
    """A model that is brought along says of a face what the same file says where it was shipped."""
    entry = add(folder).entry
    assert (entry.role, entry.default) == ("liveness", False)
    seen = frame(placed(150, (320, 240)))
    ours = ModelStages(using(models="mine"), folder)
    shipped = ModelStages(using(models="faceplugin-minifasnet-hybrid"))
    both = ModelStages(using(models="mine, faceplugin-minifasnet-tuned-hybrid"), folder)
    (face,) = ours.detect(seen)
    score = ours.score(seen, face)
    assert (score.model_id, score.bona_fide) == ("mine", shipped.score(seen, face).bona_fide)
    together = both.score(seen, face)
    assert together.model_id == "mine+faceplugin-minifasnet-tuned-hybrid"
    assert together.bona_fide == min(score.bona_fide, ModelStages(Settings()).score(seen, face).bona_fide)


def test_files_are_the_devices_alone_and_no_draft_stays(folder: Path) -> None:
    """What was added is the model, byte for byte, and a manifest that reads back as what was returned."""
    entry = add(folder).entry
    assert {path.name for path in folder.iterdir()} == {entry.file, "manifest.toml"}
    assert (folder / entry.file).read_bytes() == SHIPPED.read_bytes()
    assert manifest.read(folder).model == (entry,)
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = add(folder, crafted.classifier(), model_id="another", colour="RGB").entry
    assert manifest.read(folder).model == (entry, second)


def test_added_embedder_matches_nobody_without_a_measured_tail(folder: Path) -> None:
    """An embedder of unknown likeness between people has no threshold that anybody could reach."""
    entry = add(folder, EMBEDDER, "embedder", FOR_B).entry
    stages = ModelStages(using(embedder="mine"), folder)
    assert (stages.embedder.model_id, stages.impostors) == ("mine", None)
    assert entry.measured.door is None
    tail = manifest.read().entry("embedder", "face_embedder_b").measured.impostors
    assert tail is not None
    model_store.remove("mine", Settings(), folder)
    add(folder, EMBEDDER, "embedder", FOR_B | {"measured": {"impostors": tail.model_dump(mode="json")}})
    assert ModelStages(using(embedder="mine"), folder).impostors == tail


def test_bench_measures_an_added_embedder_in_place(folder: Path) -> None:
    """The tail that the bench writes for an added embedder is the one that its threshold then rests on."""
    add(folder, EMBEDDER, "embedder", FOR_B)
    add(folder, model_id="beside")
    tail = manifest.read().entry("embedder", "face_embedder_b").measured.impostors
    assert tail is not None
    written.put(folder, "mine", {"impostors": tail})
    written.put(folder, "mine", {"impostors": tail, "visits": tail})
    assert ModelStages(using(embedder="mine"), folder).impostors == tail
    model_store.remove("beside", Settings(), folder)
    assert manifest.embedder(using(embedder="mine").recognition, folder).measured.visits == tail


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (crafted.with_two_inputs(), "2 inputs"),
        (crafted.with_custom_operator(), "custom op: Homebrew"),
        (crafted.of_no_fixed_shape(), "no fixed shape"),
        (crafted.huge(), "18310 MiB"),
        (crafted.huge_and_lying(), "18310 MiB|cannot be loaded"),
        (crafted.of_bytes(), "uint8"),
        (crafted.classifier(side_px=16), "takes 16 px"),
        (crafted.classifier([[1, 2, 3]], [0]), "one row of numbers"),
        (b"\0" * 4096, "cannot be loaded"),
        (b"", "cannot be loaded"),
    ],
)
def test_crafted_model_is_refused(folder: Path, content: bytes, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """I2: several inputs, unknown operators, no fixed shape, huge tensors, other types: one line, and no file stays."""
    assert re.search(words, refusal(folder, content))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (crafted.classifier([[0, 0, 0]] * 3, (9, 0, 0)), "the same for different pictures"),
        (crafted.classifier(bias=(float("nan"), 0, 0)), "NaN or infinity"),
        (crafted.classifier(bias=(float("inf"), 0, 0)), "NaN or infinity"),
        (crafted.classifier(shares=True), "leave out its last softmax"),
    ],
)
def test_model_that_tells_nothing_is_refused(folder: Path, content: bytes, words: str) -> None:
    """B20: what is constant, NaN or infinite never becomes a liveness model; nor what gives no logits."""
    assert words in refusal(folder, content, mean=127.5, scale=127.5)


def test_embedder_must_take_the_aligned_crop(folder: Path) -> None:
    """I2: a liveness model is no embedder, and an embedder no liveness model."""
    assert "an embedder takes 112 px" in refusal(folder, SHIPPED, "embedder")
    assert "192 classes" in refusal(folder, EMBEDDER)


def test_onnx_is_told_how_to_convert(folder: Path) -> None:
    """An .onnx file is one line that says what converts it."""
    path = folder.parent / "mine.onnx"
    path.write_bytes(b"onnx")
    line = refusal(folder, path)
    assert "convert it first" in line
    assert "scripts/models/onnx_to_tflite.py" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_id": "../mine"}, "model_id"),
        ({"model_id": "a b"}, "model_id"),
        ({"model_id": "faceplugin-minifasnet-hybrid"}, "there is a model faceplugin-minifasnet-hybrid already"),
        ({"file": "../../etc/passwd"}, "file is '../../etc/passwd'"),
        ({"role": "detector"}, "role is 'detector'"),
        ({"sha256": "0" * 64}, "sha256 is '000"),
        ({"default": True}, "default is True"),
        ({"colour": "GBR"}, "colour"),
        ({"scale": 0}, "scale"),
        ({"crop_scale": 99}, "crop_scale"),
        ({"bona_fide_class": 3}, "3 classes, of which 3 is bona fide"),
        ({"bona_fide_class": -1}, "bona_fide_class"),
        ({"calibration": {"a": -1, "b": 0}}, "calibration.a"),
        ({"input_shape": [1, 96, 96, 3]}, "has tensors"),
        ({"favourite": True}, "favourite"),
        (
            {"golden": [{"picture": "astronaut", "rectangle": [400, 0, 128, 128], "output": [0], "max_difference": 1}]},
            "rectangle",
        ),
        (
            {"golden": [{"picture": "/etc/passwd", "rectangle": [0, 0, 9, 9], "output": [0], "max_difference": 1}]},
            "picture",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_entry_that_is_wrong_is_refused(folder: Path, changes: dict[str, object], words: str) -> None:
    """Each key is held to its range, names no path, and cannot say otherwise than the file."""
    assert words in refusal(folder, table=AS_SHIPPED | changes)


@pytest.mark.parametrize("key", ["model_id", "licence", "package", "colour", "mean", "scale"])
def test_entry_must_be_whole(folder: Path, key: str) -> None:
    """Without its licence, origin or way of reading pixels no model is taken."""
    assert key in refusal(folder, table={name: value for name, value in AS_SHIPPED.items() if name != key})


def test_golden_vector_tells_another_colour_order(folder: Path) -> None:
    """B20: with what the model answered where it was made, a wrong colour order, mean or scale is refused."""
    shipped = manifest.read().entry("liveness", "face_liveness")
    vector = golden.record(load_model(shipped, manifest.SHIPPED)).model_dump(mode="json")
    for wrong in ({"colour": "RGB"}, {"scale": 255}, {"mean": 127.5, "scale": 127.5}):
        assert "differs from its golden vector 1" in refusal(folder, table=AS_SHIPPED | {"golden": [vector]} | wrong)
    assert "3 is bona fide" in refusal(folder, golden=[vector], bona_fide_class=3)
    short = vector | {"output": vector["output"][:2]}
    assert "has 2 numbers; it gives 3" in refusal(folder, golden=[short])
    assert not add(folder, golden=[vector]).recorded


@pytest.mark.parametrize(("change", "word"), [('"BGR"', "golden"), ("mean = 0.0", "golden"), ("output = [4", "golden")])
def test_golden_vector_is_checked_at_every_load(folder: Path, change: str, word: str) -> None:
    """B20: a manifest that was edited after the model was added does not load, and the line names the model."""
    assert add(folder).recorded
    listing = folder / "manifest.toml"
    wrong = {'"BGR"': '"RGB"', "mean = 0.0": "mean = 127.5", "output = [4": "output = [9"}[change]
    text = listing.read_text()
    assert text.count(change) == 1
    listing.write_text(text.replace(change, wrong))
    with pytest.raises(ModelError, match=word) as fault:
        ModelStages(using(models="mine"), folder)
    assert "liveness_" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_flipped_bit_or_missing_file_stops_the_load(folder: Path) -> None:
    """I1: an added model is held to its SHA-256 like a shipped one; none is passed over."""
    entry = add(folder).entry
    content = bytearray((folder / entry.file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / entry.file).write_bytes(content)
    with pytest.raises(ModelError, match="SHA-256"):
        ModelStages(using(models="mine"), folder)
    (folder / entry.file).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        ModelStages(using(models="mine"), folder)
    (folder / "manifest.toml").unlink()
    with pytest.raises(ModelError, match="there is no liveness model mine"):
        ModelStages(using(models="mine"), folder)


def test_damaged_manifest_is_left_alone(folder: Path) -> None:
    """F6: a manifest that cannot be read stops adding, removing and loading, and stays as it is."""
    add(folder)
    (folder / "manifest.toml").write_text("schema = 7\n")
    assert "schema" in refusal(folder, crafted.classifier(), model_id="other")
    with pytest.raises(ModelError, match="schema"):
        model_store.remove("mine", Settings(), folder)
    with pytest.raises(ModelError, match="schema"):
        ModelStages(using(models="mine"), folder)


def test_same_id_and_same_file_are_refused(folder: Path) -> None:
    """I3: an id never comes to mean another file, and one file has one entry."""
    add(folder)
    assert "there is a model mine already" in refusal(folder, crafted.classifier())
    assert "this very file is there already, as mine" in refusal(folder, model_id="twin")


def test_model_in_use_is_not_removed(folder: Path) -> None:
    """A model that the configuration names stays; without that it goes with its file, and shipped ones never do."""
    entry = add(folder).entry
    with pytest.raises(RefusedError, match="in use"):
        model_store.remove("mine", using(models="faceplugin-minifasnet-hybrid,mine"), folder)
    with pytest.raises(RefusedError, match="no model faceplugin-minifasnet-hybrid was added"):
        model_store.remove("faceplugin-minifasnet-hybrid", Settings(), folder)
    assert (folder / entry.file).exists()
    model_store.remove("mine", Settings(), folder)
    assert {path.name for path in folder.iterdir()} == {"manifest.toml"}
    assert manifest.read(folder).model == ()
    add(folder)


def test_folder_that_cannot_be_written_is_one_line(folder: Path) -> None:
    """F3: where the state folder takes no files, adding ends with one line that names it."""
    folder.write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written") as fault:
        add(folder)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("text", ['a line\nand "quotes" \\ \x7f', "Größe 🚪", "a = 1]"])
def test_any_text_survives_the_manifest(folder: Path, text: str) -> None:
    """What an entry says of licence and origin, and what was measured, reads back as it was, whatever is in it."""
    table = AS_SHIPPED | {"licence": text, "measured": {"where": text, "times": [1.5, {"x": True}]}}
    entry = add(folder, table=table).entry
    assert entry.licence == text
    assert manifest.read(folder).model == (entry,)


def test_crop_of_the_inputs_size_is_not_resampled() -> None:
    """A golden rectangle of the input's own size is cut out as it is, so that anybody can say the same of it."""
    cut = golden.whole("astronaut").model_copy(update={"rectangle": (150, 60, 128, 128)})
    assert np.array_equal(golden.picture(cut, 128), portrait()[60:188, 150:278])
