"""What a reader really sends over a real broker is what is published, topic by topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.commands.options import Installation
from appliance.config import CameraSettings, DeviceSettings, LivenessSettings, Settings
from appliance.contract import RETAINED, EventType, Topic
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.service import Hooks, Service
from scripts.contract_pages import PAYLOADS
from tests.broker import bystander, wait_for
from tests.test_contract_pages import reading

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.broker import PrivateBroker
    from appliance.drivers.mqtt import Incoming

ROOT = "ostiary/traffic/"


def level_of(incoming: Incoming) -> Topic:
    """Return which of the contract's topics this is."""
    place = incoming.topic.removeprefix(ROOT)
    for level in sorted(Topic, key=len, reverse=True):
        if place == level.value or (level in {Topic.ALARM, Topic.REPLY} and place.startswith(f"{level}/")):
            return level
    pytest.fail(f"{incoming.topic} is no topic of the contract")


def conforms(incoming: Incoming) -> bool:
    """Tell whether this payload is what is published for its topic."""
    wanted = PAYLOADS[level_of(incoming)]
    if isinstance(wanted, tuple):
        return any(reading(one.__name__).is_valid(json.loads(incoming.payload)) for one in wanted)
    if "enum" in wanted:
        return incoming.payload.decode() in wanted["enum"]
    return incoming.payload.startswith(b"\xff\xd8") and incoming.payload.endswith(b"\xff\xd9")


def events(heard: list[Incoming]) -> set[str]:
    """Return the types of all events that were told live."""
    return {json.loads(one.payload)["event_type"] for one in heard if level_of(one) is Topic.EVENT}


def is_over(heard: list[Incoming]) -> bool:
    """Tell whether the reader has said that it stopped, as a state and as an event: states go first."""
    return any(one.payload == b"stopped" for one in heard) and EventType.STOPPED in events(heard)


def test_all_that_is_said_is_published(broker: PrivateBroker, tmp_path: Path) -> None:
    """Every message of a reader that asks, is attacked and stops is of the published schema; states alone are kept."""
    settings = Settings(
        device=DeviceSettings(id="traffic"),
        camera=CameraSettings(frame_rate=10),
        liveness=LivenessSettings(commissioned="skipped"),
        mqtt=broker.settings,
    )
    heard: list[Incoming] = []
    with simulated_controller(tmp_path) as socket, bystander(broker.settings, "traffic", f"{ROOT}#") as other:
        installation = Installation(settings, tmp_path, None).with_controller(socket)
        visits = (Visit(for_s=2.5), Visit(shows="print", for_s=2.5))
        camera = SimulatedCamera(Script(Scene(visits=visits)), settings.camera, paced=False)
        service = Service(installation, camera, Hooks(on_ready=lambda: wait_for(lambda: service._switchboard.connects)))
        service.link.connect(5.0)
        service.run()
        while not is_over(heard):
            heard.append(other.next())
    with bystander(broker.settings, "late", f"{ROOT}#") as late:
        kept = {late.next().topic for _ in {one.topic for one in heard if level_of(one) in RETAINED}}
        assert late.heard.empty()
    assert [one for one in heard if not conforms(one)] == []
    assert {level_of(one) for one in heard} >= {
        Topic.AVAILABILITY,
        Topic.LOCK_STATE,
        Topic.DOOR_STATE,
        Topic.ALARM,
        Topic.EVENT,
        Topic.EVENT_FEED,
        Topic.APPROVAL_REQUEST,
        Topic.APPROVAL_IMAGE,
        Topic.APPROVAL_RESULT,
    }
    assert {level_of(one) for one in heard if one.topic in kept} == RETAINED - {Topic.DOOR_CONTACT}
    assert events(heard) >= {
        EventType.STARTED,
        EventType.APPROVAL_REQUESTED,
        EventType.SPOOF_SUSPECTED,
        EventType.STOPPED,
    }
