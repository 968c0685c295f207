"""`ostiary keys`: what people's data is sealed under."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.commands.options import Installation, with_installation
from appliance.contract import EventType
from appliance.lone import only_one
from appliance.people.enrolment import CLI
from appliance.records import Event

_MOST = 1024  # letters read of standard input
_FILE = click.Path(path_type=Path)
_STDIN = click.option("--stdin", is_flag=True, help="Read the passphrase from the first line of standard input.")


@click.group()
def keys() -> None:
    """Show and rotate the keys, and put them away for the day on which the device is lost."""


@keys.command()
@with_installation
def status(installation: Installation) -> None:
    """Show where the device key is kept, when the keys were rotated, and how many there are. No key is shown."""
    with installation.open_gallery() as gallery:
        told = gallery.keyring.status()
        protection = gallery.protection.protection_id
    kept = "a systemd credential" if told.source == "credential" else "a file beside the databases"
    click.echo(f"device key: {told.device_key}, {kept}")
    click.echo(f"rotated: {told.vault_made_at.isoformat(timespec='seconds')}")
    click.echo(f"people's keys: {told.people}")
    click.echo(f"erased people: {told.erased}")
    click.echo(f"secrets: {', '.join(told.secrets)}")
    click.echo(f"rotation of templates: {protection}")


@keys.command()
@with_installation
def rotate(installation: Installation) -> None:
    """Wrap everybody's key anew, under a new device key; a running door goes on."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        told = gallery.keyring.rotate()
        detail = f"keys rotated, device key {told.device_key}, {told.people} people"
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
    click.echo(f"rotated: device key {told.device_key}, {told.people} people's keys")
    click.echo("the key file was replaced: write the bundle anew with ostiary keys export")


@keys.command("renew-templates")
@with_installation
def renew_templates(installation: Installation) -> None:
    """Turn every template by a new secret rotation: after a theft, the stolen ones fit nothing. No reader may run."""
    from appliance.kept_faces.room import open_kept_faces  # noqa: PLC0415 - help must not load the ciphers

    with (
        only_one(installation.state / "reader.lock"),
        installation.open_gallery() as gallery,
        installation.open_audit() as audit,
    ):
        old = gallery.protection
        count = gallery.renew_protection()
        if installation.kept_file.exists():
            with open_kept_faces(installation) as kept:
                count += kept.turn(old)
        detail = f"{count} templates renewed, rotation {gallery.protection.protection_id}"
        audit.append(Event(EventType.CONFIG_CHANGED, datetime.now(UTC), CLI, "cli", detail=detail))
    click.echo(detail)


@keys.command()
@click.argument("file", type=_FILE)
@_STDIN
@with_installation
def export(installation: Installation, file: Path, *, stdin: bool) -> None:
    """Write every key to a new FILE, sealed by a passphrase: with a backup it brings everybody back elsewhere."""
    from appliance.backup.bundle import write_bundle  # noqa: PLC0415 - help must not load the ciphers
    from appliance.signing import own_key  # noqa: PLC0415

    passphrase = _entered(stdin=stdin, twice=True)
    device = installation.settings.device
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        signer = own_key(installation.device_key_file)
        people, fingerprint = write_bundle(file.absolute(), gallery.keyring, passphrase, device.id, signer)
        audit.append(Event(EventType.EXPORTED, datetime.now(UTC), CLI, "cli", detail=f"keys of {people} people"))
    click.echo(f"written: keys of {people} people, signed by {fingerprint}")
    click.echo("keep it apart from the backups, and destroy older ones: with them the erased could be read again")


@keys.command("import")
@click.argument("file", type=_FILE)
@_STDIN
@with_installation
def import_keys(installation: Installation, file: Path, *, stdin: bool) -> None:
    """Take the keys of FILE in, before a backup is restored. No reader may run."""
    from appliance.backup.bundle import read_bundle  # noqa: PLC0415 - help must not load the ciphers
    from appliance.signing import fingerprint  # noqa: PLC0415

    passphrase = _entered(stdin=stdin, twice=False)
    with (
        only_one(installation.state / "reader.lock"),
        installation.open_gallery() as gallery,
        installation.open_audit() as audit,
    ):
        new, seal = read_bundle(file.absolute(), gallery.keyring, passphrase)
        detail = f"keys of {new} people, bundle of {seal.header.made_at}"
        audit.append(Event(EventType.RESTORED, datetime.now(UTC), CLI, "cli", detail=detail))
    click.echo(f"taken in: keys of {new} people, signed by {fingerprint(seal.header.signer)}")


def _entered(*, stdin: bool, twice: bool) -> str:
    if stdin:
        return sys.stdin.readline(_MOST).removesuffix("\n")
    again = "Again" if twice else False
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=again))
