"""What `ostiary face` does with known people: which faces it finds, what redaction leaves of them, how it groups."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from appliance import manifest, pixels
from appliance.drivers.film import open_film, stated
from appliance.drivers.photo import read_photo
from appliance.errors import UsageError
from appliance.faces.comparing import ListedFace, Thresholds
from appliance.faces.covering import cover
from appliance.faces.grouping import group
from appliance.faces.redact_film import redact_film
from appliance.faces.stages import open_picture_reader
from appliance.pipeline.alignment import TEMPLATE, similarity
from appliance.rates import Rate, upper_bound
from appliance.records import Frame

from . import folder as folders
from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.faces.grouping import Grouping
    from appliance.faces.reader import PictureReader, SeenFace
    from appliance.records import Embedding, FaceDetection

    from .folder import Picture

    Find = Callable[[NDArray[np.uint8]], Sequence[FaceDetection]]

HEAPS = ((20, 40), (200, 10), (1000, 3))  # faces in a heap, and how many heaps are drawn
MOST_OF_ONE = 10  # faces of one person in a heap
CROWD_PX = (150, 80, 50, 36, 24)  # widths of faces pasted into a picture of 1920x1080
CROWDS = 3  # pictures of each
BY_CHANCE = 0.05  # of a cover's pixels may be as they were
WIDTH_PX, HEIGHT_PX = 1920, 1080


def run(folder: Path, embedder: Literal["a", "b"], people: int, films: Sequence[Path]) -> None:
    """Print which faces of crowds are found, who is known again after redaction, and how heaps are grouped.

    Of each of the films, how many of the faces in its frames stay to be seen.

    Raises UsageError for a folder of another form or with too few people.
    """
    settings, stages = folders.open_stages(embedder, "short")
    thresholds = Thresholds.of(settings.recognition, manifest.embedder(settings.recognition))
    reader = open_picture_reader(settings)
    pictures = folders.pictures(folder)
    ways: dict[str, Find] = {
        "the door": lambda picture: stages.detect(Frame(picture, 0.0, 0)),
        "detect": reader.finder.find,
        "redact, film": reader.film.find,
        "redact": reader.faint.find,
    }
    line: dict[str, object] = {"bench": "faces", "found": _finding(pictures, ways)}
    line["redacted"] = _redacting(_by_person(pictures), reader, thresholds, people)
    line["films"] = [_film(film, reader, thresholds) for film in films]
    line["grouped"] = _grouping(pictures, folders.read(pictures, stages).templates, thresholds)
    report.finish(line | {"models": report.models(settings)})


def _by_person(pictures: Iterable[Picture]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for one in pictures:
        found[one.person].append(one.path)
    return found


def _finding(pictures: Sequence[Picture], ways: Mapping[str, Find]) -> dict[str, dict[str, list[int]]]:
    """Return, by way of looking and width of the faces, how many were found, and of how many."""
    dice = np.random.default_rng(1)
    found = {way: {str(width): [0, 0] for width in CROWD_PX} for way in ways}
    for width in CROWD_PX:
        for _ in range(CROWDS):
            picture, centres = crowd([one.path for one in pictures], width, dice)
            for way, find in ways.items():
                found[way][str(width)][0] += len(_hit(find(picture), centres, width))
                found[way][str(width)][1] += len(centres)
    rows = [[way, *(f"{hits} of {n}" for hits, n in counts.values())] for way, counts in found.items()]
    report.show("Faces found in 1920x1080, by their width", ("", *(f"{px} px" for px in CROWD_PX)), rows)
    return found


def crowd(
    paths: Sequence[Path], face_px: int, dice: np.random.Generator
) -> tuple[NDArray[np.uint8], list[tuple[float, float]]]:
    """Return a picture with up to 24 portraits whose middle faces are about so wide, and where their middles are."""
    ground = dice.integers(60, 200, (12, 20, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(ground, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
    side = round(face_px * 250 / 110)  # a face of Labeled Faces in the Wild takes up 110 of 250 px
    columns, rows = min(6, WIDTH_PX // side), min(4, HEIGHT_PX // side)
    centres = []
    for number, at in enumerate(dice.choice(len(paths), columns * rows, replace=False)):
        x = round((number % columns + 0.5) * WIDTH_PX / columns)
        y = round((number // columns + 0.5) * HEIGHT_PX / rows)
        left, top = max(x - side // 2, 0), max(y - side // 2, 0)
        portrait = cv2.resize(read_photo(paths[at]), (side, side), interpolation=cv2.INTER_AREA)
        part = picture[top : top + side, left : left + side]
        part[:] = portrait[: part.shape[0], : part.shape[1]]
        centres.append((left + side / 2, top + side / 2))
    return picture, centres


def _hit(faces: Sequence[FaceDetection], centres: Sequence[tuple[float, float]], face_px: int) -> set[int]:
    """Return which of the pasted faces were found."""
    found = set()
    for face in faces:
        middle = (face.box[:2] + face.box[2:]) / 2
        apart = np.abs(np.array(centres) - middle).max(axis=1)
        if apart.min() < face_px / 2 and 0.4 < face.width_px / face_px < 2:
            found.add(int(apart.argmin()))
    return found


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


def _redacting(
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


def _film(film: Path, reader: PictureReader, thresholds: Thresholds) -> dict[str, object]:
    """Return how many faces a film has in all its frames, and how many of them are not covered, or found again."""
    written: list[NDArray[np.uint8]] = []
    redact_film(lambda: open_film(film), written.append, stated(film)[0], reader, thresholds)
    faces = seen = found_again = 0
    recording = open_film(film)
    for done in track(written, film.name, console=Console(stderr=True), transient=True):
        frame = recording.read()
        if frame is None:
            raise UsageError(f"film {film} has changed while it was read")
        for face in reader.finder.find(frame.pixels):
            left, top, right, bottom = np.maximum(face.box, 0).astype(int)
            part = (slice(top, bottom), slice(left, right))
            faces += 1
            seen += bool((frame.pixels[part] == done[part]).all(axis=2).mean() > BY_CHANCE)
        found_again += len(reader.finder.find(done))
    recording.close()
    covered = Rate(seen, faces)
    of = f"{len(written)} frames, {faces} faces, {seen} not covered, {found_again} found in the copy"
    print(f"{film.name}: {of}; taken as independent, at most {100 * upper_bound(covered.count, covered.n):.2f} %")
    return {"film": film.name, "frames": len(written), "faces": faces, "seen": seen, "found_again": found_again}


def _grouping(
    pictures: Sequence[Picture], templates: Mapping[Path, Embedding], thresholds: Thresholds
) -> list[dict[str, float | int]]:
    """Return precision, recall and F of BCubed for heaps of faces, by their size; people of the second half alone."""
    by_person = _by_person(one for one in pictures if one.path in templates)
    # The linkage and its rate were chosen on the other half of the people.
    half = np.random.default_rng(0).permutation(sorted(by_person))[1::2].tolist()
    lines: list[dict[str, float | int]] = []
    for size, draws in HEAPS:
        heaps = [_heap(half, by_person, size, np.random.default_rng(seed)) for seed in range(draws)]
        measured = []
        for heap in heaps:
            faces = [ListedFace(str(path), templates[path]) for _, path in heap]
            measured.append(bcubed(group(faces, thresholds), {str(path): who for who, path in heap}))
        precision, recall, f = np.mean(measured, axis=0)
        people = float(np.mean([len({who for who, _ in heap}) for heap in heaps]))
        figures = {"precision": precision, "recall": recall, "f": f, "people": people}
        lines.append({"faces": size, "heaps": draws} | {name: round(float(one), 4) for name, one in figures.items()})
    columns = ("faces", "heaps", "precision", "recall", "F", "people")
    report.show("Heaps taken apart (BCubed, mean)", columns, [[str(one) for one in row.values()] for row in lines])
    return lines


def _heap(
    people: Sequence[str], by_person: Mapping[str, Sequence[Path]], size: int, dice: np.random.Generator
) -> list[tuple[str, Path]]:
    """Return faces of people drawn at random, up to `MOST_OF_ONE` of each."""
    heap: list[tuple[str, Path]] = []
    for who in dice.permutation(np.array(people)).tolist():
        heap += [(who, path) for path in by_person[who][:MOST_OF_ONE]]
        if len(heap) >= size:
            return heap[:size]
    raise UsageError(f"half of the people have {len(heap)} faces; {size} are needed")


def bcubed(found: Grouping, truth: Mapping[str, str]) -> tuple[float, float, float]:
    """Return precision, recall and their F, each face counted once (Bagga and Baldwin, 1998)."""
    told = [frozenset(one) for one in found.groups] + [frozenset({one}) for one in found.messy]
    place = {face: one for one in told for face in one}
    people: dict[str, set[str]] = defaultdict(set)
    for face, who in truth.items():
        people[who].add(face)
    both = {face: len(place[face] & people[who]) for face, who in truth.items()}
    precision = float(np.mean([both[face] / len(place[face]) for face in truth]))
    recall = float(np.mean([both[face] / len(people[who]) for face, who in truth.items()]))
    return precision, recall, 2 * precision * recall / (precision + recall)
