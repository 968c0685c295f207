"""How long a frame takes from the camera's hand to the moment at which the relay would be asked for."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from appliance.drivers.faiss_index import indexed
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import UsageError
from appliance.pipeline import Pipeline
from appliance.pipeline.embedding import fuse
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.matching import operating_point
from appliance.pipeline.policy import Rules, decide
from appliance.pipeline.presentation import Presentations
from appliance.records import Frame, GallerySnapshot, Grant, Pulse, frozen

from . import folder as folders
from . import report

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.pipeline.reading import ModelStages
    from appliance.records import Observation, OperatingPoint, Presentation

_Result = TypeVar("_Result")

WIDTH_PX, HEIGHT_PX = 640, 480
SCENE_FRAMES = 24  # rendered beforehand and used again and again: more would count as the pipeline's memory
WARM_UP = 100  # frames: caches, clock and memory pages settle
PERSON = "visitor"
WRAPPED = ("detection", "alignment", "quality", "liveness", "embedding", "presentation")


class Timers:
    """Callables wrapped so that each call's time is kept under a stage's name."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, list[float]] = defaultdict(list)

    def timed(self, stage: str, call: Callable[..., _Result]) -> Callable[..., _Result]:
        """Return the same callable under the clock."""

        def clocked(*given: Any) -> _Result:  # noqa: ANN401 - whatever the stage takes
            before = time.perf_counter()
            result = call(*given)
            self.spent_ms[stage].append((time.perf_counter() - before) * 1e3)
            return result

        return clocked


class TimedStages:
    """The shipped stages, each under the clock."""

    def __init__(self, stages: ModelStages, timers: Timers) -> None:
        self.detect = timers.timed("detection", stages.detect)
        self.align = timers.timed("alignment", stages.align)
        self.assess = timers.timed("quality", stages.assess)
        self.score = timers.timed("liveness", stages.score)
        self.embed = timers.timed("embedding", stages.embed)


class TimedPresentations(Presentations):
    """The shipped memory of a visit, under the clock."""

    def __init__(self, window_s: float, timers: Timers) -> None:
        super().__init__(window_s)
        self._observe = timers.timed("presentation", super().observe)

    def observe(self, seen: Observation) -> Presentation:
        """Return what the shipped one returns."""
        return self._observe(seen)


def run(embedder: Literal["a", "b"], detector: Literal["short", "full"], *, frames: int, gallery: int) -> None:
    """Print the median and the 99th percentile, and what each stage has of it. Raises UsageError without a grant."""
    settings, stages = folders.open_stages(embedder, detector)
    pictures = scene(settings)
    enrolled = gallery_of(pictures, stages, gallery)
    timers = Timers()
    granted = play(pictures, frames, course(settings, stages, enrolled), timers)
    if not granted:
        raise UsageError("no frame was granted: the way to the relay was not measured")
    spent = np.array(timers.spent_ms.pop("frame"))
    p50, p99 = (float(value) for value in np.percentile(spent, (50, 99)))
    stages_ms = {stage: round(float(np.median(times)), 3) for stage, times in timers.spent_ms.items()}
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # By sums, not medians: the detector rests while a face is followed, and its share is what it costs over all.
    shares = {stage: 100 * sum(times) / spent.sum() for stage, times in timers.spent_ms.items()}
    rows = [(stage, f"{ms:.2f} ms", f"{shares[stage]:.0f} %") for stage, ms in stages_ms.items()]
    load = f"{frames} frames of {WIDTH_PX}x{HEIGHT_PX}, {enrolled.size:,} references, one thread"
    report.show(
        f"Frame to relay request: {load}",
        ("stage", "median call", "of all time"),
        [*rows, ("all", f"{p50:.2f} ms", "100 %")],
    )
    print(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; {granted} of {frames} frames ended in a request")
    print(f"peak memory of this process {rss_mb:.0f} MB, {SCENE_FRAMES} rendered frames and their renderer included")
    figures = {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3), "stages_ms": stages_ms, "rss_mb": round(rss_mb, 1)}
    counts = {"gallery": enrolled.size, "frames": frames, "granted": granted, "threads": 1}
    report.finish({"bench": "latency"} | figures | counts | {"models": report.models(settings)})


def scene(settings: Settings) -> list[NDArray[np.uint8]]:
    """Return what the simulated camera sees of a person who stands before the door."""
    renderer = Renderer(WIDTH_PX, HEIGHT_PX)
    visit = Visit(for_s=60.0)
    start_s, step_s = 2.0, 1 / settings.camera.frame_rate
    return [frozen(renderer.draw(visit, start_s + number * step_s)) for number in range(SCENE_FRAMES)]


def gallery_of(pictures: list[NDArray[np.uint8]], stages: ModelStages, size: int) -> GallerySnapshot:
    """Return `size` random people and, last, the person of the pictures."""
    seen = []
    for pixels in pictures[::6]:
        frame = Frame(pixels, 0.0, 0)
        seen += [stages.embed(stages.align(frame, face).crop) for face in stages.detect(frame)[:1]]
    read = [one for one in seen if one is not None]
    person = fuse(read, [1.0] * len(read))
    if person is None:
        raise UsageError("the simulated person's face was not found by this detector")
    others = np.random.default_rng(1).normal(size=(size, stages.embedder.dimension)).astype(np.float32)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    ids = (*(f"person-{number}" for number in range(size)), PERSON)
    return indexed(GallerySnapshot(frozen(np.vstack([others, person.vector])), ids, ids, person.model_id, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What the frames run through."""

    settings: Settings
    stages: ModelStages
    gallery: GallerySnapshot
    point: OperatingPoint
    rules: Rules


def course(settings: Settings, stages: ModelStages, gallery: GallerySnapshot) -> Course:
    """Return the way from frame to decision as the service lays it."""
    recognition = settings.recognition
    point = operating_point(stages.impostors, recognition.target_fpir, gallery.size, recognition.margin)
    rules = Rules(
        min_frames=recognition.min_frames,
        intent_s=recognition.intent_s,
        reading_s=recognition.reading_s,
        min_bona_fide=settings.liveness.min_bona_fide,
        face_only=True,
    )
    return Course(settings, stages, gallery, point, rules)


def play(pictures: list[NDArray[np.uint8]], count: int, way: Course, timers: Timers) -> int:
    """Step the pipeline through `count` frames after a warm-up; return how many ended in a request for the relay."""
    window_s, rate = way.settings.recognition.reading_s, way.settings.camera.frame_rate
    pipeline = Pipeline(
        FollowingStages(TimedStages(way.stages, timers)), TimedPresentations(window_s, timers), way.rules
    )
    granted = 0
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            timers.spent_ms.clear()
            granted = 0
        frame = Frame(pictures[number % SCENE_FRAMES], number / rate, number)
        inside_ms = _inner(timers)
        before = time.perf_counter()
        step = pipeline.step(frame, way.gallery, way.point)
        granted += asked(step, way.settings) is not None
        spent_ms = (time.perf_counter() - before) * 1e3
        timers.spent_ms["frame"].append(spent_ms)
        _note_rest(timers, spent_ms - (_inner(timers) - inside_ms), step, way)
    return granted


def asked(step: Step, settings: Settings) -> Pulse | None:
    """Return what the controller would be asked for; None where the frame ended otherwise."""
    if step.presentation is None or not isinstance(step.decision, Grant):
        return None
    deadline_s = step.presentation.latest.frame.captured_at_s + settings.recognition.freshness_s
    return Pulse(settings.door.unlock_s, step.presentation.presentation_id, deadline_s)


def _inner(timers: Timers) -> float:
    """Return the time spent so far inside the wrapped calls."""
    return sum(sum(timers.spent_ms[stage]) for stage in WRAPPED)


def _note_rest(timers: Timers, rest_ms: float, step: Step, way: Course) -> None:
    """Divide what the wrapped calls leave of a frame.

    Policy is a pure function of microseconds, so it is called once more for its time. Matching is the rest:
    called again, it would find the gallery in the cache and look quicker than it was.
    """
    if step.presentation is None:
        return
    before = time.perf_counter()
    decide(step.presentation, step.candidates, way.point, way.rules)
    policy_ms = (time.perf_counter() - before) * 1e3
    timers.spent_ms["policy"].append(policy_ms)
    timers.spent_ms["matching"].append(rest_ms - policy_ms)
