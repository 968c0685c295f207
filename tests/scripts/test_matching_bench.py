"""The bench of matching ends with its figures, small enough for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from appliance.pipeline.matching import search
from scripts.benchmarks import matching
from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_matching_ends_with_its_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size has its times, memory and load; each kind of probe its count; each reload its change seen."""
    monkeypatch.setattr(matching, "IDENTITY_ROWS", 1000)
    assert main(["matching", "4000", "--probes", "20", "--near", "20", "--reload", "100"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["bench"], line["threads"]) == ("matching", 1)
    keys = {"size", "n", "p50_ms", "p99_ms", "product_p50_ms", "kib", "load_s"}
    assert [set(one) for one in line["speed"]] == [keys]
    assert [one["size"] for one in line["speed"]] == [4000]
    assert all(0 < one["p50_ms"] <= one["p99_ms"] for one in line["speed"])
    assert {kind["n"] for kind in line["identity"].values()} == {20}
    assert {kind["different"] for kind in line["identity"].values()} == {0}
    (reload,) = line["reload"]
    assert reload["size"] == 100
    assert 0 < reload["enrolled_p50_ms"] <= reload["enrolled_max_ms"]


def test_difference_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """C12: a search that named the wrong row would be seen."""
    monkeypatch.setattr(matching, "IDENTITY_ROWS", 100)
    monkeypatch.setattr(matching, "search", lambda probe, gallery: search(probe, gallery)[1:])
    assert {kind["different"] for kind in matching.identity(7, 5).values()} == {7, 5}
