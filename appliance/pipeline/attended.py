"""A pipeline that is waited for with open ears: the models run in a thread of their own, one frame at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.pipeline import Pipeline, Step
    from appliance.records import Frame, GallerySnapshot, OperatingPoint

_LOOK_S = 0.1


class AttendedPipeline:
    """The loop's view of a pipeline. Belongs to the loop's thread, but for `wake`.

    An order that comes while a frame is read would wait for the models otherwise, 15 to 30 ms on two cores.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._thread = ThreadPoolExecutor(1, "reading")
        self._bell = threading.Event()  # a frame is read, or `wake` was called

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self._thread.shutdown()

    def step(
        self, frame: Frame, gallery: GallerySnapshot, point: OperatingPoint, meanwhile: Callable[[], None]
    ) -> Step:
        """Return what `Pipeline.step` does, or raise what it or `meanwhile` raises, with no frame in the models.

        `meanwhile` is called in the loop's own thread after each `wake`, and ten times a second.
        """
        reading = self._thread.submit(self._pipeline.step, frame, gallery, point)
        reading.add_done_callback(lambda _reading: self._bell.set())
        try:
            while not reading.done():
                self._bell.wait(_LOOK_S)
                self._bell.clear()
                meanwhile()
        finally:
            wait([reading])
        return reading.result()

    def conclude(self, last: Step, point: OperatingPoint) -> Step:
        """Return what `Pipeline.conclude` does."""
        return self._pipeline.conclude(last, point)

    def wake(self) -> None:
        """Have `meanwhile` called now, where a frame is being read; from any thread."""
        self._bell.set()
