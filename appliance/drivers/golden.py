"""Golden vectors: what a model must answer to a picture that came with the program.

RGB read as BGR, or 0..1 where 0..255 is meant, fails in silence: the scores are plausible and wrong. What the model
answered where it was made tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance import pixels
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES
from appliance.errors import ModelError
from appliance.manifest import GOLDEN_SIDE_PX, Golden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry

# Of the output's spread, for the rounding of another processor. Swapped colours moved the shipped embedders and
# liveness models by 0.09 to 0.47 of it, 0..1 where 0..255 is meant (or the reverse) by 0.23 to 1.0.
TOLERANCE = 0.05
NOISE_SEED = 5


class Model(Protocol):
    """A loaded model."""

    entry: ModelEntry

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        ...

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float32], ...]:
        """Return the outputs for a square RGB picture."""
        ...


def check(model: Model, name: str) -> None:
    """Hold the model to the golden vectors of its entry. Raises ModelError where it answers otherwise."""
    for number, golden in enumerate(model.entry.golden, 1):
        found = _answer(model, golden)
        expected = np.array(golden.output)
        if found.shape != expected.shape:
            raise ModelError(f"model {name}: golden vector {number} has {expected.size} numbers; it gives {found.size}")
        difference = float(np.abs(found - expected).max())
        if not difference <= golden.max_difference:  # this way round, NaN is refused
            raise ModelError(
                f"model {name} differs from its golden vector {number} by {difference:.3g}; "
                f"{golden.max_difference:.3g} is allowed (another colour order, mean or scale?)"
            )


def record(model: Model) -> Golden:
    """Return what the model answers now as a golden vector: it guards against change, not against a wrong entry."""
    found = _answer(model, whole("astronaut"))
    spread = float(found.max() - found.min())
    return whole("astronaut").model_copy(
        update={"output": tuple(float(n) for n in found), "max_difference": TOLERANCE * spread}
    )


def differing(side_px: int) -> Iterator[NDArray[np.uint8]]:
    """Return pictures of this side that no model can take for one another: two faces, and noise."""
    for name in ("astronaut", "official"):
        yield picture(whole(name), side_px)
    yield np.random.default_rng(NOISE_SEED).integers(0, 256, (side_px, side_px, 3)).astype(np.uint8)


def whole(name: str) -> Golden:
    """Return a golden vector of the whole picture that says nothing yet."""
    side = GOLDEN_SIDE_PX
    return Golden.model_validate(
        {"picture": name, "rectangle": (0, 0, side, side), "output": (), "max_difference": 1.0}
    )


def picture(golden: Golden, side_px: int) -> NDArray[np.uint8]:
    """Return the (S, S, 3) RGB picture that a golden vector is about; of its rectangle's size it is not resampled."""
    return pixels.crop(read_photo(FACES / f"{golden.picture}.png"), golden.rectangle, side_px)


def _answer(model: Model, golden: Golden) -> NDArray[np.float64]:
    return model.run(picture(golden, model.side_px))[0].reshape(-1).astype(np.float64)
