"""One step of installing: what it is called, whether it is left to do, and the doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done, or is not. After `do`, `needed` is false; a step that was cut off is still needed."""

    words: str  # one line
    needed: Callable[[], bool]
    do: Callable[[], None]  # raises InstallError
