"""Attacks before the whole pipeline, its liveness model fooled: what is seen over frames must refuse them alone."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from appliance.config import CameraSettings, Settings
from appliance.contract import Reason
from appliance.drivers.scene import Renderer, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.pipeline import Pipeline
from appliance.pipeline.cues import species_guess
from appliance.pipeline.policy import Rules
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages
from appliance.records import Cue, Deny, Frame, Grant, Refer, Species, Wait
from scripts.benchmarks.held import Handling, frames, sheet_of, textured_room
from tests.pipeline.faces import RATE, frame, placed, portrait
from tests.pipeline.fooled import POINT, AlwaysLive, fooled, gallery_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from appliance.pipeline import Step
    from appliance.records import GallerySnapshot

SLOW = 5.0  # frames a second: what holds for the slowest camera is also quickly tried
READING_S = 4.2  # a little over the reading time

HANDLINGS = {
    "still under noise": Handling(shift_px=0, turn_rad=0, lean_rad=0, noise=5.0),
    "trembling by a quarter pixel": Handling(shift_px=2.0, lean_rad=0, jitter_px=0.25),
    "trembling by two pixels": Handling(jitter_px=2.0),
    "leaned": Handling(lean_rad=0.3),
    "bent": Handling(bend=0.4, lean_rad=0.15),
    "with eye holes": Handling(eye_holes=True),
    "under a flickering lamp": Handling(flicker=0.15),
}


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Give every stage over the shipped model files."""
    return ModelStages(Settings())


def played(
    stages: ModelStages, pictures: Iterable[NDArray[np.uint8]], gallery: GallerySnapshot, rate: float
) -> list[Step]:
    """Return what each frame came to."""
    pipeline = fooled(stages)
    return [pipeline.step(Frame(one, number / rate, number), gallery, POINT) for number, one in enumerate(pictures)]


def print_of(stages: ModelStages, face: str, how: Handling, for_s: float = READING_S) -> Iterable[NDArray[np.uint8]]:
    """Return slow frames of a portrait held up before a room."""
    picture = portrait(face)
    (found,) = stages.detect(frame(picture))
    return frames(sheet_of(picture, found), textured_room(), how, count=round(for_s * SLOW), rate=SLOW)


def standing(face: str, shows: str, for_s: float, rate: float) -> Iterable[NDArray[np.uint8]]:
    """Return frames of the simulated scene, from when the visitor has come near."""
    renderer, visit = Renderer(640, 480), Visit.model_validate({"face": face, "shows": shows, "for_s": 60.0})
    return (renderer.draw(visit, 1.0 + number / rate) for number in range(round(for_s * rate)))


def enrolled(stages: ModelStages, face: str) -> GallerySnapshot:
    """Return a gallery of the one person in the portrait."""
    return gallery_of(stages, portrait(face) if face == "official" else placed(150, (320, 240)))


@pytest.mark.parametrize("name", HANDLINGS)
@pytest.mark.parametrize("face", ["astronaut", "official"])
def test_print_in_the_hand_is_denied(stages: ModelStages, face: str, name: str) -> None:
    """B1, B2, B6, A18, H9: however an enrolled person's print is held and lit, it is refused and never once granted."""
    steps = played(stages, print_of(stages, face, HANDLINGS[name]), enrolled(stages, face), SLOW)
    assert not any(isinstance(one.decision, Grant) for one in steps)
    assert steps[-1].decision == Deny(Reason.LIVENESS_FAILED)
    assert steps[-1].presentation is not None
    assert species_guess(steps[-1].presentation.cues) is Species.PRINT


@pytest.mark.parametrize("shows", ["print", "phone"])
def test_simulated_attack_is_denied(stages: ModelStages, shows: str) -> None:
    """B3: the scene's print and telephone are refused though the model says live: their edge moves with the face."""
    steps = played(stages, standing("astronaut", shows, READING_S, RATE), enrolled(stages, "astronaut"), RATE)
    assert not any(isinstance(one.decision, Grant) for one in steps)
    assert steps[-1].decision == Deny(Reason.LIVENESS_FAILED)
    assert steps[-1].presentation is not None
    assert Cue.CARRIED_BACKGROUND in steps[-1].presentation.cues


def test_print_after_a_living_person_is_asked_for_depth_anew(stages: ModelStages) -> None:
    """B7: the stranger's depth does not lend itself to the print of somebody enrolled that takes their place."""
    living = list(standing("official", "person", 3.0, SLOW))
    shown = print_of(stages, "astronaut", Handling(lean_rad=0.05), for_s=3.0)
    steps = played(stages, chain(living, shown), enrolled(stages, "astronaut"), SLOW)
    assert not any(isinstance(one.decision, Grant) for one in steps)
    before, after = steps[len(living) - 1].presentation, steps[-1].presentation
    assert before is not None
    assert after is not None
    assert Cue.FLAT_INPUT not in before.cues
    assert Cue.FLAT_INPUT in after.cues


def test_full_view_replay_without_a_bezel_is_for_a_human(stages: ModelStages) -> None:
    """B4: nothing in one camera's picture tells a faultless replay from a person: without a trial, a human is asked."""
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=4.0),))), CameraSettings(), paced=False)
    gallery = enrolled(stages, "astronaut")
    pipeline = Pipeline(AlwaysLive(stages), Presentations(4.0), Rules(3, 0.3, 4.0, 0.5))
    decisions = []
    while (seen := camera.read()) is not None:
        decisions.append(pipeline.step(seen, gallery, POINT).decision)
    assert any(isinstance(one, Refer) for one in decisions)
    assert all(isinstance(one, Refer | Wait) for one in decisions)


def test_person_who_holds_still_first_is_granted_when_they_move(stages: ModelStages) -> None:
    """B9: two seconds without any motion only delay: somebody alive is let in within 1.5 s of moving again."""
    renderer = Renderer(640, 480)
    still = [renderer.draw(Visit(for_s=60.0), 1.0) for _ in range(30)]  # with new noise each time
    moving = standing("astronaut", "person", 1.5, RATE)
    steps = played(stages, chain(still, moving), enrolled(stages, "astronaut"), RATE)
    assert not any(isinstance(one.decision, Grant) for one in steps[:30])
    assert any(isinstance(one.decision, Grant) for one in steps[30:])
