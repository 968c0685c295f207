"""models/manifest.toml: what the appliance may load, and what each model expects.

Everything but `measured` follows from the recipe and the built bytes. `measured` belongs to one file's
bytes: it is kept, unknown keys and all, while the SHA-256 is the same, and dropped when it changes.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import tomlkit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tomlkit.items import Table

    from .recipes import Recipe

SCHEMA = 1
HEADER = "Written by scripts/build_models, which keeps what stands under `measured` as it is."


def facts(recipe: Recipe, raw: bytes) -> dict[str, Any]:
    """Return a model's entry without `measured`, in the manifest's own order of keys."""
    return {
        "role": recipe.role,
        "model_id": recipe.model_id,
        "file": recipe.file,
        "default": recipe.default,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "licence": recipe.licence,
        "package": recipe.package.label,
        "package_version": recipe.package.version,
        "package_sha256": recipe.package.sha256,
        "package_path": recipe.path,
        "colour": recipe.colour,
        "mean": recipe.mean,
        "scale": recipe.scale,
        "input_shape": list(recipe.input_shape),
        "input_dtype": "float32",
        "quantisation": recipe.quantisation,
        "output": [{"meaning": output.meaning, "shape": list(output.shape)} for output in recipe.outputs],
    }


def models(text: str) -> list[dict[str, Any]]:
    """Return the entries of a manifest's text; none for an empty text."""
    entries: list[dict[str, Any]] = tomlkit.parse(text).unwrap().get("model", [])
    return entries


def without_measured(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry's facts: what a rebuild must find the same."""
    return {key: value for key, value in entry.items() if key != "measured"}


def kept_measured(text: str) -> dict[str, Table]:
    """Return each model's `measured` table by the SHA-256 of the file that it was measured on."""
    entries: Any = tomlkit.parse(text).get("model", [])
    return {str(entry["sha256"]): entry["measured"] for entry in entries if "measured" in entry}


def text(entries: list[dict[str, Any]], kept: Mapping[str, Table], new: Mapping[str, dict[str, Any]]) -> str:
    """Return the manifest's text: `entries` with the `kept` measured tables, `new` values on top.

    `kept` and `new` are by SHA-256; a key of `kept` that `new` does not name stays as it was.
    """
    document = tomlkit.document()
    document.add(tomlkit.comment(HEADER))
    document.add("schema", tomlkit.item(SCHEMA))
    tables = tomlkit.aot()
    for entry in entries:
        table = tomlkit.item(entry)
        found = kept.get(entry["sha256"], tomlkit.table())
        for key, value in new.get(entry["sha256"], {}).items():
            found[key] = _inline(value)
        table["measured"] = found
        tables.append(table)
    document.add("model", tables)
    # A kept table brings the blank line that stood after it, and tomlkit adds one of its own.
    return re.sub(r"\n{3,}(?=\[\[model\]\])", "\n\n", tomlkit.dumps(document))


def _inline(value: Any) -> Any:  # noqa: ANN401 - any TOML value
    """Return a list of tables as an array of inline tables, one a line; else the value."""
    if not isinstance(value, list):
        return value
    rows = tomlkit.array()
    for row in value:
        line = tomlkit.inline_table()
        line.update(row)
        rows.append(line)
    return rows.multiline(multiline=True)
