"""Trials: a presentation is read as the door reads it, and what it came to holds for every threshold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from appliance.commissioning.judging import proposed_threshold
from appliance.commissioning.session import TRIES, carry_out
from appliance.commissioning.sources import AtTheCamera, Recordings, SimulatedVisits
from appliance.commissioning.trials import BONA_FIDE, Outcome, TrialReader
from appliance.config import CameraSettings
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import CameraError, UsageError
from appliance.pipeline import Pipeline
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.policy import configured, decide
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages
from appliance.records import Candidate, GallerySnapshot, Grant, Liveness, OperatingPoint, Wait, frozen
from tests.commissioning.made import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.commissioning.trials import Trial
    from appliance.records import FaceDetection, Frame, Presentation

POINT = OperatingPoint(0.5, 0.1, 1e-3, 1, "a test")


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Give the shipped stages, loaded once."""
    return ModelStages(SETTINGS)


@pytest.fixture(scope="module")
def reader(stages: ModelStages) -> TrialReader:
    """Give a reader of presentations over them."""
    return TrialReader(SETTINGS, stages, stages.embedder.model_id, stages.embedder.dimension)


def seen(*visits: Visit) -> Iterator[Frame]:
    """Give the frames of simulated visits; the same visits give the same frames."""
    camera = SimulatedCamera(Script(Scene(visits=visits)), SETTINGS.camera, paced=False)
    while (frame := camera.read()) is not None:
        yield frame


@pytest.mark.parametrize(
    ("visit", "expected"),
    [
        (Visit(for_s=4), Outcome.BONA_FIDE),
        (Visit(for_s=4, shows="print"), Outcome.ATTACK),
        (Visit(for_s=4, shows="phone"), Outcome.ATTACK),
        (Visit(for_s=4, nearness=0.4), Outcome.NOT_READ),
        (Visit(for_s=4, light=0.05), Outcome.NOT_READ),
    ],
    ids=["person", "print", "phone", "far away", "in the dark"],
)
def test_presentation_is_told_for_what_it_is(reader: TrialReader, visit: Visit, expected: Outcome) -> None:
    """B3: a person passes, a print and a phone are attacks, and what is too small or too dark shows nothing."""
    assert reader.read("any", seen(visit)).outcome(0.5) is expected


@pytest.mark.parametrize("visits", [(), (Visit(for_s=0.2, pause_s=30.0),)], ids=["no frame", "nobody"])
def test_nobody_is_a_non_response(reader: TrialReader, visits: tuple[Visit, ...]) -> None:
    """Where nobody comes, it is waited for so long and then counted as not read, never as an attack that failed."""
    nobody = reader.read("print", seen(*visits))
    assert nobody.outcome(0.0) is Outcome.NOT_READ
    assert (nobody.scores, nobody.passes_up_to, nobody.seconds) == ((), None, 0.0)


@pytest.mark.parametrize("visit", [Visit(for_s=4), Visit(for_s=4, light=0.5), Visit(for_s=4, shows="print")])
def test_trial_says_what_the_door_would_do_at_any_threshold(
    reader: TrialReader, stages: ModelStages, visit: Visit
) -> None:
    """Whatever the threshold, a trial passes exactly where the door's own rules would grant somebody enrolled."""
    tried = reader.read("any", seen(visit))
    course = list(presentations(stages, visit))
    edge = 0.5 if tried.passes_up_to is None else tried.passes_up_to
    for threshold in [*np.linspace(0, 1, 51).tolist(), edge, float(np.nextafter(edge, 2))]:
        assert (tried.outcome(threshold) is Outcome.BONA_FIDE) == door_grants(course, threshold), threshold


def presentations(stages: ModelStages, visit: Visit) -> Iterator[Presentation]:
    """Give what the door's pipeline gathers of a visit, frame by frame."""
    gathered = Presentations(SETTINGS.recognition.reading_s)
    pipeline = Pipeline(FollowingStages(stages), gathered, configured(SETTINGS, face_only=False))
    nobody = frozen(np.zeros((0, stages.embedder.dimension), np.float32))
    for frame in seen(visit):
        step = pipeline.step(frame, GallerySnapshot(nobody, (), (), stages.embedder.model_id, 0), POINT)
        if step.presentation is not None:
            yield step.presentation


def door_grants(course: list[Presentation], threshold: float) -> bool:
    """Tell whether the door's first decision about somebody enrolled who looks like this is a grant."""
    rules = replace(configured(SETTINGS, face_only=True), min_bona_fide=threshold)
    decisions = (decide(one, [Candidate("ada", "r1", 0.99, rival=-1.0)], POINT, rules) for one in course)
    return isinstance(next((one for one in decisions if not isinstance(one, Wait)), None), Grant)


class ConstantStages:
    """The shipped stages with a liveness model that says the same of everybody."""

    def __init__(self, stages: ModelStages, bona_fide: float) -> None:
        self.detect, self.align, self.assess = stages.detect, stages.align, stages.assess
        self.embed = stages.embed
        self._bona_fide = bona_fide

    def score(self, _frame: Frame, _face: FaceDetection) -> Liveness:
        """Say it."""
        return Liveness(self._bona_fide, "constant")


@pytest.mark.parametrize("said", [float("nan"), float("inf"), -1.0])
def test_model_that_says_nothing_passes_nobody(stages: ModelStages, said: float) -> None:
    """B20: with a liveness model that gives NaN or no share, no person passes at any threshold."""
    broken = ConstantStages(stages, said)
    tried = TrialReader(SETTINGS, broken, stages.embedder.model_id, stages.embedder.dimension).read("", seen(Visit()))
    assert tried.outcome(0.0) is not Outcome.BONA_FIDE
    assert (tried.passes_up_to, tried.scores) == (None, ())


def test_model_that_passes_everybody_is_found_out(stages: ModelStages) -> None:
    """B20: with a model that always says live, an attack that no cue catches leaves no threshold to propose."""
    blind = ConstantStages(stages, 1.0)
    reader = TrialReader(SETTINGS, blind, stages.embedder.model_id, stages.embedder.dimension)
    tried = reader.read("mask", seen(Visit(for_s=4)))  # moves as a person does
    assert tried.outcome(1.0) is Outcome.BONA_FIDE
    assert proposed_threshold([tried]) is None


class _Quiet:
    """A guide that only counts."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.faces = 0

    def face(self) -> None:
        """Count a face."""
        self.faces += 1

    def done(self, trial: Trial) -> None:
        """Keep a trial."""
        self.trials.append(trial)


def test_session_goes_through_people_and_every_species(reader: TrialReader) -> None:
    """As many of each are read as were wanted, people first, and the guide hears of every one."""
    guide = _Quiet()
    source = SimulatedVisits(SETTINGS.camera, SETTINGS.recognition.reading_s)
    trials = carry_out(source, reader, {"print": 2, BONA_FIDE: 2, "phone": 1}, guide)
    assert [one.species for one in trials] == [BONA_FIDE, BONA_FIDE, "print", "print", "phone"]
    assert [one.outcome(0.5) for one in trials] == [Outcome.BONA_FIDE] * 2 + [Outcome.ATTACK] * 3
    assert tuple(guide.trials) == trials
    assert guide.faces == 5


class _Nothing:
    """A source that shows nothing, again and again."""

    def presentations(self, _species: str) -> Iterator[Iterator[Frame]]:
        """Give no frames, without end."""
        return (iter(()) for _ in itertools.count())


def test_what_is_never_read_ends(reader: TrialReader) -> None:
    """A presentation that is not read is asked for again, a bounded number of times."""
    trials = carry_out(_Nothing(), reader, {BONA_FIDE: 3, "print": 2}, _Quiet())
    assert [one.species for one in trials] == [BONA_FIDE] * 3 * TRIES + ["print"] * 2 * TRIES


def test_scene_says_what_it_cannot_show() -> None:
    """A species that the simulated scene has no picture of is one line, not a person in its place."""
    with pytest.raises(UsageError, match="mask"):
        next(SimulatedVisits(SETTINGS.camera, 1.0).presentations("mask"))


def film(path: Path, visit: Visit) -> None:
    """Write a simulated visit as a video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 15, (640, 480))
    for frame in seen(visit):
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()


def test_folder_of_recordings_is_read_one_presentation_a_file(reader: TrialReader, tmp_path: Path) -> None:
    """Every file of a species' folder is one presentation, hidden ones aside; a folder's name is the species."""
    for name in ("bona_fide", "print", ".cache"):
        (tmp_path / name).mkdir()
    film(tmp_path / "bona_fide" / "a.mp4", Visit(for_s=3, pause_s=0.1))
    film(tmp_path / "print" / "b.mp4", Visit(for_s=3, pause_s=0.1, shows="print"))
    (tmp_path / "print" / ".hidden").write_text("no film")
    recordings = Recordings(tmp_path, SETTINGS.camera)
    assert recordings.species() == ("print",)
    trials = carry_out(recordings, reader, {BONA_FIDE: 9, "print": 9}, _Quiet())
    assert [(one.species, one.outcome(0.5)) for one in trials] == [
        (BONA_FIDE, Outcome.BONA_FIDE),
        ("print", Outcome.ATTACK),
    ]


def test_folder_without_people_is_refused(tmp_path: Path) -> None:
    """A folder that holds no recordings of people is one line that says what is missing."""
    with pytest.raises(UsageError, match="bona_fide"):
        Recordings(tmp_path, SETTINGS.camera)


def test_live_camera_asks_before_each_presentation(reader: TrialReader, tmp_path: Path) -> None:
    """Before a live camera the installer is asked for each presentation, and only then is it read."""
    scene = tmp_path / "scene.json"
    scene.write_text(Scene(visits=(Visit(for_s=6, pause_s=0.1),)).model_dump_json())
    asked: list[tuple[str, int]] = []
    settings = SETTINGS.camera.model_copy(update={"source": f"simulated:{scene}"})
    with AtTheCamera(settings, lambda species, number: asked.append((species, number))) as camera:
        trials = carry_out(camera, reader, {BONA_FIDE: 1}, _Quiet())
    assert asked == [(BONA_FIDE, 1)]
    assert trials[0].read


def test_camera_that_is_none_is_one_line(tmp_path: Path) -> None:
    """No camera is hardware's fault, and a recording is not taken for one (A1)."""
    with pytest.raises(CameraError, match="63"):
        AtTheCamera(CameraSettings(source="63"), lambda *_: None)
    film(tmp_path / "a.mp4", Visit(for_s=1, pause_s=0.1))
    with pytest.raises(UsageError, match="--from"):
        AtTheCamera(CameraSettings(source=str(tmp_path / "a.mp4")), lambda *_: None)
