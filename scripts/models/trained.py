"""Weights that were trained here, laid into the published network that the training started from.

A training is not repeated by a build: what it gave is kept beside this file, as float16, and pinned by its SHA-256.
The build takes the published .onnx file, puts these weights in place of its own and goes on as with any other.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from .sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Weights:
    """One training's result."""

    file: str  # under weights/, .npz by name of the published file's initializers
    sha256: str

    def laid_into(self, published: bytes) -> bytes:
        """Return the .onnx file with these weights in place of its own.

        Raises SourceError if the file is missing or is not the pinned one, or if a weight has no place or another
        shape.
        """
        path = FOLDER / self.file
        raw = path.read_bytes() if path.exists() else b""
        found = hashlib.sha256(raw).hexdigest()
        if found != self.sha256:
            raise SourceError(f"{path}: SHA-256 is {found}; it must be {self.sha256}")
        with np.load(io.BytesIO(raw), allow_pickle=False) as held:
            return replaced(published, dict(held))


def replaced(published: bytes, weights: Mapping[str, NDArray[np.float16]]) -> bytes:
    """Return the .onnx file with `weights` in place of its initializers of those names, as float32.

    Raises SourceError if it has no initializer of a name, or one of another shape.
    """
    model = onnx.load_model_from_string(published)
    places = {held.name: held for held in model.graph.initializer}
    for name, values in weights.items():
        if name not in places or tuple(places[name].dims) != values.shape:
            raise SourceError(f"trained weight {name} of shape {values.shape} has no place in the published model")
        places[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    return bytes(model.SerializeToString(deterministic=True))


def text(weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return the bytes of the .npz file that keeps these weights, as float16; the same weights give the same bytes."""
    kept = io.BytesIO()
    np.savez(kept, **{name: values.astype(np.float16) for name, values in sorted(weights.items())})  # type: ignore[arg-type]  # numpy's stub takes the names for options
    return kept.getvalue()
