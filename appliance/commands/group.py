"""`ostiary group`: who belongs together, such as a floor, a team or visitors."""

from __future__ import annotations

import json

import click

from appliance.access.subject import Status
from appliance.commands.options import Installation, with_installation
from appliance.people.groups import add_group, group_of, remove_group, rule_of
from appliance.people.groups import join as put_into
from appliance.people.groups import leave as take_out
from appliance.people.register import Rule


@click.group()
def group() -> None:
    """Make groups of people, which the rules of access name; by hand, or by tags."""


@group.command()
@click.argument("name")
@click.option("--tag", "all_tags", multiple=True, help="Everybody with this tag; again for those with all of them.")
@click.option("--any-tag", "any_tags", multiple=True, help="Everybody with this tag; again for those with any of them.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice([one.value for one in Status]), help="Only these."
)
@with_installation
def add(
    installation: Installation,
    name: str,
    *,
    all_tags: tuple[str, ...],
    any_tags: tuple[str, ...],
    statuses: tuple[str, ...],
) -> None:
    """Make the group NAME: of whom you put into it, or, with an option, of everybody of whom all options hold."""
    rule = rule_of(all_tags, any_tags, statuses)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        add_group(gallery, audit, name, rule)
        people = len(gallery.members(name))
    click.echo(f"group {name}: {'static' if rule is None else 'dynamic'}, {people} people")


@group.command()
@click.argument("name")
@with_installation
def remove(installation: Installation, name: str) -> None:
    """Give the group NAME up; nobody is erased by that."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        people = remove_group(gallery, audit, name)
    click.echo(f"removed {name}; {people} people were put into it")


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_installation
def list_groups(installation: Installation, *, as_json: bool) -> None:
    """List every group by name: its kind, how many were put into it, its rule."""
    with installation.open_gallery() as gallery:
        groups = gallery.groups()
    for one in groups:
        kind = "dynamic" if one.dynamic else "static"
        if as_json:
            rule = json.loads(one.rule) if one.rule else None
            click.echo(json.dumps({"name": one.name, "kind": kind, "people": one.people, "rule": rule}))
        else:
            click.echo("\t".join((one.name, kind, "" if one.people is None else str(one.people), _words(one.rule))))


@group.command()
@click.argument("name")
@with_installation
def show(installation: Installation, name: str) -> None:
    """Show who is in the group NAME: id and name, by age."""
    with installation.open_gallery() as gallery:
        group_of(gallery, name)
        found = (gallery.person(person_id) for person_id in gallery.members(name))
        for person in found:
            if person is not None:
                click.echo(f"{person.person_id}\t{person.name}")


@group.command()
@click.argument("name")
@click.argument("people", nargs=-1, required=True)
@with_installation
def join(installation: Installation, name: str, people: tuple[str, ...]) -> None:
    """Put PEOPLE, by name or id, into the group NAME."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        for one in people:
            click.echo(f"{put_into(gallery, audit, name, one).person_id} is in {name}")


@group.command()
@click.argument("name")
@click.argument("people", nargs=-1, required=True)
@with_installation
def leave(installation: Installation, name: str, people: tuple[str, ...]) -> None:
    """Take PEOPLE, by name or id, out of the group NAME."""
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        for one in people:
            click.echo(f"{take_out(gallery, audit, name, one).person_id} is not in {name}")


def _words(rule: str) -> str:
    if not rule:
        return ""
    read = Rule.read(rule)
    parts = (
        f"all of {', '.join(read.all_tags)}" if read.all_tags else "",
        f"any of {', '.join(read.any_tags)}" if read.any_tags else "",
        " or ".join(read.statuses),
    )
    return "; ".join(part for part in parts if part)
