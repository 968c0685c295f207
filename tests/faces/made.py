"""Faces and thresholds that tests of the package compare: made up in few dimensions, and the two portraits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from appliance.faces.comparing import ListedFace, Thresholds
from appliance.manifest import Impostors
from appliance.pipeline.embedding import unit
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.records import Embedding

MODEL = "made"
IMPOSTORS = Impostors(
    data="made up", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)
THRESHOLDS = Thresholds(IMPOSTORS, None, 1e-3, 0.08)


def facing(*numbers: float, dimension: int = 8, model: str = MODEL) -> Embedding:
    """Return a face in this direction."""
    vector = np.zeros(dimension)
    vector[: len(numbers)] = numbers
    embedding = unit(vector, model)
    assert embedding is not None
    return embedding


def at(cosine: float) -> Embedding:
    """Return a face of this similarity to `facing(1)`."""
    return facing(cosine, float(np.sqrt(1 - cosine**2)))


def listed(name: str, face: Embedding, *, enrolled: bool = False) -> ListedFace:
    """Return a face of a list."""
    return ListedFace(name, face, enrolled)


def head(face: str = "astronaut") -> NDArray[np.uint8]:
    """Return (256, 256, 3) RGB: a portrait's head alone, which is read in a quarter of the time."""
    left = {"astronaut": 97, "official": 130}[face]
    return np.ascontiguousarray(portrait(face)[:256, left : left + 256])


def two_heads() -> NDArray[np.uint8]:
    """Return (256, 512, 3) RGB: the astronaut, and to the right the official, whose face is larger."""
    return np.hstack([head("astronaut"), head("official")])
