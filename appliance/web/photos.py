"""Enrolment from photos that came over HTTP: decoded in a child, read in the face room, written into the books."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance import manifest
from appliance.commands.consent import kept
from appliance.contract import Role
from appliance.errors import RefusedError
from appliance.people.calibration import door_point, own_tail
from appliance.people.enrolment import (
    MAX_PHOTOS,
    NOTHING_SAID,
    Photo,
    checked,
    checked_consent,
    checked_name,
    enrol_looks,
)
from appliance.people.references import Look, Standard, look_alike
from appliance.pipeline.reading import PhotoReader
from appliance.records import Actor, ActorKind
from appliance.web.guard import NotAllowedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.people.enrolment import Enrolled, Particulars
    from appliance.people.person import Consent
    from appliance.web.accounts import Who
    from appliance.web.books import Books
    from appliance.web.faceroom import FaceRoom
    from appliance.web.rooms import Rooms


@dataclass(frozen=True, slots=True)
class TakenPhoto:
    """What became of one photo."""

    quality: str  # "medium" or "high"
    flaws: tuple[str, ...]  # what keeps it from high, worst first
    why_not_kept: str  # "" for one whose template is kept


@dataclass(frozen=True, slots=True)
class TakenIn:
    """Who was enrolled, as whoever did it is told: ids, and no number about a face."""

    person_id: str
    references: int
    look_alike: str  # id of somebody so alike that a human is asked whenever one of the two comes; "" for nobody
    photos: tuple[TakenPhoto, ...]  # in the order given


async def look(rooms: Rooms, image: bytes, name: str, *, keep: bool = False) -> Look:
    """Return the one face of a JPEG or PNG, its template protected as the gallery's, with how good the view is.

    With `keep`, head and shoulders come along as a JPEG. Raises PhotoError, one line that names the photo `name`, for
    what cannot be decoded, no face, several, or too poor a view to enrol; BusyError.
    """
    pixels = await rooms.decoded(image, name)

    def read(room: FaceRoom) -> Look:
        reader = PhotoReader(room.pictures.reader.stages)
        embedding, quality = reader.read(pixels, name)
        portrait = kept(Photo(name, pixels), reader) if keep else b""
        return Look(f"photo {name}", embedding, quality.grade, quality.flaws, portrait)

    return await rooms.faces.run(read)


async def enrol_photos(
    rooms: Rooms,
    who: Who,
    images: Sequence[bytes],
    *,
    name: str,
    consent: Consent,
    particulars: Particulars = NOTHING_SAID,
    accept_medium: bool = False,
    accept_alike: bool = False,
    method: str = "web",
) -> TakenIn:
    """Return the new person, who is in the gallery and in the audit log in the name of `who`, or raise: then nobody is.

    `method` is "web" or "api"; the photos are called 1, 2 ... in what is said of them. Raises NotAllowedError where
    what an admin alone may accept is accepted by somebody else, RefusedError for a name, consent, particular or set of
    photos that cannot be taken, PhotoError for one photo, BusyError, StorageError.
    """
    if (accept_medium or accept_alike) and who.role is not Role.ADMIN:
        raise NotAllowedError("photos of medium quality, and people who look alike, are for an admin to accept")
    checked_name(name, "name")  # before the photos are read, which takes a second each
    consent = checked_consent(replace(consent, recorded_by=who.voice))
    particulars = checked(particulars)
    if not 1 <= len(images) <= MAX_PHOTOS:
        raise RefusedError(f"{len(images)} photos are given; 1 to {MAX_PHOTOS} are allowed")
    looks = [await look(rooms, image, str(at), keep=consent.photos) for at, image in enumerate(images, start=1)]

    def write(books: Books) -> TakenIn:
        recognition = books.installation.settings.recognition
        measured = manifest.embedder(recognition, books.installation.models_folder).measured
        enrolled = enrol_looks(
            books.gallery,
            books.audit,
            looks,
            name,
            consent=consent,
            standard=Standard(measured.impostors, recognition.target_fpir, accept_medium, accept_alike),
            particulars=particulars,
            actor=Actor(ActorKind.OPERATOR, who.voice),
            method=method,
        )
        return _told(books, enrolled, looks)

    return await rooms.books.run(write)


def _told(books: Books, enrolled: Enrolled, looks: Sequence[Look]) -> TakenIn:
    installation, gallery = books.installation, books.gallery
    recognition = installation.settings.recognition
    entry = manifest.embedder(recognition, installation.models_folder)
    size = gallery.current(entry.model_id, entry.output[0].shape[-1]).size
    point = door_point(entry.measured, own_tail(gallery, entry.model_id), recognition, size)
    alike = look_alike(enrolled.rival, entry.measured.impostors, point)
    dropped = dict(enrolled.dropped)
    return TakenIn(
        enrolled.person.person_id,
        enrolled.person.references,
        alike.person_id if alike is not None and alike.referred else "",
        tuple(
            TakenPhoto(one.grade.name.lower(), tuple(flaw.value for flaw in one.flaws), dropped.get(one.name, ""))
            for one in looks
        ),
    )
