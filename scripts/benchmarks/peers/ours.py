"""The shipped stages as a contestant: every stage on every frame, nothing remembered from the frame before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.config import Settings
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame, frozen
from scripts.benchmarks.folder import central
from scripts.benchmarks.peers.wire import serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reading:
    """Reads one picture: detection, alignment, quality, liveness, embedding."""

    def __init__(self) -> None:
        self._stages = ModelStages(Settings())

    def read(self, pixels: NDArray[np.uint8]) -> tuple[list[float] | None, dict[str, float]]:
        """Return the template of the face nearest to the middle and its bona fide score; (None, {}) for no face."""
        frame = Frame(frozen(pixels), 0.0, 0)
        face = central(self._stages.detect(frame), frame)
        if face is None:
            return None, {}
        geometry = self._stages.align(frame, face)
        self._stages.assess(frame, face, geometry)
        liveness = self._stages.score(frame, face)
        embedding = self._stages.embed(geometry.crop)
        scores = {} if liveness is None else {"bona_fide": liveness.bona_fide}
        return (None if embedding is None else embedding.vector.tolist()), scores


if __name__ == "__main__":
    serve(Reading().read)
