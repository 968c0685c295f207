"""What redaction leaves of a face: who is known again in pictures, and who stays to be seen in films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from appliance import pixels
from appliance.drivers.film import open_film, stated
from appliance.drivers.photo import read_photo
from appliance.errors import UsageError
from appliance.faces.comparing import verify_faces
from appliance.faces.covering import cover
from appliance.faces.redact_film import redact_film
from appliance.pipeline.alignment import TEMPLATE, similarity
from appliance.rates import upper_bound
from appliance.records import Embedding, Frame, Grade

from . import folder as folders
from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from appliance.faces.comparing import Thresholds
    from appliance.faces.reader import PictureReader, SeenFace

BY_CHANCE = 0.05  # of a cover's pixels may be as they were


@dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """One person of the folder: a picture that is redacted, and another that an attacker has."""

    picture: NDArray[np.uint8]
    face: SeenFace
    known: NDArray[np.uint8]
    known_face: SeenFace


def _blurred(picture: NDArray[np.uint8], face: SeenFace) -> NDArray[np.uint8]:
    """Return what is usual: the box under a Gaussian blur of a fifth of its width."""
    return _instead(picture, face, lambda part: pixels.blurred(part, max(part.shape[:2]) / 5))


def _coarse(picture: NDArray[np.uint8], face: SeenFace) -> NDArray[np.uint8]:
    """Return what is usual as well: the box as a mosaic of its own pixels, 8 cells across."""

    def mosaic(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        cells = cv2.resize(part, (8, 8), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(cells, part.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)

    return _instead(picture, face, mosaic)


def _instead(
    picture: NDArray[np.uint8], face: SeenFace, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    box, more = face.detection.box, face.detection.width_px * 0.2
    left, top = (int(max(edge - more, 0)) for edge in box[:2])
    right, bottom = int(min(box[2] + more, width)), int(min(box[3] + more, height))
    done = picture.copy()
    done[top:bottom, left:right] = change(picture[top:bottom, left:right])
    return done


STYLES: dict[str, Callable[[NDArray[np.uint8], SeenFace], NDArray[np.uint8]]] = {
    "as it is": lambda picture, _: picture,
    "Gaussian blur, a fifth of the face": _blurred,
    "mosaic of its own pixels, 8 cells": _coarse,
    "ostiary face redact": lambda picture, face: cover(picture, [face.detection.box]),
}


def pictures(
    by_person: Mapping[str, Sequence[Path]], reader: PictureReader, thresholds: Thresholds, most: int
) -> dict[str, dict[str, list[int]]]:
    """Return, by style, how often each attack knows a redacted face again, and of how many."""
    people = _pairs(by_person, reader, most)
    gallery = np.stack([_vector(reader, one.known, one.known_face) for one in people])
    threshold = thresholds.point(1).threshold
    columns = (
        "a face is found",
        "same as before",
        "same as another picture",
        "first of all",
        "first, gallery redacted",
    )
    counts: dict[str, dict[str, list[int]]] = {}
    for style, change in STYLES.items():
        done = [change(one.picture, one.face) for one in people]
        probes = np.stack([_vector(reader, one, person.face) for one, person in zip(done, people, strict=True)])
        before = np.stack([_vector(reader, one.picture, one.face) for one in people])
        parrot = np.stack([_vector(reader, change(one.known, one.known_face), one.known_face) for one in people])
        own = np.arange(len(people))
        outcome = (
            np.array([_found_there(reader, one, person) for one, person in zip(done, people, strict=True)]),
            (probes * before).sum(axis=1) >= threshold,
            (probes * gallery).sum(axis=1) >= threshold,
            (probes @ gallery.T).argmax(axis=1) == own,
            (probes @ parrot.T).argmax(axis=1) == own,
        )
        counts[style] = {what: [int(hits.sum()), len(people)] for what, hits in zip(columns, outcome, strict=True)}
    rows = [[style, *(str(hits) for hits, _ in found.values())] for style, found in counts.items()]
    report.show(f"Known again after redaction, of {len(people)} people", ("", *columns), rows)
    return counts


def _pairs(by_person: Mapping[str, Sequence[Path]], reader: PictureReader, most: int) -> list[_Person]:
    people = []
    several = [paths for paths in by_person.values() if len(paths) > 1]
    for paths in track(several[:most], "reading", console=Console(stderr=True), transient=True):
        one, other = (read_photo(path) for path in paths[:2])
        face, known = (_central(reader, picture) for picture in (one, other))
        if face is not None and known is not None:
            people.append(_Person(one, face, other, known))
    if len(people) < 2:
        raise UsageError(f"{len(people)} people have two pictures with a face; at least 2 are needed")
    return people


def _central(reader: PictureReader, picture: NDArray[np.uint8]) -> SeenFace | None:
    frame = Frame(picture, 0.0, 0)
    face = folders.central(reader.finder.find(picture), frame)
    return None if face is None else reader.see(frame, face, template=False)


def _vector(reader: PictureReader, picture: NDArray[np.uint8], face: SeenFace) -> NDArray[np.float32]:
    """Return the template of what is now where the face was, as somebody reads it who knows its landmarks."""
    five = face.geometry.five_points.astype(np.float64)
    found: Embedding | None = reader.stages.embed(pixels.warp(picture, similarity(five, TEMPLATE), 112))
    if found is None:
        raise UsageError("a crop gave no template")
    return found.vector


def _found_there(reader: PictureReader, picture: NDArray[np.uint8], person: _Person) -> bool:
    """Tell whether a detector still finds a face where it was."""
    middle = (person.face.detection.box[:2] + person.face.detection.box[2:]) / 2
    return any((one.box[:2] <= middle).all() and (middle <= one.box[2:]).all() for one in reader.finder.find(picture))


def film(path: Path, reader: PictureReader, thresholds: Thresholds) -> dict[str, object]:
    """Return how many faces a film shows in all its frames, how many are not covered, and how many are known again."""
    written: list[NDArray[np.uint8]] = []
    redact_film(lambda: open_film(path), written.append, stated(path)[0], reader, thresholds)
    faces = not_covered = known_again = 0
    recording = open_film(path)
    for done in track(written, path.name, console=Console(stderr=True), transient=True):
        frame = recording.read()
        if frame is None:
            raise UsageError(f"film {path} has changed while it was read")
        people = [one for one in reader.read(frame.pixels) if one.quality.grade > Grade.LOW]
        faces += len(people)
        not_covered += sum(_as_before(frame.pixels, done, one.detection.box) for one in people)
        known_again += sum(_same(reader, done, person, thresholds) for person in people)
    recording.close()
    of = f"{len(written)} frames, {faces} faces, {not_covered} not covered, {known_again} known again"
    print(f"{path.name}: {of}; taken as independent, at most {100 * upper_bound(known_again, faces):.2f} %")
    return {
        "film": path.name,
        "frames": len(written),
        "faces": faces,
        "not_covered": not_covered,
        "known_again": known_again,
    }


def _as_before(before: NDArray[np.uint8], done: NDArray[np.uint8], box: NDArray[np.float32]) -> bool:
    """Tell whether some of a face's box is to be seen as it was."""
    left, top, right, bottom = np.maximum(box, 0).astype(int)
    part = (slice(top, bottom), slice(left, right))
    return bool((before[part] == done[part]).all(axis=2).mean() > BY_CHANCE)


def _same(reader: PictureReader, done: NDArray[np.uint8], person: SeenFace, thresholds: Thresholds) -> bool:
    """Tell whether what is where the face was is known again as the person."""
    if person.embedding is None:
        return False
    again = Embedding(_vector(reader, done, person), person.embedding.model_id)
    return verify_faces(person.embedding, again, thresholds).identical
