"""The model runtime: LiteRT, or its predecessor tflite-runtime where that is what is installed.

A file is hashed, and the very bytes that were hashed are loaded: 20 of 40 randomly corrupted model files
were measured to load and run without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from typing import TYPE_CHECKING

import numpy as np

from appliance.drivers import golden
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

MAX_FILE = 64 << 20  # bytes; the largest shipped one has 1.6 MB
MAX_TENSORS = 256 << 20  # bytes, as if none shared memory; the largest shipped model comes to 31 MB


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

    Raises ModelError with one line where the file is missing, altered, has other tensors than stated, is out of
    bounds as in `shapes`, or does not answer its golden vectors.
    """
    path = folder / entry.file
    content = file_content(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise ModelError(f"model {path} has SHA-256 {digest[:16]}...; the manifest allows only {entry.sha256[:16]}...")
    interpreter = _opened(content, path)
    found = _shapes(interpreter, path)
    stated = [entry.input_shape, *(output.shape for output in entry.output)]
    if found != stated:
        raise ModelError(f"model {path} has tensors {found} (input, outputs); the manifest says {stated}, float32")
    model = TfliteModel(entry, interpreter)
    golden.check(model, str(path))
    return model


def file_content(path: Path) -> bytes:
    """Return the bytes of a model file. Raises ModelError where it cannot be read or is larger than `MAX_FILE`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as fault:
        raise ModelError(f"model {path} cannot be read: {fault.strerror}") from fault
    if len(content) > MAX_FILE:
        raise ModelError(f"model {path} is larger than {MAX_FILE >> 20} MiB")
    return content


def shapes(content: bytes, path: Path) -> list[tuple[int, ...]]:
    """Return the shapes of a model's one input and of its outputs, in the interpreter's order.

    Raises ModelError with one line, which calls it `path`, where it is no model, has operators that the runtime
    does not know, several inputs, an input or output that is not float32, a tensor of no fixed shape, or tensors of
    more than `MAX_TENSORS` bytes in all.
    """
    return _shapes(_opened(content, path), path)


def _opened(content: bytes, path: Path) -> Interpreter:
    try:
        with _quiet():
            interpreter = Interpreter(model_content=content, num_threads=1)
            _check_size(interpreter, path)  # before anything is allocated for them
            interpreter.allocate_tensors()
            _check_size(interpreter, path)
    except (RuntimeError, ValueError, TypeError, MemoryError) as fault:
        raise ModelError(
            f"model {path} cannot be loaded: {(str(fault) or 'no reason given').splitlines()[0]}"
        ) from fault
    return interpreter


def _check_size(interpreter: Interpreter, path: Path) -> None:
    tensors = interpreter.get_tensor_details()
    for one in tensors:
        sizes = [int(n) for n in (*one["shape"], *one["shape_signature"])]
        if min(sizes, default=1) < 0:
            raise ModelError(f"model {path} has a tensor of no fixed shape, {one['name']}; convert it for a batch of 1")
    total = sum(math.prod(int(n) for n in one["shape"]) * np.dtype(one["dtype"]).itemsize for one in tensors)
    if total > MAX_TENSORS:
        raise ModelError(f"model {path} has tensors of {total >> 20} MiB in all; {MAX_TENSORS >> 20} are allowed")


def _shapes(interpreter: Interpreter, path: Path) -> list[tuple[int, ...]]:
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found = [tuple(int(n) for n in detail["shape"]) for detail in (*inputs, *outputs)]
    if len(inputs) != 1 or any(detail["dtype"] != np.float32 for detail in (*inputs, *outputs)):
        kinds = ", ".join(np.dtype(detail["dtype"]).name for detail in (*inputs, *outputs))
        raise ModelError(
            f"model {path} has {len(inputs)} inputs and tensors {found} of {kinds}; "
            "one input is needed, and float32 at both ends"
        )
    return found


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
