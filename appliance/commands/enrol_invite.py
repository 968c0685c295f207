"""`ostiary enrol invite`, `invitations` and `revoke`: one-time codes with which people enrol themselves at the door."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.codes import lines_of, write_png
from appliance.commands.consent import given, particular_options
from appliance.commands.options import Installation, duration, with_installation
from appliance.enrolment.desk import Newcomer
from appliance.enrolment.invitations import MAX_TRIES, InvitationBook, invite, revoke
from appliance.people.enrolment import checked_name
from appliance.signing import own_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.audit import AuditLog
    from appliance.people.enrolment import Particulars


@click.command("invite")
@click.argument("name")
@click.option(
    "--valid", "valid_s", type=duration, default="2d", show_default=True, help="Such as 8h or 2d; at most 31d."
)
@click.option("--consent-by", required=True, help="Who has agreed to it beforehand: the person, or who may for them.")
@click.option("--language", default="en", show_default=True, help="Language in which consent was asked.")
@click.option("--consent-text", "version", default="", help="Version of the text; default is the newest.")
@click.option("--keep-photos", is_flag=True, help="They also agreed to pictures being kept.")
@click.option("--at-once", is_flag=True, help="They may enter once enrolled; else they are suspended until you look.")
@click.option("--png", type=click.Path(path_type=Path), help="Write the code to this new file too.")
@particular_options
@with_installation
def make(
    installation: Installation,
    name: str,
    *,
    particulars: Particulars,
    valid_s: float,
    consent_by: str,
    language: str,
    version: str,
    keep_photos: bool,
    at_once: bool,
    png: Path | None,
) -> None:
    """Make a one-time code for NAME, who shows it to the door's camera and is then guided through the enrolment.

    The code opens nothing, serves one enrolment, and can be revoked.
    """
    from appliance.drivers.qr import modules  # noqa: PLC0415  a list must not load the image library

    consent = given(installation, consent_by, language, version, photos=keep_photos)
    newcomer = Newcomer(checked_name(name, "name"), consent, replace(particulars, held=not at_once))
    device = installation.settings.device
    with _opened(installation) as (book, audit):
        code, text = invite(
            book,
            audit,
            newcomer,
            own_key(installation.device_key_file),
            device_id=device.id,
            door=device.door,
            lifetime=timedelta(seconds=valid_s),
        )
    drawn = modules(text)
    for line in lines_of(drawn):
        click.secho(line, fg="black", bg="bright_white")
    click.echo(text)
    click.echo(f"invitation {code.pass_id} for {newcomer.name}, until {_local(code.until)}")
    if not at_once:
        click.echo("once enrolled they are suspended until: ostiary person access NAME --resume")
    if png is not None:
        write_png(png, drawn, "invitation")


@click.command("invitations")
@with_installation
def list_invitations(installation: Installation) -> None:
    """List the invitations that are open: id, name, until when, how often one was begun."""
    with _opened(installation) as (book, _):
        for one in book.open_ones(datetime.now(UTC).timestamp()):
            tries = f"begun {one.tries} of {MAX_TRIES} times"
            click.echo("\t".join((one.code.pass_id, one.newcomer.name, _local(one.code.until), tries)))


@click.command("revoke")
@click.argument("invitation_id")
@with_installation
def take_back(installation: Installation, invitation_id: str) -> None:
    """Take an invitation back: its code serves no longer."""
    with _opened(installation) as (book, audit):
        revoke(book, audit, invitation_id)
    click.echo(f"revoked {invitation_id}")


@contextlib.contextmanager
def _opened(installation: Installation) -> Iterator[tuple[InvitationBook, AuditLog]]:
    with installation.open_gallery() as gallery:
        key = gallery.keyring.secret("invitations")
    with InvitationBook(installation.enrolment_file, key) as book, installation.open_audit() as audit:
        yield book, audit


def _local(at: int) -> str:
    """Return the time by the machine's own zone."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M %Z}"
