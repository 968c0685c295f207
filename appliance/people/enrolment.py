"""How a person enters and leaves the gallery, each time with an entry in the audit log."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.gallery import Consent, Person
from appliance.people.recorded import EventSink, recorded
from appliance.people.references import Look, Standard, choose, rival_of
from appliance.records import Actor, ActorKind, Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.people.gallery import Gallery
    from appliance.people.protection import Protection
    from appliance.records import Candidate, Embedding, Grade, Quality

CLI = Actor(ActorKind.OPERATOR, "cli")  # whoever may run commands on the device
MAX_NAME = 200
MAX_PHOTOS = 20  # more would only take time: a handful of different views is kept
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they let one name be shown as another


class Photo(NamedTuple):
    """One picture, and what messages call it."""

    name: str
    pixels: NDArray[np.uint8]  # (H, W, 3) RGB


class FaceReader(Protocol):
    """Finds the one face in a picture and reads it."""

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return the template of the only face in (H, W, 3) RGB `pixels`, and how good its view is.

        Raises PhotoError, one line with `name`: no face, several faces, or too poor a view to enrol.
        """
        ...


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new person, and what became of each view that was given."""

    person: Person
    kept: tuple[Look, ...]
    dropped: tuple[tuple[str, str], ...]  # name of a view that is not kept, and why
    rival: Candidate | None  # who else in the gallery is most alike; None for nobody


def enrol(
    gallery: Gallery,
    audit: EventSink,
    photos: Iterable[Photo],
    name: str,
    *,
    consent: Consent,
    reader: FaceReader,
    standard: Standard,
    actor: Actor = CLI,
    method: str = "cli",
) -> Enrolled:
    """Return the new person, who is in the gallery and in the audit log, or raise and leave both as they were.

    Raises RefusedError for a name, language or set of photos that cannot be taken, PhotoError for one photo,
    StorageError where either database cannot be written.
    """
    name, consent = checked_name(name, "name"), _checked(consent)
    looks = _read_all(photos, reader, gallery.protection)
    return _add(gallery, audit, looks, name, consent=consent, standard=standard, actor=actor, method=method)


def enrol_seen(
    gallery: Gallery,
    audit: EventSink,
    references: Sequence[tuple[Embedding, Grade]],
    name: str,
    *,
    consent: Consent,
    standard: Standard,
    actor: Actor,
    method: str,
) -> Enrolled:
    """Return the new person, enrolled from what the camera saw of one visit, or raise and leave all as it was.

    Of a visit, views below high quality are left out rather than refused; an admin may accept them where there is
    nothing better. Raises as `enrol`, and RefusedError for no references.
    """
    name, consent = checked_name(name, "name"), _checked(consent)
    if not references:
        raise RefusedError("nothing was read of this visit; there is nothing to enrol")
    best = max(grade for _, grade in references)
    seen = enumerate(references, start=1)
    looks = [Look(f"view {number}", embedding, grade) for number, (embedding, grade) in seen if grade == best]
    return _add(gallery, audit, looks, name, consent=consent, standard=standard, actor=actor, method=method)


def _add(
    gallery: Gallery,
    audit: EventSink,
    looks: Sequence[Look],
    name: str,
    *,
    consent: Consent,
    standard: Standard,
    actor: Actor,
    method: str,
) -> Enrolled:
    first = looks[0].embedding
    known = gallery.current(first.model_id, len(first.vector))
    chosen = choose(looks, known, standard)

    def say(person: Person) -> Event:
        counted = f"person {person.person_id}, {person.references} references, consent in {consent.language}"
        return _event(EventType.ENROLLED, actor, method, "; ".join((counted, *chosen.accepted)))

    references = [(look.embedding, look.grade) for look in chosen.kept]
    person = recorded(gallery, audit, lambda: gallery.add(name, consent, references), say, "nobody was enrolled")
    return Enrolled(person, chosen.kept, chosen.dropped, rival_of(chosen.kept, known))


def remove(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    *,
    actor: Actor = CLI,
    method: str = "cli",
) -> Person:
    """Erase the one person of this name or id, and return who that was; the audit log keeps only the id.

    Raises RefusedError where nobody or several people are meant, StorageError where either database cannot be
    written; then nobody is erased.
    """
    person = only_one(gallery, name_or_id)
    detail = f"person {person.person_id}, {person.references} references"
    erased = _event(EventType.ERASED, actor, method, detail)
    recorded(gallery, audit, lambda: gallery.remove(person.person_id), lambda _: erased, "nobody was erased")
    return person


def only_one(gallery: Gallery, name_or_id: str) -> Person:
    """Return the one person of this name or id. Raises RefusedError for nobody, or for several with their ids."""
    found = gallery.find(unicodedata.normalize("NFC", name_or_id.strip()))
    if len(found) == 1:
        return found[0]
    if not found:
        raise RefusedError(f"nobody is enrolled as {name_or_id!r}; ostiary person list shows everybody")
    ids = ", ".join(person.person_id for person in found)
    raise RefusedError(f"{len(found)} people are enrolled as {name_or_id!r}; say which by its id: {ids}")


def checked_name(text: str, what: str) -> str:
    """Return the name in Unicode NFC, without spaces around it.

    Raises RefusedError for none, for more than 200 characters, and for characters that control a terminal or the
    direction of text.
    """
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > MAX_NAME:
        raise RefusedError(f"{what} has {len(name)} characters; 1 to {MAX_NAME} are allowed")
    if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} or letter in _BIDI for letter in name):
        raise RefusedError(f"{what} {name!r} holds a control character; only letters, marks and signs are allowed")
    return name


def checked_language(tag: str) -> str:
    """Return the language tag. Raises RefusedError where it is none, such as "en" or "pt-BR"."""
    if len(tag) > 35 or not _LANGUAGE.fullmatch(tag):  # 35: RFC 5646, 4.4.1
        raise RefusedError(f"language {tag!r} is not a tag such as en or pt-BR")
    return tag


def _checked(consent: Consent) -> Consent:
    """Return the consent with its name and language as they may be stored. Raises RefusedError."""
    return Consent(checked_name(consent.given_by, "consent"), consent.given_at, checked_language(consent.language))


def _read_all(photos: Iterable[Photo], reader: FaceReader, protection: Protection) -> list[Look]:
    looks: list[Look] = []
    for photo in photos:
        if len(looks) == MAX_PHOTOS:
            raise RefusedError(f"more than {MAX_PHOTOS} photos are given; {MAX_PHOTOS} are allowed")
        embedding, quality = reader.read(photo.pixels, photo.name)
        protected = protection.protect(embedding)  # as the door's own are from the embedder on
        looks.append(Look(f"photo {photo.name}", protected, quality.grade, quality.flaws))
    if not looks:
        raise RefusedError("no photo is given; at least one is needed")
    return looks


def _event(kind: EventType, actor: Actor, method: str, detail: str) -> Event:
    return Event(kind, datetime.now(UTC), actor, method, detail=detail)
