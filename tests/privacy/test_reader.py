"""The purge in a running reader: beside the door, and never before its visitors."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from appliance.commands.options import Installation
from appliance.config import AccessSettings, RetentionSettings, Settings
from appliance.contract import EventType
from appliance.drivers.scene import Scene
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade
from appliance.service import Hooks, Service

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.records import AuditEvent

NOW = datetime.now(UTC)


def test_a_running_reader_erases_who_is_due(tmp_path: Path) -> None:
    """J6: a reader at a live camera erases whose time is over at its first turns, tells it as events, and reads on."""
    settings = Settings(retention=RetentionSettings(leaver_days=7), access=AccessSettings(clock="trusted"))
    installation = Installation(settings, tmp_path, None)
    with installation.open_gallery() as gallery:
        for number, name in enumerate(("Ada", "Bea")):
            face = Embedding(np.eye(8, dtype=np.float32)[number], "m")
            person = gallery.add(name, Consent(name, NOW), [(face, Grade.HIGH)])
        subject = gallery.subject(person.person_id)
        assert subject is not None
        gallery.set_access(replace(subject, valid_until=NOW - timedelta(days=30)))
    events: list[AuditEvent] = []

    def hear(event: AuditEvent) -> None:
        events.append(event)
        if event.event.event_type is EventType.PURGED:
            service.stop()

    camera = SimulatedCamera(Script(Scene()), settings.camera)
    service = Service(installation, camera, Hooks(on_event=hear))
    limit = threading.Timer(20.0, service.stop)
    limit.start()
    service.run()
    limit.cancel()
    kinds = [one.event.event_type for one in events]
    assert kinds == [EventType.STARTED, EventType.ERASED, EventType.PURGED, EventType.STOPPED]
    assert person.person_id in events[1].event.detail
    with Gallery(installation.gallery_file) as gallery:
        assert [one.name for one in gallery.people()] == ["Ada"]
