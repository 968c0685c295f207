"""`ostiary backup`: what a device knows, sealed and signed, put away and put back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.contract import EventType
from appliance.errors import RefusedError, UsageError
from appliance.people.enrolment import CLI
from appliance.people.keyring import Keyring
from appliance.records import Event
from appliance.signing import fingerprint, own_key, public_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.backup.archive import Backup
    from appliance.backup.sealed import Seal

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def backup() -> None:
    """Write backups, verify them and put them back. A backup holds no key: see `ostiary keys export`."""


@backup.command()
@click.argument("file", type=_FILE)
@with_installation
def create(installation: Installation, file: Path) -> None:
    """Write everything but keys and models that were added to a new FILE; the door may work on meanwhile."""
    from appliance.backup.making import make  # noqa: PLC0415  help must not load the ciphers

    made = make(installation, file.absolute(), actor=CLI, method="cli")
    _tell(made, "written and read back")


@backup.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--last", default=14, show_default=True, type=click.IntRange(1, 1000), help="How many stay.")
@with_installation
def keep(installation: Installation, folder: Path, *, last: int) -> None:
    """Write a backup named after the moment into FOLDER, and delete the older of those that this command wrote."""
    from appliance.backup.making import make, make_room  # noqa: PLC0415  as above

    file = folder.absolute() / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.ostiary"
    made = make(installation, file, actor=CLI, method="cli")
    click.echo(file)
    _tell(made, "written and read back")
    for gone in make_room(file, last):
        click.echo(f"deleted {gone}")


@backup.command()
@click.argument("file", type=_FILE)
@with_installation
def verify(installation: Installation, file: Path) -> None:
    """Read every byte of FILE and check all of its databases; nothing is changed."""
    from appliance.backup import archive  # noqa: PLC0415  as above

    _tell(
        archive.verify(file.absolute(), _secret(installation, archive.SECRET), installation.state),
        "whole and unaltered",
    )


@backup.command()
@click.argument("file", type=_FILE)
@click.option("--signer", default="", help="Fingerprint of the device that made it, where it is another one.")
@click.option("--whole", is_flag=True, help="Take its log, ledger and clients too, though those here are sound.")
@click.option("--without-keys", is_flag=True, help="Take people too whose keys are not here: they cannot be read.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@with_installation
def restore(installation: Installation, file: Path, *, signer: str, whole: bool, without_keys: bool, yes: bool) -> None:
    """Put what FILE holds in the place of what is here; no reader may run. Who was erased since stays erased."""
    from appliance.backup import archive  # noqa: PLC0415  as above
    from appliance.backup.restore import restore as put_back  # noqa: PLC0415  as above

    if not yes:
        click.confirm(f"Replace the people of {installation.state} with those of {file}?", abort=True)
    done = put_back(
        installation,
        file.absolute(),
        _secret(installation, archive.SECRET),
        signer=signer,
        whole=whole,
        without_keys=without_keys,
    )
    with installation.open_gallery() as gallery:  # buries who was erased since
        people = gallery.size()
    made_at, contents = done.backup.seal.header.made_at, done.backup.contents
    detail = (
        f"backup of {made_at}, {people} people, {done.erased_since} erased since, replaced {' '.join(done.replaced)}"
    )
    _say(installation, EventType.RESTORED, f"{detail}, SHA-256 {done.backup.seal.file_hash}")
    click.echo(f"restored from {made_at}: {', '.join(done.replaced)}; {people} people")
    for line in _remarks(done.kept, done.left_aside, done.erased_since, done.unreadable):
        click.echo(line)
    click.echo(f"what was changed of people after {made_at} is undone: ostiary audit show --after {contents.audit_seq}")


@backup.command()
@with_installation
def address(installation: Installation) -> None:
    """Print the address for which other devices seal people, and the fingerprint by which this one signs."""
    from appliance.backup import locks  # noqa: PLC0415  as above

    click.echo(f"address {locks.address(_secret(installation, locks.SECRET))}")
    click.echo(f"signs as {_own_fingerprint(installation)}")


@backup.command()
@click.argument("file", type=_FILE)
@click.option("--to", "device", help="Address of the device that is to open it: ostiary backup address, there.")
@click.option("--passphrase", "by_passphrase", is_flag=True, help="Ask for a passphrase instead.")
@click.option("--names", is_flag=True, help="With names and external ids.")
@click.option("--group", help="Only people of this group.")
@with_installation
def templates(
    installation: Installation,
    file: Path,
    *,
    device: str | None,
    by_passphrase: bool,
    names: bool,
    group: str | None,
) -> None:
    """Write the templates of people who may come in to a new FILE for another door: no photo, no PIN."""
    from appliance.backup import locks, moving  # noqa: PLC0415  as above

    if (device is None) is not by_passphrase:
        raise UsageError("say for whom: either --to or --passphrase")
    if device is not None:
        lock = locks.lock_for(device)
    else:
        lock = locks.lock_with(click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        people = moving.send(installation, gallery, audit, file.absolute(), lock=lock, named=names, group=group)
    click.echo(f"{people} people in {file}; signed as {_own_fingerprint(installation)}")


@backup.command("import-templates")
@click.argument("file", type=_FILE)
@click.option("--signer", default="", help="Fingerprint of the device that made it; without it you are asked.")
@with_installation
def import_templates(installation: Installation, file: Path, *, signer: str) -> None:
    """Enrol the people of FILE from another door, each by the checks of an enrolment."""
    from appliance.backup import moving  # noqa: PLC0415  as above

    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        arrived = moving.receive(
            installation,
            gallery,
            audit,
            file.absolute(),
            trusted=lambda seal: _trusts(seal, signer),
            passphrase=lambda: click.prompt("Passphrase", hide_input=True, err=True),
        )
    for person_id, here in arrived.taken.items():
        click.echo(f"{person_id}: enrolled{'' if here == person_id else f' as {here}'}")
    for person_id in arrived.here:
        click.echo(f"{person_id}: is here already, left as they are")
    for person_id, why in arrived.refused.items():
        click.echo(f"{person_id}: refused, {why}")
    click.echo(f"{len(arrived.taken)} enrolled, {len(arrived.here)} here already, {len(arrived.refused)} refused")
    if arrived.refused:
        raise RefusedError(f"{len(arrived.refused)} people of {file} were not taken")


def _trusts(seal: Seal, signer: str) -> bool:
    if signer:
        return seal.signer.replace(" ", "") == signer.replace(" ", "").lower()
    head = seal.header
    return click.confirm(f"Made by {head.device_id} at {head.made_at}, signed as {seal.signer}. Take it?", err=True)


def _own_fingerprint(installation: Installation) -> str:
    return fingerprint(public_text(own_key(installation.device_key_file)))


def _remarks(kept: tuple[str, ...], aside: tuple[str, ...], erased_since: int, unreadable: int) -> Iterator[str]:
    if kept:
        yield f"kept, for what is here is sound and newer: {', '.join(kept)}"
    if aside:
        yield f"left in the folder restored, to be compared: {', '.join(aside)}"
    if erased_since:
        yield f"erased since, and not brought back: {erased_since}"
    if unreadable:
        yield f"of {unreadable} people no key is here; they cannot be read"


def _tell(made: Backup, state: str) -> None:
    head, contents = made.seal.header, made.contents
    size = sum(one.bytes for one in contents.members)
    click.echo(
        f"{state}: {contents.people} people of {head.device_id} at {head.made_at}, by Ostiary {contents.version}"
    )
    click.echo(f"holds {size / 1e6:.1f} MB: {', '.join(one.name for one in contents.members)}")
    click.echo(f"newest entry of its log: {contents.audit_seq}:{contents.audit_hash}")
    click.echo(f"signed by the key {made.seal.signer}")
    click.echo(f"SHA-256 {made.seal.file_hash}")


def _secret(installation: Installation, name: str) -> bytes:
    with Keyring.beside(installation.gallery_file) as keyring:
        return keyring.secret(name)


def _say(installation: Installation, kind: EventType, detail: str) -> None:
    with installation.open_audit() as audit:
        audit.append(Event(kind, datetime.now(UTC), CLI, "cli", detail=detail))
