"""QR codes in the terminal and as a picture file, for every command that gives somebody a code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_PNG_SCALE = 8  # pixels a module: 424 a side
_HALVES = {(False, False): " ", (True, False): "\u2580", (False, True): "\u2584", (True, True): "\u2588"}


def lines_of(code: NDArray[np.bool_]) -> list[str]:
    """Return the code in half blocks, two rows a line, to be shown dark on light."""
    rows = code.tolist()
    if len(rows) % 2:
        rows.append([False] * len(rows))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_HALVES[upper, lower] for upper, lower in zip(*pair, strict=True)) for pair in pairs]


def write_png(path: Path, code: NDArray[np.bool_], what: str) -> None:
    """Write the code to a new file, mode 0600; `what` was issued and shown already.

    Raises RefusedError where the file exists, UsageError where it cannot be written.
    """
    from appliance.drivers.photo import encode_png  # noqa: PLC0415  a list must not load the image library
    from appliance.drivers.qr import drawn  # noqa: PLC0415  as above

    issued = f"the {what} is issued and shown above"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encode_png(drawn(code, _PNG_SCALE)))
    except FileExistsError as fault:
        raise RefusedError(f"{path} exists and is not overwritten; {issued}") from fault
    except OSError as fault:
        raise UsageError(f"{path} cannot be written: {fault.strerror}; {issued}") from fault
