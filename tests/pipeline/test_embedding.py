"""Embedding: a unit vector or nothing, and the very vectors that were measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import manifest
from appliance.drivers.tflite import load_model
from appliance.pipeline.embedding import Embedder, agreeing, fuse, unit
from tests.pipeline.faces import direction, portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
DIMENSIONS = {"a": 512, "b": 192}
NUMBERS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8)


class StubEmbedder:
    """An embedder whose vector a test sets."""

    def __init__(self, vector: NDArray[np.float32]) -> None:
        self.entry: ModelEntry = manifest.read().entry("embedder")
        self._vector = vector

    def run(self, _pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return what was set."""
        return (self._vector,)


def golden_crop() -> NDArray[np.uint8]:
    """Return a face of 112x112: every second pixel of a portrait, so that no interpolation can change it."""
    return np.ascontiguousarray(portrait("official")[70:294:2, 147:371:2])


@pytest.mark.parametrize("which", ["a", "b"])
def test_golden_vector_pins_the_embedder(which: str) -> None:
    """Both embedders load and give the template that was recorded, at cosine 0.999 or more, of unit length."""
    embedder = Embedder(load_model(manifest.read().entry("embedder", f"face_embedder_{which}"), manifest.SHIPPED))
    embedding = embedder.embed(golden_crop())
    golden = unit(np.array(GOLDEN["embedding"][which]), embedder.model_id)
    assert embedding is not None
    assert golden is not None
    assert embedding.vector.shape == (embedder.dimension,) == (DIMENSIONS[which],)
    assert embedding.model_id == embedder.model_id == GOLDEN["model_id"][which]
    assert not embedding.vector.flags.writeable
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
    assert float(embedding.vector @ golden.vector) >= 0.999


@pytest.mark.parametrize("which", ["a", "b"])
def test_swapped_colours_break_the_golden_vector(which: str) -> None:
    """Red and blue swapped give another template: the order cannot be wrong without this file saying so."""
    embedder = Embedder(load_model(manifest.read().entry("embedder", f"face_embedder_{which}"), manifest.SHIPPED))
    swapped = embedder.embed(np.ascontiguousarray(golden_crop()[:, :, ::-1]))
    golden = unit(np.array(GOLDEN["embedding"][which]), embedder.model_id)
    assert swapped is not None
    assert golden is not None
    assert float(swapped.vector @ golden.vector) < 0.97


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_mad_model_gives_no_template(bad: float) -> None:
    """One NaN or infinity among 512 numbers, or nothing but zeros, is a frame not read (C1, C3)."""
    vector = np.ones(512, np.float32)
    vector[100] = bad
    crop = golden_crop()
    assert Embedder(StubEmbedder(vector)).embed(crop) is None
    assert Embedder(StubEmbedder(np.zeros(512, np.float32))).embed(crop) is None


@given(numbers=NUMBERS, scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_unit_keeps_the_direction(numbers: list[float], scale: float) -> None:
    """Whatever its length, a vector comes out with length 1 and the same direction, or not at all (C4)."""
    vector = scale * np.array(numbers)
    embedding = unit(vector, "m")
    length = float(np.linalg.norm(vector))
    if embedding is None:
        assert not length > 1e-6
    else:
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)
        assert np.allclose(embedding.vector * length, vector, atol=1e-5 * length)


def test_fusing_weighs_and_normalises() -> None:
    """The fused template is the weighted mean direction; a weight of 0 does not count."""
    one, other = direction(1, 0), direction(0, 1)
    fused = fuse([one, other], [2.0, 1.0])
    assert fused is not None
    assert np.allclose(fused.vector[:2], np.array([2, 1]) / np.sqrt(5))
    alone = fuse([one, other], [1.0, 0.0])
    assert alone is not None
    assert np.allclose(alone.vector, one.vector)


@pytest.mark.parametrize("place", range(5))
def test_fusing_drops_the_one_that_disagrees(place: int) -> None:
    """One frame in which somebody else was read does not move the probe, wherever among the others it stands (B7)."""
    own = [direction(1, 0.1 * number, 0.3) for number in range(4)]
    mixed = [*own[:place], direction(0.3, 0, 0, 1), *own[place:]]
    fused, clean = fuse(mixed, [1.0] * 5), fuse(own, [1.0] * 4)
    assert fused is not None
    assert clean is not None
    assert np.allclose(fused.vector, clean.vector)


@given(rows=st.lists(NUMBERS, min_size=0, max_size=12))
def test_most_templates_always_agree(rows: list[list[float]]) -> None:
    """Whatever is fused, at least half of it counts, and of fewer than three all of it."""
    read = [one.vector for one in (unit(np.array(row), "m") for row in rows) if one is not None]
    if not read:
        return
    kept = agreeing(np.stack(read))
    assert kept.sum() * 2 >= len(read)
    assert len(read) >= 3 or kept.all()


def test_fusing_nothing_or_opposites_gives_nothing() -> None:
    """No templates, and templates that cancel out, have no direction."""
    assert fuse([], []) is None
    assert fuse([direction(1, 0), direction(-1, 0)], [1.0, 1.0]) is None


def test_fusing_across_models_is_refused() -> None:
    """Templates of two models have no mean (C9)."""
    stranger = unit(np.ones(8), "another")
    assert stranger is not None
    with pytest.raises(ValueError, match="another"):
        fuse([direction(1), stranger], [1.0, 1.0])
