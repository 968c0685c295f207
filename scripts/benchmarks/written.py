"""Puts measured tails into models/manifest.toml and leaves every other byte as it is."""

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
    from collections.abc import Mapping

    from appliance.manifest import Impostors

PREFIX = "model.measured."


def put(folder: Path, model_id: str, tails: Mapping[str, Impostors]) -> None:
    """Set this model's `impostors` and `visits` in the folder's manifest; a reader sees the old file or the new, whole.

    Raises ModelError, and leaves the file alone, where what would be written does not read back as the same
    manifest with only these tables changed.
    """
    path = folder / "manifest.toml"
    old = path.read_text(encoding="utf-8")
    new = with_tails(old, model_id, tails)
    _check(old, new, model_id, tails)
    handle, aside = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(new)
    Path(aside).chmod(path.stat().st_mode)
    Path(aside).replace(path)


def with_tails(text: str, model_id: str, tails: Mapping[str, Impostors]) -> str:
    """Return the manifest's text with this model's tables, which stand last in the model's entry."""
    entries = re.split(r"(?m)^(?=\[\[model\]\]$)", text)
    at = [number for number, entry in enumerate(entries) if f'\nmodel_id = "{model_id}"\n' in entry]
    if len(at) != 1:
        raise ModelError(f"models/manifest.toml has {len(at)} entries with model_id {model_id}; one is needed")
    named = "|".join(map(re.escape, tails))
    entry = re.sub(rf"(?ms)^\[{re.escape(PREFIX)}({named})\]\n.*?(?=^\[|\Z)", "", entries[at[0]]).rstrip("\n")
    measured = "" if "[model.measured]" in entry else "\n\n[model.measured]"
    end = "\n" if at[0] == len(entries) - 1 else "\n\n"
    tables = "\n\n".join(_table(name, tail) for name, tail in tails.items())
    entries[at[0]] = f"{entry}{measured}\n\n{tables}{end}"
    return "".join(entries)


def _table(name: str, tail: Impostors) -> str:
    # A JSON string, number or array of them is a TOML one, but for control characters outside the BMP's escapes.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in tail.model_dump().items()]
    return "\n".join([f"[{PREFIX}{name}]", *lines])


def _check(old: str, new: str, model_id: str, tails: Mapping[str, Impostors]) -> None:
    with tempfile.TemporaryDirectory() as aside:
        (Path(aside) / "manifest.toml").write_text(new, encoding="utf-8")
        entries = [entry for entry in manifest.read(Path(aside)).model if entry.model_id == model_id]
    same = _without(old, model_id, tails) == _without(new, model_id, tails)
    if not same or any(getattr(entry.measured, name) != tail for entry in entries for name, tail in tails.items()):
        raise ModelError(f"models/manifest.toml would not read back as the same with {model_id}'s impostors")


def _without(text: str, model_id: str, tails: Mapping[str, Impostors]) -> dict[str, Any]:
    table = tomllib.loads(text)
    for entry in table["model"]:
        if entry["model_id"] == model_id:
            for name in tails:
                entry.get("measured", {}).pop(name, None)
    return table
