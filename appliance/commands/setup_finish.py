"""What comes after the questions: the time zone, the broker's files, the programs, a check, and what is left to do."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import places
from appliance.commands.check import check
from appliance.commands.options import Installation
from appliance.errors import ApplianceError
from appliance.setup import units
from appliance.setup.doubts import doubts
from appliance.setup.owner import as_owner_of
from appliance.setup.questions import pki_of
from appliance.setup.zone import set_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.setup.draft import Draft

_BROKER_AT = Path("/etc/mosquitto/ostiary")


def summary(first: Draft, draft: Draft) -> list[str]:
    """Return what the draft changes, a line each, and what in it is seldom meant."""
    lines = [f"  {one.key} = {one.after!r}  (was {one.before!r})" for one in draft.changes(first.settings)]
    zone = draft.own["time_zone"]
    if zone != draft.place.time_zone:
        lines.append(f"  time zone {zone}  (was {draft.place.time_zone})")
    return [*(lines or ["  nothing"]), *(f"  is this meant? {line}" for line in doubts(draft.settings))]


def finish(context: click.Context, draft: Draft) -> None:
    """Do what the answers ask for beside the settings, and say what is left; what fails is told, and the rest is done.

    Raises click's Exit with the worst exit code of it, the check's excepted: at this point something is always amiss.
    """
    place = draft.place
    here = {"config_file": place.config_file, "state": place.state}
    worst = _told(lambda: _set_zone(draft))
    with as_owner_of(place.state):
        if draft.own["broker"] == "here":
            worst = max(worst, _told(lambda: _make_broker(context, draft, here)))
        if draft.own.get("code") == "yes":
            worst = max(worst, _told(lambda: _make_code(context, here)))
    if draft.own.get("restart") == "yes":
        worst = max(worst, _told(lambda: _with_restart(context, draft, here)))
    else:
        _check(context, draft, here)
    click.echo("left to do:")
    for line in left_to_do(draft):
        click.echo(f"  {line}")
    if worst:
        raise click.exceptions.Exit(worst)


def left_to_do(draft: Draft) -> list[str]:
    """Return what a person still has to do before the door can be trusted, a line each."""
    place = draft.place
    installed = Installation(draft.settings, place.state, place.config_file)
    lines = []
    if not place.running:
        lines.append("start the programs: sudo systemctl enable --now ostiary-controller ostiary-reader ostiary-web")
    folder = place.state / "broker"
    if draft.own["broker"] == "here":
        made = f"give {folder} to mosquitto: docs/broker.md, then ostiary broker check"
        lines.append(made if folder.exists() else "ostiary setup once more: the broker's files could not be made")
    if not place.has_account:
        port = draft.settings.web.port
        lines.append(f"make the first account at http://localhost:{port}/setup, with the code of ostiary web code;")
        lines.append(f"  from another machine: ssh -L {port}:localhost:{port} and this one's name")
    if not installed.commissioning_file.exists():
        lines.append("try photos and telephones at the door: ostiary commission spoof; until then no face alone opens")
    lines.append("enrol people: ostiary enrol camera NAME")
    lines.append("put the keys away, for the day on which the device is lost: ostiary keys export")
    lines.append('go through "Before you trust it" in hardware.md, with the lock connected')
    return lines


def _told(work: Callable[[], None]) -> int:
    """Do it, tell of a fault in one line, and return its exit code; 0 for none."""
    try:
        work()
    except ApplianceError as fault:
        click.echo(f"ostiary: {fault}", err=True)
        return fault.exit_code
    return 0


def _set_zone(draft: Draft) -> None:
    zone = draft.own["time_zone"]
    if zone == draft.place.time_zone:
        return
    if os.geteuid() != 0:
        click.echo(f"time zone: only root may set it: sudo timedatectl set-timezone {zone}")
        return
    set_zone(zone)
    click.echo(f"time zone: {zone}")


def _make_broker(context: click.Context, draft: Draft, here: Mapping[str, Path]) -> None:
    """Make what is not there yet: the authority, the broker's certificate and ours, and the broker's folder."""
    from appliance.commands import broker, pki  # noqa: PLC0415 - only now

    folder, device_id = pki_of(draft), draft.settings.device.id
    if not (folder / "ca.pem").exists():
        context.invoke(pki.init, folder=None, permit=(), encrypt=False, **here)
    if not (folder / "server" / "localhost.pem").exists():
        names = ("localhost", f"{socket.gethostname().partition('.')[0]}.local")
        context.invoke(pki.server, names=names, renew=False, folder=None, **here)
    if not (folder / "client" / f"{device_id}.pem").exists():
        context.invoke(pki.client, client_id=device_id, csr=None, renew=False, folder=None, **here)
    context.invoke(broker.setup, folder=draft.place.state / "broker", runs_at=_BROKER_AT, server="localhost", **here)


def _make_code(context: click.Context, here: Mapping[str, Path]) -> None:
    from appliance.commands.web import code  # noqa: PLC0415 - only now

    context.invoke(code, **here)


def _with_restart(context: click.Context, draft: Draft, here: Mapping[str, Path]) -> None:
    """Start the programs anew, with a check while the reader leaves the camera alone."""
    running = draft.place.running
    others = tuple(unit for unit in running if unit != units.CONTROLLER)
    try:
        units.tell("reset-failed", running)  # one that failed ten times may be started again
        units.tell("stop", others)
        units.tell("restart", tuple(unit for unit in running if unit == units.CONTROLLER))
        _check(context, draft, here)
    finally:
        units.tell("start", others)


def _check(context: click.Context, draft: Draft, here: Mapping[str, Path]) -> None:
    if draft.own["check"] != "yes":
        return
    place = draft.place
    if os.geteuid() == 0 and place.config_file == places.CONFIG and places.COMMAND.exists():
        # Only it can unseal the key of the gallery: without, a second key would be made.
        subprocess.run([places.COMMAND, "check", "--state", place.state], check=False)
        return
    with as_owner_of(place.state), contextlib.suppress(click.exceptions.Exit):
        context.invoke(check, edges=(), watch_s=0.0, click_relay=False, **here)
