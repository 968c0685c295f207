"""`ostiary check --edge door`: what the installer does with a screwdriver in the hand: press everything, and look."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from appliance.contract import EventType
from appliance.door.link import BEAT_S, ControllerLink
from appliance.errors import DoorRefusedError, RefusedError

if TYPE_CHECKING:
    from appliance.commands.options import Installation
    from appliance.door.protocol import Happened
    from appliance.records import DoorState

CLICKS = 3
CLICK_S = 0.5
_APART_S = 1.2
_WAIT_S = 3.0

_SAID = {
    EventType.REX: "the exit button (rex) was pressed",
    EventType.BELL: "the bell was pressed",
    EventType.DOOR_OPENED: "the contact says: open",
    EventType.DOOR_CLOSED: "the contact says: closed",
    EventType.TAMPER: "the tamper switch says: housing open",
    EventType.TAMPER_CLEARED: "the tamper switch says: housing closed",
    EventType.FIRE_RELEASE: "the fire input is active; afterwards: ostiary door release --of fire",
    EventType.DOOR_UNLOCKED: "the lock was released",
    EventType.DOOR_LOCKED: "the lock is locked",
    EventType.FORCED_OPEN: "forced open; afterwards: ostiary door release --of forced",
}


def summary(installation: Installation) -> str:
    """Return how the door is, in one line. Raises DoorError where no controller answers."""
    link = ControllerLink(installation.controller_socket)
    with contextlib.closing(link):
        link.connect(_WAIT_S)
        return _line(installation, link.state())


def watch(installation: Installation, for_s: float, *, click_relay: bool) -> None:
    """Say for so long what each input does; first have the relay click. Raises DoorError, RefusedError."""
    link = ControllerLink(installation.controller_socket)
    with contextlib.closing(link):
        link.connect(_WAIT_S)
        click.echo(_line(installation, link.state()))
        if click_relay:
            clicks(link, CLICKS)
        click.echo(f"for {for_s:g} s: open the door, press the exit button and the bell, lift the lid")
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            link.state()  # an answer brings along what happened before it
            _say(link.heard())
            time.sleep(BEAT_S / 2)


def clicks(link: ControllerLink, count: int) -> None:
    """Have the relay click so often, and say what the door does. Raises DoorError, RefusedError where it may not."""
    for number in range(1, count + 1):
        click.echo(f"click {number} of {count}: the relay pulls for {CLICK_S:g} s")
        try:
            link.open("operator:check", CLICK_S)
        except DoorRefusedError as refusal:
            raise RefusedError(f"the relay cannot be tried: the controller says {refusal.reason}") from refusal
        end_s = time.monotonic() + _APART_S
        while time.monotonic() < end_s:  # without a beat the lock would fall early
            _say(link.beat())
            time.sleep(BEAT_S / 2)


def _say(events: tuple[Happened, ...]) -> None:
    for event in events:
        words = _SAID.get(event.event_type, event.event_type.value.replace("_", " "))
        click.echo(f"  {time.strftime('%H:%M:%S')}  {words}" + (f" ({event.cause})" if event.cause else ""))


def _line(installation: Installation, state: DoorState) -> str:
    settings = installation.settings
    contact = "no contact fitted" if state.contact is None else "open" if state.contact else "closed"
    fitted = ", ".join(settings.inputs.lines) or "none"
    alarms = f"; alarms: {', '.join(sorted(state.alarms))}" if state.alarms else ""
    return f"{settings.door.driver}: {state.phase}, lock {state.lock}, leaf {contact}; inputs: {fitted}{alarms}"
