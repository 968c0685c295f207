"""How a person enters and leaves the gallery, each time with an entry in the audit log."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from appliance.access.subject import Status
from appliance.contract import EventType, is_identifier
from appliance.errors import RefusedError
from appliance.people.person import Consent, Person, Source
from appliance.people.recorded import EventSink, recorded
from appliance.people.references import Look, Standard, choose, choose_more, rival_of
from appliance.plain_text import is_plain
from appliance.records import Actor, ActorKind, Event, Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.people.gallery import Gallery
    from appliance.people.person import Receipt
    from appliance.people.protection import Protection
    from appliance.records import Candidate, Embedding, Quality

CLI = Actor(ActorKind.OPERATOR, "cli")  # whoever may run commands on the device
MAX_NAME = 200
MAX_PHOTOS = 20  # more would only take time: a handful of different views is kept
MAX_NOTES = 2000
MAX_LISTED = 50  # groups, and tags, of one person
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


class Photo(NamedTuple):
    """One picture, and what messages call it."""

    name: str
    pixels: NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True, slots=True)
class Particulars:
    """What is said of a newcomer besides name, face and consent."""

    external_id: str = ""  # how another system calls them
    notes: str = ""
    tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    valid_until: datetime | None = None  # aware, the first moment that is too late
    held: bool = False  # suspended, until somebody has looked at them
    person_id: str = ""  # that they have at another door; "" for a new one


NOTHING_SAID = Particulars()


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
    particulars: Particulars = NOTHING_SAID,
    portrait: Callable[[Photo], bytes] | None = None,
    actor: Actor = CLI,
    method: str = "cli",
) -> Enrolled:
    """Return the new person, who is in the gallery and in the audit log, or raise and leave both as they were.

    `portrait` gives the picture that is kept of a photo where the consent allows that. Raises RefusedError for a name,
    language, particular or set of photos that cannot be taken, PhotoError for one photo, StorageError where either
    database cannot be written.
    """
    checked_name(name, "name")
    consent = checked_consent(consent)
    looks = read_looks(photos, reader, gallery.protection, portrait if consent.photos else None)
    return enrol_looks(
        gallery,
        audit,
        looks,
        name,
        consent=consent,
        standard=standard,
        particulars=particulars,
        actor=actor,
        method=method,
    )


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
    if not references:
        raise RefusedError("nothing was read of this visit; there is nothing to enrol")
    best = max(grade for _, grade in references)
    seen = enumerate(references, start=1)
    looks = [Look(f"view {number}", embedding, grade) for number, (embedding, grade) in seen if grade == best]
    return enrol_looks(
        gallery,
        audit,
        looks,
        name,
        consent=consent,
        standard=standard,
        source=Source.TICKET,
        actor=actor,
        method=method,
    )


def enrol_looks(
    gallery: Gallery,
    audit: EventSink,
    looks: Sequence[Look],
    name: str,
    *,
    consent: Consent,
    standard: Standard,
    particulars: Particulars = NOTHING_SAID,
    source: Source = Source.PHOTO,
    actor: Actor = CLI,
    method: str = "cli",
) -> Enrolled:
    """Return the new person, enrolled from one view or more that were read already. Raises as `enrol`."""
    name, consent, particulars = checked_name(name, "name"), checked_consent(consent), checked(particulars)
    first = looks[0].embedding
    known = gallery.current(first.model_id, len(first.vector))
    chosen = choose(looks, known, standard)

    def say(person: Person) -> Event:
        counted = f"person {person.person_id}, {person.references} references, consent in {consent.language}"
        text = [f"text {consent.text_version}"] if consent.text_version else []
        return _event(EventType.ENROLLED, actor, method, "; ".join((counted, *text, *chosen.accepted)))

    def carry_out() -> Person:
        added = gallery.add(
            name,
            consent,
            [(look.embedding, look.grade) for look in chosen.kept],
            source=source,
            external_id=particulars.external_id,
            notes=particulars.notes,
            tags=particulars.tags,
            photos=[look.photo for look in chosen.kept if look.photo],
            person_id=particulars.person_id,
        )
        return _placed(gallery, added, particulars)

    person = recorded(gallery, audit, carry_out, say, "nobody was enrolled")
    return Enrolled(person, chosen.kept, chosen.dropped, rival_of(chosen.kept, known))


def enrol_again(
    gallery: Gallery,
    audit: EventSink,
    references: Sequence[tuple[Embedding, Grade]],
    person_id: str,
    *,
    standard: Standard,
    source: Source = Source.DOOR,
    actor: Actor,
    method: str,
) -> int:
    """Give somebody who is enrolled what the camera saw of one visit besides, and return how many references they have.

    Only ever on somebody's word: nothing of what the door sees becomes a reference by itself. Raises RefusedError where
    the views are not clearly theirs, poor, or nothing new, and where the consent was withdrawn; StorageError where
    nothing was changed.
    """
    best = max((grade for _, grade in references), default=Grade.LOW)
    seen = enumerate(references, start=1)
    looks = [Look(f"view {number}", embedding, grade) for number, (embedding, grade) in seen if grade == best]
    if not looks:
        raise RefusedError("nothing was read of this visit; there is nothing to enrol")
    first = looks[0].embedding
    chosen = choose_more(looks, person_id, gallery.current(first.model_id, len(first.vector)), standard)

    def say(count: int) -> Event:
        added = f"person {person_id}, {len(chosen.kept)} references added, {count} in all"
        return _event(EventType.UPDATED, actor, method, "; ".join((added, *chosen.accepted)))

    def carry_out() -> int:
        return gallery.add_references(person_id, [(look.embedding, look.grade) for look in chosen.kept], source=source)

    return recorded(gallery, audit, carry_out, say, "nothing was added")


def _placed(gallery: Gallery, added: Person, particulars: Particulars) -> Person:
    """Return the newcomer put into their groups, bound and held as was said."""
    subject = gallery.subject(added.person_id)
    if subject is None or particulars == replace(particulars, groups=frozenset(), valid_until=None, held=False):
        return added
    status = Status.SUSPENDED if particulars.held else subject.status
    gallery.set_access(replace(subject, groups=particulars.groups, valid_until=particulars.valid_until, status=status))
    return gallery.person(added.person_id) or added


def remove(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    *,
    actor: Actor = CLI,
    method: str = "cli",
) -> Receipt:
    """Erase the one person of this name or id, and return the receipt, whose hash the audit log keeps with the id.

    Raises RefusedError where nobody or several people are meant, StorageError where either database cannot be
    written; then nobody is erased.
    """
    person = only_one(gallery, name_or_id)

    def say(receipt: Receipt) -> Event:
        counted = f"{receipt.references} references, {receipt.photos} photos"
        detail = f"person {receipt.person_id}, {counted}, receipt {receipt.receipt_hash}"
        return _event(EventType.ERASED, actor, method, detail)

    return recorded(gallery, audit, lambda: gallery.remove(person.person_id), say, "nobody was erased")


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
    if not is_plain(name):
        raise RefusedError(f"{what} {name!r} holds a control character; only letters, marks and signs are allowed")
    return name


def checked_language(tag: str) -> str:
    """Return the language tag. Raises RefusedError where it is none, such as "en" or "pt-BR"."""
    if len(tag) > 35 or not _LANGUAGE.fullmatch(tag):  # 35: RFC 5646, 4.4.1
        raise RefusedError(f"language {tag!r} is not a tag such as en or pt-BR")
    return tag


def checked_consent(consent: Consent) -> Consent:
    """Return the consent with its name and language as they may be stored. Raises RefusedError."""
    given_by = checked_name(consent.given_by, "consent")
    return replace(consent, given_by=given_by, language=checked_language(consent.language))


def checked(particulars: Particulars) -> Particulars:
    """Return the particulars as they may be stored. Raises RefusedError."""
    external_id = particulars.external_id and checked_name(particulars.external_id, "external id")
    if len(particulars.notes) > MAX_NOTES:
        raise RefusedError(f"notes have {len(particulars.notes)} characters; {MAX_NOTES} are allowed")
    for what, listed in (("group", particulars.groups), ("tag", particulars.tags)):
        if len(listed) > MAX_LISTED:
            raise RefusedError(f"{len(listed)} {what}s are given; {MAX_LISTED} are allowed")
        for one in sorted(listed):
            if not is_identifier(one):
                raise RefusedError(f"{what} {one!r} is not 1 to 63 of A-Z a-z 0-9 _ -, first a letter or digit")
    return replace(particulars, external_id=external_id)


def read_looks(
    photos: Iterable[Photo],
    reader: FaceReader,
    protection: Protection,
    portrait: Callable[[Photo], bytes] | None = None,
) -> list[Look]:
    """Return one view a photo, its template protected, with what `portrait` makes of it.

    Raises RefusedError for none and for too many, PhotoError for one that cannot be read.
    """
    looks: list[Look] = []
    for photo in photos:
        if len(looks) == MAX_PHOTOS:
            raise RefusedError(f"more than {MAX_PHOTOS} photos are given; {MAX_PHOTOS} are allowed")
        embedding, quality = reader.read(photo.pixels, photo.name)
        protected = protection.protect(embedding)  # as the door's own are from the embedder on
        kept = portrait(photo) if portrait is not None else b""
        looks.append(Look(f"photo {photo.name}", protected, quality.grade, quality.flaws, kept))
    if not looks:
        raise RefusedError("no photo is given; at least one is needed")
    return looks


def _event(kind: EventType, actor: Actor, method: str, detail: str) -> Event:
    return Event(kind, datetime.now(UTC), actor, method, detail=detail)
