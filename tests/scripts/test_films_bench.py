"""The bench of films, over recordings of the simulated camera's visitors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2

from appliance.drivers.scene import Renderer, Visit
from scripts.benchmarks import films

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_films_are_counted_by_what_they_come_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bench counts a living visitor's film as real and a print's as a spoof, and says how long each took."""
    monkeypatch.setattr(films, "TIMED", 1)
    monkeypatch.setattr(films, "SAMPLED", 1)
    for shows in ("person", "print"):
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer, renderer = cv2.VideoWriter(str(tmp_path / f"{shows}.mp4"), code, 10, (640, 480)), Renderer(640, 480)
        visit = Visit.model_validate({"shows": shows, "for_s": 60.0})
        for number in range(films.FRAMES):
            writer.write(cv2.cvtColor(renderer.draw(visit, 1 + number / 10), cv2.COLOR_RGB2BGR))
        writer.release()
    (tmp_path / "manifest.csv").write_text("file,label\nperson.mp4,live\nprint.mp4,attack\n")
    films.run(tmp_path)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["came"] == {
        "live, person.mp4": {"real": 1, "spoof": 0, "uncertain": 0},
        "attack, print.mp4": {"real": 0, "spoof": 1, "uncertain": 0},
    }
    assert told["judging_s"]["n"] == told["decoding_s"]["n"] == 2
    assert told["one_child_each_over_one_for_all"] > 0
