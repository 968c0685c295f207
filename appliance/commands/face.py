"""`ostiary face`: what can be asked about the faces in pictures. Nothing is kept, nothing opens.

People are told false-match rates and no score; `--json` has the similarity, for programs.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.commands.face_redact import redact
from appliance.commands.options import Installation, with_installation
from appliance.commands.pictures import open_pictures
from appliance.errors import UsageError

if TYPE_CHECKING:
    from appliance.faces.comparing import Identification
    from appliance.faces.detect import DetectedFace
    from appliance.faces.reader import SeenFace
    from appliance.people.gallery import Gallery

_FILE = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with similarities.")
_people = click.option("--person", "people", multiple=True, help="Somebody enrolled, by name or id; again for more.")


@click.group()
def face() -> None:
    """Detect, compare, group and redact the faces in picture files."""


face.add_command(redact)


@face.command()
@click.argument("photos", type=_FILE, nargs=-1, required=True)
@_json
@with_installation
def detect(installation: Installation, photos: tuple[Path, ...], *, as_json: bool) -> None:
    """Say where the faces in PHOTOS are, how they are turned and how well they are to be seen, largest first."""
    from appliance.drivers.photo import read_photo  # noqa: PLC0415  --help must not load the image library
    from appliance.faces.detect import detect as faces_of  # noqa: PLC0415
    from appliance.faces.stages import open_picture_reader  # noqa: PLC0415

    reader = open_picture_reader(installation.settings, installation.models_folder)
    for photo in photos:
        found = faces_of(read_photo(photo), reader)
        for number, one in enumerate(found, start=1):
            fields = {"photo": str(photo), "face": number} | asdict(one) | {"grade": one.grade.name.lower()}
            click.echo(_line(fields) if as_json else f"{photo}#{number}: {_in_words(one)}")
        if not found and not as_json:
            click.echo(f"{photo}: no face")


@face.command()
@click.argument("photo", type=_FILE)
@click.argument("other", type=_FILE, required=False)
@click.option("--person", help="Somebody enrolled, by name or id, in the place of OTHER.")
@_json
@with_installation
def verify(installation: Installation, photo: Path, other: Path | None, *, person: str | None, as_json: bool) -> None:
    """Say whether PHOTO and OTHER, or PHOTO and a person, are of one person. Each photo is of one face."""
    if (other is None) == (person is None):
        raise UsageError("either OTHER or --person is needed")
    with open_pictures(installation) as pictures:
        from appliance.faces.comparing import verify_faces, verify_person  # noqa: PLC0415

        if other is not None:
            found = verify_faces(pictures.only(photo), pictures.only(other), pictures.thresholds)
        else:
            one = pictures.person(person or "")
            references = [reference.embedding for reference in pictures.enrolled(one)]
            thresholds = pictures.thresholds.stricter(pictures.target_of(one))
            found = verify_person(pictures.only(photo), references, thresholds)
    if as_json:
        click.echo(_line(asdict(found)))
        return
    verdict = "the same person" if found.identical else "not the same person, as far as can be told"
    click.echo("; ".join(part for part in (verdict, found.words) if part))


@face.command()
@click.argument("photo", type=_FILE)
@_people
@click.option("--group", "groups", multiple=True, help="Only among the members of this group; again for more.")
@click.option("--most", type=click.IntRange(1, 100), default=1, show_default=True, help="Candidates told of each face.")
@click.option("--threshold", type=click.FloatRange(-1, 1), help="A cosine that raises the derived threshold.")
@_json
@with_installation
def identify(
    installation: Installation,
    photo: Path,
    *,
    people: tuple[str, ...],
    groups: tuple[str, ...],
    most: int,
    threshold: float | None,
    as_json: bool,
) -> None:
    """Say who of those enrolled the faces in PHOTO may be; unknown is the default."""
    with open_pictures(installation) as pictures:
        from appliance.faces.comparing import identify as among  # noqa: PLC0415

        within, snapshot = pictures.within(people, groups), pictures.snapshot()
        for number, seen in enumerate(pictures.faces(photo), start=1):
            found = among(
                seen.embedding,
                snapshot,
                pictures.thresholds,
                within=within,
                most=most,
                threshold=threshold,
                target_of=pictures.target_of,
            )
            if as_json:
                click.echo(_line({"photo": str(photo), "face": number} | _identified(found, seen)))
                continue
            for line in _named(found, pictures.gallery) or ["unknown"]:
                click.echo(f"{photo}#{number}: {line}")


@face.command()
@click.argument("photo", type=_FILE)
@click.argument("others", type=_FILE, nargs=-1)
@_people
@click.option(
    "--mode",
    type=click.Choice(["match-person", "match-face"]),
    default="match-person",
    show_default=True,
    help="Only faces of the same person, or the most alike, whoever they are.",
)
@click.option("--most", type=click.IntRange(1, 1000), default=20, show_default=True, help="Faces told at most.")
@_json
@with_installation
def similar(
    installation: Installation,
    photo: Path,
    others: tuple[Path, ...],
    *,
    people: tuple[str, ...],
    mode: str,
    most: int,
    as_json: bool,
) -> None:
    """Find faces like the one in PHOTO among those in OTHERS and among the references of people."""
    if not others and not people:
        raise UsageError("other photos or --person are needed, to look among")
    with open_pictures(installation) as pictures:
        from appliance.faces.comparing import Mode, find_similar  # noqa: PLC0415

        listed = [one for person in people for one in pictures.enrolled(pictures.person(person))]
        probe = pictures.only(photo)
        listed += [one for other in others for one in pictures.shown(other)]
        found = find_similar(probe, listed, pictures.thresholds, mode=Mode(mode.replace("-", "_")), most=most)
    for one in found:
        verdict = "the same person" if one.same else "another person"
        words = "; ".join(part for part in (verdict, one.words) if part)
        click.echo(_line(asdict(one)) if as_json else f"{one.face_id}: {words}")
    if not found and not as_json:
        click.echo("no face is alike")


@face.command("group")
@click.argument("photos", type=_FILE, nargs=-1, required=True)
@_json
@with_installation
def group_faces(installation: Installation, photos: tuple[Path, ...], *, as_json: bool) -> None:
    """Sort the faces in PHOTOS by person, the largest group first; the messy rest is like no other."""
    with open_pictures(installation) as pictures:
        from appliance.faces.grouping import group  # noqa: PLC0415

        found = group([one for photo in photos for one in pictures.shown(photo)], pictures.thresholds)
    if as_json:
        click.echo(_line(asdict(found)))
        return
    for number, one in enumerate(found.groups, start=1):
        click.echo(f"group {number}: {' '.join(one)}")
    click.echo(f"messy: {' '.join(found.messy) or 'none'}")


def _line(fields: dict[str, Any]) -> str:
    """Return one line of JSON, which has no infinity: null for the threshold of a model that was never measured."""
    plain = {
        name: None if isinstance(value, float) and not isfinite(value) else value for name, value in fields.items()
    }
    return json.dumps(plain, allow_nan=False)


def _in_words(one: DetectedFace) -> str:
    place, seen = one.rectangle, one.appearance
    turned = f"yaw {one.pose.yaw_deg:.0f}, pitch {one.pose.pitch_deg:.0f}, roll {one.pose.roll_deg:.0f} degrees"
    quality = f"quality {one.grade.name.lower()}" + (f" ({', '.join(one.flaws)})" if one.flaws else "")
    where = f"left {place.left_px}, top {place.top_px}, {place.width_px} x {place.height_px} px"
    return f"{where}; {turned}; blur {seen.blur}, exposure {seen.exposure}, noise {seen.noise}; {quality}"


def _identified(found: Identification, seen: SeenFace) -> dict[str, object]:
    return {
        "person_id": found.person_id,
        "candidates": [{"person_id": one.person_id, "similarity": one.similarity} for one in found.candidates],
        "threshold": found.threshold,
        "compared": found.compared,
        "grade": seen.quality.grade.name.lower(),
        "flaws": seen.quality.flaws,
    }


def _named(found: Identification, gallery: Gallery) -> list[str]:
    """Return a line for each candidate, by name and id."""
    lines = []
    for one, words in zip(found.candidates, found.words, strict=True):
        name = " ".join(person.name for person in gallery.find(one.person_id))
        doubt = "" if found.clear else "perhaps "
        lines.append(f"{doubt}{name} ({one.person_id}); {words}")
    return lines
