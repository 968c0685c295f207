"""`scripts/bench faces`: what its figures rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import Settings
from appliance.drivers.photo import encode_jpeg, encode_png
from appliance.errors import UsageError
from appliance.faces.comparing import Thresholds
from appliance.faces.grouping import Grouping
from appliance.manifest import embedder
from scripts.benchmarks import redaction
from scripts.benchmarks.faces import bcubed, crowd
from tests.faces.made import head

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.faces.reader import PictureReader


def test_groups_are_judged_face_by_face() -> None:
    """Groups as they are give 1; one heap costs precision, single faces cost recall, each by the faces concerned."""
    truth = {"a1": "a", "a2": "a", "a3": "a", "b": "b"}
    assert bcubed(Grouping((("a1", "a2", "a3"),), ("b",)), truth) == (1, 1, 1)
    heap, alone = (Grouping((tuple(truth),), ()), Grouping((), tuple(truth)))
    assert bcubed(heap, truth)[:2] == pytest.approx(((3 * 0.75 + 0.25) / 4, 1))
    assert bcubed(alone, truth)[:2] == pytest.approx((1, (3 / 3 + 1) / 4))


def test_crowd_has_its_faces_where_it_says(tmp_path: Path) -> None:
    """Each pasted face lies about the place that is told, of the width asked for."""
    file = tmp_path / "black.png"
    file.write_bytes(encode_png(np.zeros((250, 250, 3), np.uint8)))
    picture, ((x, y),) = crowd([file], 50, np.random.default_rng(1))
    black = np.argwhere((picture == 0).all(axis=2))
    assert black.mean(axis=0) == pytest.approx((y, x), abs=1)
    assert black.max(axis=0) - black.min(axis=0) == pytest.approx((113, 113), abs=1)


def test_attack_knows_a_bare_face_and_not_a_redacted_one(reader: PictureReader, tmp_path: Path) -> None:
    """The attack that is counted works on pictures as they are, and fails on those that are redacted."""
    people = {}
    for name in ("astronaut", "official"):
        one, other = tmp_path / f"{name}.png", tmp_path / f"{name}.jpg"
        one.write_bytes(encode_png(head(name)))
        other.write_bytes(encode_jpeg(np.ascontiguousarray(head(name)[:, ::-1]), 70))
        people[name] = [one, other]
    recognition = Settings().recognition
    thresholds = Thresholds.of(recognition, embedder(recognition))
    counts = redaction.pictures(people, reader, thresholds, 10)
    assert set(counts) == set(redaction.STYLES)
    assert all(hits == [2, 2] for hits in counts["as it is"].values())
    ours = counts["ostiary face redact"]
    assert [ours[what][0] for what in ("same as before", "same as another picture")] == [0, 0]
    with pytest.raises(UsageError, match="at least 2 are needed"):
        redaction.pictures({"astronaut": people["astronaut"]}, reader, thresholds, 10)
