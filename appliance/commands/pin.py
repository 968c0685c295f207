"""`ostiary person pin`: give somebody a PIN, or take it away; never on a command line, where others could read it."""

from __future__ import annotations

import sys

import click

from appliance.audit import AuditLog
from appliance.commands.options import Installation, with_installation
from appliance.errors import UsageError
from appliance.people.factors import remove_pin, set_pin
from appliance.people.gallery import Gallery

_MOST = 64  # letters read of standard input: a PIN has twelve


@click.command()
@click.argument("name_or_id")
@click.option("--duress", is_flag=True, help="The second PIN, which opens as the first does and tells in silence.")
@click.option("--remove", is_flag=True, help="Take the PIN away and the duress PIN with it; with --duress that alone.")
@click.option("--stdin", is_flag=True, help="Read the PIN from the first line of standard input, without asking.")
@with_installation
def pin(installation: Installation, name_or_id: str, *, duress: bool, remove: bool, stdin: bool) -> None:
    """Give a person a PIN of 4 to 12 digits in place of the one before; it is asked for twice and not shown."""
    if remove and stdin:
        raise UsageError("--remove needs no PIN, so that --stdin has no meaning with it")
    device = installation.settings.device
    with (
        Gallery(installation.gallery_file) as gallery,
        AuditLog(installation.audit_file, device.id, device.door) as log,
    ):
        if remove:
            person = remove_pin(gallery, log, name_or_id, duress=duress)
        else:
            person = set_pin(gallery, log, name_or_id, _entered(stdin=stdin), duress=duress)
    click.echo(f"{'duress PIN' if duress else 'PIN'} of {person.name} {'removed' if remove else 'changed'}")


def _entered(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline(_MOST).removesuffix("\n")
    return str(click.prompt("PIN", hide_input=True, confirmation_prompt="Again"))
