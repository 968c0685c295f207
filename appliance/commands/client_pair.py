"""`ostiary client pair` and `join`: make a client known by a code that this device shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from appliance.commands.options import Installation, duration, with_installation
from appliance.contract import Role, is_identifier
from appliance.errors import HardwareError, RefusedError, UsageError

_SLACK_S = 10.0  # the reader may be busy with a frame


@click.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may ask for.")
@click.option("--for", "for_text", default="5m", show_default=True, help="How long the code holds, 10s to 15m.")
@with_installation
def pair(installation: Installation, *, role: str, for_text: str) -> None:
    """Show a code with which one client may join over MQTT, and wait for it; Ctrl-C takes the code back.

    It ends with the first client that joins, after three wrong codes, or when its time is up.
    """
    from appliance.local_socket import ask  # noqa: PLC0415  help must not load what pairs
    from appliance.pairing import new_code, pairing_key  # noqa: PLC0415  as above
    from appliance.pairing_desk import MAX_S, MIN_S, Pair  # noqa: PLC0415  as above

    for_s = duration(for_text)
    if not MIN_S <= for_s <= MAX_S:
        raise UsageError(f"--for is {for_text}; it must be {MIN_S} s to {MAX_S // 60} m")
    code = new_code()
    key = pairing_key(code, installation.settings.device.id) or b""
    request = Pair(role=Role(role), for_s=for_s, key=key.hex()).model_dump(mode="json")
    call = ask(installation.reader_socket, request, for_s + _SLACK_S)
    if call is None:
        raise HardwareError(f"no reader runs on {installation.state}; without one, use ostiary client add")
    with call:
        for message in call:
            if "open" in message:
                click.echo(f"code {code}  for one {role}, {for_s:g} s from now")
                click.echo("on the client's machine: ostiary client join CLIENT_ID --key FILE")
            elif _told(message):
                return
    raise RefusedError("the reader has hung up; nobody joined")


def _told(message: dict[str, Any]) -> bool:
    """Say what the reader tells; True once a client has joined. Raises RefusedError where nobody will."""
    if "error" in message:
        raise RefusedError(str(message["error"]))
    if "refused" in message:
        click.echo(f"{message['client_id']} was refused: {message['refused']}; {message['left']} tries are left")
        return False
    joined = message["joined"]
    click.echo(f"{joined['client_id']} may now act as {joined['role']}; its key is {joined['fingerprint']}")
    click.echo("where the broker has an access list: ostiary broker setup gives it its rights there")
    return True


@click.command()
@click.argument("client_id")
@click.option(
    "--key", "key_file", type=click.Path(path_type=Path), required=True, help="Its key file; made if missing."
)
@click.option("--code", help="The code that the device shows; else it is asked for.")
@with_installation
def join(installation: Installation, client_id: str, *, key_file: Path, code: str | None) -> None:
    """Make this machine's key known at the door as CLIENT_ID, over MQTT, with the code that the device shows.

    The settings here name the door (`device.id`) and the broker.
    """
    from appliance.signing import fingerprint, own_key, public_text  # noqa: PLC0415  help must not load ciphers
    from ostiary_client.joining import join as join_door  # noqa: PLC0415  nor the network

    if not is_identifier(client_id):
        raise UsageError(f"client id {client_id!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    key = own_key(key_file)
    settings = installation.settings
    shown = code or (str(click.prompt("code")) if sys.stdin.isatty() else sys.stdin.readline())
    role = join_door(settings.mqtt, settings.device.id, client_id, key, shown.strip())
    click.echo(f"{client_id} may now act as {role.value} at {settings.device.id}")
    click.echo(f"its key is {fingerprint(public_text(key))}; the device shows the same")
