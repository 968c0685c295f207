"""Making thousands of files durable at once."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync_disk(folder: Path) -> None:
    """Make durable whatever was written to the file system that a folder is on. Raises OSError.

    One fsync a file would take an SD card minutes.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(handle):  # syncfs(2): Linux tells a failed write here since 5.8
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)
