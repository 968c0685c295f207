"""`ostiary pki`: a small private authority for the broker and its clients."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.errors import UsageError

if TYPE_CHECKING:
    from appliance.access.schedule import Moment
    from appliance.pki import Authority, Issued

_FOLDER = click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="The authority [pki in the state folder]."
)
_RENEW = click.option("--renew", is_flag=True, help="Replace one that is there; the old one holds until revoked.")


@click.group()
def pki() -> None:
    """Sign certificates for a broker and its clients, and take them back. docs/broker.md says what goes where."""


@pki.command()
@click.option("--permit", multiple=True, help="A domain or network more that it may sign servers for.")
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase that the key is written under.")
@_FOLDER
@with_installation
def init(installation: Installation, folder: Path | None, permit: tuple[str, ...], *, encrypt: bool) -> None:
    """Make a new authority, for private names and addresses unless --permit names others."""
    from appliance import certificates  # noqa: PLC0415 - help must not load the ciphers
    from appliance import pki as authority  # noqa: PLC0415 - as above

    passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt="Again") if encrypt else None
    place = _place(installation, folder)
    authority.init(
        place, installation.settings.device.id, (*certificates.PRIVATE, *permit), _moment(installation), passphrase
    )
    click.echo(f"made: {place / 'ca.pem'}, which everybody who connects is given; {place / 'ca.key'} stays here")


@pki.group()
def issue() -> None:
    """Sign a certificate."""


@issue.command()
@click.argument("names", nargs=-1, required=True)
@_RENEW
@_FOLDER
@with_installation
def server(installation: Installation, folder: Path | None, names: tuple[str, ...], *, renew: bool) -> None:
    """Sign for a broker that is reached under these NAMES: host names and IP addresses, no wildcards."""
    path = _opened(installation, folder).issue_server(names, _moment(installation), renew=renew)
    click.echo(f"signed: {path}; its key: {path.with_name(path.stem + '.key')}")


@issue.command()
@click.argument("client_id")
@click.option("--csr", type=click.Path(path_type=Path), help="Sign this request; its key was made where it is used.")
@_RENEW
@_FOLDER
@with_installation
def client(installation: Installation, folder: Path | None, client_id: str, csr: Path | None, *, renew: bool) -> None:
    """Sign for CLIENT_ID, the broker's user: device.id for the appliance itself, a client's id for a client."""
    request = _request(csr) if csr is not None else None
    path = _opened(installation, folder).issue_client(client_id, _moment(installation), request=request, renew=renew)
    click.echo(f"signed: {path}" + ("" if request else f"; its key: {path.with_name(path.stem + '.key')}"))


@pki.command()
@click.argument("name")
@_FOLDER
@with_installation
def revoke(installation: Installation, folder: Path | None, name: str) -> None:
    """Take back every certificate of NAME: a client id, a host name or an address."""
    count = _opened(installation, folder).revoke(name, _moment(installation))
    click.echo(f"revoked: {count} of {name}; give the broker {_place(installation, folder) / 'crl.pem'} anew")


@pki.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
@_FOLDER
@with_installation
def list_issued(installation: Installation, folder: Path | None, *, as_json: bool) -> None:
    """List every certificate that was signed, revoked and expired ones too."""
    from appliance.pki import issued  # noqa: PLC0415 - as above

    found = issued(_place(installation, folder))
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(f"{one.kind}  {' '.join(one.names)}  until {one.last:%Y-%m-%d}  {_state(one)}")


def _place(installation: Installation, folder: Path | None) -> Path:
    return folder.absolute() if folder is not None else installation.pki_folder


def _opened(installation: Installation, folder: Path | None) -> Authority:
    from appliance.pki import Authority  # noqa: PLC0415 - as above

    return Authority(_place(installation, folder), lambda: str(click.prompt("Passphrase", hide_input=True)))


def _moment(installation: Installation) -> Moment:
    from appliance.clock import WallClock  # noqa: PLC0415 - as above

    return WallClock(installation.settings.access.clock)()


def _request(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise UsageError(f"request {path} cannot be read: {fault.strerror}") from fault


def _plain(one: Issued) -> dict[str, object]:
    return {
        "kind": one.kind,
        "names": one.names,
        "serial": f"{one.serial:x}",
        "first": one.first.isoformat(),
        "last": one.last.isoformat(),
        "revoked_at": one.revoked_at.isoformat() if one.revoked_at else None,
    }


def _state(one: Issued) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}"
    return "holds" if datetime.now(UTC) < one.last else "expired"
