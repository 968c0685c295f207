"""`ostiary privacy kept` and `erase-kept`: the face lists and person groups that clients keep here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from appliance.commands.options import Installation, with_installation
from appliance.contract import EventType
from appliance.people.enrolment import CLI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.kept_faces.schema import Collection, Kind
    from appliance.kept_faces.store import KeptFaces

_KINDS = {"list": "face list", "group": "person group"}
_PAGE = 1000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@with_installation
def kept(installation: Installation, *, as_json: bool) -> None:
    """Show the face lists and person groups that clients keep here, and who answers for the consent to them."""
    from appliance.kept_faces.room import open_kept_faces  # noqa: PLC0415 - help must not load the ciphers

    with open_kept_faces(installation) as store:
        found = [_plain(store, kind, one) for kind, one in _all(store)]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for one in found:
        counted = f"{one['people']} people, {one['faces']} faces"
        click.echo(f"{one['kind']} {one['id']}: {counted}, since {one['made_at']:.10}; {one['answers_for']} answers")
    if not found:
        click.echo("clients keep nothing here")


@click.command("erase-kept")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.argument("collection_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@with_installation
def erase_kept(installation: Installation, kind: str, collection_id: str, *, yes: bool) -> None:
    """Erase a face list or person group that a client keeps here, with everybody in it."""
    from appliance.kept_faces.room import open_kept_room  # noqa: PLC0415 - as above
    from appliance.kept_faces.schema import Kind  # noqa: PLC0415 - as above

    meant = Kind(_KINDS[kind])
    with open_kept_room(installation) as room:
        people, faces = room.kept.counts(meant, collection_id)
        if not yes:
            click.confirm(f"Erase the {meant} {collection_id} with {people} people and {faces} faces?", abort=True)
        detail = f"{meant} {collection_id} erased with all its faces"
        gone = room.changed(
            CLI.id, EventType.ERASED, lambda store: store.drop_collection(meant, collection_id), detail, "cli"
        )
    click.echo(f"erased {meant} {collection_id}: {gone} faces")


def _all(store: KeptFaces) -> Iterator[tuple[Kind, Collection]]:
    from appliance.kept_faces.schema import Kind  # noqa: PLC0415 - as above

    for kind in (Kind.LIST, Kind.GROUP):
        after = ""
        while page := store.collections(kind, after, _PAGE):
            yield from ((kind, one) for one in page)
            after = page[-1].collection_id


def _plain(store: KeptFaces, kind: Kind, one: Collection) -> dict[str, str | int]:
    people, faces = store.counts(kind, one.collection_id)
    return {
        "kind": kind.value,
        "id": one.collection_id,
        "people": people,
        "faces": faces,
        "answers_for": one.answers_for,
        "made_at": one.made_at.isoformat(),
    }
