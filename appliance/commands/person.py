"""`ostiary person`: who is enrolled."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance import manifest
from appliance.access.ledger import Ledger
from appliance.audit import AuditLog
from appliance.commands.access import access
from appliance.commands.options import Installation, with_installation
from appliance.commands.pin import pin
from appliance.people.calibration import door_point, own_tail
from appliance.people.enrolment import Enrolled, FaceReader, Photo, checked_language, checked_name, enrol, only_one
from appliance.people.enrolment import remove as remove_person
from appliance.people.gallery import Consent, Gallery, Person
from appliance.people.references import Standard, look_alike
from appliance.pipeline.matching import Rivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.records import Candidate


@click.group()
def person() -> None:
    """Enrol people from photos, list them, and erase them."""


person.add_command(pin)
person.add_command(access)


@person.command()
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
@click.option("--accept-medium", is_flag=True, help="Take photos of medium quality too; the audit log keeps why.")
@click.option("--accept-alike", is_flag=True, help="Take a twin of somebody enrolled; the audit log keeps of whom.")
@with_installation
def add(
    installation: Installation,
    name: str,
    *,
    photos: tuple[Path, ...],
    consent_by: str,
    language: str,
    accept_medium: bool,
    accept_alike: bool,
) -> None:
    """Enrol NAME from photos that each show only that person; needs a record of consent."""
    # Checked before the models are loaded, which takes seconds.
    name, consent_by = checked_name(name, "name"), checked_name(consent_by, "consent")
    consent = Consent(consent_by, datetime.now(UTC), checked_language(language))
    from appliance.pipeline.reading import open_face_reader  # noqa: PLC0415  listing people must not load a model

    recognition = installation.settings.recognition
    measured = manifest.embedder(recognition, installation.models_folder).measured
    standard = Standard(measured.impostors, recognition.target_fpir, accept_medium, accept_alike)
    reader = open_face_reader(installation.settings, installation.models_folder)
    enrolled = add_person(installation, name, photos, consent=consent, reader=reader, standard=standard)
    for look in enrolled.kept:
        click.echo(f"{look.name}: quality {look.grade.name.lower()}")
    for photo, why in enrolled.dropped:
        click.echo(f"{photo}: not kept, it {why}")
    click.echo(f"enrolled as {enrolled.person.person_id}")
    with _gallery(installation) as gallery:
        click.echo(_of_rival(gallery, enrolled.rival, installation))


def add_person(
    installation: Installation,
    name: str,
    photos: Sequence[Path],
    *,
    consent: Consent,
    reader: FaceReader,
    standard: Standard,
) -> Enrolled:
    """Enrol `name` into the installation; as `enrolment.enrol`, with the photos read one by one."""
    from appliance.drivers.photo import read_photo  # noqa: PLC0415  listing people must not load the image library

    pictures = (Photo(str(path), read_photo(path)) for path in photos)
    with _gallery(installation) as gallery, _audit(installation) as audit:
        return enrol(gallery, audit, pictures, name, consent=consent, reader=reader, standard=standard)


@person.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_installation
def list_people(installation: Installation, as_json: bool) -> None:
    """List everybody who is enrolled, by name."""
    with _gallery(installation) as gallery:
        people = gallery.people()
    if as_json:
        for one in people:
            fields = asdict(one) | {"enrolled_at": one.enrolled_at.isoformat()}
            click.echo(json.dumps(fields, ensure_ascii=False))
        return
    console = Console()
    if console.is_terminal:
        console.print(_table(people))
        return
    for one in people:
        click.echo("\t".join(_cells(one)))


@person.command()
@click.argument("name_or_id")
@with_installation
def show(installation: Installation, name_or_id: str) -> None:
    """Show one person and who else in the gallery is most alike."""
    entry = manifest.embedder(installation.settings.recognition, installation.models_folder)
    with _gallery(installation) as gallery:
        one = only_one(gallery, name_or_id)
        snapshot = gallery.snapshot(entry.model_id, entry.output[0].shape[-1])
        rival = Rivals().of(one.person_id, snapshot)
        for heading, cell in zip(_HEADINGS, _cells(one), strict=True):
            click.echo(f"{heading}: {cell}")
        if one.person_id in snapshot.person_ids:
            click.echo(_of_rival(gallery, rival, installation))
        else:
            click.echo(f"no reference of {entry.model_id}, which is in use: enrol this person again")


@person.command()
@click.argument("name_or_id")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@with_installation
def remove(installation: Installation, name_or_id: str, yes: bool) -> None:
    """Erase a person: name, references and consent. The audit log keeps the id alone."""
    with _gallery(installation) as gallery, _audit(installation) as audit:
        one = only_one(gallery, name_or_id)
        if not yes:
            click.confirm(f"Erase {one.name} ({one.person_id}) with {one.references} references?", abort=True)
        remove_person(gallery, audit, one.person_id)
    with Ledger(installation.ledger_file) as ledger:
        ledger.forget(one.person_id)
    click.echo(f"erased {one.person_id}")


def _of_rival(gallery: Gallery, rival: Candidate | None, installation: Installation) -> str:
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


def _gallery(installation: Installation) -> Gallery:
    return Gallery(installation.gallery_file)


def _audit(installation: Installation) -> AuditLog:
    device = installation.settings.device
    return AuditLog(installation.audit_file, device.id, device.door)


_HEADINGS = ("id", "name", "references", "models", "enrolled at", "consent by")


def _cells(one: Person) -> tuple[str, ...]:
    enrolled_at = one.enrolled_at.isoformat(timespec="seconds")
    return (one.person_id, one.name, str(one.references), ", ".join(one.models), enrolled_at, one.consent_by)


def _table(people: Sequence[Person]) -> Table:
    table = Table(*_HEADINGS)
    for one in people:
        table.add_row(*(Text(cell) for cell in _cells(one)))  # Text, so that a name is never read as markup
    return table
