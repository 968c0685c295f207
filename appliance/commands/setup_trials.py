"""What the set-up tries out while it asks: the camera, the relay, and which pin a switch hangs at."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation
from appliance.config import load
from appliance.errors import RefusedError
from appliance.setup import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.setup.draft import Draft

LOOK_S = 60.0


def look(draft: Draft, _key: str) -> str:
    """Show what the camera sees until Enter; nothing is found by it. Raises CameraError, ModelError."""
    from appliance.commands.camera import show  # noqa: PLC0415 - it loads the image library

    click.echo("  Step before the camera. Enter ends it, and a minute does.")
    show(_installed(draft), draft.settings, LOOK_S)
    return ""


def click_relay(draft: Draft, _key: str) -> str:
    """Have the relay click once; nothing is found by it. Raises DoorError."""
    from appliance.commands.check_door import clicks  # noqa: PLC0415 - only now
    from appliance.door.link import ControllerLink  # noqa: PLC0415 - as above

    if not click.confirm("  The door opens for half a second. Go on?", default=True):
        return ""
    with _controller(draft) as socket, contextlib.closing(ControllerLink(socket)) as link:
        link.connect(3.0)
        clicks(link, 1)
    click.echo("  Nothing heard, or a click before that? hardware.md, Relay.")
    return ""


def find(draft: Draft, key: str) -> str:
    """Return pin and contact of the switch that somebody moves now, as `[inputs]` writes them; "" for none.

    Raises DoorError where the pins cannot be read, RefusedError where more than one changes.
    """
    from appliance.drivers.door import open_pins  # noqa: PLC0415 - only now
    from appliance.setup.owner import as_owner_of  # noqa: PLC0415 - as above
    from appliance.setup.questions import board_of  # noqa: PLC0415 - as above
    from appliance.setup.wires import WAIT_S, closed  # noqa: PLC0415 - as above
    from appliance.setup.wires import find as wired  # noqa: PLC0415 - as above

    _have_lines(draft)
    settings = draft.settings
    name = key.partition(".")[2]
    others = {line.pin for fitted, line in settings.inputs.lines.items() if fitted != name}
    taken = {settings.door.relay_pin, *settings.outputs.pins.values()} | others
    state = draft.place.state
    # A simulated switch lies in the state folder.
    owned = as_owner_of(state) if settings.door.driver == "simulated" else contextlib.nullcontext()
    free = (pin for pin in board_of(draft).inputs if pin not in taken)
    with owned, open_pins(settings, state, free) as pins:
        if not pins:
            raise RefusedError("no pin can be watched: none is known of this board, or a running controller has them")
        rest = closed(pins)
        click.echo(f"  Move it now, and hold it for a moment: {WAIT_S:g} s.")
        found = wired(pins, rest, WAIT_S)
    if found is None:
        click.echo(f"  None of the pins {', '.join(map(str, pins))} changed. Look at the wire, or type the pin.")
        return ""
    click.echo(f"  Pin {found.pin} changed; at rest it is {'closed: NC' if found.normally_closed else 'open: NO'}.")
    return str(found)


def _have_lines(draft: Draft) -> None:
    """Have the running controller let go of the lines, where somebody agrees; the end of the set-up starts it again."""
    controller = units.CONTROLLER
    if draft.settings.door.driver == "simulated" or controller not in draft.place.running or not units.runs(controller):
        return
    click.echo("  The running controller has its lines, and it locks the door when it stops.")
    if click.confirm("  Stop it until the set-up is over?", default=True):
        units.tell("stop", (controller,))


def _installed(draft: Draft) -> Installation:
    """Return the device as it stands on disk, not as it is being set up."""
    place = draft.place
    file = place.config_file if place.config_file.exists() else None
    return Installation(load(file), place.state, file)


@contextlib.contextmanager
def _controller(draft: Draft) -> Iterator[Path]:
    """Give the socket of a controller that has the lines of the draft: the running one, or one of our own meanwhile."""
    from appliance.door.child import own_controller  # noqa: PLC0415 - only now

    now = _installed(draft)
    alike = now.settings.door == draft.settings.door and now.settings.inputs == draft.settings.inputs
    if alike and now.controller_socket.exists():
        yield now.controller_socket
        return
    _have_lines(draft)
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        config = Path(folder) / "appliance.toml"
        config.write_text(draft.text, encoding="utf-8")
        with own_controller(Path(folder), config, draft.settings.door.driver) as socket:
            yield socket


# Each takes the draft and the question's key, and returns an answer where it finds one.
TRIALS: dict[str, Callable[[Draft, str], str]] = {"look": look, "click": click_relay, "find": find}
