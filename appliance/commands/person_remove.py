"""`ostiary person remove`: erasure, with a receipt."""

from __future__ import annotations

import click

from appliance.access.ledger import Ledger
from appliance.commands.options import Installation, with_installation
from appliance.people.enrolment import only_one
from appliance.people.enrolment import remove as remove_person


@click.command()
@click.argument("name_or_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@with_installation
def remove(installation: Installation, name_or_id: str, yes: bool) -> None:
    """Erase a person: everything of them, and the key under which any copy could be read. Shows the receipt."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        one = only_one(gallery, name_or_id)
        if not yes:
            click.confirm(f"Erase {one.name} ({one.person_id}) with {one.references} references?", abort=True)
        receipt = remove_person(gallery, audit, one.person_id)
    with Ledger(installation.ledger_file) as ledger:
        ledger.forget(one.person_id)
    click.echo(f"erased {one.person_id}: {receipt.references} references, {receipt.photos} photos")
    click.echo(f"receipt {receipt.receipt_hash}")
