"""A pin of gpiozero's mock chip with something on its wire, and a note of every level it was driven to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpiozero.pins.mock import MockFactory, MockPin

if TYPE_CHECKING:
    from appliance.config import Line


class WiredPin(MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A pin whose level as an input is its wire's: low while a contact to ground is closed, else the pull's.

    The mock alone puts the level of the pull on the pin whenever the pull is set, as if nothing were wired.
    """

    closed = False
    deaf = False  # whether changes are not reported, as when the chip loses an interrupt

    def wire(self, *, closed: bool) -> None:
        """Close or open the contact."""
        self.closed = closed
        if self._function == "input":
            if self.deaf:
                self._state = not closed
            else:
                self._set_pull(self._pull)

    def _set_pull(self, value: str) -> None:
        super()._set_pull("down" if self.closed else value)
        self._pull = value

    def _change_state(self, value: bool) -> bool:
        changed = bool(super()._change_state(value))
        if changed and self._function == "output":
            self.factory.driven.append((self._number, int(value)))
        return changed


class WiredChip(MockFactory):  # type: ignore[misc]  # gpiozero has no types
    """A mock chip of WiredPins; `driven` holds every (BCM, level) that an output changed to, oldest first."""

    def __init__(self) -> None:
        super().__init__(pin_class=WiredPin)
        self.driven: list[tuple[int, int]] = []

    def wire(self, line: Line, *, closed: bool) -> None:
        """Close or open the contact on this line."""
        self.pin(f"GPIO{line.pin}").wire(closed=closed)
