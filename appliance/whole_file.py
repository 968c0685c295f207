"""Files that are there whole or not at all, readable by their owner alone."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from appliance.errors import RefusedError, StorageError
from appliance.storage import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write, which stands at `path`, mode 0600 and durable, once the block ends without raising.

    Raises RefusedError where something stands there already that is not to be replaced, StorageError where it cannot
    be written.
    """
    if path.exists() and not replace:
        raise RefusedError(f"file {path} exists and is not overwritten")
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        # Root writes into folders of others, who could have laid a link there.
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as fault:
        raise StorageError(f"file {path} cannot be written: {fault.strerror}") from fault
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Have the file hold these bytes, durable and for its owner alone; after a fault or a power cut, all or none.

    Raises StorageError.
    """
    with new_file(path, replace=True) as file:
        file.write(content)
