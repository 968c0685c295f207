"""`ostiary broker`: set a broker up, and see whether it can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from appliance.commands.options import Installation, with_installation

if TYPE_CHECKING:
    from appliance.broker_setup import Broker, Change, Users
    from appliance.contract import Role

_PATH = click.Path(file_okay=False, path_type=Path)


@click.group()
def broker() -> None:
    """Configure mosquitto for this door and its clients, and check a broker. docs/broker.md leads through it."""


@broker.command()
@click.argument("folder", type=_PATH)
@click.option(
    "--users",
    type=click.Choice(["certificates", "passwords"]),
    default="certificates",
    show_default=True,
    help="How the broker knows its users.",
)
@click.option("--server", default="", help="First name of the broker's certificate [mqtt.host].")
@click.option("--port", type=click.IntRange(1, 65535), default=8883, show_default=True, help="That it listens on.")
@click.option("--address", default="", help="Of its machine that it listens on [all].")
@click.option("--at", "runs_at", type=_PATH, help="The folder as the broker sees it, where it is carried elsewhere.")
@click.option("--as", "runs_as", default="mosquitto", show_default=True, help="Account that the broker runs as.")
@click.option("--pki", type=_PATH, help="The authority [pki in the state folder].")
@with_installation
def setup(
    installation: Installation,
    folder: Path,
    *,
    users: str,
    server: str,
    port: int,
    address: str,
    runs_at: Path | None,
    runs_as: str,
    pki: Path | None,
) -> None:
    """Write or renew the configuration of a mosquitto broker in FOLDER: TLS, users, and rights by role.

    Run it again after a client was added or revoked; it says what has changed. Parts of other doors are kept.
    """
    from appliance import broker_setup  # noqa: PLC0415 - help must not load the ciphers
    from appliance.broker_rights import rights  # noqa: PLC0415 - as above

    settings = installation.settings
    device_id, home = settings.device.id, settings.home_assistant
    wanted = broker_setup.Broker(
        device_id=device_id,
        rights=rights(device_id, _clients(installation), home.prefix if home.enabled else ""),
        users=cast("Users", users),
        server=server or settings.mqtt.host,
        port=port,
        address=address,
        runs_at=(runs_at or folder).absolute(),
        runs_as=runs_as,
    )
    authority = pki.absolute() if pki is not None else installation.pki_folder
    _tell(broker_setup.write(folder.absolute(), authority, wanted))
    for line in _next(wanted, folder.absolute(), authority):
        click.echo(line)


@broker.command()
@with_installation
def check(installation: Installation) -> None:
    """Try whether the broker takes strangers, keeps its users apart and is spoken to in private; exit 1 where not."""
    from appliance.broker_trust import checked  # noqa: PLC0415 - as above

    settings = installation.settings.mqtt
    click.echo(checked(settings))
    if settings.cert_file:
        from appliance.pki import read_certificate  # noqa: PLC0415 - as above

        click.echo(
            f"our certificate holds until {read_certificate(Path(settings.cert_file)).not_valid_after_utc:%Y-%m-%d}"
        )


def _clients(installation: Installation) -> dict[str, Role]:
    """Return the role of every client that may send commands."""
    from appliance.clients import Registry  # noqa: PLC0415 - as above

    with Registry(installation.clients_file) as registry:
        return {entry.client_id: entry.role for entry in registry.entries() if entry.revoked_at is None}


def _tell(changes: tuple[Change, ...]) -> None:
    if not changes:
        click.echo("nothing has changed")
    for change in changes:
        click.echo(f"{'written' if change.made else 'changed'}: {change.path}")
        for line in change.lines:
            click.echo(f"  {line}")


def _next(wanted: Broker, folder: Path, authority: Path) -> list[str]:
    """Return what is left to do by hand."""
    from appliance.broker_setup import CONF, PASSWORDS  # noqa: PLC0415 - as above

    lines = ["next:"]
    if wanted.users == "certificates":
        missing = [user for user in wanted.rights if not (authority / "client" / f"{user}.pem").exists()]
        lines += [f"  ostiary pki issue client {user}" for user in missing]
        lines.append(f"  carry ca.pem and each user's certificate and key from {authority / 'client'} to its machine")
        own = "cert_file and key_file of client/" + wanted.device_id
    else:
        lines.append(f"  carry ca.pem and each user's file of {folder / PASSWORDS} to its machine, and delete it here")
        own = f'username = "{wanted.device_id}" and its password_file'
    lines += [
        f"  give the folder to the broker: {wanted.runs_at}, owned by {wanted.runs_as}, mode 0700",
        f"  have mosquitto use {wanted.runs_at / CONF} in the place of /etc/mosquitto/mosquitto.conf, and restart it",
        f"  in [mqtt] of appliance.toml: port = {wanted.port}, tls = true, ca_file, {own}",
        "  ostiary broker check",
    ]
    return lines
