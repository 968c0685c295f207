"""Orders do not wait for the models: a frame is read in one thread while the loop does what comes in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from appliance.errors import StorageError
from appliance.pipeline.attended import AttendedPipeline
from tests.pipeline.faces import frame
from tests.pipeline.test_step import EMPTY, GALLERY, NEAREST, POINT, RecordingStages, pipeline_of

if TYPE_CHECKING:
    from appliance.records import FaceDetection, Frame

WAIT_S = 5.0


class SlowStages(RecordingStages):
    """Stages that detect only once they are let."""

    def __init__(self) -> None:
        super().__init__(NEAREST)
        self.let = threading.Event()
        self.began = threading.Event()
        self.in_models = 0
        self.fault: Exception | None = None

    def detect(self, one: Frame) -> tuple[FaceDetection, ...]:
        """Wait, then answer with the faces or fail."""
        self.in_models += 1
        self.began.set()
        assert self.let.wait(WAIT_S), "nobody let the models go on"
        self.in_models -= 1
        if self.fault is not None:
            raise self.fault
        return super().detect(one)


def test_an_order_is_carried_out_while_a_frame_is_read() -> None:
    """D10: what comes in in the middle of a frame is done in the loop's own thread before the models are through."""
    stages, done = SlowStages(), list[str]()

    def meanwhile() -> None:
        assert threading.current_thread() is threading.main_thread()
        if stages.began.is_set() and not stages.let.is_set():
            done.append("order")
            stages.let.set()

    with AttendedPipeline(pipeline_of(stages)) as pipeline:
        threading.Timer(0.05, pipeline.wake).start()
        step = pipeline.step(frame(EMPTY), GALLERY, POINT, meanwhile)
    assert done == ["order"]
    assert step.presentation is not None
    assert len(step.faces) == 1


def test_an_order_that_fails_leaves_no_frame_in_the_models() -> None:
    """A full disk in the middle of a frame is told, once the models are free for the next one."""
    stages = SlowStages()

    def meanwhile() -> None:
        threading.Timer(0.05, stages.let.set).start()
        raise StorageError("disk full")

    with AttendedPipeline(pipeline_of(stages)) as pipeline:
        pipeline.wake()
        with pytest.raises(StorageError, match="disk full"):
            pipeline.step(frame(EMPTY), GALLERY, POINT, meanwhile)
        assert stages.in_models == 0
        assert pipeline.step(frame(EMPTY), GALLERY, POINT, lambda: None).presentation is not None


def test_what_the_models_raise_reaches_the_loop() -> None:
    """A bug in a stage is the turn's, as it was in one thread."""
    stages = SlowStages()
    stages.fault = ZeroDivisionError()
    stages.let.set()
    with AttendedPipeline(pipeline_of(stages)) as pipeline, pytest.raises(ZeroDivisionError):
        pipeline.step(frame(EMPTY), GALLERY, POINT, lambda: None)
