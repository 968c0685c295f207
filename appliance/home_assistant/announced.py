"""Where the device was described last, in the state folder: what is retained at a broker outlives us."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from appliance.errors import StorageError
from appliance.whole_file import write_file

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Announced:
    """The topic of the last description. What cannot be read or noted costs a line in the log, never a turn."""

    def __init__(self, state: Path) -> None:
        self._file = state / "home-assistant.topic"
        self._topic: str | None = None  # None until it was read

    def turn(self, topic: str) -> tuple[str, ...]:
        """Note that the device is described there now, "" for nowhere, and return where it must be taken back."""
        if self._topic is None:
            self._topic = self._read()
        if self._topic == topic:
            return ()
        before, self._topic = self._topic, topic
        try:
            write_file(self._file, topic.encode())
        except StorageError as fault:
            _log.error("%s", fault)
        return (before,) if before else ()

    def _read(self) -> str:
        try:
            return self._file.read_text(encoding="ascii")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as fault:
            _log.error("file %s cannot be read: %s", self._file, fault)
            return ""
