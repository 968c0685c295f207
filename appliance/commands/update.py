"""`ostiary update`: another release, signed, tried, and taken back where it fails; and signing one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from appliance.update.applying import Updater
    from appliance.update.claim import Claim

_FILE = click.Path(dir_okay=False, path_type=Path)
_ROOT = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("/"),
    help="Look at an image below this folder instead of at this machine.",
)


@click.group()
def update() -> None:
    """Put another release in the place of this one; what was there before stays to go back to."""


@update.command()
@click.argument("file", type=_FILE)
@_ROOT
def verify(file: Path, root: Path) -> None:
    """Check the signature of FILE, which lies beside it as FILE.sig, and everything in it; nothing is changed."""
    claim, files = _updater(root).verify(file.absolute())
    _tell(claim)
    click.echo(f"whole and unaltered: {files} files")


@update.command()
@click.argument("file", type=_FILE)
@click.option("--no-way-back", is_flag=True, help="Take it though what runs now cannot read its databases.")
def apply(file: Path, *, no_way_back: bool) -> None:
    """Install FILE beside what runs, switch to it, and keep it if it is well; the door is shut for some seconds."""
    _as_root()
    _updater(Path("/")).apply(file.absolute(), no_way_back=no_way_back)


@update.command()
@click.option("--restore", is_flag=True, help="Put the databases back as they were when the update began.")
def rollback(*, restore: bool) -> None:
    """Go back to the release before this one."""
    _as_root()
    _updater(Path("/")).roll_back(restore=restore)


@update.command()
def confirm() -> None:
    """Watch the release that is on trial, if there is one, and keep it or take it back; each boot calls this."""
    _as_root()
    _updater(Path("/")).watch()


@update.command("list")
@_ROOT
def list_releases(root: Path) -> None:
    """List the releases that are installed: version, and what each is."""
    from appliance.update.places import Places  # noqa: PLC0415  help must not load the ciphers

    places = Places(root)
    links = {places.linked("previous"): "previous", places.linked("current"): "current"}
    for version in places.installed():
        click.echo(f"{version}\t{links.get(version, 'not in use')}")


@update.command()
@_ROOT
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(root: Path, *, as_json: bool) -> None:
    """Say what runs, what is on trial, how the last update ended and what is too old to be taken."""
    from appliance.update.places import Places  # noqa: PLC0415  as above

    places = Places(root)
    trial, outcome = places.trial(), places.outcome()
    told = {"current": places.linked("current"), "previous": places.linked("previous"), "oldest": places.floor()}
    if as_json:
        parts = {"trial": trial and trial.model_dump(), "last": outcome and outcome.model_dump()}
        click.echo(json.dumps(told | parts))
        return
    for name, value in told.items():
        click.echo(f"{name:10}{value or 'none'}")
    if trial is not None:
        click.echo(f"on trial  {trial.version}, started {trial.starts} times{trial.why and f': {trial.why}'}")
    if outcome is not None:
        click.echo(f"last      {outcome.version} {outcome.ended} at {outcome.at}{outcome.why and f': {outcome.why}'}")


@update.command()
def schemas() -> None:
    """Print the newest schema of each database that this version can read, as one JSON object."""
    from appliance.update.databases import known  # noqa: PLC0415  as above

    click.echo(json.dumps(known()))


@update.command()
@click.argument("key", type=_FILE)
def keygen(key: Path) -> None:
    """Make a key to sign releases with in a new file KEY, and print the public key, which machines are to trust."""
    from appliance.signing import new_key  # noqa: PLC0415  as above

    click.echo(new_key(key))


@update.command()
@click.argument("file", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The file that `ostiary update keygen` made.")
@click.option("--version", "version", help="The version that FILE holds [from its name, ostiary-VERSION.tar.gz].")
def sign(file: Path, key: Path, version: str | None) -> None:
    """Sign the archive FILE; the signature is written beside it, as FILE.sig."""
    from appliance.signing import read_key  # noqa: PLC0415  as above
    from appliance.update import claim  # noqa: PLC0415  as above

    named = version or file.name.removeprefix("ostiary-").removesuffix(".tar.gz")
    _tell(claim.sign(file, named, read_key(key)))


def _updater(root: Path) -> Updater:
    from appliance.update.applying import Updater  # noqa: PLC0415  as above
    from appliance.update.machine import Systemd  # noqa: PLC0415  as above
    from appliance.update.places import Places  # noqa: PLC0415  as above

    return Updater(Places(root), Systemd(), click.echo)


def _as_root() -> None:
    if os.geteuid() != 0:
        raise UsageError("only root may change what runs: sudo ostiary update ...")
    if not Path("/run/systemd/system").is_dir():
        raise RefusedError("systemd does not run here, so nothing can be started or watched")


def _tell(claim: Claim) -> None:
    click.echo(f"version {claim.version}, {claim.size} bytes, signed at {claim.signed_at}")
    click.echo(f"SHA-256 {claim.sha256}")
    click.echo(f"signed by {claim.signer}")
