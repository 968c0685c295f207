"""Places: how many may listen at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from appliance.web.desk import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Places:
    """So many places, each taken by one while a block runs. Belongs to the event loop."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place while the block runs. Raises BusyError where all are taken."""
        if self._taken >= self._count:
            raise BusyError(f"{self._count} listen already; end one of those, or try again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
