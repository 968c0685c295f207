"""Models of one's own: brought into the installation's state folder, held to what their entry says, or refused.

What is added is only ever used where the configuration names it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tomllib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from appliance import manifest
from appliance.drivers import golden, tflite
from appliance.errors import ModelError, RefusedError, StorageError
from appliance.manifest import ModelEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.config import Settings

AddedRole = Literal["embedder", "liveness"]

HEADER = "# Written by `ostiary models`.\n"
CROP_PX = 112  # what alignment hands to an embedder
LEAST_SIDE_PX, MOST_SIDE_PX = 32, 512  # of a liveness model's input
LEAST_DIMENSION, MOST_DIMENSION = 16, 4096
MOST_CLASSES = 64
LEAST_CHANGE = 1e-4  # of the output's size, from one face to another
ONNX_HINT = (
    "is ONNX and runs nowhere here; convert it first: scripts/models/onnx_to_tflite.py rebuilds plain convolutional "
    "networks, onnx2tf the others"
)


class Added(NamedTuple):
    """What was written."""

    entry: ModelEntry
    recorded: bool  # its golden vector is no more than what it answered here


def add(file: Path, role: AddedRole, description: Path, settings: Settings, folder: Path) -> Added:
    """Bring a .tflite file and its entry into `folder`, and return the entry as it was written.

    `description` is a TOML file of the entry's keys, less those that are found out: role, file, sha256, default and
    shapes. Where it states no golden vector, the model's present answer is recorded as one. Either everything is
    written or nothing.
    Raises RefusedError with one line where the file, its entry or its answers are not as they must be, or where it is
    there already; ModelError for a manifest that cannot be read; StorageError where the folder cannot be written.
    """
    try:
        content = _content(file)
        entry = _entry(content, file, role, _table(description), str(description))
        _check_new(entry, settings, folder)
        with _aside(folder, entry.file, content) as draft:
            model = tflite.load_model(entry.model_copy(update={"file": draft.name}), folder)
            _check_answers(model, file)
            recorded = not entry.golden
            if recorded:
                entry = entry.model_copy(update={"golden": (golden.record(model),)})
            listing = _listing([*_own(folder), entry])
            draft.replace(folder / entry.file)
    except (ModelError, RuntimeError) as fault:  # RuntimeError: an operator that fails when it is run
        raise RefusedError(f"nothing is added: {str(fault).splitlines()[0]}") from fault
    _write(folder, listing)
    return Added(entry, recorded)


def remove(model_id: str, settings: Settings, folder: Path) -> ModelEntry:
    """Take a model that was added out of `folder`, and return what its entry was.

    Raises RefusedError where it was never added or the settings name it, ModelError for a manifest that cannot be
    read, StorageError where the folder cannot be written.
    """
    own = _own(folder)
    entry = next((one for one in own if one.model_id == model_id), None)
    if entry is None:
        there = ", ".join(one.model_id for one in own) or "none"
        raise RefusedError(f"no model {model_id} was added; there are: {there}")
    if model_id in (*settings.liveness.model_ids, settings.recognition.embedder):
        raise RefusedError(f"model {model_id} is in use; take it out of the configuration first")
    _write(folder, _listing([one for one in own if one is not entry]))
    try:
        (folder / entry.file).unlink(missing_ok=True)
    except OSError as fault:
        raise StorageError(f"model {folder / entry.file} cannot be removed: {fault.strerror}") from fault
    return entry


def _content(file: Path) -> bytes:
    if file.suffix.lower() == ".onnx":
        raise ModelError(f"{file} {ONNX_HINT}")
    return tflite.file_content(file)


def _table(description: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise ModelError(f"entry {description} cannot be read: {fault}") from fault


def _entry(content: bytes, file: Path, role: AddedRole, table: dict[str, Any], name: str) -> ModelEntry:
    """Return the whole entry, with what the file itself says. Raises ModelError."""
    digest = hashlib.sha256(content).hexdigest()
    shapes = tflite.shapes(content, file)
    found = {"role": role, "file": f"{role}_{digest[:16]}.tflite", "sha256": digest, "default": False}
    stated = {key: table[key] for key in found if key in table and table[key] != found[key]}
    if stated:
        key, value = next(iter(stated.items()))
        raise ModelError(f"entry {name}: {key} is {value!r}; it is {found[key]!r} here and need not be said")
    meaning = "embedding" if role == "embedder" else "logits"
    seen = {
        "input_shape": shapes[0],
        "input_dtype": "float32",
        "quantisation": "not stated",
        "output": [{"meaning": meaning, "shape": shape} for shape in shapes[1:]],
    }
    try:
        entry = ModelEntry.model_validate(seen | table | found)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"entry {name}: {where}: {first['msg']}") from fault
    _check_form(entry, file)
    return entry


def _check_form(entry: ModelEntry, file: Path) -> None:
    """Raise ModelError where the pipeline could not use a model of these shapes in this role."""
    _, high, wide, channels = entry.input_shape
    flat = tuple(size for size in entry.output[0].shape if size != 1)
    if (entry.input_shape[0], high, channels) != (1, wide, 3):
        raise ModelError(f"model {file} takes {entry.input_shape}; one square picture, 1xSxSx3, is needed")
    if len(entry.output) != 1 or flat != entry.output[0].shape[-1:]:
        raise ModelError(f"model {file} gives {[one.shape for one in entry.output]}; one row of numbers is needed")
    if entry.role == "embedder" and not (high == CROP_PX and LEAST_DIMENSION <= flat[0] <= MOST_DIMENSION):
        raise ModelError(
            f"model {file} takes {high} px and gives {flat[0]} numbers; an embedder takes {CROP_PX} px "
            f"and gives {LEAST_DIMENSION} to {MOST_DIMENSION}"
        )
    if entry.role == "liveness" and not (
        LEAST_SIDE_PX <= high <= MOST_SIDE_PX and entry.bona_fide_class < flat[0] <= MOST_CLASSES
    ):
        raise ModelError(
            f"model {file} takes {high} px and gives {flat[0]} classes, of which {entry.bona_fide_class} is bona fide; "
            f"{LEAST_SIDE_PX} to {MOST_SIDE_PX} px and 2 to {MOST_CLASSES} classes with that one are allowed"
        )


def _check_answers(model: tflite.TfliteModel, file: Path) -> None:
    """Raise ModelError for a model that gives NaN, the same whatever it sees, or shares where logits are needed."""
    answers = np.stack([model.run(view)[0].reshape(-1) for view in golden.differing(model.side_px)]).astype(np.float64)
    if not np.isfinite(answers).all():
        raise ModelError(f"model {file} gives NaN or infinity for pictures of faces or for noise")
    change = float(np.abs(answers - answers[0]).max(axis=1)[1:].min())
    if not change > LEAST_CHANGE * float(np.abs(answers).max()):
        raise ModelError(f"model {file} gives the same for different pictures; it tells nothing apart")
    if model.entry.role == "liveness" and _are_shares(answers):
        raise ModelError(f"model {file} gives shares that add up to 1; leave out its last softmax, logits are needed")


def _are_shares(answers: NDArray[np.float64]) -> bool:
    return bool((answers >= 0).all() and (np.abs(answers.sum(axis=1) - 1) < 1e-3).all())


def _check_new(entry: ModelEntry, settings: Settings, folder: Path) -> None:
    for one in manifest.every(settings.recognition, folder):
        if entry.model_id == one.entry.model_id:
            raise ModelError(f"there is a model {entry.model_id} already; another model_id is needed")
        if entry.sha256 == one.entry.sha256 and one.folder == folder:
            raise ModelError(f"this very file is there already, as {one.entry.model_id}")


def _own(folder: Path) -> tuple[ModelEntry, ...]:
    return manifest.read(folder).model if (folder / manifest.NAME).exists() else ()


def _listing(entries: Sequence[ModelEntry]) -> bytes:
    """Return a manifest's text. Raises ModelError where it would not read back as the same."""
    tables = [one.model_dump(mode="json", exclude_none=True) for one in entries]
    text = HEADER + "schema = 1\n" + ("" if tables else "model = []\n") + "".join(map(_as_toml, tables))
    try:
        read_back = manifest.checked(tomllib.loads(text), "as written")
    except ValueError as fault:
        raise ModelError(f"the entry holds what TOML cannot say: {fault}") from fault
    if [one.model_dump(mode="json", exclude_none=True) for one in read_back.model] != tables:
        raise ModelError("the entry would not read back as the same")
    return text.encode()


def _write(folder: Path, listing: bytes) -> None:
    with _aside(folder, manifest.NAME, listing) as draft:
        draft.replace(folder / manifest.NAME)


def _as_toml(table: dict[str, Any]) -> str:
    """Return one model; `measured` stands last and in tables, where scripts/bench finds and changes its tails."""
    measured = table["measured"]
    tails = [name for name in ("impostors", "visits") if name in measured]
    text = "\n[[model]]\n" + _lines(table, {"measured"}) + "\n[model.measured]\n" + _lines(measured, {*tails})
    return text + "".join(f"\n[model.measured.{name}]\n{_lines(measured[name], set())}" for name in tails)


def _lines(table: dict[str, Any], less: set[str]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if key not in less)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a JSON value in TOML, tables inline."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@contextlib.contextmanager
def _aside(folder: Path, name: str, content: bytes) -> Iterator[Path]:
    """Write the content beside where it belongs, mode 0600 and durable, for the caller to move; else it goes again.

    Raises StorageError where it cannot be written or moved.
    """
    draft = folder / f".{name}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
            written.write(content)
            written.flush()
            os.fsync(written.fileno())
        yield draft
        _sync(folder)
    except OSError as fault:
        raise StorageError(f"{folder / name} cannot be written: {fault.strerror}") from fault
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
