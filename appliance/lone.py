"""One reader at a time: two on one state folder would decide about the same visit twice."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from appliance.errors import HardwareError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def only_one(path: Path, held: str = "") -> Iterator[None]:
    """Hold the lock file while the block runs; the kernel lets it go when the process dies.

    Raises HardwareError with one line where another process holds it: `held`, or that a reader is running there.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise HardwareError(f"lock file {path} cannot be made: {fault.strerror}") from fault
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            raise HardwareError(held or f"another reader is running on {path.parent}; only one may") from fault
        yield
    finally:
        os.close(file)
