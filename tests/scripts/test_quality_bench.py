"""The quality bench: answers worked out by hand, degradations that do what they say, and the command."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import Settings
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.scene import Renderer, Visit
from appliance.pipeline.reading import ModelStages
from scripts.benchmarks import discard
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.degrade import DEGRADATIONS, Degradation
from tests.pipeline.faces import frame, placed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.records import Geometry

PICTURE = placed(150, (320, 240))


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    """Return where the face of PICTURE lies."""
    stages = ModelStages(Settings())
    return stages.align(frame(PICTURE), stages.detect(frame(PICTURE))[0])


def changed(degradation: Degradation, level: float, geometry: Geometry) -> NDArray[np.uint8]:
    """Return PICTURE made worse; the same dice every time."""
    return degradation.change(PICTURE, geometry, level, np.random.default_rng(3))


def test_perfect_attribute_discards_every_error_first() -> None:
    """Two errors in ten with the lowest goodness are gone at a fifth; a constant attribute gains nothing."""
    goodness = np.arange(10.0)
    wrong = goodness < 2
    curve = discard.curve(goodness, wrong)
    assert curve[0] == pytest.approx(0.2)
    assert curve[2] == pytest.approx(1 / 9)  # a tenth discarded
    assert (curve[4:] == 0).all()
    assert discard.area(goodness, wrong) < 0.2
    assert discard.area(np.zeros(10), wrong) == pytest.approx(1.0)
    assert discard.area(-goodness, wrong) > 1


def test_unknown_goodness_is_discarded_first() -> None:
    """NaN is worse than any number, and without an error there is nothing to gain."""
    assert discard.curve(np.array([math.nan, 1.0]), np.array([True, False]))[10] == 0
    assert math.isnan(discard.area(np.arange(3.0), np.zeros(3, bool)))
    assert np.isnan(discard.curve(np.zeros(0), np.zeros(0, bool))).all()


def test_fitted_errors_rise_as_goodness_falls() -> None:
    """Neighbours that err the wrong way round are pooled, and nobody is lost."""
    goodness = np.array([5, 4, 3, 2, 1, 1.0, math.nan])
    wrong = np.array([False, True, False, True, True, False, True])
    groups = discard.fitted(goodness, wrong)
    assert [(low, rate.count, rate.n) for low, rate in groups] == [(5, 0, 1), (3, 1, 2), (1, 2, 3)]
    tied = discard.fitted(np.array([2, 1, 1, 1, 1.0]), np.array([False, True, False, False, False]))
    assert [(low, rate.n) for low, rate in tied] == [(2, 1), (1, 4)]
    assert discard.bound(groups, 0.0) == 5
    assert discard.bound(groups, 0.5) == 3
    assert discard.bound(groups, 1.0) == 1
    assert discard.bound(groups[1:], 0.1) == math.inf


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda one: one.name)
def test_degradations_are_repeatable_and_leave_the_picture_alone(degradation: Degradation, geometry: Geometry) -> None:
    """Each level gives another picture than the one before, the same each time; the given one stays as it is."""
    before = PICTURE.copy()
    pictures = [changed(degradation, level, geometry) for level in degradation.levels]
    assert all(picture.dtype == np.uint8 and picture.ndim == 3 for picture in pictures)
    assert (before == PICTURE).all()
    assert (pictures[0] == changed(degradation, degradation.levels[0], geometry)).all()
    for one, other in zip([PICTURE, *pictures], pictures, strict=False):
        assert one.shape != other.shape or (one != other).any()


def test_light_is_clipped_and_never_wraps(geometry: Geometry) -> None:
    """A17: what is brighter than white stays white: no pixel of the overexposed picture is darker than it was."""
    bright = next(one for one in DEGRADATIONS if one.name == "bright")
    assert (changed(bright, 7, geometry) >= PICTURE).all()


def test_eyes_are_as_far_apart_as_asked(geometry: Geometry) -> None:
    """The picture shrinks by what brings the eyes to the level, and is never enlarged."""
    size = next(one for one in DEGRADATIONS if one.name == "size")
    eyes = float(np.hypot(*(geometry.five_points[1] - geometry.five_points[0])))
    assert changed(size, 20, geometry).shape[1] == pytest.approx(640 * 20 / eyes, abs=1)
    assert changed(size, 2 * eyes, geometry).shape == PICTURE.shape


def test_quality_ends_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """B11: all degradations, masks and sunglasses among them, end with rates that fit together, in points for plots."""
    renderer = Renderer(320, 240)
    for person, face in (("Ada", "astronaut"), ("Bob", "official")):
        (tmp_path / "images" / person).mkdir(parents=True)
        for number in (1, 2):
            visit = Visit.model_validate({"face": face, "for_s": 60.0, "nearness": 1.1})
            picture = encode_jpeg(renderer.draw(visit, 2.0 + number))
            (tmp_path / "images" / person / f"{person}_{number:04d}.jpg").write_bytes(picture)
    folds = ["Ada\t1\t2", "Ada\t1\tBob\t1", "Bob\t1\t2", "Ada\t2\tBob\t2"]
    (tmp_path / "pairs.txt").write_text("\n".join(["2\t1", *folds]) + "\n")
    assert main(["quality", str(tmp_path), "--pairs", "2"]) == 0
    line = json.loads(capsys.readouterr().out.rstrip("\n").rpartition("\n")[2])
    assert (line["bench"], line["n_pairs"], line["as_they_are"]["fnmr"]) == ("quality", 2, 0)
    assert list(line["degradations"]) == [one.name for one in DEGRADATIONS]
    for one in DEGRADATIONS:
        levels = line["degradations"][one.name]["levels"]
        assert [level["level"] for level in levels] == list(one.levels)
        assert all(level["missed"] <= level["not_read"] <= level["not_enrolled"] for level in levels)
    assert line["degradations"]["motion"]["levels"][-1]["fnmr"] == 1
    assert all(len(found["curve"]) == discard.SHARES.size for found in line["attributes"].values())
