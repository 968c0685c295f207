"""`ostiary enrol offers`: who can be enrolled once more, because their face was hardly enough a moment ago."""

from __future__ import annotations

import click

from appliance.commands.options import Installation, with_installation
from appliance.enrolment.requests import ListOffers, TakeOffer
from appliance.errors import HardwareError
from appliance.local_socket import answer

WAIT_S = 5.0


@click.command()
@click.option("--accept", metavar="OFFER_ID", help="Enrol this one once more, from what the camera saw of them.")
@with_installation
def offers(installation: Installation, *, accept: str | None) -> None:
    """List who was let in by a PIN or a pass while their face was hardly enough, within the last two minutes.

    Nothing is added to anybody by itself: with --accept, what was seen becomes theirs, if it is clearly theirs.
    """
    request = ListOffers() if accept is None else TakeOffer(offer_id=accept[:63])
    said = answer(installation.reader_socket, request.model_dump(mode="json"), WAIT_S)
    if said is None:
        raise HardwareError(f"no reader runs on {installation.state}; offers are in its memory alone")
    if accept is not None:
        click.echo(f"person {said['person_id']} has {said['references']} references")
        return
    with installation.open_gallery() as gallery:
        for one in said["offers"]:
            person = gallery.person(one["person_id"])
            click.echo("\t".join((one["offer_id"], person.name if person is not None else "", one["person_id"])))
