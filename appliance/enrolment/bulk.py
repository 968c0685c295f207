"""Enrolment in bulk: row by row, each whole or not at all; what was interrupted is taken up where it was left.

A row is known again by its photos: a second run enrols nobody twice, whenever the first one was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from appliance.enrolment.rows import Row
from appliance.errors import PhotoError, RefusedError
from appliance.people.enrolment import CLI, MAX_PHOTOS, Photo, enrol_looks, read_looks
from appliance.people.person import Source
from appliance.people.references import rival_of
from appliance.pipeline.embedding import ALIKE_COSINE
from appliance.records import Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from appliance.enrolment.book import BulkBook
    from appliance.enrolment.rows import BadRow
    from appliance.people.enrolment import FaceReader
    from appliance.people.gallery import Gallery
    from appliance.people.recorded import EventSink
    from appliance.people.references import Look, Standard


class Came(StrEnum):
    """What a row came to."""

    ENROLLED = "enrolled"
    KNOWN = "known"  # enrolled before, by an earlier run
    REFUSED = "refused"


class Refused(NamedTuple):
    """One photo that was not taken, or with "" the whole row, and why."""

    photo: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row."""

    where: str
    name: str
    came: Came
    person_id: str = ""
    references: int = 0
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class BulkDesk:
    """Takes rows into one gallery. Belongs to the thread of its databases.

    `content` gives a file's bytes and `decode` the (H, W, 3) RGB picture in them; both raise PhotoError.
    """

    gallery: Gallery
    audit: EventSink
    book: BulkBook
    reader: FaceReader
    standard: Standard
    content: Callable[[Path], bytes]
    decode: Callable[[bytes, str], NDArray[np.uint8]]
    portrait: Callable[[Photo], bytes]

    def take(self, rows: Iterable[Row | BadRow]) -> Iterator[Outcome]:
        """Give what becomes of each row, durably enrolled or not at all. Raises StorageError, which ends it."""
        for row in rows:
            yield self._take(row) if isinstance(row, Row) else _bad(row)

    def _take(self, row: Row) -> Outcome:
        contents, refused = self._contents(row)
        digest = self.book.digest(row.name, row.particulars.external_id, [content for _, content in contents])
        known = self.book.enrolled(digest)
        if known is not None:
            return self._again(row, known)
        looks = self._looks(row, contents, refused)
        if not looks:
            why = () if refused else (Refused("", "none of its photos can be read"),)
            return Outcome(row.where, row.name, Came.REFUSED, refused=(*refused, *why))
        try:
            enrolled = enrol_looks(
                self.gallery,
                self.audit,
                looks,
                row.name,
                consent=row.consent,
                standard=self.standard,
                particulars=row.particulars,
                source=Source.BULK,
                actor=CLI,
                method="bulk",
            )
        except RefusedError as refusal:
            return self._not_taken(row, digest, looks, [*refused, Refused("", str(refusal))])
        person = enrolled.person
        self.book.note(digest, person.person_id)  # killed before this: the photos themselves tell, below
        refused += [Refused(name.removeprefix("photo "), why) for name, why in enrolled.dropped]
        return Outcome(row.where, row.name, Came.ENROLLED, person.person_id, person.references, tuple(refused))

    def _again(self, row: Row, person_id: str) -> Outcome:
        person = self.gallery.person(person_id)
        if person is None:
            why = f"was enrolled before as {person_id} and erased since; whoever was erased is enrolled one by one"
            return Outcome(row.where, row.name, Came.REFUSED, person_id, refused=(Refused("", why),))
        return Outcome(row.where, row.name, Came.KNOWN, person_id, person.references)

    def _not_taken(self, row: Row, digest: bytes, looks: list[Look], refused: list[Refused]) -> Outcome:
        """Return that the row was refused; or known, where these very photos are enrolled under this name already."""
        first = looks[0].embedding
        rival = rival_of(looks, self.gallery.current(first.model_id, len(first.vector)))
        same = self.gallery.person(rival.person_id) if rival is not None and rival.similarity >= ALIKE_COSINE else None
        if same is None or (same.name, same.external_id) != (row.name, row.particulars.external_id):
            return Outcome(row.where, row.name, Came.REFUSED, refused=tuple(refused))
        self.book.note(digest, same.person_id)
        return Outcome(row.where, row.name, Came.KNOWN, same.person_id, same.references)

    def _contents(self, row: Row) -> tuple[list[tuple[Path, bytes]], list[Refused]]:
        contents: list[tuple[Path, bytes]] = []
        refused: list[Refused] = []
        for path in row.photos:
            if len(contents) == MAX_PHOTOS:
                refused.append(Refused(str(path), f"is one too many; {MAX_PHOTOS} of one person are read"))
                continue
            try:
                contents.append((path, self.content(path)))
            except PhotoError as fault:
                refused.append(Refused(str(path), str(fault)))
        return contents, refused

    def _looks(self, row: Row, contents: list[tuple[Path, bytes]], refused: list[Refused]) -> list[Look]:
        """Return the photos that may enrol, read; what is wrong with the others is added to `refused`."""
        least = Grade.MEDIUM if self.standard.accept_medium else Grade.HIGH
        keep = self.portrait if row.consent.photos else None
        looks: list[Look] = []
        for path, content in contents:
            try:
                photo = Photo(str(path), self.decode(content, str(path)))
                (look,) = read_looks([photo], self.reader, self.gallery.protection, keep)
            except PhotoError as fault:
                refused.append(Refused(str(path), str(fault)))
                continue
            if look.grade < least:
                flaws = ", ".join(look.flaws)
                refused.append(Refused(str(path), f"is of {look.grade.name.lower()} quality ({flaws})"))
            else:
                looks.append(look)
        return looks


def _bad(row: BadRow) -> Outcome:
    return Outcome(row.where, row.name, Came.REFUSED, refused=(Refused("", row.why),))
