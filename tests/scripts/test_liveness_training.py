"""The liveness training: what it makes is what it says, and nobody is judged who was trained on."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from appliance import manifest
from scripts.benchmarks import pad
from scripts.benchmarks.presentations import Scored, Shot
from scripts.liveness import clutter, folds, frames, illumination, judging, light, synthesis
from scripts.liveness.corpus import Sample
from scripts.liveness.frames import BONA_FIDE, LFW, Sighting
from scripts.liveness.judging import Judged
from scripts.models import graph
from tests.pipeline.faces import portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
FACE = (170.0, 60.0, 290.0, 180.0)  # of the astronaut
TUNED = "face_liveness_tuned"


@cache
def room() -> Sighting:
    """Return the astronaut as a frame of 640 x 480."""
    whole = np.full((480, 640, 3), 96, np.uint8)
    whole[:, 64:576] = portrait()[:480]
    x0, y0, x1, y1 = FACE
    return Sighting(whole, (x0 + 64, y0, x1 + 64, y1), BONA_FIDE, "studio", "astronaut", None)


def made(species: str, seed: int) -> NDArray[np.uint8]:
    """Return one made attack: the official, held before the astronaut's camera."""
    official = Sighting(portrait("official"), (169.0, 90.0, 348.0, 269.0), BONA_FIDE, "press", "official", None)
    return synthesis.attack(species, official, room(), np.random.default_rng(seed))


# --- what is made -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("species", synthesis.SPECIES)
def test_one_seed_makes_one_attack(species: str) -> None:
    """A made print, phone, tablet or monitor is a whole frame, the same for one seed, another for another."""
    one, again, other = made(species, 4), made(species, 4), made(species, 5)
    assert one.shape == room().pixels.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("species", synthesis.SPECIES)
def test_made_attack_shows_the_face_that_was_held_up(species: str) -> None:
    """The appliance's own detector finds a face in most made attacks, so training sees what a door sees."""
    detect = frames.open_detector()
    assert sum(frames.found(detect, made(species, seed)) is not None for seed in range(6)) >= 4


def test_print_is_bent_by_a_cylinder() -> None:
    """A bent sheet is seen narrower towards its sides, and shaded: columns of even width no longer are."""
    stripes = np.repeat((np.arange(200) // 20 % 2 * 255).astype(np.float32)[np.newaxis, :, np.newaxis], 50, axis=0)
    sheet = np.repeat(stripes, 3, axis=2)
    seen = [synthesis._bent(sheet, np.random.default_rng(seed)) for seed in range(20)]
    upright = [one for one in seen if np.ptp(one[:, 105, 0]) == 0 and not np.array_equal(one, sheet)]
    widths = [np.diff(np.flatnonzero(np.diff((one[25, :, 0] > 100).astype(int)))) for one in upright]
    assert max(np.ptp(each) for each in widths) >= 3
    assert all(one.max() <= 255 for one in seen)
    assert min(float(one[:, 100:120].max()) for one in upright) < 250


@pytest.mark.parametrize("kind", light.LIGHTS)
def test_light_keeps_the_frame_and_follows_its_seed(kind: str) -> None:
    """Each light gives a frame of the same form, the same for one seed; all but the plain one change the picture."""
    first, again = (light.under(kind, room().pixels, room().face, np.random.default_rng(2)) for _ in range(2))
    assert first.shape == room().pixels.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert np.array_equal(first, room().pixels) == (kind == "plain")


def test_lights_do_what_they_are_called() -> None:
    """Dark is darker, backlit has a darker face before a brighter room, grey and infrared have no colour."""
    x0, y0, x1, y1 = (int(v) for v in room().face)

    def levels(kind: str) -> tuple[float, float]:
        seen = light.under(kind, room().pixels, room().face, np.random.default_rng(3)).astype(float)
        return float(seen[y0:y1, x0:x1].mean()), float(seen[:100, :60].mean())

    plain, dark, backlit = levels("plain"), levels("dark"), levels("backlit")
    assert dark[0] < 0.8 * plain[0]
    assert backlit[0] - backlit[1] < plain[0] - plain[1]
    for kind in ("grey",):
        seen = light.under(kind, room().pixels, room().face, np.random.default_rng(3))
        assert np.ptp(seen, axis=2).max() == 0


def test_clutter_stays_behind_the_person() -> None:
    """Windows and posters put into a living person's room leave the middle of the face as it was."""
    x0, y0, x1, y1 = (int(v) for v in room().face)
    middle = (slice((3 * y0 + y1) // 4, (y0 + 3 * y1) // 4), slice((3 * x0 + x1) // 4, (x0 + 3 * x1) // 4))
    changed = 0
    for seed in range(5):
        seen = clutter.behind(room().pixels, room().face, np.random.default_rng(seed))
        assert np.abs(seen[middle].astype(int) - room().pixels[middle]).max() <= 4
        changed += not np.array_equal(seen, room().pixels)
    assert changed >= 4


def test_crop_is_the_appliances_own() -> None:
    """The box's jitter stays within a quarter of its size, and the crop is the network's square, also at a border."""
    dice = np.random.default_rng(1)
    for _ in range(50):
        x0, y0, x1, y1 = frames.jittered(FACE, dice)
        assert 0.74 * 120 < x1 - x0 < 1.26 * 120
        assert abs((x0 + x1) / 2 - 230) <= 0.041 * 120
        assert abs((y0 + y1) / 2 - 120) <= 0.041 * 120
    assert frames.crop(room().pixels, (-40.0, -30.0, 200.0, 210.0)).shape == (128, 128, 3)


@pytest.mark.parametrize("name", sorted(set(illumination.NORMALISERS) - {"none", "grey_world"}))
def test_normaliser_brings_dark_crops_nearer_to_bright_ones(name: str) -> None:
    """A crop at a third of the light comes nearer to the bright one's mean, and the form is kept."""
    bright = frames.crop(room().pixels, room().face)
    dark = (bright // 3).astype(np.uint8)
    evened = illumination.NORMALISERS[name](dark)
    assert evened.shape == bright.shape
    assert evened.dtype == np.uint8
    assert abs(float(evened.mean()) - bright.mean()) < abs(float(dark.mean()) - bright.mean())


# --- who is judged ------------------------------------------------------------------------------------------


def samples() -> tuple[Sample, ...]:
    """Return samples of three sources with two people each, and of photographed people, for both uses."""
    who = [("north", "ada"), ("north", "ben"), ("south", "cem"), ("south", "dora"), ("west", "eve"), ("west", "fay")]
    return tuple(
        Sample(use, "lit", label, "any", source, subject, None)
        for source, subject in [*who, (LFW, "gus")]
        for label in (BONA_FIDE, "print")
        for use in ("train", "judge")
    )


def test_left_out_source_is_never_trained_on() -> None:
    """Each source is judged once, by a training that saw nothing of it; made and relit crops count as its own."""
    every = samples()
    names = []
    for fold in folds.by_source(every):
        trained = {one.source for one, used in zip(every, fold.train, strict=True) if used}
        judged = {one.source for one, used in zip(every, fold.judge, strict=True) if used}
        assert judged == {fold.name}
        assert trained == {"north", "south", "west", LFW} - judged
        names.append(fold.name)
    assert names == ["north", "south", "west"]


def test_left_out_people_are_never_trained_on() -> None:
    """Over the folds each person is judged once, and never by a training that saw them."""
    every, seen = samples(), []
    for fold in folds.by_subject(every):
        trained = {(one.source, one.subject) for one, used in zip(every, fold.train, strict=True) if used}
        judged = {(one.source, one.subject) for one, used in zip(every, fold.judge, strict=True) if used}
        assert judged
        assert not trained & judged
        seen += sorted(judged)
    assert sorted(seen) == sorted({(one.source, one.subject) for one in every if one.source != LFW})


def test_no_crop_is_trained_on_and_judged() -> None:
    """Samples made for judging are never trained on, not even by the training that ships."""
    every = samples()
    for fold in [folds.everything(every), *folds.by_source(every), *folds.by_subject(every)]:
        assert not any(train and judge for train, judge in zip(fold.train, fold.judge, strict=True))
        assert all(one.use == "train" for one, used in zip(every, fold.train, strict=True) if used)


def judged(source: str, live: list[float], attacks: dict[str, list[float]]) -> Judged:
    """Return recorded frames of one source with these scores."""
    labels = [*[BONA_FIDE] * len(live), *[kind for kind, scores in attacks.items() for _ in scores]]
    kept = tuple(Sample("judge", "recorded", label, label, source, "one", None) for label in labels)
    return Judged(source, kept, np.array([*live, *[score for scores in attacks.values() for score in scores]]))


def test_threshold_comes_from_the_other_sources_worst_species() -> None:
    """A source's own attacks do not set its threshold, and the species accepted most often decides."""
    prints, replays = [float(v) for v in range(-40, -20)], [float(v) for v in range(-30, -10)]
    north = judged("north", [-12.5, -10.0, 5.0, 6.0], {"print": [99.0] * 20})
    others = [judged("south", [1.0], {"print": prints}), judged("west", [1.0], {"replay": replays})]
    # One of 20 may pass: the highest replay is -11, so the threshold lies just above the second, -12.
    assert judging.worst_species_threshold(others, ["recorded"]) == pytest.approx(-12.0)
    row = judging.table([north, *others], ["recorded"])["north"]
    assert row["bpcer"] == 0.25
    assert row["apcer"] == {"print": 1.0}
    assert row["bpcer_at_half"] == 0.5


def test_no_attacks_give_no_threshold() -> None:
    """Without an attack anywhere there is nothing to set a threshold on: everything is accepted, and it shows."""
    assert judging.worst_species_threshold([judged("north", [1.0], {})], ["recorded"]) == -np.inf


def scored(source: str, label: str, scores: list[float]) -> list[Scored]:
    """Return frames of one kind with these scores."""
    return [Scored(Shot(Path("x.jpg"), label, source, (source, "one", label)), score) for score in scores]


def test_pad_bench_judges_a_source_at_the_others_threshold() -> None:
    """The bench takes each source's threshold from the attacks of the other sources, and from nothing else."""
    read = [
        *scored("north", BONA_FIDE, [0.2, 0.9]),
        *scored("north", "print", [0.99]),
        *scored("south", BONA_FIDE, [0.8]),
        *scored("south", "replay", [0.3]),
    ]
    found = pad.by_left_out_source(read)
    assert found["north"]["threshold"] == pytest.approx(0.3)
    assert found["north"]["bpcer"]["rate"] == 0.5
    assert found["north"]["apcer_by_species"]["print"]["rate"] == 1.0
    assert found["south"]["bpcer"]["rate"] == 1.0
    assert found["south"]["apcer_by_species"]["replay"]["rate"] == 0.0
    assert pad.worst_species_threshold([]) == -np.inf


# --- what ships ---------------------------------------------------------------------------------------------


def test_tuned_model_is_the_published_one_but_for_its_weights() -> None:
    """I1: both liveness models ship, the tuned one by default; operators and shapes are alike, so the cost is too."""
    entries = {entry.file.removesuffix(".tflite"): entry for entry in manifest.read().model if entry.role == "liveness"}
    assert {name for name, entry in entries.items() if entry.default} == {TUNED}
    start, tuned = (graph.read((manifest.SHIPPED / f"{name}.tflite").read_bytes()) for name in ("face_liveness", TUNED))
    assert [start.code(op) for op in start.operators] == [tuned.code(op) for op in tuned.operators]
    assert [list(one.shape) for one in start.main.tensors] == [list(one.shape) for one in tuned.main.tensors]
    assert start.of_kind(schema.BuiltinOperator.CONV_2D)
    entry, other = entries[TUNED], entries["face_liveness"]
    assert (entry.colour, entry.mean, entry.scale) == (other.colour, other.mean, other.scale)
    assert entry.sha256 != other.sha256


def test_trained_weights_are_the_pinned_ones() -> None:
    """I1: the file of trained weights is the one whose SHA-256 the recipe names."""
    pinned = re.search(
        rf'Weights\("{TUNED}\.npz", "([0-9a-f]{{64}})"\)', (ROOT / "scripts/models/recipes.py").read_text()
    )
    assert pinned is not None
    weights = ROOT / "scripts" / "models" / "weights" / f"{TUNED}.npz"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == pinned[1]
