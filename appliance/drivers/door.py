"""Which driver has the lines of this door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.door.hardware import Input, Output
from appliance.errors import DoorError

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.config import Settings
    from appliance.door.hardware import DoorHardware


def open_door(settings: Settings, state: Path) -> DoorHardware:
    """Return all lines that the settings name, claimed, the lock and every output low.

    A simulated door lives in the folder `simulated-door` of `state`. Raises DoorError, and then holds no line.
    """
    inputs = {Input(name): line for name, line in settings.inputs.lines.items()}
    outputs = {Output(name): pin for name, pin in settings.outputs.pins.items()}
    if settings.door.driver == "simulated":
        # Each driver is loaded where it is asked for: the libraries of the others need not be installed.
        from appliance.drivers.simulated_door import claim_simulated  # noqa: PLC0415

        return claim_simulated(state / "simulated-door", inputs, outputs)
    raise DoorError(f"door.driver {settings.door.driver} is not here yet")
