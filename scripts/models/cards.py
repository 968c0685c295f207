"""models/CARDS.md: one card a model, of the facts in the manifest and the words in card_texts."""

from __future__ import annotations

from typing import Any

from .card_texts import INTRODUCTION, RUNTIMES, WORDS

NORMALISED = "({order} pixel 0..255 - {mean:g}) / {scale:g}"


def text(entries: list[dict[str, Any]]) -> str:
    """Return the text of CARDS.md for the manifest's entries, one card each, in their order."""
    return "\n".join([INTRODUCTION, *(_card(entry) for entry in entries), RUNTIMES])


def _card(entry: dict[str, Any]) -> str:
    words = WORDS[entry["file"]]
    default = ", default" if entry["default"] else ""
    lines = [
        f"## {words.title}",
        "",
        f"`{entry['file']}`, role `{entry['role']}`{default}, model id `{entry['model_id']}`",
        "",
        f"- **Licence:** {entry['licence']}. {words.licence}",
        f"- **Origin:** {_origin(entry)}",
        f"- **Input:** {_input(entry)}",
        f"- **Output, in this order:** {_outputs(entry)}. {words.output}",
        f"- **Training data:** {words.training}",
        f"- **Meant for:** {words.use}",
        f"- **Measured limits:** {words.limits}",
        f"- **Form shipped:** {entry['quantisation']}. {words.form}",
        "",
        *_table(entry.get("measured", {})),
    ]
    return "\n".join(lines)


def _origin(entry: dict[str, Any]) -> str:
    package = f"{entry['package']} {entry['package_version']}"
    return f"`{entry['package_path']}` in {package}, SHA-256 of the package `{entry['package_sha256']}`."


def _input(entry: dict[str, Any]) -> str:
    shape = " x ".join(str(size) for size in entry["input_shape"])
    value = NORMALISED.format(order=entry["colour"], mean=entry["mean"], scale=entry["scale"])
    return f"{shape} {entry['input_dtype']}, {value}."


def _outputs(entry: dict[str, Any]) -> str:
    ends = entry["output"]
    return "; ".join(f"{end['meaning']} {' x '.join(str(size) for size in end['shape'])}" for end in ends)


def _table(measured: dict[str, Any]) -> list[str]:
    """Return the lines of the table of forms; none where nothing was measured."""
    if "forms" not in measured:
        return []
    rows = [f"| {row['form']} | {row['ms']:.2f} | {row['mb']:.2f} |" for row in measured["forms"]]
    return [
        f"| form | ms (median of {measured['n']}, {measured['where']}) | MB |",
        "|---|---|---|",
        *rows,
        "",
        _nearness(measured),
        "",
    ]


def _nearness(measured: dict[str, Any]) -> str:
    difference, cosine = measured["float_max_difference_from_published"], measured["shipped_min_cosine_to_float"]
    return (
        f"Float form against the published model: largest difference {difference:g} of any output. "
        f"Shipped against float form: cosine at least {cosine:.4f}. Both on seeded noise images."
    )
