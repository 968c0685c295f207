"""Moving people from door to door as templates: no photo, no PIN, and a name only where it is asked for.

Templates leave as the model gave them, for each device turns them by a secret of its own; the file is sealed and
signed (`sealed`). Who arrives goes through the checks of an enrolment.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.access.subject import FactorPolicy, Status
from appliance.contract import EventType
from appliance.errors import ModelMismatchError, RefusedError
from appliance.people.enrolment import Particulars, enrol_looks
from appliance.people.person import Consent, Source
from appliance.people.references import Look
from appliance.people.snapshot import MAX_REFERENCES, NORM_TOLERANCE
from appliance.records import Embedding, Event, Grade, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.audit import AuditLog
    from appliance.people.gallery import Gallery
    from appliance.people.references import Standard
    from appliance.records import Actor

METHOD = "import"
MAX_LINE_BYTES = 4 * 1024 * 1024  # 248 templates of 512 numbers are a sixth of it
_Text = Annotated[str, Field(max_length=200)]
_Read = TypeVar("_Read", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Heading(_Record):
    """The first line."""

    format: Literal["ostiary templates 1"] = "ostiary templates 1"
    device_id: _Text
    model_id: _Text
    named: bool  # whether names and external ids are in it


class MovedReference(_Record):
    """One template."""

    grade: Annotated[int, Field(ge=1, le=2)]
    vector: Annotated[str, Field(max_length=64 * 1024)]  # base64 of float32, little-endian


class MovedConsent(_Record):
    """What the person agreed to, there."""

    given_by: _Text
    given_at: _Text
    language: _Text
    text_version: _Text
    text_hash: _Text
    recorded_by: _Text


class MovedPerson(_Record):
    """One line: one person."""

    person_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    name: _Text
    external_id: _Text
    groups: tuple[_Text, ...]
    valid_until: _Text
    held: bool  # a PIN or a pass is asked of them there, which stays behind: they wait for somebody to look at them
    consent: MovedConsent
    references: Annotated[tuple[MovedReference, ...], Field(min_length=1, max_length=MAX_REFERENCES)]


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of everybody in a file, by the ids they had there."""

    taken: dict[str, str]  # the ids that they have here
    here: tuple[str, ...]  # who were here already, and were left as they are
    refused: dict[str, str]  # and why


def leaving(gallery: Gallery, heading: Heading, person_ids: Iterable[str]) -> Iterator[bytes]:
    """Yield the lines of a file: the heading, and of everybody who may come in now, the templates of its model.

    Raises RefusedError for an id that is not enrolled, StorageError where somebody cannot be read.
    """
    yield heading.model_dump_json().encode() + b"\n"
    for person_id in person_ids:
        moved = _leaving(gallery, heading, person_id)
        if moved is not None:
            yield moved.model_dump_json().encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Takes people from another door into a gallery. `dimension` is that of `model_id`, the embedder in use."""

    gallery: Gallery
    audit: AuditLog
    model_id: str
    dimension: int
    standard: Standard
    actor: Actor

    def take(self, pieces: Iterable[bytes]) -> Arrived:
        """Enrol the people of a file, given in pieces of any size, and return what became of each.

        Who was erased here comes only with a consent that is newer, under a new id. Raises RefusedError where this is
        no such file, or one of another model, and StorageError; then whoever was taken until then stays.
        """
        lines = _lines(pieces)
        heading = _parsed(Heading, next(lines, b""))
        if heading.model_id != self.model_id:
            words = f"the templates are of {heading.model_id}; this door uses {self.model_id}"
            raise RefusedError(f"{words}: they do not compare")
        erased = {one.person_id: one.erased_at for one in self.gallery.tombstones()}
        taken, here, refused = {}, [], {}
        for line in lines:
            moved = _parsed(MovedPerson, line)
            if self.gallery.person(moved.person_id) is not None:
                here.append(moved.person_id)
                continue
            try:
                taken[moved.person_id] = self._enrol(moved, heading, erased.get(moved.person_id))
            except (RefusedError, ModelMismatchError) as fault:
                refused[moved.person_id] = str(fault)
        self.audit.append(self._said(heading, taken, refused))
        return Arrived(taken, tuple(here), refused)

    def _enrol(self, moved: MovedPerson, heading: Heading, erased_at: datetime | None) -> str:
        consent = _consent(moved, heading)
        if erased_at is not None and consent.given_at <= erased_at:
            raise RefusedError(f"was erased here at {erased_at:%Y-%m-%d %H:%M} UTC, and has not agreed again since")
        looks = [self._look(number, one) for number, one in enumerate(moved.references, 1)]
        enrolled = enrol_looks(
            self.gallery,
            self.audit,
            looks,
            moved.name or f"from {heading.device_id} {moved.person_id[:8]}",
            consent=consent,
            standard=self.standard,
            particulars=Particulars(
                external_id=moved.external_id,
                groups=frozenset(moved.groups),
                valid_until=_instant(moved.valid_until, "end of validity") if moved.valid_until else None,
                held=moved.held,
                person_id="" if erased_at is not None else moved.person_id,
            ),
            source=Source.IMPORTED,
            actor=self.actor,
            method=METHOD,
        )
        return enrolled.person.person_id

    def _look(self, number: int, moved: MovedReference) -> Look:
        try:
            raw = base64.b64decode(moved.vector, validate=True)
        except (binascii.Error, ValueError) as fault:
            raise RefusedError(f"template {number} is not base64") from fault
        if len(raw) != 4 * self.dimension:
            raise RefusedError(f"template {number} has {len(raw)} bytes; {4 * self.dimension} are wanted")
        vector = np.frombuffer(raw, "<f4")
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(norm - 1) <= NORM_TOLERANCE:  # this way round, NaN is refused
            raise RefusedError(f"template {number} has the length {norm:.6g}; 1 is wanted")
        embedding = self.gallery.protection.protect(Embedding(frozen(vector.astype(np.float32)), self.model_id))
        return Look(f"template {number}", embedding, Grade(moved.grade))

    def _said(self, heading: Heading, taken: dict[str, str], refused: dict[str, str]) -> Event:
        detail = f"templates of {heading.device_id}: {len(taken)} people taken, {len(refused)} refused"
        return Event(EventType.UPDATED, datetime.now(UTC), self.actor, METHOD, detail=detail)


def _leaving(gallery: Gallery, heading: Heading, person_id: str) -> MovedPerson | None:
    details, person, protection = gallery.details(person_id), gallery.person(person_id), gallery.protection
    subject, consent = details.subject, details.consent
    grades = {one.reference_id: one.grade for one in gallery.references(person_id)}
    found = [(one, grades[key]) for key, one in gallery.vectors(person_id).items() if one.model_id == heading.model_id]
    waits = subject.valid_from is not None and subject.valid_from > datetime.now(UTC)
    if not found or waits or subject.status is not Status.ACTIVE or person is None:
        return None
    return MovedPerson(
        person_id=person_id,
        name=details.name if heading.named else "",
        external_id=details.external_id if heading.named else "",
        groups=person.groups,
        valid_until=subject.valid_until.isoformat() if subject.valid_until else "",
        held=subject.factor is not FactorPolicy.NONE,
        consent=MovedConsent(
            given_by=consent.given_by if heading.named else f"the person, at {heading.device_id}",
            given_at=consent.given_at.isoformat(),
            language=consent.language,
            text_version=consent.text_version,
            text_hash=consent.text_hash,
            recorded_by=consent.recorded_by,
        ),
        references=tuple(
            MovedReference(grade=int(grade), vector=_text(protection.restore(one).vector)) for one, grade in found
        ),
    )


def _consent(moved: MovedPerson, heading: Heading) -> Consent:
    said = moved.consent
    by = f"{said.recorded_by} at {heading.device_id}" if said.recorded_by else heading.device_id
    given_at = _instant(said.given_at, "consent's time")
    return Consent(said.given_by, given_at, said.language, said.text_version, said.text_hash, recorded_by=by)


def _instant(text: str, what: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as fault:
        raise RefusedError(f"the {what} {text!r} is none") from fault
    if at.tzinfo is None:
        raise RefusedError(f"the {what} {text!r} has no zone")
    return at


def _text(vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines, each without its end. Raises RefusedError for one without end."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        *whole, rest = waiting.split(b"\n")
        yield from (bytes(line) for line in whole)
        waiting = rest
        if len(waiting) > MAX_LINE_BYTES:
            raise RefusedError("the file is no list of templates: a line has no end")
    if waiting:
        raise RefusedError("the file is no list of templates: its last line has no end")


def _parsed(model: type[_Read], line: bytes) -> _Read:
    try:
        return model.model_validate_json(line)
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "a line"
        raise RefusedError(f"the file is no list of templates: {where}: {first['msg']}") from fault
