"""What a door must not forget while its controller is away: a forced opening, a fire, a lockdown."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from appliance.door.machine import Latches

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

DOUBT = Latches(lockdown_by="controller")


class LatchFile:
    """The latches in the file at `path`, each change durable when `save` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: Latches | None = None

    def load(self) -> Latches:
        """Return what was saved; nothing latched where there is no file.

        A file that cannot be read might have held a lockdown, so that is what it counts as.
        """
        try:
            table = json.loads(self._path.read_bytes())
            latches = Latches(**table)
            if not _is_sound(latches):
                raise ValueError("a value is of the wrong type")  # noqa: TRY301 - the same end as any other damage
        except FileNotFoundError:
            return Latches()
        except (OSError, ValueError, TypeError, RecursionError) as fault:
            _log.error("%s cannot be read (%s): entry is refused until somebody ends the lockdown", self._path, fault)
            return DOUBT
        self._saved = latches
        return latches

    def save(self, latches: Latches) -> None:
        """Keep these, where they changed. A disk that does not take them costs a log line, never the door."""
        if latches == (self._saved or Latches()):
            return
        fresh = self._path.with_suffix(".new")
        try:
            with open(fresh, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(json.dumps(asdict(latches)).encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            _sync(self._path.parent)
        except OSError as fault:
            _log.error("%s cannot be written: %s", self._path, fault.strerror)
            return
        self._saved = latches


def _is_sound(latches: Latches) -> bool:
    flags = isinstance(latches.forced, bool) and isinstance(latches.fire, bool)
    # No longer and no stranger than the messages that carry it.
    by = latches.lockdown_by
    return flags and isinstance(by, str) and len(by) <= 128 and by.isascii() and by.isprintable()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
