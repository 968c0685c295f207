"""What `ostiary face` does with known people: which faces it finds, what redaction leaves of them, how it groups."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance import manifest
from appliance.drivers.photo import read_photo
from appliance.faces.comparing import ListedFace, Thresholds
from appliance.faces.grouping import group
from appliance.faces.stages import open_picture_reader
from appliance.records import Frame

from . import folder as folders
from . import redaction, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.faces.grouping import Grouping
    from appliance.records import Embedding, FaceDetection

    from .folder import Picture

    Find = Callable[[NDArray[np.uint8]], Sequence[FaceDetection]]

HEAPS = ((20, 40), (200, 10), (1000, 3))  # faces in a heap, and how many heaps are drawn
MOST_OF_ONE = 10  # faces of one person in a heap
CROWD_PX = (150, 80, 50, 36, 24)  # widths of faces pasted into a picture of 1920x1080
CROWDS = 3  # pictures of each
WIDTH_PX, HEIGHT_PX = 1920, 1080


def run(folder: Path, embedder: Literal["a", "b"], people: int, films: Sequence[Path]) -> None:
    """Print which faces of crowds are found, who is known again after redaction, and how heaps are grouped.

    Of each of the films, how many of the faces in its frames stay to be seen.

    Raises UsageError for a folder of another form, or with too few people.
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
    line["redacted"] = redaction.pictures(_by_person(pictures), reader, thresholds, people)
    line["films"] = [redaction.film(film, reader, thresholds) for film in films]
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
    for number, at in enumerate(dice.choice(len(paths), min(len(paths), columns * rows), replace=False)):
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


def _grouping(
    pictures: Sequence[Picture], templates: Mapping[Path, Embedding], thresholds: Thresholds
) -> list[dict[str, float | int]]:
    """Return precision, recall and F of BCubed for heaps of faces, by their size; people of the second half alone."""
    by_person = _by_person(one for one in pictures if one.path in templates)
    # The linkage and its rate were chosen on the other half of the people.
    half = np.random.default_rng(0).permutation(sorted(by_person))[1::2].tolist()
    lines: list[dict[str, float | int]] = []
    enough = sum(min(len(by_person[who]), MOST_OF_ONE) for who in half)
    for size, draws in (one for one in HEAPS if one[0] <= enough):
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
    """Return so many faces of people drawn at random, up to `MOST_OF_ONE` of each."""
    drawn = dice.permutation(np.array(people)).tolist()
    return [(who, path) for who in drawn for path in by_person[who][:MOST_OF_ONE]][:size]


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
