"""The code that Home Assistant must give with every order, for it can sign nothing; and how often it may be wrong.

Two files, one writer each: the code is written by the command line, the count by the reader. A new code has a new salt
and so another hash, which is how the count knows that it is of an earlier code.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from appliance.access.pin import PinWord, hash_pin, verify
from appliance.errors import RefusedError, StorageError
from appliance.storage import sync_folder
from appliance.whole_file import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

MIN_DIGITS, MAX_DIGITS = 6, 12
FREE = 5  # wrong codes in a row before each further one costs a pause
PAUSE_S = 30.0
MOST = 50  # wrong codes in a row until a new code is set


class Tried(StrEnum):
    """What became of one entered code."""

    RIGHT = "right"
    WRONG = "wrong"
    WAIT = "wait"  # too many in a row: not looked at
    LOCKED = "locked"  # far too many: not looked at until `ostiary ha code` sets a new one
    UNSET = "unset"  # there is no code
    REPEATED = "repeated"  # an order of that moment, or a later one, was taken already


WORDS: Mapping[Tried, str] = MappingProxyType(
    {
        Tried.RIGHT: "the code is right",
        Tried.WRONG: "the code is wrong",
        Tried.WAIT: f"too many wrong codes: after each, none is looked at for {PAUSE_S:.0f} s",
        Tried.LOCKED: f"{MOST} wrong codes in a row: set one anew with ostiary ha code",
        Tried.UNSET: "there is no code: set one with ostiary ha code",
        Tried.REPEATED: "an order of that moment or a later one was taken before",
    }
)


@dataclass(frozen=True, slots=True)
class _Count:
    """What is remembered of the codes that were tried."""

    of: str  # which code: a digest of its hash
    wrong: int = 0  # in a row
    tried_at: float = 0.0  # Unix seconds by our clock
    taken_at: float = 0.0  # Unix seconds by the clock of Home Assistant: moment of the last order with the right code


class CodeFile:
    """The code in the state folder, mode 0600; only its argon2 hash is kept, and no log or message has it.

    One thread may `enter` codes; that takes a quarter of a second on a small board.
    """

    def __init__(self, folder: Path) -> None:
        self._code = folder / "home-assistant.code"
        self._count = folder / "home-assistant.count"

    @property
    def is_set(self) -> bool:
        """Whether there is a code."""
        return self._code.exists()

    def set(self, code: str) -> None:
        """Take this code in place of the one before, and count wrong ones from nothing.

        Raises RefusedError, without the code in it, for what may not be one, and StorageError.
        """
        if not MIN_DIGITS <= len(code) <= MAX_DIGITS:
            raise RefusedError(f"this code is not {MIN_DIGITS} to {MAX_DIGITS} digits")
        write_file(self._code, hash_pin(code).encode())

    def remove(self) -> None:
        """Take no code any more. Raises StorageError."""
        try:
            self._code.unlink(missing_ok=True)
            sync_folder(self._code.parent)
        except OSError as fault:
            raise StorageError(f"file {self._code} cannot be removed: {fault.strerror}") from fault

    def enter(self, code: str, at: float, now: float) -> Tried:
        """Return what this code is worth, of an order made `at`, in Unix seconds, as `now` is.

        A try is on the disk before it is judged, and an order before it is carried out: pulling the plug gives neither
        a free guess nor an order twice. Raises StorageError where that cannot be, or the code cannot be read.
        """
        kept = self._kept()
        if not kept:
            return Tried.UNSET
        count = self._load(hashlib.sha256(kept.encode()).hexdigest())
        if count.wrong >= MOST:
            return Tried.LOCKED
        if count.wrong >= FREE and not now - count.tried_at >= PAUSE_S:  # this way round, a clock set back waits
            return Tried.WAIT
        if not at > count.taken_at:
            return Tried.REPEATED
        self._save(_Count(count.of, count.wrong + 1, now, count.taken_at))
        if verify(code, kept, "") is not PinWord.RIGHT:
            return Tried.WRONG
        self._save(_Count(count.of, 0, now, at))
        return Tried.RIGHT

    def _kept(self) -> str:
        try:
            return self._code.read_text(encoding="ascii")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as fault:
            raise StorageError(f"file {self._code} cannot be read: {fault}") from fault

    def _load(self, of: str) -> _Count:
        try:
            count = _Count(**json.loads(self._count.read_bytes()))
            sound = isinstance(count.wrong, int) and isinstance(count.tried_at + count.taken_at, float)
        except FileNotFoundError:
            return _Count(of)
        except (OSError, ValueError, TypeError, RecursionError) as fault:
            _log.error("%s cannot be read (%s): set a new code with: ostiary ha code", self._count, fault)
            return _Count(of, MOST)
        if not sound:
            return _Count(of, MOST)
        return count if count.of == of else _Count(of, taken_at=count.taken_at)

    def _save(self, count: _Count) -> None:
        write_file(self._count, json.dumps(asdict(count)).encode())
