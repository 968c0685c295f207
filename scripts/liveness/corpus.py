"""The crops that are trained and judged on: recorded frames, the same under other light, and made attacks.

Everything that is made of a recorded frame bears that frame's source and subject, so that leaving a source or a
subject out leaves out all that was made of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from appliance import pixels

from . import clutter, frames, light, synthesis
from .frames import BONA_FIDE, LFW, Sighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

SEED = 20
ROOM_MAX_PX = 800  # longer side of a frame before anything is made of it; the network sees 128 px of it
LIVE_EACH, ATTACK_EACH, MADE_EACH, LFW_LIVE = 500, 300, 280, 900  # crops a source for training, about
JUDGED_EACH = 12  # crops a source for each light and each made species
CLUTTERED = 0.45  # of the bona fide crops for training
BLACK = 8  # levels; deep-funneled pictures are black where they were turned

Use = Literal["train", "judge"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one crop."""

    use: Use
    origin: Literal["recorded", "lit", "made"]
    label: str  # "live", or the species of the attack
    kind: str  # the light, or the made species
    source: str
    subject: str
    reference: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Crops and what is known of each."""

    crops: NDArray[np.uint8]  # (N, 128, 128, 3) RGB
    samples: tuple[Sample, ...]  # N

    def part(self, kept: Iterable[bool]) -> Corpus:
        """Return those crops for which `kept`, of length N, is true."""
        mask = np.fromiter(kept, bool, len(self.samples))
        return Corpus(self.crops[mask], tuple(s for s, keep in zip(self.samples, mask, strict=True) if keep))


def opened(pad: Path, lfw: Path, cache: Path) -> Corpus:
    """Return the corpus of these folders, from `cache` where it was made before."""
    file = cache / f"corpus-{SEED}-{inputs_sha256(pad, lfw)[:16]}.npz"
    if not file.exists():
        detect = frames.open_detector()
        made = build(frames.presentations(pad, detect), frames.portraits(lfw, detect), SEED)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(file, crops=made.crops, samples=json.dumps([asdict(one) for one in made.samples]))
    with np.load(file) as held:
        return Corpus(held["crops"], tuple(Sample(**one) for one in json.loads(str(held["samples"]))))


def inputs_sha256(pad: Path, lfw: Path) -> str:
    """Return one SHA-256 over every file that the corpus is made of, by name and content."""
    whole = hashlib.sha256()
    for root, pattern in ((pad, "manifest.csv"), (pad, "*/*/*"), (lfw, "images/*/*")):
        for file in sorted(root.glob(pattern)):
            whole.update(file.relative_to(root).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def build(seen: Sequence[Sighting], people: Sequence[Sighting], seed: int) -> Corpus:
    """Return the corpus: the same sightings and the same seed give the same bytes."""
    made, works = [*_recorded(seen), *_of_people(people, np.random.default_rng([seed, 0]))], list[Work]()
    for number, source in enumerate(sorted({one.source for one in seen}), start=1):
        mine = [_shrunk(one) for one in seen if one.source == source]
        works.append((mine, people, [seed, number]))
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for part in track(pool.map(_of_source, works), "making crops", len(works), console=Console(stderr=True)):
            made += part
    return Corpus(np.stack([crop for crop, _ in made]), tuple(sample for _, sample in made))


Made = tuple["NDArray[np.uint8]", Sample]
Work = tuple["Sequence[Sighting]", "Sequence[Sighting]", list[int]]  # a source's frames, the people, a seed


def _recorded(seen: Sequence[Sighting]) -> Iterator[Made]:
    """Yield every frame as the appliance would see it."""
    for one in seen:
        sample = Sample("judge", "recorded", one.label, one.label, one.source, one.subject, one.reference)
        yield frames.crop(one.pixels, one.face), sample


def _of_source(work: Work) -> list[Made]:
    """Return all that is made of one source; it runs in a process of its own."""
    cv2.setNumThreads(1)  # the processes share the cores already
    mine, people, seed = work
    return list(_made_of(mine, people, np.random.default_rng(seed)))


def _made_of(mine: Sequence[Sighting], people: Sequence[Sighting], dice: Generator) -> Iterator[Made]:
    live = [one for one in mine if one.label == BONA_FIDE]
    attacks = [one for one in mine if one.label != BONA_FIDE]
    yield from _relit(live, LIVE_EACH, dice)
    if attacks:
        yield from _relit(attacks, ATTACK_EACH, dice)
    yield from _attacks(live, people[0::2], "train", MADE_EACH // len(synthesis.SPECIES), dice)
    for kind in light.LIGHTS:
        for one in _drawn(live, JUDGED_EACH, dice):
            sample = Sample("judge", "lit", BONA_FIDE, kind, one.source, one.subject, one.reference)
            yield frames.crop(light.under(kind, one.pixels, one.face, dice), one.face), sample
    yield from _attacks(live, people[1::2], "judge", JUDGED_EACH, dice)  # of people whom training never saw


def _relit(seen: Sequence[Sighting], count: int, dice: Generator) -> Iterator[Made]:
    """Yield `count` crops of these frames under all kinds of light, boxes jittered."""
    for at in range(count):
        one = seen[at % len(seen)]
        sample = Sample("train", "lit", one.label, "any", one.source, one.subject, one.reference)
        cluttered = one.label == BONA_FIDE and dice.random() < CLUTTERED
        scene = clutter.behind(one.pixels, one.face, dice) if cluttered else one.pixels
        yield _under_any_light(scene, one.face, dice), sample


def _under_any_light(picture: NDArray[np.uint8], face: frames.Box, dice: Generator) -> NDArray[np.uint8]:
    """Return a crop for training."""
    return frames.crop(light.photographed(picture, face, dice), frames.jittered(face, dice))


def _attacks(
    live: Sequence[Sighting], people: Sequence[Sighting], use: Use, count: int, dice: Generator
) -> Iterator[Made]:
    """Yield up to `count` made attacks a species: the person of the room, or somebody else, held before its camera."""
    detect = frames.open_detector()
    for species in synthesis.SPECIES:
        for room in _drawn(live, count, dice):
            shown = room if dice.random() < 0.4 else people[int(dice.integers(len(people)))]
            scene = synthesis.attack(species, shown, room, dice)
            face = frames.found(detect, scene)
            if face is None:
                continue  # the appliance would not see it either
            made = _under_any_light(scene, face, dice) if use == "train" else frames.crop(scene, face)
            yield made, Sample(use, "made", _label(species), species, room.source, room.subject, None)


def _of_people(people: Sequence[Sighting], dice: Generator) -> Iterator[Made]:
    """Yield photographed people as bona fide: many faces, where the five rooms have few."""
    whole = [one for one in people[0::2] if _has_no_black_corner(one.pixels)]
    for one in whole[:LFW_LIVE]:
        sample = Sample("train", "lit", BONA_FIDE, "any", LFW, one.subject, None)
        yield _under_any_light(one.pixels, one.face, dice), sample


def _has_no_black_corner(picture: NDArray[np.uint8]) -> bool:
    return all(int(picture[y, x].max()) > BLACK for y in (2, -3) for x in (2, -3))


def _drawn(seen: Sequence[Sighting], count: int, dice: Generator) -> list[Sighting]:
    return [seen[int(at)] for at in dice.integers(len(seen), size=count)]


def _label(species: str) -> str:
    return "print" if species == "print" else "replay"


def _shrunk(one: Sighting) -> Sighting:
    small = pixels.shrunk(one.pixels, ROOM_MAX_PX)
    scale = small.shape[1] / one.pixels.shape[1]
    x0, y0, x1, y1 = one.face
    face = (x0 * scale, y0 * scale, x1 * scale, y1 * scale)
    return Sighting(small, face, one.label, one.source, one.subject, one.reference)
