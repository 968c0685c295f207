"""A running reader with the embedder that is coming beside the one in use."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.commands.options import Installation
from appliance.config import LivenessSettings, RecognitionSettings, Settings
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.photo import read_photo
from appliance.drivers.scene import FACES, Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.people.gallery import Consent
from appliance.pipeline.reading import open_face_reader
from appliance.service import Hooks, Service
from appliance.upgrade import plan

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.records import AuditEvent


def test_who_is_let_in_is_known_to_the_new_model_too(short_folder: Path) -> None:
    """B16 C9: where the settings say so, a real visit that was granted leaves one template of the new model, logged."""
    recognition = RecognitionSettings(upgrade="lazy")
    settings = Settings(liveness=LivenessSettings(commissioned="skipped"), recognition=recognition)
    with simulated_controller(short_folder) as socket:
        installation = Installation(settings, short_folder, None).with_controller(socket)
        with installation.open_gallery() as gallery:
            embedding, quality = open_face_reader(settings).read(read_photo(FACES / "astronaut.png"), "astronaut")
            face = gallery.protection.protect(embedding)
            ada = gallery.add("Ada", Consent("Ada", datetime.now(UTC)), [(face, quality.grade)]).person_id
        coming = plan.begin(installation, "b").coming
        events: list[AuditEvent] = []

        def hear(event: AuditEvent) -> None:
            events.append(event)
            if event.event.method == "upgrade":
                service.stop()

        camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=4),))), settings.camera)
        service = Service(installation, camera, Hooks(on_event=hear))
        service.link.connect(5.0)
        limit = threading.Timer(20.0, service.stop)
        limit.start()
        service.run()
        limit.cancel()
        with installation.open_gallery() as gallery:
            assert [one.source for one in gallery.references(ada) if one.model_id == coming] == ["upgrade"]
    granted = [one.event for one in events if one.event.method in {"face", "upgrade"}]
    assert [one.event_type for one in granted] == [EventType.ACCESS_GRANTED, EventType.UPDATED]
