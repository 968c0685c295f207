"""`ostiary person show`: one person, their references, and who is most alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from appliance import manifest
from appliance.commands.options import Installation, with_installation
from appliance.commands.person_list import HEADINGS, cells
from appliance.people.calibration import door_point, own_tail
from appliance.people.enrolment import only_one
from appliance.people.references import look_alike
from appliance.pipeline.matching import Rivals

if TYPE_CHECKING:
    from appliance.people.gallery import Gallery
    from appliance.records import Candidate


@click.command()
@click.argument("name_or_id")
@with_installation
def show(installation: Installation, name_or_id: str) -> None:
    """Show one person and who else in the gallery is most alike."""
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    with installation.open_gallery() as gallery:
        one = only_one(gallery, name_or_id)
        snapshot = gallery.snapshot(entry.model_id, entry.output[0].shape[-1])
        rival = Rivals().of(one.person_id, snapshot)
        for heading, cell in zip(HEADINGS, cells(one), strict=True):
            click.echo(f"{heading}: {cell}")
        if one.person_id in snapshot.person_ids:
            click.echo(of_rival(gallery, rival, installation))
        else:
            click.echo(f"no reference of {entry.model_id}, which is in use: enrol this person again")


def of_rival(gallery: Gallery, rival: Candidate | None, installation: Installation) -> str:
    """Return a line on who is most alike, by name and id."""
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    size = gallery.current(entry.model_id, entry.output[0].shape[-1]).size
    own = own_tail(gallery, entry.model_id)
    point = door_point(entry.measured, own, installation.settings.recognition, size)
    alike = look_alike(rival, entry.measured.impostors, point)
    if alike is None:
        return "most alike: nobody, there is no one else"
    names = [found.name for found in gallery.find(alike.person_id)]
    line = f"most alike: {' '.join(names)} ({alike.person_id}); {alike.words}"
    return f"{line}. A human is asked whenever one of the two comes" if alike.referred else line
