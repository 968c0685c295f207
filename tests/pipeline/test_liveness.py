"""Liveness: one frame's score, which falls to the shut side."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.manifest import Calibration
from appliance.pipeline.liveness import Agreement, PresentationAttackDetection, bona_fide, context, softmax
from tests.pipeline.faces import frame, portrait, seen_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


class StubLiveness:
    """A liveness model whose logits a test sets."""

    side_px = 128

    def __init__(self, logits: tuple[float, float, float], **changes: object) -> None:
        self.entry: ModelEntry = manifest.read().entry("liveness").model_copy(update=changes)
        self.logits = np.array([logits], np.float32)
        self.seen: list[NDArray[np.uint8]] = []

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return what was set."""
        self.seen.append(pixels)
        return (self.logits,)


BOX = st.tuples(st.floats(-900, 2200), st.floats(-900, 2200), st.floats(0, 3000), st.floats(0, 3000))


@given(box=BOX, width=st.integers(32, 4096), height=st.integers(32, 4096))
def test_context_lies_inside_the_frame(box: tuple[float, float, float, float], width: int, height: int) -> None:
    """Whatever the detector says and how small the frame is, the model's crop lies inside it (A15)."""
    x, y, wide, high = box
    left, top, across, down = context(seen_face((x, y, x + wide, y + high)), width, height)
    assert left >= 0
    assert top >= 0
    assert across >= 1
    assert down >= 1
    assert left + across <= width
    assert top + down <= height


def test_context_is_the_trained_scale_around_a_face_in_the_middle() -> None:
    """With room around it, the crop is 2.7 times the box about the box's own centre."""
    left, top, across, down = context(seen_face((300, 200, 400, 320)), 1000, 800)
    assert (across, down) == (270, 324)
    assert abs(left + across / 2 - 350) <= 1
    assert abs(top + down / 2 - 260) <= 1


def test_context_at_a_border_is_shifted_and_not_shrunk() -> None:
    """A face at a border keeps its scale: the crop is moved inside the frame."""
    assert context(seen_face((0, 0, 100, 100)), 1000, 800) == (0, 0, 270, 270)
    assert context(seen_face((900, 700, 1000, 800)), 1000, 800)[2:] == (270, 270)


@given(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3))
def test_softmax_shares_add_up(logits: list[float]) -> None:
    """The shares lie in 0..1, add up to 1, and the largest logit has the largest."""
    shares = softmax(np.array(logits, np.float32))
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[int(np.argmax(logits))] == max(shares)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("logits", [(math.nan, 0, 0), (0, math.nan, 0), (9, math.inf, 0), (math.inf, 0, 0)])
def test_score_of_a_mad_model_is_not_live(logits: tuple[float, float, float]) -> None:
    """NaN or infinity in any logit gives NaN, never a bona fide score (B20)."""
    score = PresentationAttackDetection(StubLiveness(logits), 40).score(frame(portrait()), seen_face())
    assert math.isnan(score.bona_fide)


def test_face_too_small_for_the_model_is_never_live() -> None:
    """A face narrower than the bound scores 0 and the model is not asked."""
    model = StubLiveness((9, 0, 0))
    detection = PresentationAttackDetection(model, 100)
    assert detection.score(frame(portrait()), seen_face((100, 100, 199, 260))).bona_fide == 0
    assert detection.score(frame(portrait()), seen_face((100, 100, math.nan, 260))).bona_fide == 0
    assert model.seen == []
    assert detection.score(frame(portrait()), seen_face((100, 100, 200, 260))).bona_fide > 0.99


def test_golden_logits_pin_channel_order_and_scale() -> None:
    """The model sees blue, green, red from 0 to 255: swapped colours and another scale give clearly other logits."""
    model = load_model(manifest.read().entry("liveness"), manifest.SHIPPED)
    # Every fourth pixel of the whole portrait: no interpolation, so that only the model's own input can differ.
    view = np.ascontiguousarray(portrait("official")[::4, ::4])
    (logits,) = model.run(view)
    (swapped,) = model.run(np.ascontiguousarray(view[:, :, ::-1]))
    (scaled,) = model.run(view // 255)
    golden = np.array(GOLDEN["liveness"])
    assert np.abs(logits - golden).max() < 0.25
    assert np.abs(swapped - golden).max() > 0.75
    assert np.abs(scaled - golden).max() > 3


def test_bona_fide_is_the_first_class() -> None:
    """A portrait that fills the camera, as a live scene would, scores near 1: the right class is read."""
    model = load_model(manifest.read().entry("liveness"), manifest.SHIPPED)
    assert model.entry.bona_fide_class == 0
    whole = frame(portrait("official"))
    assert PresentationAttackDetection(model, 100).score(whole, seen_face((169, 90, 348, 269))).bona_fide > 0.9


def test_model_that_says_the_same_of_different_pictures_is_not_live() -> None:
    """B20: one that has died, whatever number it stuck at, gives NaN from the second picture on, until it lives again.

    The very same picture again is no sign of that: a camera may give one twice.
    """
    model = StubLiveness((9, 0, 0))
    detection = PresentationAttackDetection(model, 40)
    first, second = frame(portrait()), frame(portrait("official"))
    alive = detection.score(first, seen_face()).bona_fide
    assert detection.score(first, seen_face()).bona_fide == alive > 0.99
    for one in (second, second, first, second):
        assert math.isnan(detection.score(one, seen_face()).bona_fide)
    model.logits = np.array([(8, 0, 0)], np.float32)
    assert detection.score(first, seen_face()).bona_fide > 0.99


def test_several_models_must_all_agree() -> None:
    """B20: the lowest score of several models counts, whatever their order, and NaN of any of them is NaN."""
    scores = {}
    for logits in itertools.permutations([(9, 0, 0), (1, 0, 0), (-3, 0, 0)]):
        models = [StubLiveness(one, model_id=f"m{number}") for number, one in enumerate(logits)]
        found = Agreement([PresentationAttackDetection(one, 40) for one in models]).score(
            frame(portrait()), seen_face()
        )
        assert found.model_id == "m0+m1+m2"
        scores[logits] = found.bona_fide
    assert set(scores.values()) == {softmax(np.array((-3, 0, 0), np.float32))[0]}
    for mad in itertools.permutations([(9.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (-3.0, 0.0, 0.0)]):
        parts = [PresentationAttackDetection(StubLiveness(one), 40) for one in mad]
        assert math.isnan(Agreement(parts).score(frame(portrait()), seen_face()).bona_fide)


def test_one_dead_model_of_several_is_noticed() -> None:
    """B20: a model that always says live cannot hide behind one that still answers."""
    stuck, alive = StubLiveness((9, 0, 0)), StubLiveness((2, 0, 0))
    both = Agreement([PresentationAttackDetection(one, 40) for one in (stuck, alive)])
    assert 0 < both.score(frame(portrait()), seen_face()).bona_fide < 1
    alive.logits = np.array([(3, 0, 0)], np.float32)
    assert math.isnan(both.score(frame(portrait("official")), seen_face()).bona_fide)


LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=5)


@given(logits=LOGITS, which=st.integers(0, 1))
def test_calibration_that_changes_nothing_is_the_softmax(logits: list[float], which: int) -> None:
    """With a = 1 and b = 0 the calibrated score is the softmax of the class that is bona fide."""
    same = StubLiveness((0, 0, 0), calibration=Calibration(a=1, b=0), bona_fide_class=which).entry
    found = np.array(logits, np.float32)
    assert bona_fide(found, same) == pytest.approx(softmax(found)[which], abs=1e-12)


@given(logits=LOGITS, a=st.floats(1e-3, 1e3), b=st.floats(-1e3, 1e3))
def test_calibrated_score_is_a_share_that_rises_with_the_logit(logits: list[float], a: float, b: float) -> None:
    """Any calibration gives 0..1, never less for more of the class that is bona fide, and NaN for NaN or infinity."""
    entry = StubLiveness((0, 0, 0), calibration=Calibration(a=a, b=b)).entry
    less, more = np.array(logits, np.float32), np.array(logits, np.float32)
    more[0] += 1
    assert 0 <= bona_fide(less, entry) <= bona_fide(more, entry) <= 1
    for mad in (math.nan, math.inf, -math.inf):
        more[-1] = mad
        assert math.isnan(bona_fide(more, entry))


def test_entry_says_crop_and_class() -> None:
    """The crop's scale and the class that is bona fide are the entry's own."""
    model = StubLiveness((9, 0, 0), crop_scale=1.0, bona_fide_class=1)
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[100:250, 200:350] = 255
    score = PresentationAttackDetection(model, 40).score(frame(picture), seen_face((200, 100, 350, 250)))
    assert score.bona_fide < 0.01
    assert (model.seen[0] == 255).all()
