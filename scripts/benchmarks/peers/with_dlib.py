"""What `face_recognition` 1.3.0 does with a picture, call by call, over PyPI dlib-bin and face_recognition_models.

The package itself asks for dlib as source, which needs a compiler and CMake; its calls are few, and are these.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import dlib  # type: ignore[import-not-found]  # installed for this bench alone

from scripts.benchmarks.peers.wire import serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UPSAMPLE = 1  # face_recognition.face_locations
JITTERS = 1  # face_recognition.face_encodings, whose default is the five-point predictor


def models() -> Path:
    """Return the folder of the .dat files. Raises ModuleNotFoundError."""
    # Found, not imported: the package imports pkg_resources, which setuptools no longer has.
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("face_recognition_models is not installed")
    return Path(found.origin).parent / "models"


class Reading:
    """Reads one picture: HOG detector, five points, ResNet of 128 numbers. There is no liveness."""

    def __init__(self) -> None:
        folder = models()
        self._detect = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._embed = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def read(self, pixels: NDArray[np.uint8]) -> tuple[list[float] | None, dict[str, float]]:
        """Return the template of the face nearest to the middle; (None, {}) for no face."""
        rows, columns = pixels.shape[:2]

        def off_centre(box: dlib.rectangle) -> float:
            return float(abs(box.left() + box.right() - columns) + abs(box.top() + box.bottom() - rows))

        box = min(self._detect(pixels, UPSAMPLE), key=off_centre, default=None)
        if box is None:
            return None, {}
        points = self._points(pixels, box)
        return list(self._embed.compute_face_descriptor(pixels, points, JITTERS)), {}


if __name__ == "__main__":
    serve(Reading().read)
