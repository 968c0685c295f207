"""Which pin a switch hangs at: every free pin is read, and the one that changes while somebody moves it is it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.door.hardware import InputLines

LOOK_S = 0.02
SETTLE_S = 0.3  # a contact bounces for 50 ms at most; a hand holds for longer
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Wired:
    """A switch that was found."""

    pin: int
    normally_closed: bool  # the circuit was closed before it was moved

    def __str__(self) -> str:
        """As `[inputs]` writes it."""
        return f"{self.pin} {'NC' if self.normally_closed else 'NO'}"


def judged(rest: Mapping[int, bool], moved: Mapping[int, bool]) -> Wired | None:
    """Return the pin that is another than at rest, True being a closed circuit; None where none is.

    Raises RefusedError where more than one is: two wires touch, or two switches were moved.
    """
    changed = [pin for pin, closed in rest.items() if moved[pin] is not closed]
    if len(changed) > 1:
        raise RefusedError(f"pins {', '.join(map(str, changed))} changed together; move one switch alone")
    return Wired(changed[0], normally_closed=rest[changed[0]]) if changed else None


def find(
    pins: Mapping[int, InputLines],
    rest: Mapping[int, bool],
    wait_s: float = WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Wired | None:
    """Return the switch that is moved within `wait_s` and held for 0.3 s; None where none is.

    Each of `pins` has one input, active while its circuit is closed; `rest` is how they were before. Raises
    RefusedError where more than one changes, and DoorError where the pins cannot be read.
    """
    since_s = clock()
    end_s = since_s + wait_s
    found: Wired | None = None
    while clock() < end_s:
        sleep(LOOK_S)
        now = judged(rest, closed(pins))
        if now != found:
            found, since_s = now, clock()
        elif found is not None and clock() - since_s >= SETTLE_S:
            return found
    return None


def closed(pins: Mapping[int, InputLines]) -> dict[int, bool]:
    """Return by pin whether its circuit is closed now."""
    return {pin: any(lines.levels().values()) for pin, lines in pins.items()}
