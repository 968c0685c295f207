"""`ostiary person list` and `search`: who is enrolled. Nothing is imported here that a list can do without."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from appliance.commands.options import with_state
from appliance.people.gallery import Gallery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.people.person import Person

HEADINGS = ("id", "name", "references", "models", "enrolled at", "consent by")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(1, 100_000), help="Only so many, in order of enrolment.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="With --limit: past so many.")
@with_state
def list_people(state: Path, *, as_json: bool, limit: int | None, after: int) -> None:
    """List everybody who is enrolled, by name; a page of them in order of enrolment with --limit."""
    with Gallery(state / "gallery.db") as gallery:
        people = gallery.people(after=after, limit=limit)
    _tell(people, as_json=as_json)


@click.command()
@click.argument("text")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@with_state
def search(state: Path, text: str, *, as_json: bool, limit: int) -> None:
    """Find people by name, the beginnings of its words (three letters or more), id or external id."""
    with Gallery(state / "gallery.db") as gallery:
        people = gallery.search(text.strip(), limit)
    _tell(people, as_json=as_json)


def cells(one: Person) -> tuple[str, ...]:
    """Return a person as one line of a list has it, in the order of `HEADINGS`."""
    enrolled_at = one.enrolled_at.isoformat(timespec="seconds")
    return (one.person_id, one.name, str(one.references), ", ".join(one.models), enrolled_at, one.consent_by)


def _tell(people: Sequence[Person], *, as_json: bool) -> None:
    if as_json:
        for one in people:
            click.echo(json.dumps(asdict(one), ensure_ascii=False, default=str))
    elif sys.stdout.isatty():
        _draw(people)
    else:
        for one in people:
            click.echo("\t".join(cells(one)))


def _draw(people: Sequence[Person]) -> None:
    from rich.console import Console  # noqa: PLC0415 - a fifth of the time that a list takes
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*HEADINGS)
    for one in people:
        table.add_row(*(Text(cell) for cell in cells(one)))  # Text, so that a name is never read as markup
    Console().print(table)
