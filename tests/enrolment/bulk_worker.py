"""Enrols a folder in bulk with a face reader that reads a number in a picture: what the tests kill, run and compare."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.audit import AuditLog
from appliance.drivers.photo import decode_photo, encode_png, read_bytes
from appliance.enrolment.book import BulkBook
from appliance.enrolment.bulk import BulkDesk, Outcome
from appliance.enrolment.rows import Agreed, from_folder, from_table
from appliance.errors import PhotoError
from appliance.manifest import Impostors
from appliance.people.consents import ConsentTexts
from appliance.people.gallery import Gallery
from appliance.people.references import Standard
from appliance.records import Embedding, Grade, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.people.enrolment import Photo

IMPOSTORS = Impostors(
    data="made up", comparisons=10**6, tail_start=0.3, tail_fmr=1e-3, tail_scale=0.03, tail_scale_ci95=(0.02, 0.04)
)
STATED = Agreed("", datetime(2026, 3, 1, tzinfo=UTC), "en", ConsentTexts(), "root", version="1", stated=True)


def picture(number: int, *, good: bool = True) -> bytes:
    """Return a picture of person `number // 10`; each number is another view."""
    return encode_png(np.full((8, 8, 3), (number // 256, number % 256, 255 if good else 100), np.uint8))


class NumberReader:
    """Reads the number in a picture as a template; those of one person are alike. Blue below 200 is a poor view."""

    def read(self, pixels: NDArray[np.uint8], name: str) -> tuple[Embedding, Quality]:
        """Return the template; number 0 shows no face."""
        number = int(pixels[0, 0, 0]) * 256 + int(pixels[0, 0, 1])
        if number == 0:
            raise PhotoError(f"photo {name} shows no face")
        one = np.random.default_rng(number // 10).normal(size=256)
        one += 0.3 * np.random.default_rng(1000 + number).normal(size=256)
        grade = Grade.HIGH if pixels[0, 0, 2] >= 200 else Grade.MEDIUM
        unit = (one / np.linalg.norm(one)).astype(np.float32)
        return Embedding(unit, "m"), Quality(grade, (), 200.0, 90.0, 1.0, 120.0, 1.0)


def portrait(photo: Photo) -> bytes:
    """Return what is kept of a photo."""
    return b"jpeg of " + bytes(photo.pixels[0, 0])


def enrol(source: Path, state: Path, agreed: Agreed = STATED) -> list[Outcome]:
    """Enrol what is in the source into the gallery of the state folder, and return what became of each row."""
    rows = from_folder(source, agreed) if source.is_dir() else from_table(source, agreed)
    outcomes = []
    with (
        Gallery(state / "gallery.db") as gallery,
        AuditLog(state / "audit.db", "ostiary", "front") as audit,
        closing(BulkBook(state / "enrolment.db", gallery.keyring.secret("bulk"))) as book,
    ):
        desk = BulkDesk(
            gallery,
            audit,
            book,
            NumberReader(),
            Standard(IMPOSTORS, 1e-3),
            content=read_bytes,
            decode=decode_photo,
            portrait=portrait,
        )
        for outcome in desk.take(rows):
            outcomes.append(outcome)
            sys.stdout.write(f"{outcome.name}\n")
            sys.stdout.flush()
    return outcomes


if __name__ == "__main__":
    enrol(Path(sys.argv[1]), Path(sys.argv[2]))
