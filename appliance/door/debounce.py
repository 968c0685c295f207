"""Debouncing: a contact that chatters is taken for what it settles on. A pure core."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.door.hardware import Edge, Input


class Debounce:
    """Holds each change back until it has lasted `settle_s`; the time it tells is that of the change itself."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._settled: dict[Input, bool] = {}
        self._pending: dict[Input, Edge] = {}
        self._lasted: list[Edge] = []

    @property
    def wake_s(self) -> float:
        """When `settled` has something to return if nothing more comes; inf for never."""
        if self._lasted:
            return -math.inf
        return min((edge.at_s for edge in self._pending.values()), default=math.inf) + self._settle_s

    def begin(self, input_: Input, *, active: bool) -> None:
        """Take this for how the input is, without a change."""
        self._settled[input_] = active
        self._pending.pop(input_, None)

    def feed(self, edges: Iterable[Edge], now_s: float) -> None:
        """Take in what came from the wire, oldest first."""
        for edge in edges:
            # A driver's clock that runs ahead of ours would hold an input back for as long.
            at_s = min(edge.at_s, now_s)
            self._settle(edge.input, at_s)  # however late we are called: a press that was long enough counts
            if edge.active == self._settled.get(edge.input):
                self._pending.pop(edge.input, None)
            elif edge.input not in self._pending:
                self._pending[edge.input] = replace(edge, at_s=at_s)

    def settled(self, now_s: float) -> tuple[Edge, ...]:
        """Return the changes that have lasted, oldest first, each once."""
        for input_ in tuple(self._pending):
            self._settle(input_, now_s)
        lasted = tuple(sorted(self._lasted, key=lambda edge: edge.at_s))
        self._lasted.clear()
        return lasted

    def _settle(self, input_: Input, now_s: float) -> None:
        pending = self._pending.get(input_)
        if pending is not None and not now_s < pending.at_s + self._settle_s:
            self.begin(input_, active=pending.active)
            self._lasted.append(pending)
