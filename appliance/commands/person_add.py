"""`ostiary person add`: enrolment from photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import manifest
from appliance.commands.consent import given, kept, particular_options
from appliance.commands.options import Installation, with_installation
from appliance.commands.person_show import of_rival
from appliance.drivers.photo import read_photo
from appliance.people.enrolment import NOTHING_SAID, Enrolled, Photo, checked_name, enrol
from appliance.people.references import Standard
from appliance.pipeline.reading import open_face_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.people.enrolment import FaceReader, Particulars
    from appliance.people.person import Consent


@click.command()
@click.argument("name")
@click.option(
    "--photo",
    "photos",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A JPEG or PNG file; again for more.",
)
@click.option("--consent-by", required=True, help="Who agreed to it: the person, or who may agree for them.")
@click.option("--language", default="en", show_default=True, help="Language in which consent was asked.")
@click.option("--consent-text", "version", help="Version of the text that was agreed to, if it was ours.")
@click.option("--keep-photos", is_flag=True, help="They also agreed to pictures being kept: keep them, encrypted.")
@click.option("--accept-medium", is_flag=True, help="Take photos of medium quality too; the audit log keeps why.")
@click.option("--accept-alike", is_flag=True, help="Take a twin of somebody enrolled; the audit log keeps of whom.")
@particular_options
@with_installation
def add(
    installation: Installation,
    name: str,
    *,
    photos: tuple[Path, ...],
    consent_by: str,
    particulars: Particulars,
    language: str,
    version: str | None,
    keep_photos: bool,
    accept_medium: bool,
    accept_alike: bool,
) -> None:
    """Enrol NAME from photos that each show only that person; needs a record of consent."""
    # Checked before the models are loaded, which takes seconds.
    name = checked_name(name, "name")
    consent = given(installation, consent_by, language, version, photos=keep_photos)
    recognition = installation.settings.recognition
    measured = manifest.embedder(recognition, installation.models_folder).measured
    standard = Standard(measured.impostors, recognition.target_fpir, accept_medium, accept_alike)
    reader = open_face_reader(installation.settings, installation.models_folder)
    enrolled = add_person(
        installation,
        name,
        photos,
        consent=consent,
        reader=reader,
        standard=standard,
        particulars=particulars,
        portrait=lambda photo: kept(photo, reader),
    )
    for look in enrolled.kept:
        click.echo(f"{look.name}: quality {look.grade.name.lower()}")
    for photo, why in enrolled.dropped:
        click.echo(f"{photo}: not kept, it {why}")
    click.echo(f"enrolled as {enrolled.person.person_id}")
    with installation.open_gallery() as gallery:
        click.echo(of_rival(gallery, enrolled.rival, installation))


def add_person(
    installation: Installation,
    name: str,
    photos: Sequence[Path],
    *,
    consent: Consent,
    reader: FaceReader,
    standard: Standard,
    particulars: Particulars = NOTHING_SAID,
    portrait: Callable[[Photo], bytes] | None = None,
) -> Enrolled:
    """Enrol `name` into the installation; as `enrolment.enrol`, with the photos read one by one."""
    pictures = (Photo(str(path), read_photo(path)) for path in photos)
    with installation.open_gallery() as gallery, installation.open_audit() as audit:
        return enrol(
            gallery,
            audit,
            pictures,
            name,
            consent=consent,
            reader=reader,
            standard=standard,
            particulars=particulars,
            portrait=portrait,
        )
