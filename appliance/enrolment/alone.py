"""Guided enrolment without a running reader: the camera, the models and the gallery for one newcomer."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.capture import Capture
from appliance.drivers.camera import open_camera
from appliance.drivers.photo import encode_jpeg
from appliance.enrolment.desk import GuidedDesk
from appliance.enrolment.requests import message_of
from appliance.errors import CameraError, UsageError
from appliance.lone import only_one
from appliance.people.calibration import door_point, own_tail
from appliance.people.references import Standard
from appliance.picture import kept_of
from appliance.pipeline import Pipeline
from appliance.pipeline.following import FollowingStages
from appliance.pipeline.policy import configured
from appliance.pipeline.presentation import Presentations
from appliance.pipeline.reading import ModelStages
from appliance.records import GallerySnapshot, OperatingPoint, frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.audit import AuditLog
    from appliance.commands.options import Installation
    from appliance.config import Settings
    from appliance.enrolment.desk import Newcomer
    from appliance.people.gallery import Gallery

TURN_S = 0.1  # to wait for one frame
# Nobody is compared with anybody until the newcomer is complete.
_NOBODY = OperatingPoint(threshold=1.0, margin=0.0, target_fpir=0.0, gallery_size=0, source="nobody is let in")


def enrol_alone(installation: Installation, newcomer: Newcomer, hear: Callable[[dict[str, Any]], None]) -> None:
    """Enrol a newcomer at the configured camera; `hear` is told as `message_of` has it.

    Raises HardwareError where a reader has the camera, CameraError where that is not there, UsageError for a recording.
    """
    settings = installation.settings
    silent = f"another reader is running on {installation.state}, and does not answer on {installation.reader_socket}"
    with contextlib.ExitStack() as opening:
        opening.enter_context(only_one(installation.state / "reader.lock", silent))
        capture = opening.enter_context(_captured(installation))
        gallery = opening.enter_context(installation.open_gallery())
        stages = ModelStages(settings, installation.models_folder, gallery.protection.protect)
        desk = _desk(settings, gallery, opening.enter_context(installation.open_audit()), stages)
        point = _point(settings, gallery, stages)
        desk.begin(newcomer, lambda told: hear(message_of(told, stages.measured.impostors, point)))
        _guide(desk, capture, stages, settings)


def _guide(desk: GuidedDesk, capture: Capture, stages: ModelStages, settings: Settings) -> None:
    """Read frames until it has ended. Raises CameraError where none come."""
    rules = configured(settings, face_only=False)
    pipeline = Pipeline(FollowingStages(stages), Presentations(settings.recognition.reading_s), rules)
    empty = frozen(np.zeros((0, stages.embedder.dimension), np.float32))
    nobody = GallerySnapshot(empty, (), (), stages.embedder.model_id, revision=0)
    while desk.busy:
        frame = capture.take(TURN_S)
        if frame is not None:
            desk.see(pipeline.step(frame, nobody, _NOBODY), frame.captured_at_s)
        elif fault := capture.fault():
            raise CameraError(fault)
        desk.tick()


def _desk(settings: Settings, gallery: Gallery, audit: AuditLog, stages: ModelStages) -> GuidedDesk:
    return GuidedDesk(
        gallery,
        audit,
        stages,
        standard=Standard(stages.measured.impostors, settings.recognition.target_fpir),
        rules=configured(settings, face_only=False),
        near_px=settings.liveness.min_face_px,
        portrait=lambda step: encode_jpeg(kept_of(step)),
        clock=time.monotonic,
    )


def _point(settings: Settings, gallery: Gallery, stages: ModelStages) -> OperatingPoint:
    model_id, dimension = stages.embedder.model_id, stages.embedder.dimension
    size = gallery.current(model_id, dimension).size
    return door_point(stages.measured, own_tail(gallery, model_id), settings.recognition, size)


@contextlib.contextmanager
def _captured(installation: Installation) -> Iterator[Capture]:
    settings = installation.settings.camera
    camera = open_camera(settings)
    if not camera.live:
        camera.close()
        raise UsageError(f"camera source {settings.source} is a recording; people are enrolled at a camera")
    capture = Capture(lambda: open_camera(settings), settings.stall_s)
    capture.start(camera)
    try:
        yield capture
    finally:
        capture.stop()
