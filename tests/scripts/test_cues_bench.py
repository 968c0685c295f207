"""The bench of cues over frames: visits cut from a clip, and how long each waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.config import Settings
from appliance.drivers.scene import Renderer, Visit
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.cues import EVERY_S, SHORTEST_S, visits

if TYPE_CHECKING:
    from pathlib import Path

RATE = 15.0


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Give every stage over the shipped model files."""
    return ModelStages(Settings())


@pytest.mark.parametrize(("shows", "waits"), [("person", False), ("print", True)])
def test_visits_begin_all_along_a_clip(stages: ModelStages, shows: str, *, waits: bool) -> None:
    """B2: each visit is watched on its own; a person's wait ends, a print's does not."""
    renderer, visit = Renderer(640, 480), Visit.model_validate({"shows": shows, "for_s": 60.0})
    clip = [Frame(renderer.draw(visit, 1.0 + number / RATE), number / RATE, number) for number in range(40)]
    found = visits(clip, stages)
    assert [one.started_at_s for one in found] == pytest.approx([0.0, EVERY_S + 1 / 30, 2 * EVERY_S + 1 / 15], abs=0.1)
    assert all(one.ended_at_s - one.started_at_s >= SHORTEST_S for one in found)
    assert [one.lifted_at_s is None for one in found] == [waits] * len(found)


def test_folder_without_a_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of another form ends in one line and the code for wrong use."""
    assert main(["cues", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "manifest.csv" in said.err
    with pytest.raises(json.JSONDecodeError):
        json.loads(said.out or "none")
