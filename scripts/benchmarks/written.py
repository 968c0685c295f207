"""Puts one table into models/manifest.toml and leaves every other byte as it is."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import manifest
from appliance.errors import ModelError

if TYPE_CHECKING:
    from appliance.manifest import Impostors

HEADER = "[model.measured.impostors]"


def put(folder: Path, model_id: str, impostors: Impostors) -> None:
    """Set this model's impostor table in the folder's manifest; a reader sees the old file or the new, whole.

    Raises ModelError, and leaves the file alone, where what would be written does not read back as the same
    manifest with only this table changed.
    """
    path = folder / "manifest.toml"
    old = path.read_text(encoding="utf-8")
    new = with_impostors(old, model_id, impostors)
    _check(old, new, model_id, impostors)
    handle, aside = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(new)
    Path(aside).chmod(path.stat().st_mode)
    Path(aside).replace(path)


def with_impostors(text: str, model_id: str, impostors: Impostors) -> str:
    """Return the manifest's text with this model's table, which stands last in the model's entry."""
    entries = re.split(r"(?m)^(?=\[\[model\]\]$)", text)
    at = [number for number, entry in enumerate(entries) if f'\nmodel_id = "{model_id}"\n' in entry]
    if len(at) != 1:
        raise ModelError(f"models/manifest.toml has {len(at)} entries with model_id {model_id}; one is needed")
    entry = re.sub(r"(?ms)^" + re.escape(HEADER) + r"\n.*?(?=^\[|\Z)", "", entries[at[0]]).rstrip("\n")
    measured = "" if "[model.measured]" in entry else "\n\n[model.measured]"
    end = "\n" if at[0] == len(entries) - 1 else "\n\n"
    entries[at[0]] = f"{entry}{measured}\n\n{_table(impostors)}{end}"
    return "".join(entries)


def _table(impostors: Impostors) -> str:
    # A JSON string, number or array of them is a TOML one, but for control characters outside the BMP's escapes.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in impostors.model_dump().items()]
    return "\n".join([HEADER, *lines])


def _check(old: str, new: str, model_id: str, impostors: Impostors) -> None:
    with tempfile.TemporaryDirectory() as aside:
        (Path(aside) / "manifest.toml").write_text(new, encoding="utf-8")
        entries = [entry for entry in manifest.read(Path(aside)).model if entry.model_id == model_id]
    same = _without(old, model_id) == _without(new, model_id)
    if not same or [entry.measured.impostors for entry in entries] != [impostors]:
        raise ModelError(f"models/manifest.toml would not read back as the same with {model_id}'s impostors")


def _without(text: str, model_id: str) -> dict[str, Any]:
    table = tomllib.loads(text)
    for entry in table["model"]:
        if entry["model_id"] == model_id:
            entry.get("measured", {}).pop("impostors", None)
    return table
