"""Liveness: one frame's score, which falls to the shut side."""

from __future__ import annotations

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
from appliance.pipeline.liveness import PresentationAttackDetection, context, softmax
from tests.pipeline.faces import frame, portrait, seen_face

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


class StubLiveness:
    """A liveness model whose logits a test sets."""

    side_px = 128

    def __init__(self, logits: tuple[float, float, float]) -> None:
        self.entry: ModelEntry = manifest.read().entry("liveness")
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
