"""Two embedders side by side: the new one in the shadow, never compared with the old, taken over or given up whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from appliance import manifest
from appliance.cli import root
from appliance.commands.options import Installation, open_installation
from appliance.config import RecognitionSettings, Settings
from appliance.contract import EventType, Reason
from appliance.drivers.photo import encode_jpeg, read_photo
from appliance.drivers.scene import FACES
from appliance.errors import ApplianceError
from appliance.people.gallery import Consent, Gallery
from appliance.people.person import Source
from appliance.pipeline import Step
from appliance.pipeline.embedding import unit
from appliance.records import (
    Actor,
    ActorKind,
    AuditEvent,
    Cue,
    Embedding,
    Event,
    Grade,
    Grant,
    Liveness,
    OperatingPoint,
    Wait,
)
from appliance.upgrade.lazy import MOST, LazyUpgrade
from appliance.upgrade.report import readiness
from tests.stand import presentation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 3, 1, tzinfo=UTC)
DEVICE = Actor(ActorKind.DEVICE, "ostiary")
A, B = (manifest.embedder(RecognitionSettings(embedder=name)) for name in ("a", "b"))
POINT = OperatingPoint(0.5, 0.08, 1e-3, 2, "a test")


def face(gallery: Gallery, seed: int, entry: manifest.ModelEntry = A, *, near: int | None = None) -> Embedding:
    """Return a template of its own for each seed, as this device turns it; `near` another seed's where one is named."""
    size = entry.output[0].shape[-1]
    numbers = np.random.default_rng(seed).normal(size=size)
    if near is not None:
        numbers = np.random.default_rng(near).normal(size=size) + 0.3 * numbers
    made = unit(numbers.astype(np.float32), entry.model_id)
    assert made is not None
    return gallery.protection.protect(made)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Return an installation with settings of its own."""
    (tmp_path / "appliance.toml").write_text('[recognition]\nembedder = "a"\n')
    return open_installation(tmp_path / "appliance.toml", tmp_path / "state")


@pytest.fixture
def gallery(installation: Installation) -> Iterator[Gallery]:
    """Return the installation's gallery, empty."""
    with installation.open_gallery() as opened:
        yield opened


def ostiary(installation: Installation, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    places = ["--state", str(installation.state), "--config", str(installation.config_file)]
    done = CliRunner().invoke(root, ["models", "upgrade", *words, *places])
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}ostiary: {done.exception}\n"
    return done.exit_code, done.output


def models_of(installation: Installation) -> dict[str, tuple[str, ...]]:
    """Return of which models everybody has templates."""
    with installation.open_gallery() as gallery:
        return {person.name: person.models for person in gallery.people()}


def test_from_the_first_photo_to_the_last_template(installation: Installation) -> None:
    """C9: kept photos give templates in the shadow; the new model takes over by its report, and the old ones go."""
    with installation.open_gallery() as gallery:
        for seed, name in enumerate(("astronaut", "official")):
            photo = encode_jpeg(read_photo(FACES / f"{name}.png"))
            consent = Consent(name, NOON, photos=True)
            gallery.add(name, consent, [(face(gallery, seed), Grade.HIGH)], photos=[photo])
        cleo = gallery.add("cleo", Consent("cleo", NOON), [(face(gallery, 7), Grade.HIGH)]).person_id
        before = gallery.snapshot(A.model_id, 512)
    assert ostiary(installation, "status")[0] == 1  # nothing is going on
    code, said = ostiary(installation, "start", "b")
    assert code == 0
    assert f"{cleo}: no photo is kept" in said
    assert "2 people have templates of the new model now; of 1 there is none yet" in said
    both = tuple(sorted((A.model_id, B.model_id)))
    assert models_of(installation) == {"astronaut": both, "official": both, "cleo": (A.model_id,)}
    with installation.open_gallery() as gallery:
        after = gallery.snapshot(A.model_id, 512)
        assert np.array_equal(before.matrix, after.matrix)
        assert gallery.snapshot(B.model_id, 192).size == 2
    code, said = ostiary(installation, "finish")
    assert (code, "not yet: 1 people have no template" in said) == (1, True)
    code, said = ostiary(installation, "finish", "--missing", "1")
    assert (code, 'Set recognition.embedder = "b"' in said) == (0, True)
    assert len(models_of(installation)["astronaut"]) == 2
    assert installation.config_file is not None
    installation.config_file.write_text('[recognition]\nembedder = "b"\n')
    assert ostiary(installation, "abandon")[0] == 1
    assert ostiary(installation, "finish", "--missing", "1")[0] == 0
    assert models_of(installation) == {"astronaut": (B.model_id,), "official": (B.model_id,), "cleo": (A.model_id,)}
    assert ostiary(installation, "finish")[0] == 1  # nothing is going on any more


def test_given_up_nothing_is_left(installation: Installation) -> None:
    """An upgrade that is abandoned leaves everybody as they were, and can be begun again."""
    with installation.open_gallery() as gallery:
        photo = encode_jpeg(read_photo(FACES / "astronaut.png"))
        gallery.add("Ada", Consent("Ada", NOON, photos=True), [(face(gallery, 1), Grade.HIGH)], photos=[photo])
    assert ostiary(installation, "start", "a")[0] == 1  # in use already
    assert ostiary(installation, "start", "none")[0] == 3
    assert not (installation.state / "upgrade.json").exists()
    assert ostiary(installation, "start", "b")[0] == 0
    code, said = ostiary(installation, "start", "b")
    assert (code, "0 people have templates of the new model now; of 0" in said) == (0, True)  # nobody is read twice
    assert ostiary(installation, "abandon")[0] == 0
    assert models_of(installation) == {"Ada": (A.model_id,)}
    with installation.open_audit() as audit:
        kinds = [entry.event.event_type for entry in audit.read()]
        assert kinds.count(EventType.CONFIG_CHANGED) == 3
        assert kinds.count(EventType.UPDATED) == 1


def test_the_report_measures_each_space_by_itself(gallery: Gallery) -> None:
    """C9: people missing, strangers too alike and own templates that miss are told of each model, and never across."""
    for seed in range(8):
        looks = [face(gallery, 100 + seed, near=seed) for _ in range(1)] + [face(gallery, 200 + seed, near=seed)]
        name = f"Person {seed}"
        person = gallery.add(name, Consent(name, NOON), [(one, Grade.HIGH) for one in looks]).person_id
        if seed < 7:
            new = [
                (face(gallery, 300 + seed, B, near=seed), Grade.HIGH),
                (face(gallery, 400 + seed, B, near=0), Grade.HIGH),
            ]
            gallery.add_references(person, new, source=Source.UPGRADE)
    found = readiness(gallery, A, B, RecognitionSettings())
    assert (found.going.people, found.going.references, found.going.strangers.count) == (8, 16, 0)
    assert (found.going.missed.count, found.going.missed.n) == (0, 16)
    assert (found.coming.people, len(found.missing), found.by_photo) == (7, 1, 0)
    assert found.coming.strangers.count >= 21  # seven people have a template of the same face
    assert found.coming.missed.n == 14
    assert found.coming.missed.count >= 6
    assert not found.passed
    assert [words.partition(" ")[0] for words in found.objections] == ["1", str(found.coming.strangers.count)]
    assert readiness(gallery, A, A, RecognitionSettings()).passed


class Visit:
    """Visits of Ada at a door whose settings take templates of the new model as people come."""

    def __init__(self, installation: Installation, gallery: Gallery) -> None:
        self.gallery = gallery
        self.audit = installation.open_audit()
        enrolled = [gallery.add(name, Consent(name, NOON), [(face(gallery, seed), Grade.HIGH)])
                    for seed, name in enumerate(("Ada", "Bea"))]  # fmt: skip
        self.ada, self.bea = (person.person_id for person in enrolled)
        self.made: Embedding | None = face(gallery, 50, B)
        impostors = B.measured.door
        assert impostors is not None
        self.upgrade = LazyUpgrade(
            gallery, self.audit, lambda _crop: self.made, impostors, min_bona_fide=0.5, actor=DEVICE
        )

    def granted(self, person_id: str, method: str = "face") -> None:
        """Have the door let somebody in."""
        actor = Actor(ActorKind.PERSON, person_id)
        event = Event(EventType.ACCESS_GRANTED, NOON, actor, method, Reason.OK, presentation_id="v1")
        self.upgrade.hear(AuditEvent(1, "", "", "", event, "", ""))

    def shown(self, seed: int = 0, **seen: Any) -> None:  # noqa: ANN401 - whatever an observation has
        """Show one frame of the visit."""
        visit = presentation("v1", face(self.gallery, seed), 1.0)
        latest = replace(visit.latest, liveness=Liveness(0.9, "l"), **seen)
        step = Step((latest.detection,), replace(visit, latest=latest), (), Grant(self.ada))
        self.upgrade.see(step, self.gallery.snapshot(A.model_id, 512), POINT)

    def shadow(self, person_id: str) -> int:
        """Return how many templates of the new model somebody has."""
        return sum(one.model_id == B.model_id for one in self.gallery.references(person_id))


@pytest.fixture
def visit(installation: Installation, gallery: Gallery) -> Iterator[Visit]:
    """Give Ada before the door."""
    made = Visit(installation, gallery)
    yield made
    made.audit.close()


def test_a_granted_visit_gives_one_template(visit: Visit) -> None:
    """B16: somebody let in by their face gives one template a day of the new model, as an entry of the log."""
    visit.shown()
    assert visit.shadow(visit.ada) == 0  # nobody was let in
    visit.granted(visit.ada)
    visit.shown()
    visit.shown()
    visit.granted(visit.ada)
    visit.shown()
    assert (visit.shadow(visit.ada), visit.shadow(visit.bea)) == (1, 0)
    (told,) = [entry.event for entry in visit.audit.read()]
    assert (told.event_type, told.method) == (EventType.UPDATED, "upgrade")
    assert visit.ada in told.detail
    assert visit.gallery.snapshot(A.model_id, 512).size == 2


DOUBTFUL: tuple[dict[str, Any], ...] = (
    {"liveness_score": 0.4}, {"liveness_score": float("nan")}, {"grade": Grade.MEDIUM}, {"others": 1}, {"seed": 1},
    {"seed": 99}, {"cues": (Cue.STATIC_INPUT,)}, {"unscored": True}, {"method": "attendant"},
)  # fmt: skip


def test_a_frame_that_does_not_show_it_gives_none(visit: Visit) -> None:
    """B8 B16: doubtful liveness, poor quality, a second or another face, an attendant's grant: no template of it."""
    known = visit.gallery.snapshot(A.model_id, 512)
    for seen in DOUBTFUL:
        visit.granted(visit.ada, seen.get("method", "face"))
        shown = presentation("v1", face(visit.gallery, seen.get("seed", 0)), 1.0)
        quality = replace(shown.latest.quality, grade=seen.get("grade", Grade.HIGH))
        liveness = None if seen.get("unscored") else Liveness(seen.get("liveness_score", 0.9), "l")
        latest = replace(shown.latest, liveness=liveness, quality=quality, others=seen.get("others", 0))
        seen_now = replace(shown, latest=latest, cues=seen.get("cues", ()))
        visit.upgrade.see(Step((latest.detection,), seen_now, (), Grant(visit.ada)), known, POINT)
        visit.upgrade.see(Step((), None, (), Wait()), known, POINT)  # and they have left
        assert visit.audit.head().seq == 0, seen
    assert visit.shadow(visit.ada) == visit.shadow(visit.bea) == 0


def test_templates_of_the_door_are_few_and_alike(visit: Visit) -> None:
    """B15 B16: at most three are taken, and none that does not look like those that there are."""
    yesterday = datetime(2026, 1, 1, tzinfo=UTC)
    first = face(visit.gallery, 60, B, near=50)
    visit.gallery.add_references(visit.ada, [(first, Grade.HIGH)], source=Source.UPGRADE, captured_at=yesterday)
    visit.made = face(visit.gallery, 61, B)  # another face to the new model
    visit.granted(visit.ada)
    visit.shown()
    assert visit.shadow(visit.ada) == 1
    visit.made = face(visit.gallery, 62, B, near=50)
    visit.granted(visit.ada)
    visit.shown()
    assert visit.shadow(visit.ada) == 2
    more = [(face(visit.gallery, 63, B, near=50), Grade.HIGH)] * (MOST - 2)
    visit.gallery.add_references(visit.bea, more * MOST, source=Source.UPGRADE, captured_at=yesterday)
    visit.granted(visit.bea)
    visit.shown(seed=1)
    assert visit.shadow(visit.bea) == MOST


def test_a_model_that_gives_nothing(visit: Visit) -> None:
    """A frame of which the new model makes nothing is passed over."""
    visit.made = None
    visit.granted(visit.ada)
    visit.shown()
    assert visit.shadow(visit.ada) == 0


def test_by_default_the_door_learns_nothing() -> None:
    """B16: without a word in the settings no template is ever taken at the door."""
    assert Settings().recognition.upgrade == "photos"
