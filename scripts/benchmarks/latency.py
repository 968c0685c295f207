"""How long a frame takes from the camera's hand to the moment at which the relay would be asked for."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from appliance.drivers.faiss_index import indexed
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import UsageError
from appliance.fixed_point import rounded
from appliance.pipeline import Pipeline
from appliance.pipeline.embedding import fuse
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.matching import operating_point
from appliance.pipeline.policy import configured, decide
from appliance.pipeline.presentation import Presentations
from appliance.records import Frame, GallerySnapshot, Grant, Pulse, frozen

from . import folder as folders
from . import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from typing import Literal

    from numpy.typing import NDArray

    from appliance.config import Settings
    from appliance.pipeline import Step
    from appliance.pipeline.policy import Rules
    from appliance.pipeline.reading import ModelStages
    from appliance.records import FaceDetection, Geometry, Observation, OperatingPoint, Presentation

_Result = TypeVar("_Result")

WIDTH_PX, HEIGHT_PX = 640, 480
SCENE_FRAMES = 24  # rendered beforehand: drawing is not the pipeline's time
WARM_UP = 4  # scenes: caches, clock and memory pages settle, and the visitor has shown depth
PERSON = "visitor"
WRAPPED = ("detection", "alignment", "quality", "liveness", "motion", "embedding", "presentation")


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
        self._follow = timers.timed("motion", super().follow)

    def follow(self, frame: Frame, face: FaceDetection, geometry: Geometry) -> None:
        """Do what the shipped one does."""
        self._follow(frame, face, geometry)

    def observe(self, seen: Observation) -> Presentation:
        """Return what the shipped one returns."""
        return self._observe(seen)


@dataclass(frozen=True, slots=True)
class Load:
    """What is timed."""

    frames: int
    gallery: int  # references of other people
    busy: bool  # whether all other cores are kept busy meanwhile


def run(embedder: Literal["a", "b"], detector: Literal["short", "full"], load: Load) -> None:
    """Print what a frame takes on one thread and on two, and what each stage has of it.

    The two take turns, a scene at a time, so that a neighbour's load falls on both. Raises UsageError without a grant.
    """
    settings, stages = folders.open_stages(embedder, detector)
    scene = Scenery(settings.camera.frame_rate)
    enrolled = gallery_of(scene.next(), stages, load.gallery)
    way, timers = course(settings, stages, enrolled), Timers()
    with contextlib.ExitStack() as closing:
        if load.busy:
            closing.enter_context(busy_cores())
        beside = closing.enter_context(ThreadPoolExecutor(1))
        alone, together = Walk(way, timers=timers), Walk(way, beside=beside)
        for turn in range(WARM_UP + math.ceil(load.frames / SCENE_FRAMES)):
            frames = scene.next()
            if turn == WARM_UP:
                alone.clear()
                together.clear()
            alone.play(frames)
            together.play(frames)
    if not alone.granted or not together.granted:
        raise UsageError("no frame was granted: the way to the relay was not measured")
    one, two = np.array(alone.spent_ms), np.array(together.spent_ms)
    blocks = np.median(two.reshape(-1, SCENE_FRAMES), axis=1) / np.median(one.reshape(-1, SCENE_FRAMES), axis=1)
    threads = {"one thread": quantiles(one), "two threads": quantiles(two)}
    stages_ms = {stage: quantiles(np.array(times)) for stage, times in timers.spent_ms.items()}
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # By sums, not medians: the detector rests while a face is followed, and its share is what it costs over all.
    shares = {stage: 100 * sum(times) / one.sum() for stage, times in timers.spent_ms.items()}
    rows = [(stage, f"{found['p50']:.2f} ms", f"{shares[stage]:.0f} %") for stage, found in stages_ms.items()]
    title = f"Frame to relay request: {one.size} frames of {WIDTH_PX}x{HEIGHT_PX}, {enrolled.size:,} references"
    report.show(f"{title}, one thread", ("stage", "median call", "of all time"), rows)
    for name, found in threads.items():
        print(
            f"{name}: p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms, p99/p50 {found['p99'] / found['p50']:.2f}"
        )
    low, middle, high = np.quantile(blocks, (0.025, 0.5, 0.975))
    print(f"two threads over one, {blocks.size} turns of {SCENE_FRAMES} frames: {middle:.2f} ({low:.2f} to {high:.2f})")
    print(f"{alone.granted} and {together.granted} of {one.size} frames ended in a request")
    print(f"peak memory of this process {rss_mb:.0f} MB, {SCENE_FRAMES} rendered frames and their renderer included")
    line: dict[str, object] = {"bench": "latency", "frames": int(one.size), "gallery": enrolled.size, "busy": load.busy}
    line |= {"one_thread_ms": threads["one thread"], "two_threads_ms": threads["two threads"], "stages_ms": stages_ms}
    line |= {"two_over_one": [round(float(v), 3) for v in (middle, low, high)], "turns": int(blocks.size)}
    line |= {"granted": [alone.granted, together.granted], "rss_mb": round(rss_mb, 1)}
    report.finish(line | {"models": report.models(settings)})


def quantiles(spent_ms: NDArray[np.float64]) -> dict[str, float]:
    """Return the 1st, 25th, 50th, 75th and 99th percentile."""
    found = np.percentile(spent_ms, (1, 25, 50, 75, 99))
    return {f"p{name}": round(float(v), 3) for name, v in zip((1, 25, 50, 75, 99), found, strict=True)}


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core but one busy with another process's sums."""
    burn = "import numpy as np\na = np.ones((400, 400))\nwhile True: a = a @ a / 400"
    others = [subprocess.Popen([sys.executable, "-c", burn]) for _ in range(max(1, len(os.sched_getaffinity(0)) - 1))]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


class Scenery:
    """What the simulated camera sees of a person who stands before the door and never moves twice alike."""

    def __init__(self, rate: float) -> None:
        self._renderer = Renderer(WIDTH_PX, HEIGHT_PX)
        self._visit = Visit(for_s=3600.0)
        self._rate = rate
        self._number = 0

    def next(self) -> list[Frame]:
        """Return the next `SCENE_FRAMES` frames."""
        frames = []
        for _ in range(SCENE_FRAMES):
            at_s = 2.0 + self._number / self._rate  # the visitor has arrived by then
            frames.append(Frame(frozen(self._renderer.draw(self._visit, at_s)), at_s, self._number))
            self._number += 1
        return frames


def gallery_of(frames: list[Frame], stages: ModelStages, size: int) -> GallerySnapshot:
    """Return `size` random people and, last, the person of the frames."""
    seen = []
    for frame in frames[::6]:
        seen += [stages.embed(stages.align(frame, face).crop) for face in stages.detect(frame)[:1]]
    read = [one for one in seen if one is not None]
    person = fuse(read, [1.0] * len(read))
    if person is None:
        raise UsageError("the simulated person's face was not found by this detector")
    others = np.random.default_rng(1).normal(size=(size, stages.embedder.dimension)).astype(np.float32)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    ids = (*(f"person-{number}" for number in range(size)), PERSON)
    rows = frozen(rounded(np.vstack([others, person.vector])))  # as they would be enrolled
    return indexed(GallerySnapshot(rows, ids, ids, person.model_id, 1))


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
    rules = configured(settings, face_only=True)
    return Course(settings, stages, gallery, point, rules)


class Walk:
    """Frames stepped one after the other through a pipeline of its own, under the clock."""

    def __init__(
        self,
        way: Course,
        *,
        timers: Timers | None = None,
        beside: Executor | None = None,
    ) -> None:
        """Take the way; `timers` looks into the stages, which only makes sense on one thread."""
        window_s = way.settings.recognition.reading_s
        stages = way.stages if timers is None else TimedStages(way.stages, timers)
        presentations = Presentations(window_s) if timers is None else TimedPresentations(window_s, timers)
        self._pipeline = Pipeline(FollowingStages(stages), presentations, way.rules, beside)
        self._way, self._timers = way, timers
        self.spent_ms: list[float] = []
        self.granted = 0

    def clear(self) -> None:
        """Forget every time measured so far."""
        self.spent_ms.clear()
        self.granted = 0
        if self._timers is not None:
            self._timers.spent_ms.clear()

    def play(self, frames: list[Frame]) -> None:
        """Step through the frames."""
        for frame in frames:
            inside_ms = 0.0 if self._timers is None else _inner(self._timers)
            before = time.perf_counter()
            step = self._pipeline.step(frame, self._way.gallery, self._way.point)
            self.granted += asked(step, self._way.settings) is not None
            spent_ms = (time.perf_counter() - before) * 1e3
            self.spent_ms.append(spent_ms)
            if self._timers is not None:
                _note_rest(self._timers, spent_ms - (_inner(self._timers) - inside_ms), step, self._way)


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
