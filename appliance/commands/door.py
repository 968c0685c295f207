"""`ostiary door`: how the door is, and what an operator may do to it."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import time
from typing import TYPE_CHECKING, get_args

import click

from appliance.access.subject import Factor
from appliance.access.verdict import Refused
from appliance.audit import AuditLog
from appliance.commands.options import Installation, duration, with_installation
from appliance.contract import Alarm
from appliance.door.hardware import Input
from appliance.door.link import BEAT_S, ControllerLink
from appliance.door.protocol import Ruling
from appliance.doorway import in_words
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import RefusedError
from appliance.explaining import explained
from appliance.journal import Journal
from appliance.operating import FIRE_TEST_S, DoorVerbs
from appliance.records import Actor, ActorKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.records import DoorState

_CONNECT_S = 2.0


@click.group()
def door() -> None:
    """Show the door, and open, hold, lock down or release it."""


@door.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@with_installation
def status(installation: Installation, as_json: bool) -> None:
    """Show the mode, the lock, the leaf and what needs somebody to look."""
    link = ControllerLink(installation.controller_socket)
    with contextlib.closing(link):
        link.connect(_CONNECT_S)
        words = in_words(link.state()) | {"reader": link.reader}
    if as_json:
        click.echo(json.dumps(words))
        return
    for name, value in words.items():
        shown = "-" if value in ("", None, []) else ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{name:8}  {'yes' if shown is True else 'no' if shown is False else shown}")


@door.command("open")
@click.option("--for", "for_s", type=duration, help="0.5 to 30 s; door.unlock_s if not given.")
@with_installation
def open_door(installation: Installation, for_s: float | None) -> None:
    """Let somebody in now."""
    wanted_s = for_s or installation.settings.door.unlock_s
    _carry_out(installation, lambda verbs, actor: verbs.open(actor, wanted_s))


@door.command()
@click.option("--for", "for_s", type=duration, required=True, help="1 s to 24h, such as 90, 10m or 8h.")
@with_installation
def unlock(installation: Installation, for_s: float) -> None:
    """Hold the door unlocked, for anybody to pass."""
    _carry_out(installation, lambda verbs, actor: verbs.unlock(actor, for_s))


@door.command()
@click.option("--for", "for_s", type=duration, default="24h", show_default=True, help="1 s to 24h.")
@with_installation
def lock(installation: Installation, for_s: float) -> None:
    """Hold the door locked, whatever its schedule says; whoever has a right still gets in."""
    _carry_out(installation, lambda verbs, actor: verbs.lock(actor, for_s))


@door.command()
@click.option(
    "--of", type=click.Choice(get_args(Ruling)), default="operator", show_default=True, help="What is to end."
)
@with_installation
def release(installation: Installation, of: Ruling) -> None:
    """End an operator's hold, a lockdown or a fire that is over, or acknowledge a forced opening."""
    _carry_out(installation, lambda verbs, actor: verbs.release(actor, of))


@door.command()
@with_installation
def lockdown(installation: Installation) -> None:
    """Refuse entry until `door release --of lockdown`; the way out stays."""
    _carry_out(installation, lambda verbs, actor: verbs.lockdown(actor))


@door.command("fire-test")
@click.option("--for", "for_s", type=duration, default=f"{FIRE_TEST_S:g}s", show_default=True, help="0.5 to 60 s.")
@with_installation
def fire_test(installation: Installation, for_s: float) -> None:
    """Do what a fire alarm would do, then lock again; it opens the door."""
    with _verbs(installation) as (link, verbs):
        state = verbs.fire_test(_actor(), for_s)
        click.echo(_line(state))
        while Alarm.FIRE in state.alarms:
            time.sleep(BEAT_S)
            state = link.state()
        click.echo(_line(state))


@door.command("explain")
@click.argument("name_or_id")
@click.option("--at", "at_text", help="A time such as 2026-12-24T08:30, in the rules' zone; now if not given.")
@click.option("--lockdown", "in_lockdown", is_flag=True, help="As if there were a lockdown.")
@click.option(
    "--with",
    "shown",
    type=click.Choice([one.value for one in Factor]),
    multiple=True,
    help="As if this had been shown.",
)
@with_installation
def explain_person(
    installation: Installation, name_or_id: str, *, at_text: str | None, in_lockdown: bool, shown: tuple[str, ...]
) -> None:
    """Say in words whether and why somebody would get in, check by check; exit 1 where they would not."""
    found = explained(installation, name_or_id, at_text, frozenset(map(Factor, shown)), in_lockdown=in_lockdown)
    for line in found.lines:
        click.echo(line)
    if isinstance(found.verdict, Refused):
        raise click.exceptions.Exit(1)


@door.command()
@click.argument("line", metavar="INPUT", type=click.Choice([one.value for one in Input]))
@click.argument("word", type=click.Choice(["active", "rest", "press", "cut"]))
@with_installation
def simulate(installation: Installation, line: str, word: str) -> None:
    """Move a switch of the simulated door: open the leaf (contact active), press a button, cut a wire."""
    driver, fitted = installation.settings.door.driver, installation.settings.inputs.lines
    if driver != "simulated":
        raise RefusedError(f"door.driver is {driver}; only a simulated door can be told what happens to it")
    if line not in fitted:
        raise RefusedError(f"no {line} is fitted: inputs.{line} is empty; fitted are {', '.join(fitted) or 'none'}")
    world = SimulatedWorld(installation.state / "simulated-door")
    if word == "press":
        world.press(Input(line))
    elif word == "cut":
        world.cut(Input(line))
    else:
        world.set(Input(line), active=word == "active")


def _carry_out(installation: Installation, verb: Callable[[DoorVerbs, Actor], DoorState]) -> None:
    with _verbs(installation) as (link, verbs):
        state = verb(verbs, _actor())
        click.echo(_line(state))
        if state.until_s is not None and not link.reader:
            _stand_in(link, state.until_s)


def _stand_in(link: ControllerLink, until_s: float) -> None:
    """Beat in the place of a reader: without one, a door falls shut after a second."""
    click.echo("no reader is running: the door stays so while this command runs; Ctrl-C locks it")
    while time.monotonic() < until_s and link.connected:
        link.beat()
        time.sleep(BEAT_S / 2)


@contextlib.contextmanager
def _verbs(installation: Installation) -> Iterator[tuple[ControllerLink, DoorVerbs]]:
    device = installation.settings.device
    link = ControllerLink(installation.controller_socket)
    with contextlib.closing(link), AuditLog(installation.audit_file, device.id, device.door) as audit:
        link.connect(_CONNECT_S)
        yield link, DoorVerbs(link, Journal(audit, ()))


def _actor() -> Actor:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        name = ""
    return Actor(ActorKind.OPERATOR, re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:32] or "unnamed")


def _line(state: DoorState) -> str:
    words = in_words(state)
    left = f", {words['for_s']:g} s left" if words["for_s"] else ""
    return f"{state.lock.value}: {state.phase.value}, mode {state.mode.value}{left}"
