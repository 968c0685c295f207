"""`ostiary attendant`: look at the tickets of a door in a terminal, and answer them."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
from pathlib import Path

import click

from appliance.commands.options import Installation, with_installation
from appliance.commands.ticket_board import BELL, Board
from appliance.contract import is_identifier
from appliance.errors import RefusedError, UsageError
from appliance.signing import read_key
from ostiary_client import Client

_LOOK_S = 0.1  # how soon a ticket that came, or that ended elsewhere, is noticed


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
    """Show tickets as they come, and send the door signed answers: y, n, a to have the visitor seen again, or a text.

    What is typed is about the oldest open ticket; a number before it names another: 2 y.
    """
    name = client_id or key_file.stem
    if not is_identifier(name):
        raise UsageError(f"client id {name!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    settings = installation.settings
    with Client(settings.mqtt, settings.device.id, name, read_key(key_file)) as client:
        click.echo(f"{name} waits for tickets of {settings.device.id}; Ctrl-C ends")
        board = Board(client, name, folder, _write, _forget_typed if answer == "ask" else None)
        while not (once and board.faults):
            _attend(client, board, answer)
    if board.faults[0]:
        raise RefusedError(f"the ticket was not answered: {board.faults[0]}")


def _attend(client: Client, board: Board, answer: str) -> None:
    """Take in what has come or was typed, waiting for a moment."""
    typing = board.is_open and answer == "ask"
    ticket = client.next_ticket(0.0 if typing else _LOOK_S)
    if ticket is not None and board.take(ticket) and answer != "ask":
        board.enter(answer)
    board.sweep()
    for line in _typed(_LOOK_S) if typing and board.is_open else ():
        ended = len(board.faults)
        board.enter(line)
        if len(board.faults) > ended:  # the other lines were typed before anybody saw that
            return


def _write(text: str) -> None:
    if text != BELL or sys.stdout.isatty():
        click.echo(text, nl=False)


def _typed(wait_s: float) -> list[str]:
    """Return the lines that were entered; none when nothing was within `wait_s`, or nobody can type."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_s)
    if not readable:
        return []
    typed = os.read(sys.stdin.fileno(), 1024)
    if not typed:  # closed: silence is a refusal, and the ticket's time decides
        time.sleep(wait_s)
    return typed.decode("utf-8", "replace").splitlines()


def _forget_typed() -> None:
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
