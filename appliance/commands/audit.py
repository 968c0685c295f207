"""`ostiary audit`: what happened at the door, and whether the record of it is whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.audit import AuditLog, Head, as_payload
from appliance.commands.options import Installation, with_installation
from appliance.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.records import AuditEvent

_SHOWN = 20


@click.group()
def audit() -> None:
    """Show the audit log, and verify that nobody has altered it."""


@audit.command()
@click.option("--limit", type=click.IntRange(min=1), help=f"At most this many; default {_SHOWN}, or all with --after.")
@click.option("--after", type=click.IntRange(min=0), help="Only what follows this entry; default is the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as MQTT sends it.")
@with_installation
def show(installation: Installation, limit: int | None, after: int | None, as_json: bool) -> None:
    """Show entries, oldest first."""
    with _open(installation) as log:
        if after is None:
            limit = limit or _SHOWN
            after = max(0, log.head().seq - limit)
        entries = log.read(after, limit)
        if as_json:
            for entry in entries:
                click.echo(json.dumps(as_payload(entry), ensure_ascii=False, allow_nan=False))
        else:
            _print(entries)


@audit.command()
@click.option("--head", metavar="SEQ:HASH", help="An entry noted elsewhere, which the log must hold.")
@with_installation
def verify(installation: Installation, head: str | None) -> None:
    """Read the whole chain; exit 1 and name the first bad entry where it does not hold."""
    with _open(installation) as log:
        verdict = log.verify(None if head is None else _parse_head(head))
    for seq in verdict.steps_back:
        click.echo(f"note: the clock was set back before entry {seq}")
    if not verdict.ok:
        raise RefusedError(f"audit log {installation.audit_file} is broken: entry {verdict.first_bad} {verdict.why}")
    click.echo(f"ok: {verdict.count} entries, head {verdict.head.seq}:{verdict.head.hash}")
    if verdict.remembered is None:
        click.echo("note: no head was remembered, so that entries cut off the end would not show")


def _open(installation: Installation) -> AuditLog:
    device = installation.settings.device
    return AuditLog(installation.audit_file, device.id, device.door)


def _parse_head(text: str) -> Head:
    seq, _, digest = text.partition(":")
    if not (seq.isascii() and seq.isdigit() and len(seq) < 16 and len(digest) == 64):
        msg = f"--head is {text!r}; SEQ:HASH as printed by ostiary audit verify is wanted"
        raise click.UsageError(msg)
    return Head(int(seq), digest.lower())


def _print(entries: Iterable[AuditEvent]) -> None:
    console = Console()
    if not console.is_terminal:
        for entry in entries:
            click.echo("\t".join(_cells(entry)))
        return
    table = Table("seq", "at", "event", "who", "reason", "method", "detail")
    for entry in entries:
        table.add_row(*(Text(cell) for cell in _cells(entry)))
    console.print(table)


def _cells(entry: AuditEvent) -> tuple[str, ...]:
    event = entry.event
    who = f"{event.actor.kind} {event.actor.id}" if event.actor else ""
    at = event.at.isoformat(timespec="seconds")
    # An id may come from the network: nothing in it may move the cursor of the reader's terminal.
    cells = (str(entry.seq), at, event.event_type, who, event.reason or "", event.method, event.detail)
    return tuple("".join(letter if letter.isprintable() else "?" for letter in cell) for cell in cells)
