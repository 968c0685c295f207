"""How a person enters and leaves the gallery, each time with an entry in the audit log."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from appliance.contract import EventType
from appliance.errors import ModelMismatchError, PhotoError, RefusedError, StorageError
from appliance.people.gallery import Consent, Person
from appliance.pipeline.matching import search
from appliance.records import Actor, ActorKind, Event, Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.people.gallery import Gallery
    from appliance.records import AuditEvent, Embedding, Quality

CLI = Actor(ActorKind.OPERATOR, "cli")  # whoever may run commands on the device
MAX_NAME = 200
MAX_PHOTOS = 20  # more add nothing, and a person with many references is met more often by chance
# Two photos below this are not taken for one person. On 162 mated and 26,082 non-mated pairs of LFW, 1.2 % of the
# mated ones lie below it and 99.2 % of the others (embedder A; B 0.6 % and 95.2 %): it catches a wrong file, not a
# look-alike.
SAME_PERSON = 0.25
# Two different photos, even of one burst, do not come this near: it is the same picture.
SAME_PHOTO = 0.9995
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they let one name be shown as another


class Photo(NamedTuple):
    """One picture, and what messages call it."""

    name: str
    pixels: NDArray[np.uint8]  # (H, W, 3) RGB


class EventSink(Protocol):
    """Where an event is sealed: the audit log, or the journal over it."""

    def append(self, event: Event, /) -> AuditEvent:
        """Return the event as sealed, durable. Raises StorageError."""
        ...


class FaceReader(Protocol):
    """Finds the one face in a picture and reads it."""

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return the template of the only face in (H, W, 3) RGB `pixels`, and how good its view is.

        Raises PhotoError, one line with `name`: no face, several faces, or too poor a view to enrol.
        """
        ...


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new person, and what was used of each photo."""

    person: Person
    photos: tuple[tuple[str, Quality], ...]  # name and quality, in the order given


def enrol(
    gallery: Gallery,
    audit: EventSink,
    photos: Iterable[Photo],
    name: str,
    *,
    consent: Consent,
    reader: FaceReader,
    actor: Actor = CLI,
    method: str = "cli",
) -> Enrolled:
    """Return the new person, who is in the gallery and in the audit log, or raise and leave both as they were.

    Raises RefusedError for a name, language or set of photos that cannot be taken, PhotoError for one photo,
    StorageError where either database cannot be written.
    """
    name = checked_name(name, "name")
    consent = Consent(checked_name(consent.given_by, "consent"), consent.given_at, checked_language(consent.language))
    read = _read_all(photos, reader)
    _check_one_person(read)
    _check_not_enrolled(gallery, read)
    references = [(embedding, quality.grade) for _, embedding, quality in read]
    person = _add(gallery, audit, name, consent, references, actor=actor, method=method)
    return Enrolled(person, tuple((photo, quality) for photo, _, quality in read))


def enrol_seen(
    gallery: Gallery,
    audit: EventSink,
    references: Sequence[tuple[Embedding, Grade]],
    name: str,
    *,
    consent: Consent,
    actor: Actor,
    method: str,
) -> Person:
    """Return the new person, enrolled from what the camera saw of one visit, or raise and leave all as it was.

    Raises RefusedError for a name or language that cannot be taken, or no references; StorageError as `enrol`.
    """
    name = checked_name(name, "name")
    consent = Consent(checked_name(consent.given_by, "consent"), consent.given_at, checked_language(consent.language))
    if not references:
        raise RefusedError("nothing was read of this visit; there is nothing to enrol")
    return _add(gallery, audit, name, consent, references, actor=actor, method=method)


def _add(
    gallery: Gallery,
    audit: EventSink,
    name: str,
    consent: Consent,
    references: Sequence[tuple[Embedding, Grade]],
    *,
    actor: Actor,
    method: str,
) -> Person:
    detail = f"{len(references)} references, consent in {consent.language}"
    said = Event(EventType.ENROLLED, datetime.now(UTC), actor, method, detail=detail)
    return _recorded(gallery, audit, lambda: gallery.add(name, consent, references), said)


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

    def erase() -> Person:
        gallery.remove(person.person_id)
        return person

    detail = f"{person.references} references"
    return _recorded(gallery, audit, erase, Event(EventType.ERASED, datetime.now(UTC), actor, method, detail=detail))


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


def _read_all(photos: Iterable[Photo], reader: FaceReader) -> list[tuple[str, Embedding, Quality]]:
    read: list[tuple[str, Embedding, Quality]] = []
    for photo in photos:
        if len(read) == MAX_PHOTOS:
            raise RefusedError(f"more than {MAX_PHOTOS} photos are given; {MAX_PHOTOS} are allowed")
        embedding, quality = reader.read(photo.pixels, photo.name)
        if quality.grade < Grade.MEDIUM:
            raise PhotoError(f"photo {photo.name} shows the face too poorly ({', '.join(quality.flaws)}) to enrol it")
        read.append((photo.name, embedding, quality))
    if not read:
        raise RefusedError("no photo is given; at least one is needed")
    return read


def _check_one_person(read: Sequence[tuple[str, Embedding, Quality]]) -> None:
    for (one, first, _), (two, second, _) in itertools.combinations(read, 2):
        if first.model_id != second.model_id:
            raise ModelMismatchError(f"photos {one} and {two} were read by {first.model_id} and {second.model_id}")
        if not float(first.vector @ second.vector) >= SAME_PERSON:  # this way round, NaN is refused
            raise RefusedError(f"photos {one} and {two} do not show the same person; each person is enrolled alone")


def _check_not_enrolled(gallery: Gallery, read: Sequence[tuple[str, Embedding, Quality]]) -> None:
    """Refuse a picture that is enrolled already: two people with one picture would never be told apart."""
    first = read[0][1]
    known = gallery.current(first.model_id, len(first.vector))
    for photo, embedding, _ in read:
        for alike in search(embedding, known)[:1]:
            if alike.similarity > SAME_PHOTO:
                fault = f"photo {photo} is enrolled already, for person {alike.person_id}; remove that one first"
                raise RefusedError(fault)


def _recorded(gallery: Gallery, audit: EventSink, change: Callable[[], Person], said: Event) -> Person:
    """Return what `change` of the gallery gives, once both it and its audit entry are durable, or neither.

    The gallery is written first and kept last: where the entry cannot be written, nothing has to be undone.
    """
    entry = None
    try:
        with gallery.transaction():
            person = change()
            entry = audit.append(replace(said, detail=f"person {person.person_id}, {said.detail}"))
    except StorageError as fault:
        if entry is not None:  # the gallery failed at the very last step: the log must not claim more than is so
            undone = f"entry {entry.seq} was not carried out"
            audit.append(replace(said, event_type=EventType.FAULT, detail=undone))
        raise StorageError(f"nobody was enrolled or erased: {fault}") from fault
    return person
