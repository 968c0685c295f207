"""The plots of docs/accuracy: drawn from the committed record, small, and nothing in them but lines and text."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "accuracy"
RESULTS = FOLDER / "results.jsonl"
PLOTS = ("roc.svg", "det.svg", "scores.svg", "reject.svg", "degraded.svg", "latency.svg", "pad.svg", "growth.svg")


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_drawn_from_the_record(name: str) -> None:
    """A plot tells the SHA-256 of the results behind it: new figures without new plots are noticed."""
    assert hashlib.sha256(RESULTS.read_bytes()).hexdigest() in (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_small_and_shows_nobody(name: str) -> None:
    """J2: at most 60 KB, no picture inside, nothing that is loaded or run: no face can be in it."""
    svg = (FOLDER / name).read_text(encoding="utf-8")
    assert len(svg) <= 60 * 1024
    assert set(re.findall(r"<([a-zA-Z]+)", svg)) <= {"svg", "metadata", "defs", "style", "g", "path", "use", "text"} | {
        "clipPath",
        "rect",
        "tspan",
        "rdf",
        "cc",
        "dc",
    }
    assert not re.search(r'href="(?!#)', svg)


def test_every_plot_is_shown() -> None:
    """No plot lies beside the page without being on it, and none is named that is not there."""
    page = (FOLDER.parent / "accuracy.md").read_text(encoding="utf-8")
    assert {path.name for path in FOLDER.glob("*.svg")} == set(PLOTS)
    assert set(re.findall(r"\(accuracy/([a-z]+\.svg)\)", page)) == set(PLOTS)


def test_record_names_nobody() -> None:
    """J3: the record holds rates and counts of benches; a file of somebody's picture is not named in it."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    assert {line["bench"] for line in lines} >= {"lfw", "openset", "quality", "latency", "pad"}
    assert not re.search(r"\.(jpe?g|png|mp4)", RESULTS.read_text(encoding="utf-8"))
