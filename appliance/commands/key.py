"""`ostiary key`: which programs may use the HTTP interfaces."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from appliance.commands.account import acts_of
from appliance.commands.options import Installation, with_installation
from appliance.contract import Role

if TYPE_CHECKING:
    from appliance.web.accounts import Key


@click.group()
def key() -> None:
    """Manage API keys: what programs show to /api/v1 and /face. docs/web.md says what each role may do."""


@key.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may ask for.")
@click.option("--answers-for", default="", help="Who answers for the consent of those whose faces come in by it.")
@with_installation
def add(installation: Installation, name: str, role: str, answers_for: str) -> None:
    """Make an API key, and print its secret, which is shown this once."""
    with acts_of(installation) as acts:
        secret = acts.add_key(name, Role(role), answers_for)
    click.echo(secret)
    click.echo(f"{name} may now act as {role}; the key above is shown this once", err=True)


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
@with_installation
def list_keys(installation: Installation, *, as_json: bool) -> None:
    """List every API key, revoked ones too."""
    from appliance.web.accounts import Accounts  # noqa: PLC0415 - help must not load the ciphers

    with Accounts(installation.web_file) as accounts:
        known = accounts.api_keys()
    if as_json:
        click.echo(json.dumps([_plain(one) for one in known], indent=2))
    elif not known:
        click.echo("there is no key yet; ostiary key add makes one")
    else:
        Console().print(_table(known))


@key.command()
@click.argument("name")
@with_installation
def revoke(installation: Installation, name: str) -> None:
    """Let the key NAME do nothing more, for ever."""
    with acts_of(installation) as acts:
        acts.revoke_key(name)
    click.echo(f"{name} is revoked")


def _plain(one: Key) -> dict[str, str | None]:
    return {
        "name": one.name,
        "role": one.role.value,
        "answers_for": one.answers_for,
        "added_at": _at(one.added_at),
        "revoked_at": _at(one.revoked_at),
        "used_at": _at(one.used_at),
    }


def _at(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _table(known: tuple[Key, ...]) -> Table:
    table = Table("key", "role", "answers for consent", "since", "last used", "state")
    for one in known:
        since, used = (
            f"{at[:16].replace('T', ' ')} UTC" if at else "never" for at in map(_at, (one.added_at, one.used_at))
        )
        state = "active" if one.revoked_at is None else "revoked"
        table.add_row(one.name, one.role.value, one.answers_for or "nobody", since, used, state)
    return table
