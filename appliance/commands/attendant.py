"""`ostiary attendant`: look at the tickets of a door in a terminal, and answer them."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.contract import Reason, is_identifier
from appliance.errors import RefusedError, UsageError
from appliance.signing import read_key
from ostiary_client import Client, Reply

if TYPE_CHECKING:
    from ostiary_client import Ticket

_IN_WORDS = {
    Reason.UNKNOWN_FACE: "the face is not enrolled, or not alike enough",
    Reason.AMBIGUOUS_MATCH: "two enrolled people are nearly as alike",
    Reason.LIVENESS_UNCERTAIN: "it is not certain that this is a living face",
    Reason.MULTIPLE_FACES: "several people stand before the camera",
    Reason.SECOND_FACTOR_REQUIRED: "the face alone is not enough here",
}
_REFUSALS = {
    "no_reply": "the door did not answer: it is away, or does not know this client with this key",
    "ticket_expired": "too late, the time had run out",
    "already_answered": "it was answered already",
    "unknown_ticket": "the door does not know this ticket",
    "visitor_gone": "the visitor has left",
    "other_visitor": "somebody else stands there now",
    "verb_not_allowed": "this client's role may not answer tickets",
    "future": "this machine's clock is ahead of the door's",
    "expired": "this machine's clock is behind the door's, or the way took too long",
}
_LOOK_S = 0.25  # how soon a ticket that ended elsewhere is noticed


@click.command()
@click.option("--key", "key_file", type=click.Path(path_type=Path), required=True, help="Private key, from keygen.")
@click.option("--client-id", help="Who we are at the door; default is the key file's name without its ending.")
@click.option("--answer", type=click.Choice(["y", "n", "ask"]), default="ask", help="Answer every ticket like this.")
@click.option("--save-image", "folder", type=click.Path(path_type=Path), help="Folder for the visitors' pictures.")
@click.option("--once", is_flag=True, help="End after the first ticket: 0 when the door took the answer, else 1.")
@with_installation
def attendant(
    installation: Installation, *, key_file: Path, client_id: str | None, answer: str, folder: Path | None, once: bool
) -> None:
    """Wait for tickets, show each, and send the door a signed answer."""
    name = client_id or key_file.stem
    if not is_identifier(name):
        raise UsageError(f"client id {name!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    settings = installation.settings
    with Client(settings.mqtt, settings.device.id, name, read_key(key_file)) as client:
        click.echo(f"{name} waits for tickets of {settings.device.id}; Ctrl-C ends")
        while True:
            ticket = client.next_ticket(_LOOK_S)
            if ticket is None:
                continue
            fault = _attend(client, ticket, answer, folder)
            if once and fault:
                raise RefusedError(f"ticket {ticket.ticket_id}: {fault}")
            if once:
                return


def _attend(client: Client, ticket: Ticket, answer: str, folder: Path | None) -> str:
    """Show one ticket and have it answered; return what went wrong, "" for nothing."""
    _show(ticket, _saved(ticket, folder))
    letter = _asked(client, ticket) if answer == "ask" else answer
    if not letter:
        outcome = client.outcome(ticket.ticket_id)
        ended = f"{outcome.by or 'the door'} ended it: {outcome.reason}" if outcome else "its time ran out"
        click.echo(f"  not answered: {ended}")
        return ended
    reply = client.approve(ticket.ticket_id) if letter == "y" else client.deny(ticket.ticket_id)
    click.echo(f"  {_told(reply, letter)}")
    return "" if reply.ok else _told(reply, letter)


def _show(ticket: Ticket, picture: str) -> None:
    candidates = ", ".join(_printable(one) for one in ticket.candidates) or "nobody"
    click.echo(f"\nTicket {ticket.ticket_id}: {_IN_WORDS.get(ticket.reason, ticket.reason)}")
    click.echo(f"  perhaps    {candidates}")
    click.echo(f"  liveness   {_printable(ticket.liveness)}, quality {_printable(ticket.quality)}")
    click.echo(f"  picture    {picture}")
    click.echo(f"  time left  {max(0.0, ticket.seconds_left()):.0f} s, until {ticket.expires_at:%H:%M:%S} UTC")


def _printable(text: str) -> str:
    """Return the text without anything that could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _saved(ticket: Ticket, folder: Path | None) -> str:
    """Save the picture and return where, or in words why not."""
    if ticket.image is None:
        return "none came with the ticket"
    if folder is None:
        return "not saved; --save-image names a folder for it"
    path = folder / f"{ticket.ticket_id}.jpg"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(ticket.image)
    except OSError as fault:
        return f"cannot be saved to {path}: {fault.strerror}"
    return str(path)


def _asked(client: Client, ticket: Ticket) -> str:
    """Ask at the terminal; return "y", "n", or "" where the ticket ended first."""
    click.echo("  let in? [y/n] ", nl=False)
    while ticket.seconds_left() > 0 and client.outcome(ticket.ticket_id) is None:
        line = _typed(_LOOK_S)
        if line is None:
            continue
        letter = line.strip().lower()[:1]
        if letter in {"y", "n"}:
            return letter
        click.echo(f"  y or n, {max(0.0, ticket.seconds_left()):.0f} s left: ", nl=False)
    click.echo()
    return ""


def _typed(wait_s: float) -> str | None:
    """Return what was typed until Enter; None when nothing was within `wait_s`, or nobody can type."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    if not readable:
        return None
    typed = os.read(sys.stdin.fileno(), 1024)
    if not typed:  # closed: silence is a refusal, and the ticket's time decides
        time.sleep(wait_s)
        return None
    return typed.decode("utf-8", "replace")


def _told(reply: Reply, letter: str) -> str:
    if reply.ok:
        return "the door opens" if letter == "y" else "the door stays shut"
    return f"refused: {_REFUSALS.get(reply.error, _printable(reply.error))}"
