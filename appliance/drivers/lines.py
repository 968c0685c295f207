"""What the drivers of door lines share: claiming all or none, edges out of reports, kernels not to be trusted."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.door.hardware import Edge
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from appliance.door.hardware import Input, InputLines, LockOutput, OutputLines

# Raspberry Pi's kernels keep a released line at its last level unless told otherwise (raspberrypi/linux #6117,
# #6150): a killed controller would leave the door open. `dtparam=strict_gpiod` turns that off.
PERSISTENCE = (
    Path("/sys/module/pinctrl_bcm2835/parameters/persist_gpio_outputs"),
    Path("/sys/module/pinctrl_rp1/parameters/persist_gpio_outputs"),
)


@dataclass(frozen=True, slots=True, eq=False)
class ClaimedDoor:
    """A DoorHardware whose lines are all claimed."""

    lock: LockOutput
    outputs: OutputLines
    inputs: InputLines
    release: Callable[[], object]  # lets go of what the lines were claimed from

    def close(self) -> None:
        """Lock first, then switch off and release everything, whichever of it fails."""
        with contextlib.ExitStack() as last_first:
            last_first.callback(self.release)
            last_first.callback(self.inputs.close)
            last_first.callback(self.outputs.close)
            last_first.callback(self.lock.close)


def claim(
    lock: Callable[[], LockOutput],
    outputs: Callable[[], OutputLines],
    inputs: Callable[[], InputLines],
    release: Callable[[], object] = lambda: None,
) -> ClaimedDoor:
    """Return all lines, claimed in this order; where one is not to be had, everything is let go of again."""
    with contextlib.ExitStack() as claimed:
        claimed.callback(release)
        door = ClaimedDoor(
            lock=claimed.enter_context(contextlib.closing(lock())),
            outputs=claimed.enter_context(contextlib.closing(outputs())),
            inputs=claimed.enter_context(contextlib.closing(inputs())),
            release=release,
        )
        claimed.pop_all()
    return door


class Changes:
    """Edges out of what a chip reports, which may be twice the same, late, or not at all."""

    def __init__(self, levels: Mapping[Input, bool]) -> None:
        self._levels = dict(levels)
        self._at_s = 0.0
        self._edges: list[Edge] = []

    def note(self, line: Input, *, active: bool, at_s: float) -> None:
        """Keep this as an edge where the line was not so already; times never fall."""
        if active is not self._levels[line]:
            self._levels[line] = active
            self._at_s = max(self._at_s, at_s)
            self._edges.append(Edge(line, active, self._at_s))

    def take(self) -> tuple[Edge, ...]:
        """Return the edges since the last call, oldest first, and forget them."""
        edges, self._edges = tuple(self._edges), []
        return edges


def demand_release_on_death(parameters: Iterable[Path] = PERSISTENCE) -> None:
    """Raise DoorError where the kernel would keep a dead process's line high; an absent parameter is fine."""
    for parameter in parameters:
        try:
            persists = parameter.read_text(encoding="ascii").strip() == "Y"
        except OSError:  # not this board's chip, or a kernel that always releases
            continue
        if persists:
            msg = f"lock output is unsafe: {parameter} is Y; add dtparam=strict_gpiod to config.txt and reboot"
            raise DoorError(msg)


def one_line(fault: Exception) -> str:
    """Return what a library says of its fault, on one line and never empty."""
    return " ".join(str(fault).split()) or type(fault).__name__
