"""`ostiary account`: who may use the web pages."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from appliance.commands.options import Installation, with_installation
from appliance.contract import Role
from appliance.records import Actor, ActorKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.web.account_acts import AccountActs
    from appliance.web.accounts import Account

_CLI = Actor(ActorKind.OPERATOR, "cli")
_ROLE = click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What they may ask for."
)
_STDIN = click.option("--stdin", is_flag=True, help="Read the password from the first line of standard input.")


@click.group()
def account() -> None:
    """Manage who may use the web pages. docs/web.md says what each role may do."""


@account.command()
@click.argument("name")
@_ROLE
@_STDIN
@with_installation
def add(installation: Installation, name: str, role: str, *, stdin: bool) -> None:
    """Make an account, and ask for its password."""
    from appliance.web.setup_code import forget  # noqa: PLC0415 - help must not load the ciphers

    hashed = _asked(name, stdin=stdin)
    with acts_of(installation) as acts:
        acts.add(name, Role(role), hashed)
    forget(installation.setup_file)
    click.echo(f"{name} may now sign in as {role}")


@account.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
@with_installation
def list_accounts(installation: Installation, *, as_json: bool) -> None:
    """List every account, disabled ones too."""
    from appliance.web.accounts import Accounts  # noqa: PLC0415 - help must not load the ciphers

    with Accounts(installation.web_file) as accounts:
        known = accounts.accounts()
    if as_json:
        click.echo(json.dumps([_plain(one) for one in known], indent=2))
    elif not known:
        click.echo("there is no account yet; ostiary web shows a set-up code, and ostiary account add makes one")
    else:
        Console().print(_table(known))


@account.command()
@click.argument("name")
@with_installation
def disable(installation: Installation, name: str) -> None:
    """Let nobody use the account NAME from this moment on; its sessions end."""
    with acts_of(installation) as acts:
        acts.disable(name)
    click.echo(f"{name} is disabled")


@account.command()
@click.argument("name")
@with_installation
def enable(installation: Installation, name: str) -> None:
    """Let the account NAME be used again."""
    with acts_of(installation) as acts:
        acts.enable(name)
    click.echo(f"{name} may sign in again")


@account.command()
@click.argument("name")
@_STDIN
@with_installation
def password(installation: Installation, name: str, *, stdin: bool) -> None:
    """Ask for another password of the account NAME; its sessions end."""
    hashed = _asked(name, stdin=stdin)
    with acts_of(installation) as acts:
        acts.set_password(name, hashed)
    click.echo(f"{name} has another password")


@account.command("role")
@click.argument("name")
@_ROLE
@with_installation
def set_role(installation: Installation, name: str, role: str) -> None:
    """Give the account NAME another role; its sessions end."""
    with acts_of(installation) as acts:
        acts.set_role(name, Role(role))
    click.echo(f"{name} may now sign in as {role}")


@account.command("remove-factors")
@click.argument("name")
@with_installation
def remove_factors(installation: Installation, name: str) -> None:
    """Take away codes and passkeys of the account NAME: it has its password left."""
    with acts_of(installation) as acts:
        acts.remove_factors(name)
    click.echo(f"{name} signs in with the password alone")


@contextmanager
def acts_of(installation: Installation) -> Iterator[AccountActs]:
    """Give the use-cases of accounts and keys, as the command line's. Raises StorageError."""
    from appliance.web.account_acts import AccountActs  # noqa: PLC0415 - help must not load the ciphers
    from appliance.web.accounts import Accounts  # noqa: PLC0415 - likewise

    with Accounts(installation.web_file) as accounts, installation.open_audit() as audit:
        yield AccountActs(accounts, audit, _CLI, "cli")


def _asked(name: str, *, stdin: bool) -> str:
    """Return the hash of a password that is typed: in an argument, every process here could read it."""
    from appliance.web.accounts import checked_account  # noqa: PLC0415 - help must not load the ciphers
    from appliance.web.passwords import hash_password  # noqa: PLC0415 - likewise

    checked_account(name)
    if stdin:
        return hash_password(sys.stdin.readline().rstrip("\n"), name)
    return hash_password(str(click.prompt("Password", hide_input=True, confirmation_prompt="Again")), name)


def _plain(one: Account) -> dict[str, str | int | bool | None]:
    disabled_at = None if one.disabled_at is None else datetime.fromtimestamp(one.disabled_at, UTC).isoformat()
    return {
        "name": one.name,
        "role": one.role.value,
        "added_at": datetime.fromtimestamp(one.added_at, UTC).isoformat(),
        "disabled_at": disabled_at,
        "totp": one.totp,
        "passkeys": one.passkeys,
    }


def _table(known: tuple[Account, ...]) -> Table:
    table = Table("account", "role", "since", "signs in with", "state")
    for one in known:
        ways = "password and code" if one.totp else "password"
        ways += f", or {one.passkeys} passkeys" if one.passkeys else ""
        since = f"{datetime.fromtimestamp(one.added_at, UTC):%Y-%m-%d}"
        table.add_row(one.name, one.role.value, since, ways, "active" if one.disabled_at is None else "disabled")
    return table
