"""`ostiary pass`: passes to be shown to the camera, as QR codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.access.schedule import instant
from appliance.audit import AuditLog
from appliance.commands.codes import lines_of, write_png
from appliance.commands.options import Installation, duration, with_installation
from appliance.errors import UsageError
from appliance.people.enrolment import only_one
from appliance.people.factors import issue_pass, revoke_pass
from appliance.people.gallery import Gallery
from appliance.people.passes import PassBook
from appliance.signing import own_key

if TYPE_CHECKING:
    from appliance.access.passes import Pass


@click.group("pass")
def passes() -> None:
    """Issue passes that people show to the camera besides their face, list and revoke them."""


@passes.command()
@click.argument("name_or_id")
@click.option("--for", "for_s", type=duration, default="8h", show_default=True, help="Such as 30m, 8h or 31d.")
@click.option("--from", "start", help="When it begins, such as 2027-03-01T08:00; default is now.")
@click.option("--uses", type=click.IntRange(1), default=1, show_default=True, help="How often it serves; at most 20.")
@click.option("--png", type=click.Path(path_type=Path), help="Write the code to this new file too.")
@with_installation
def issue(
    installation: Installation,
    name_or_id: str,
    *,
    for_s: float,
    start: str | None,
    uses: int,
    png: Path | None,
) -> None:
    """Make a pass for one enrolled person, and print its code."""
    from appliance.drivers.qr import modules  # noqa: PLC0415  listing passes must not load the image library

    begins = _begins(start, installation)
    device = installation.settings.device
    key = own_key(installation.device_key_file)
    with Gallery(installation.gallery_file) as gallery:
        person = only_one(gallery, name_or_id)
    with PassBook(installation.gallery_file) as book, AuditLog(installation.audit_file, device.id, device.door) as log:
        made, text = issue_pass(
            book,
            log,
            person,
            key,
            device_id=device.id,
            door=device.door,
            not_before=begins,
            lifetime=timedelta(seconds=for_s),
            uses=uses,
        )
    code = modules(text)
    for line in lines_of(code):
        click.secho(line, fg="black", bg="bright_white")
    click.echo(f"pass {made.pass_id} for {person.name}: {_hours(made)}, {_times(made.uses)}")
    if png is not None:
        write_png(png, code, "pass")


@passes.command("list")
@with_installation
def list_passes(installation: Installation) -> None:
    """List the passes that were issued and neither expired nor revoked: id, person, hours, uses."""
    with Gallery(installation.gallery_file) as gallery, PassBook(installation.gallery_file) as book:
        names = {person.person_id: person.name for person in gallery.people()}
        now = datetime.now(UTC).timestamp()
        for one in book.passes():
            if now < one.until:
                cells = (one.pass_id, names.get(one.person_id, ""), one.person_id, _hours(one), _times(one.uses))
                click.echo("\t".join(cells))


@passes.command()
@click.argument("pass_id")
@with_installation
def revoke(installation: Installation, pass_id: str) -> None:
    """Take a pass back: it serves no longer."""
    device = installation.settings.device
    with PassBook(installation.gallery_file) as book, AuditLog(installation.audit_file, device.id, device.door) as log:
        revoke_pass(book, log, pass_id)
    click.echo(f"revoked {pass_id}")


def _begins(start: str | None, installation: Installation) -> datetime:
    """Return the moment, by the zone of the access rules or else the machine's own. Raises UsageError."""
    if start is None:
        return datetime.now(UTC)
    rules = installation.open_rules().rules
    try:
        return instant(start, rules.time_zone if rules is not None else None)
    except ValueError as fault:
        raise UsageError(f"--from is {start!r}; {fault}") from fault


def _hours(one: Pass) -> str:
    """Return when the pass serves, by the machine's own zone."""
    first, last = (datetime.fromtimestamp(at, UTC).astimezone() for at in (one.not_before, one.until))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M %Z}"


def _times(uses: int) -> str:
    return "once" if uses == 1 else f"{uses} times"
