"""A whole reader as Home Assistant sees it: real broker with rights by user, real controller, simulated lock."""

from __future__ import annotations

import json
import queue
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.access.pin import hash_pin
from appliance.broker_trust import Trust
from appliance.commands.options import open_installation
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.drivers.photo import decode_photo
from appliance.drivers.scene import Visit
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.code import CodeFile
from appliance.home_assistant.view import blank
from appliance.people.gallery import Gallery
from tests.broker import Bystander, bystander, wait_for
from tests.home_assistant.house import EAR, house_broker
from tests.test_service import enrol, reader
from tests.test_service_door import living

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.commands.options import Installation
    from appliance.config import MqttSettings
    from appliance.drivers.mqtt import Incoming
    from appliance.pipeline.reading import PhotoReader

__all__ = ["reader"]  # a fixture

PIN, DURESS, CODE = "2580", "9713", "471193"
CONFIG = "homeassistant/device/front/config"
SETTINGS = """
[device]
id = "front"
[camera]
source = "simulated"
[door]
unlock_s = 0.5
[access]
clock = "trusted"
[inputs]
contact = "27 NC"
[home_assistant]
enabled = true
commands = true
[mqtt]
enabled = true
"""


class House:
    """A door, a broker with an ear at it, and what Home Assistant hears there."""

    def __init__(self, installation: Installation, home: Bystander, ear: Bystander) -> None:
        self.installation = installation
        self.home = home
        self.ear = ear
        self.heard: list[Incoming] = []  # by Home Assistant

    def until(self, fits: Callable[[Incoming], bool], within_s: float = 15.0) -> Incoming:
        """Return the first message that Home Assistant hears from now on and that fits."""
        end_s = time.monotonic() + within_s
        while True:
            try:
                self.heard.append(self.home.next(max(0.01, end_s - time.monotonic())))
            except queue.Empty:
                pytest.fail(f"never heard; last were {[one.topic for one in self.heard[-9:]]}")
            if fits(self.heard[-1]):
                return self.heard[-1]

    def event(self, kind: EventType) -> dict[str, Any]:
        """Return the next event of a kind that Home Assistant hears."""

        def fits(one: Incoming) -> bool:
            return one.topic == "ostiary/front/ha/event" and json.loads(one.payload)["event_type"] == kind

        return dict(json.loads(self.until(fits).payload))

    def state(self, level: str, payload: bytes) -> None:
        """Wait until Home Assistant hears this state."""
        self.until(lambda one: (one.topic, one.payload) == (f"ostiary/front/{level}", payload))

    def order(self, level: str, *, retained: bool = False, **fields: str) -> None:
        """Say what Home Assistant's template makes of a button."""
        payload = {"code": CODE, "at": time.time(), **fields}
        self.home.say(f"ostiary/front/{level}", json.dumps(payload).encode(), retained=retained)

    def overheard(self) -> list[Incoming]:
        """Return everything that was said at the broker until now."""
        found = []
        while not self.ear.heard.empty():
            found.append(self.ear.next())
        return found

    def levels(self) -> list[int]:
        """Return every level the lock's line was driven to."""
        return [level for _, level, _ in SimulatedDoorObserver(self.installation.state / "simulated-door").history()]


@pytest.fixture(scope="module")
def at_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MqttSettings]]:
    """Give a broker that knows the door, Home Assistant and an ear."""
    with house_broker(tmp_path_factory.mktemp("broker"), "front") as users:
        yield users


@pytest.fixture
def house(tmp_path: Path, at_broker: dict[str, MqttSettings]) -> Iterator[House]:
    """Give a house whose door's code is set."""
    config = tmp_path / "appliance.toml"
    config.write_text(SETTINGS)
    CodeFile(tmp_path).set(CODE)
    shown = ("homeassistant/#", "ostiary/front/#")  # of which the broker lets it hear what it may
    with (
        simulated_controller(tmp_path, config) as socket,
        bystander(at_broker[CLIENT_ID], "hass", *shown) as home,
        bystander(at_broker[EAR], "ear", "#") as ear,
    ):
        plain = open_installation(config, tmp_path).with_controller(socket)
        settings = plain.settings.model_copy(update={"mqtt": at_broker["front"]})
        yield House(replace(plain, settings=settings), home, ear)


def test_duress_is_seen_by_nobody_at_home(house: House, reader: PhotoReader) -> None:
    """G11, D16, J2: a duress PIN opens and is told where it belongs; at home it is an access as any other.

    Everything that Home Assistant hears, and everything that is retained for anybody, is searched.
    """
    person_id = enrol(house.installation, reader, "astronaut")
    with Gallery(house.installation.gallery_file) as gallery:
        gallery.set_pin(person_id, hash_pin(PIN), hash_pin(DURESS))
    with living(house.installation, Visit(for_s=30)) as life:
        house.until(lambda one: one.topic == CONFIG)
        life.until(lambda: life.service.reception.hint == "second_factor")
        life.service.enter_pin(DURESS)
        granted = house.event(EventType.ACCESS_GRANTED)
        access = json.loads(house.until(lambda one: one.topic == "ostiary/front/ha/access").payload)
        house.state("lock/state", b"LOCKED")
    assert granted["actor"] == {"kind": "person", "id": person_id}
    assert (access["person_id"], access["method"]) == (person_id, "face+pin")
    assert "seq" not in granted
    said = house.overheard()
    assert any(one.topic == "ostiary/front/event" and b'"duress"' in one.payload for one in said)
    house.until(lambda one: one.payload == b"stopped")
    assert not [one for one in house.heard if b"duress" in one.payload or one.topic.startswith("ostiary/front/event")]
    assert not [one for one in said if one.retained and b"duress" in one.payload]


def test_a_visitor_is_let_in_from_home_and_leaves_no_picture(house: House) -> None:
    """D14, J2: a stranger's picture is shown before the question, the answer opens once, and the picture goes.

    None of it is retained: who comes to the broker later sees nobody.
    """
    with living(house.installation, Visit(for_s=30)) as life:
        picture = house.until(lambda one: one.topic.endswith("/ha/image") and one.payload != blank())
        asked = house.event(EventType.APPROVAL_REQUESTED)
        assert asked["liveness"] in {"live", "uncertain"}
        assert asked["expires_at"] > asked["at"]
        assert decode_photo(picture.payload, "visitor").shape[0] > 100
        life.until(lambda: life.service._switchboard.trust is Trust.GOOD)
        house.order("ha/answer", ticket_id="0" * 32, answer="approve")
        house.order("ha/answer", ticket_id=asked["ticket_id"], answer="approve")
        granted = house.event(EventType.APPROVAL_GRANTED)
        house.state("ha/image", blank())
        house.state("lock/state", b"LOCKED")
    assert granted["actor"] == {"kind": "client", "id": CLIENT_ID}
    assert house.levels() == [0, 1, 0]
    assert not [one for one in house.overheard() if one.retained and "/ha/" in one.topic]


def test_the_lock_obeys_the_code_alone(house: House) -> None:
    """D2, D3, D16: a wrong code, a kept order and a stranger move nothing; the right code does; a birth is answered."""
    house.order("ha/lock", command="UNLOCK", retained=True)
    with living(house.installation) as life:
        first = house.until(lambda one: one.topic == CONFIG)
        life.until(lambda: life.service._switchboard.trust is Trust.GOOD)
        house.order("ha/lock", command="UNLOCK", code="582914")
        assert house.event(EventType.ACCESS_DENIED)["reason"] == "wrong_pin"
        wait_for(lambda: any(one.topic == "ostiary/front/ha/lock" and not one.payload for one in house.overheard()))
        house.home.say("ostiary/front/cmd/unlock", b"{}")
        house.home.say("ostiary/front/lock/state", b"UNLOCKED", retained=True)
        assert house.levels() == [0]
        house.order("ha/lock", command="UNLOCK")
        assert house.event(EventType.REMOTE_UNLOCK)["actor"]["id"] == CLIENT_ID
        house.state("lock/state", b"UNLOCKED")
        house.order("ha/lock", command="LOCK")
        house.state("lock/state", b"LOCKED")
        house.home.say("homeassistant/status", b"online")
        again = house.until(lambda one: one.topic == CONFIG)
        house.state("ha/image", blank())
    assert again.payload == first.payload
    assert house.levels() == [0, 1, 0]
