"""Consent texts: what people are asked to agree to, in versions and languages, each known by its hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import RefusedError, UsageError

SHIPPED = Path(__file__).parent / "consent_texts"
MAX_BYTES = 64 * 1024
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class ConsentText:
    """One text that was, or is to be, agreed to."""

    version: str
    language: str
    text: str
    sha256: str  # of the file's bytes, 64 hex digits


class ConsentTexts:
    """The texts in `folder`, as VERSION/LANGUAGE.txt in UTF-8; without one, those that came with the program.

    Raises UsageError, one line, where the folder or a text in it cannot be read.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or SHIPPED

    def versions(self) -> tuple[str, ...]:
        """Return every version, the newest last: numbers in them count as numbers. Raises UsageError for none."""
        try:
            names = [path.name for path in self._folder.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name)]
        except OSError as fault:
            raise UsageError(f"consent texts {self._folder} cannot be read: {fault.strerror}") from fault
        if not names:
            raise UsageError(f"consent texts {self._folder} hold no version: VERSION/LANGUAGE.txt is wanted")
        return tuple(sorted(names, key=_in_order))

    def languages(self, version: str) -> tuple[str, ...]:
        """Return the languages of a version, sorted; () for a version that there is not."""
        if not _VERSION.fullmatch(version):
            return ()
        names = (path.stem for path in (self._folder / version).glob("*.txt"))
        return tuple(sorted(name for name in names if _LANGUAGE.fullmatch(name)))

    def read(self, language: str, version: str = "") -> ConsentText:
        """Return the text in this language, of the newest version where none is named.

        Raises RefusedError where there is none, with those that there are: another language is not what was agreed to.
        """
        versions = self.versions()
        wanted = version or versions[-1]
        if wanted not in versions:
            raise RefusedError(f"there is no consent text {wanted!r}; there are {', '.join(versions)}")
        languages = self.languages(wanted)
        if language not in languages:
            there = ", ".join(languages) or "none"
            raise RefusedError(f"consent text {wanted} is not there in {language!r}; its languages are {there}")
        return _text(self._folder / wanted / f"{language}.txt", wanted, language)


def _text(path: Path, version: str, language: str) -> ConsentText:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"consent text {path} cannot be read: {fault}") from fault
    if not text.strip() or len(content) > MAX_BYTES:
        raise UsageError(f"consent text {path} has {len(content)} bytes; 1 to {MAX_BYTES} of text are wanted")
    return ConsentText(version, language, text, hashlib.sha256(content).hexdigest())


def _in_order(version: str) -> list[tuple[int, str]]:
    """Return what puts 2 before 10, and 2026-3 before 2026-11."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBERS.split(version)]
