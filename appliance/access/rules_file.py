"""The rules as they lie on disk: read at the start, and again whenever the file is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance import config
from appliance.access.rules import Rules, parse
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class RulesFile:
    """`access.toml` at `path`. Once there are rules, some always hold: after a bad edit or a loss, the last good ones.

    Raises ConfigError, one line, where the file is bad at the start, or missing although it is `required`.
    """

    def __init__(self, path: Path | None, *, required: bool = False) -> None:
        self._path = path
        self.rules: Rules | None = None  # None where there is no file: whoever is enrolled may enter
        self._seen: tuple[int, int, int] | None = None
        if path is not None and (required or path.exists()):
            self._seen = _print_of(path)
            self.rules = _read(path)

    def refresh(self) -> str | None:
        """Take in a change of the file. Return None where there is none, "" for new rules, or in one line why not.

        A fault is told once, until the file is changed again.
        """
        if self._path is None or (seen := _print_of(self._path)) == self._seen:
            return None
        self._seen = seen
        try:
            self.rules = _read(self._path)
        except ConfigError as fault:
            return f"{fault}; the rules from before still hold"
        return ""


def _read(path: Path) -> Rules:
    return parse(config.read(path), str(path))


def _print_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file is edited or replaced; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
