"""`ostiary ha`: the door in Home Assistant."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from appliance.home_assistant.code import CodeFile

_MOST = 64  # letters read of standard input: a code has twelve
_TIMEOUT_S = 10.0


@click.group()
def ha() -> None:
    """Show the door in Home Assistant, and say what it may do there. docs/home-assistant.md leads through it."""


@ha.command()
@click.option("--remove", is_flag=True, help="Take the code away: no order is obeyed then.")
@click.option("--stdin", is_flag=True, help="Read the code from the first line of standard input, without asking.")
@with_installation
def code(installation: Installation, *, remove: bool, stdin: bool) -> None:
    """Set the code of 6 to 12 digits that every order must give; it is asked for twice and not shown.

    Wrong codes are counted from nothing again: this is also how an operator ends a lock-out.
    """
    from appliance.contract import EventType  # noqa: PLC0415 - help must not load what hashes
    from appliance.home_assistant.code import CodeFile  # noqa: PLC0415 - as above
    from appliance.people.enrolment import CLI  # noqa: PLC0415 - as above
    from appliance.records import Event  # noqa: PLC0415 - as above

    if remove and stdin:
        raise UsageError("--remove needs no code, so that --stdin has no meaning with it")
    file = CodeFile(installation.state)
    done = _removed(file) if remove else _set(file, stdin=stdin)
    with installation.open_audit() as audit:
        detail = f"the code of Home Assistant was {done}"
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
    click.echo(f"the code was {done}")


@ha.command()
@click.option("--json", "as_json", is_flag=True, help="The message alone, as it is sent.")
@with_installation
def show(installation: Installation, *, as_json: bool) -> None:
    """Show what Home Assistant is told of the door, where, and whether its orders could be obeyed."""
    from appliance.home_assistant.code import CodeFile  # noqa: PLC0415 - as above
    from appliance.home_assistant.discovery import config_topic, discovery  # noqa: PLC0415 - as above

    settings = installation.settings
    message = discovery(settings)
    if as_json:
        click.echo(message)
        return
    click.echo(f"topic: {config_topic(settings)}")
    click.echo(f"shown: {'yes' if settings.home_assistant.enabled else 'no, home_assistant.enabled is false'}")
    click.echo(f"orders: {'allowed' if settings.home_assistant.commands else 'no, home_assistant.commands is false'}")
    click.echo(f"code: {'set' if CodeFile(installation.state).is_set else 'none; set one with: ostiary ha code'}")
    click.echo("broker: what it can be trusted with, says: ostiary broker check")
    for key, entity in json.loads(message)["cmps"].items():
        click.echo(f"{key}: {entity.get('default_entity_id', 'not there')}")


@ha.command()
@with_installation
def remove(installation: Installation) -> None:
    """Take the door out of Home Assistant, with all its entities."""
    from appliance.drivers.mqtt import Connection, Message  # noqa: PLC0415 - help must not load TLS
    from appliance.home_assistant.announced import Announced  # noqa: PLC0415 - as above
    from appliance.home_assistant.discovery import config_topic  # noqa: PLC0415 - as above

    settings = installation.settings
    if not settings.mqtt.enabled:
        raise RefusedError("mqtt.enabled is false: nothing is said to a broker; turn it on until this is done")
    # An id of its own, so that a running reader is not thrown out.
    connection = Connection(settings.mqtt, f"ostiary-ha-{secrets.token_hex(4)}", [], lambda _: None)
    with contextlib.closing(connection):
        connection.start()
        connection.check(_TIMEOUT_S)
        for topic in {config_topic(settings), *Announced(installation.state).turn("")}:
            connection.send(Message(topic, b"", retained=True))
            click.echo(f"removed: {topic}")
    if settings.home_assistant.enabled:
        click.echo("home_assistant.enabled is true: a reader that runs shows it again at its next connection")


def _set(file: CodeFile, *, stdin: bool) -> str:
    if stdin:
        entered = sys.stdin.readline(_MOST).removesuffix("\n")
    else:
        entered = str(click.prompt("Code", hide_input=True, confirmation_prompt="Again"))
    file.set(entered)
    return "changed"


def _removed(file: CodeFile) -> str:
    if not file.is_set:
        raise RefusedError("there is no code that could be removed")
    file.remove()
    return "removed"
