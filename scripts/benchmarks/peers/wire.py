"""How a contestant is asked: one picture in, one line out. Rests on numpy alone: it runs in each one's environment.

A picture goes to standard input as two little-endian 32-bit numbers, rows and columns, and its RGB bytes. The answer
is one line of JSON on standard output: `ms`, `vector` (null for no face) and `scores` of liveness by name.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Read: TypeAlias = Callable[[NDArray[np.uint8]], tuple[list[float] | None, dict[str, float]]]

SIZE = struct.Struct("<II")


def serve(read: Read) -> None:
    """Answer pictures until standard input ends. The clock runs from the picture in memory to template and scores."""
    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while header := sys.stdin.buffer.read(SIZE.size):
        rows, columns = SIZE.unpack(header)
        content = sys.stdin.buffer.read(rows * columns * 3)
        pixels = np.frombuffer(content, np.uint8).reshape(rows, columns, 3)
        before = time.perf_counter()
        vector, scores = read(pixels)
        spent_ms = (time.perf_counter() - before) * 1e3
        answers.write(json.dumps({"ms": spent_ms, "vector": vector, "scores": scores}) + "\n")
        answers.flush()
