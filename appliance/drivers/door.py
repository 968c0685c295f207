"""Which driver has the lines of this door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.door.hardware import Input, Output
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.config import Line, Settings
    from appliance.door.hardware import DoorHardware


def open_door(settings: Settings, state: Path) -> DoorHardware:
    """Return all lines that the settings name, claimed, the lock and every output low.

    A simulated door lives in the folder `simulated-door` of `state`. Raises DoorError, and then holds no line.
    """
    inputs = {Input(name): line for name, line in settings.inputs.lines.items()}
    outputs = {Output(name): pin for name, pin in settings.outputs.pins.items()}
    try:
        return _claimed(settings, state, inputs, outputs)
    except ImportError as fault:
        raise DoorError(f"door.driver {settings.door.driver} is not installed: {fault}") from fault


def _claimed(
    settings: Settings, state: Path, inputs: Mapping[Input, Line], outputs: Mapping[Output, int]
) -> DoorHardware:
    # Each driver is loaded where it is asked for: the libraries of the others need not be installed.
    if settings.door.driver == "simulated":
        from appliance.drivers.simulated_door import claim_simulated  # noqa: PLC0415

        return claim_simulated(state / "simulated-door", inputs, outputs)
    if settings.door.driver == "gpiochip":
        from appliance.drivers.gpiochip import Chip, claim_gpiochip  # noqa: PLC0415

        return claim_gpiochip(Chip(settings.door.chip), settings.door.relay_pin, inputs, outputs)
    from appliance.drivers.gpio import claim_gpio  # noqa: PLC0415

    return claim_gpio(settings.door.relay_pin, inputs, outputs)
