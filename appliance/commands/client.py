"""`ostiary client`: who may send commands over MQTT."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from appliance import client_acts
from appliance.clients import Entry, Registry
from appliance.commands.client_pair import join, pair
from appliance.commands.client_send import send
from appliance.commands.options import Installation, with_installation
from appliance.contract import Role
from appliance.records import Actor, ActorKind
from appliance.signing import new_key

_CLI = Actor(ActorKind.OPERATOR, "cli")


@click.group()
def client() -> None:
    """Manage who may send commands: attendants, enrolment desks, auditors."""


client.add_command(pair)
client.add_command(join)
client.add_command(send)


@client.command()
@click.argument("file", type=click.Path(path_type=Path))
def keygen(file: Path) -> None:
    """Write a new private key to FILE and print its public key, for `client add`."""
    click.echo(new_key(file))


@client.command()
@click.argument("client_id")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may ask for.")
@click.option("--key", "public_key", required=True, help="Its public key, as keygen printed it.")
@with_installation
def add(installation: Installation, client_id: str, role: str, public_key: str) -> None:
    """Let CLIENT_ID send the commands of a role."""
    client_acts.admit(installation, client_id, Role(role), public_key, actor=_CLI, method="cli")
    click.echo(f"{client_id} may now act as {role}")


@client.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
@with_installation
def list_clients(installation: Installation, as_json: bool) -> None:
    """List every client, revoked ones too."""
    with Registry(installation.clients_file) as registry:
        entries = registry.entries()
    if as_json:
        click.echo(json.dumps([_plain(entry) for entry in entries], indent=2))
    elif not entries:
        click.echo("no client is known yet; ostiary client keygen and client add make one")
    else:
        Console().print(_table(entries))


@client.command()
@click.argument("client_id")
@with_installation
def revoke(installation: Installation, client_id: str) -> None:
    """Take no further command from CLIENT_ID, from this moment on; its key is never let in again."""
    client_acts.revoke(installation, client_id, actor=_CLI, method="cli")
    click.echo(f"{client_id} is revoked")


def _plain(entry: Entry) -> dict[str, str | int | None]:
    return {
        "client_id": entry.client_id,
        "role": entry.role.value,
        "public_key": entry.public_key,
        "added_at": entry.added_at.isoformat(),
        "revoked_at": entry.revoked_at.isoformat() if entry.revoked_at else None,
        "nonce": entry.nonce,
        "last_used_at": entry.last_used_at.isoformat() if entry.last_used_at else None,
    }


def _table(entries: tuple[Entry, ...]) -> Table:
    table = Table("client", "role", "since", "last command", "state")
    for entry in entries:
        state = f"revoked {entry.revoked_at:%Y-%m-%d %H:%M} UTC" if entry.revoked_at else "active"
        used = f"{entry.last_used_at:%Y-%m-%d %H:%M} UTC" if entry.last_used_at else "never"
        table.add_row(entry.client_id, entry.role.value, f"{entry.added_at:%Y-%m-%d}", used, state)
    return table
