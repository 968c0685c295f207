"""Which driver has the lines of this door."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from appliance.door.hardware import Input, Output
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from appliance.config import Line, Settings
    from appliance.door.hardware import DoorHardware, InputLines


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


@contextlib.contextmanager
def open_pins(settings: Settings, state: Path, pins: Iterable[int]) -> Iterator[dict[int, InputLines]]:
    """Give those of these pins that can be had, each as one input that is active while its circuit is closed.

    Each is pulled up and only read. Raises DoorError where the board has none that can.
    """
    with contextlib.ExitStack() as claimed:
        try:
            opener = _opener(settings, state, claimed)
        except ImportError as fault:
            raise DoorError(f"door.driver {settings.door.driver} is not installed: {fault}") from fault
        found: dict[int, InputLines] = {}
        for pin in pins:
            with contextlib.suppress(DoorError):  # somebody else has it: then it is not the one that is looked for
                found[pin] = claimed.enter_context(contextlib.closing(opener(pin)))
        yield found


def _opener(settings: Settings, state: Path, claimed: contextlib.ExitStack) -> Callable[[int], InputLines]:
    """Return what claims one pin. Raises DoorError where there is no chip."""
    from appliance.config import Line  # noqa: PLC0415 - as above

    if settings.door.driver == "simulated":
        from appliance.drivers.simulated_door import open_simulated_pin  # noqa: PLC0415

        return lambda pin: open_simulated_pin(state / "simulated-door", pin)
    if settings.door.driver == "gpiochip":
        from appliance.drivers.gpiochip import Chip, GpiochipInputs  # noqa: PLC0415

        chip = Chip(settings.door.chip)
        return lambda pin: GpiochipInputs(chip, {Input.CONTACT: Line(pin, normally_closed=False)})
    from appliance.drivers.gpio import GpioInputs, board  # noqa: PLC0415

    factory = board()
    claimed.callback(factory.close)
    return lambda pin: GpioInputs({Input.CONTACT: Line(pin, normally_closed=False)}, factory)
