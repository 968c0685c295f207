"""The door in the real Home Assistant, in the order of a day; scripts/try_home_assistant runs it, no other run does.

Home Assistant runs in a root of its own, which HOME_ASSISTANT_ROOT names, and is spoken to as a browser does.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from appliance.broker_trust import Trust
from appliance.cli import root as cli
from appliance.contract import EventType
from appliance.door.hardware import Input
from appliance.door.lock import REST_S
from appliance.drivers.scene import Visit
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.view import blank
from tests.broker import Bystander, bystander, wait_for
from tests.home_assistant.hass import Hass, HassError, home_assistant
from tests.home_assistant.house import EAR, house_broker
from tests.home_assistant.shown_door import CODE, DURESS_PIN, PIN, Door, enrol, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.commands.options import Installation
    from appliance.config import MqttSettings

BLUEPRINT = Path(__file__).parents[2] / "firmware_config" / "home-assistant" / "visitor.yaml"
CONFIGURATION = f"""
api:
config:
recorder:
  commit_interval: 1
  exclude:
    event_types: [call_service]
logger:
  default: info
script:
  phone:
    mode: parallel
    sequence:
      - event: phone_rings
        event_data:
          message: "{{{{ message }}}}"
          data: "{{{{ data }}}}"
automation:
  - alias: Visitor
    use_blueprint:
      path: ostiary/visitor.yaml
      input:
        events: event.ostiary_front_event
        visitor: image.ostiary_front_visitor
        phones: [script.phone]
        code: "{CODE}"
        patience: 6
"""
LOCK, EVENTS, VISITOR = "lock.ostiary_front_lock", "event.ostiary_front_event", "image.ostiary_front_visitor"
LAST, CONTACT = "sensor.ostiary_front_last_access", "binary_sensor.ostiary_front_contact"
BELL = "event.ostiary_front_bell"
WITHIN_S = 20.0


class Home:
    """One door at one Home Assistant, and an ear at the broker between them."""

    def __init__(self, hass: Hass, door: Door, installation: Installation, ear: Bystander) -> None:
        self.hass = hass
        self.door = door
        self.installation = installation
        self.ear = ear
        self.person_id = ""

    def visitor(self, for_s: float = 9) -> dict[str, Any]:
        """Have a stranger come for so long; return what the phone is told."""
        rung = len(self.hass.events)
        self.door.script.play(Visit(for_s=for_s, pause_s=1.5, face="official"))

        def found() -> list[dict[str, Any]]:
            told = [event["data"] for event in self.hass.events[rung:] if event["event_type"] == "phone_rings"]
            return [data for data in told if data["message"] != "clear_notification"]

        wait_for(found, WITHIN_S)
        return found()[0]

    def tap(self, action: str) -> None:
        """Press a button of a notification, as the companion app tells it."""
        self.hass.call("/api/events/mobile_app_notification_action", {"action": action})

    def event(self, kind: str, **fields: str) -> None:
        """Wait until the event entity has shown this."""

        def fits(data: dict[str, Any]) -> bool:
            if data["entity_id"] != EVENTS or data["new_state"] is None:
                return False
            shown = data["new_state"]["attributes"]
            return shown.get("event_type") == kind and all(shown.get(key) == value for key, value in fields.items())

        self.hass.await_event("state_changed", fits)

    def gone(self, rung: dict[str, Any]) -> None:
        """Wait until the notification, the picture and the visitor are."""
        cleared = {"message": "clear_notification", "data": {"tag": rung["data"]["tag"]}}
        self.hass.await_event("phone_rings", lambda data: data == cleared)
        wait_for(lambda: self.hass.picture(VISITOR) == blank(), WITHIN_S)
        self.door.script.wait_until_empty()


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MqttSettings]]:
    """Give a broker that knows the door, Home Assistant and an ear."""
    with house_broker(tmp_path_factory.mktemp("broker"), "front") as known:
        yield known


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, users: dict[str, MqttSettings]) -> Iterator[Home]:
    """Give a door that lives as long as these tests."""
    root = Path(os.environ["HOME_ASSISTANT_ROOT"])
    broker = users[CLIENT_ID]
    with (
        bystander(users[EAR], "ear", "#") as ear,
        home_assistant(root, CONFIGURATION, BLUEPRINT) as hass,
        installed(tmp_path_factory.mktemp("state"), users["front"]) as installation,
    ):
        hass.add_broker(broker, Path(broker.password_file).read_text())
        hass.listen()
        home = Home(hass, Door(installation), installation, ear)
        home.person_id = enrol(installation)
        home.door.start()
        yield home
        home.door.stop()


def ticket(rung: dict[str, Any]) -> str:
    """Return the ticket that a notification is about."""
    return str(rung["data"]["tag"]).removeprefix("ostiary-")


def test_the_blueprint_is_loaded(home: Home) -> None:
    """What is shipped for the phone is read by Home Assistant, and an automation made from it is on."""
    logging.getLogger(__name__).info("Home Assistant %s", home.hass.call("/api/config")["version"])
    home.hass.until("automation.visitor", lambda one: one["state"] == "on")


def test_every_entity_is_there(home: Home) -> None:
    """D16: each is available, in the state that the door is in, and no event type is missing but duress."""
    home.hass.until(LOCK, lambda one: one["state"] == "locked")
    home.hass.until(CONTACT, lambda one: one["state"] == "off")
    home.hass.until(VISITOR, lambda one: one["state"] != "unknown")
    found = home.hass.entities("ostiary_front")
    assert len(found) == 14, sorted(found)
    assert {one["state"] for key, one in found.items() if "_alarm_" in key} == {"off"}
    assert found["sensor.ostiary_front_phase"]["state"] == "SECURE"
    assert found["sensor.ostiary_front_mode"]["state"] == "NORMAL"
    assert found[LOCK]["attributes"]["code_format"] == "^[0-9]{6,12}$"
    assert set(found[EVENTS]["attributes"]["event_types"]) == set(EventType) - {EventType.DURESS}
    assert home.hass.picture(VISITOR) == blank()


def test_the_lock_takes_the_code_alone(home: Home) -> None:
    """D2: a wrong code and none move nothing; the right one unlocks, locks and opens, as the pin's history shows."""
    home.door.until(lambda: home.door.trust is Trust.GOOD, "a good broker")
    before = home.door.levels()
    home.hass.act("lock.unlock", entity_id=LOCK, code="582914")
    home.event("access_denied", reason="wrong_pin")
    for unfit in ({}, {"code": "12ab56"}):  # Home Assistant itself sends none of these
        with pytest.raises(HassError):
            home.hass.act("lock.unlock", entity_id=LOCK, **unfit)
    assert home.door.levels() == before
    home.hass.act("lock.unlock", entity_id=LOCK, code=CODE)
    home.hass.until(LOCK, lambda one: one["state"] == "unlocked")
    assert home.door.levels() == [*before, 1]
    home.hass.act("lock.lock", entity_id=LOCK, code=CODE)
    home.hass.until(LOCK, lambda one: one["state"] == "locked")
    assert home.door.levels() == [*before, 1, 0]
    time.sleep(2 * REST_S)
    home.hass.act("lock.open", entity_id=LOCK, code=CODE)
    home.door.until(lambda: home.door.levels() == [*before, 1, 0, 1, 0], "opened, and locked again")


def test_what_happens_at_the_door_shows(home: Home) -> None:
    """G8: the bell rings, the contact opens and closes, and a forced opening is an alarm."""
    home.door.world.press(Input.BELL)
    home.hass.until(BELL, lambda one: one["attributes"].get("event_type") == "ring")
    time.sleep(1)  # whoever was let in a moment ago does not force the door
    home.door.world.set(Input.CONTACT, active=True)
    home.hass.until(CONTACT, lambda one: one["state"] == "on")
    home.hass.until("binary_sensor.ostiary_front_alarm_forced_open", lambda one: one["state"] == "on")
    home.door.world.set(Input.CONTACT, active=False)
    home.hass.until(CONTACT, lambda one: one["state"] == "off")


def test_duress_is_nowhere(home: Home) -> None:
    """G11: whoever enters a duress PIN is let in and told of, and no state, event, log line or row here has it."""
    home.door.script.play(Visit(for_s=8))
    home.door.until(lambda: home.door.service.reception.hint == "second_factor", "a PIN is asked for")
    home.door.service.enter_pin(DURESS_PIN)
    found = home.hass.until(LAST, lambda one: one["attributes"].get("person_id") == home.person_id)
    home.door.until(lambda: EventType.DURESS in home.door.kinds(), "written down at the door")
    assert found["attributes"]["method"] == "face+pin"
    time.sleep(3)  # its database commits every second
    kept = [path for path in home.hass.config.glob("home-assistant_v2.db*") if path.stat().st_size]
    database = b"".join(path.read_bytes() for path in kept)
    assert b"face+pin" in database  # it is where it would be
    told = [home.hass.raw("/api/states"), str(home.hass.events).encode(), home.hass.log().encode(), database]
    assert not any(word.encode() in text.lower() for text in told for word in ("duress", DURESS_PIN))
    assert not any(PIN.encode() in text for text in told[:2])
    assert CODE.encode() not in database  # because of what docs/home-assistant.md has it exclude


def test_a_visitor_is_let_in_from_a_phone(home: Home) -> None:
    """D14, J2: the notification, its button, the door; then notification and picture go."""
    before = home.door.levels()
    rung = home.visitor()
    assert [one["authenticationRequired"] for one in rung["data"]["actions"]] == [True, True]
    assert home.hass.picture(VISITOR) != blank()
    home.tap(rung["data"]["actions"][0]["action"])
    home.event("approval_granted", ticket_id=ticket(rung))
    home.door.until(lambda: home.door.levels() == [*before, 1, 0], "opened, and locked again")
    home.gone(rung)


def test_a_visitor_is_turned_away(home: Home) -> None:
    """D15: the other button and no button keep the door shut; a button of an older notification is for nobody."""
    before = home.door.levels()
    first = home.visitor()
    home.tap(first["data"]["actions"][1]["action"])
    home.event("approval_denied", ticket_id=ticket(first))
    home.gone(first)
    second = home.visitor()
    assert ticket(first) != ticket(second)
    home.tap(first["data"]["actions"][0]["action"])
    home.event("approval_denied", ticket_id=ticket(second))  # when the automation's patience is over
    home.gone(second)
    assert home.door.levels() == before


def test_a_phone_is_told_that_the_door_stayed_shut(home: Home) -> None:
    """D14: whoever says yes when the visitor has gone hears that nothing was opened, and why."""
    before = home.door.levels()
    rung = home.visitor(for_s=3)
    home.door.script.wait_until_empty()
    home.tap(rung["data"]["actions"][0]["action"])
    told = home.hass.await_event("phone_rings", lambda data: data["data"]["tag"] == f"{rung['data']['tag']}-not-opened")
    assert told["message"] == "stale"
    home.gone(rung)
    assert home.door.levels() == before


def test_a_birth_is_answered(home: Home) -> None:
    """D16: when Home Assistant says that it is back, the door describes itself again, and shows nobody."""
    while not home.ear.heard.empty():
        home.ear.next()
    home.hass.act("mqtt.publish", topic="homeassistant/status", payload="online")
    found: set[str] = set()
    while not found >= {"homeassistant/device/front/config", "ostiary/front/ha/image"}:
        found.add(home.ear.next(WITHIN_S).topic)


def test_it_goes_away(home: Home) -> None:
    """D16: a stopped door is unavailable; without orders it has no lock; `ostiary ha remove` leaves no entity."""
    home.door.stop()
    home.hass.until(LOCK, lambda one: one["state"] == "unavailable")
    before = home.installation.settings
    shown = before.model_copy(update={"home_assistant": before.home_assistant.model_copy(update={"commands": False})})
    door = Door(replace(home.installation, settings=shown))
    door.start()
    home.hass.until("sensor.ostiary_front_lock_state", lambda one: one["state"] == "LOCKED")
    wait_for(lambda: home.hass.state(LOCK) is None, WITHIN_S)
    door.stop()
    command = ["ha", "remove", "--config", str(home.installation.config_file), "--state", str(home.installation.state)]
    assert CliRunner().invoke(cli, command, standalone_mode=False).exception is None
    wait_for(lambda: not home.hass.entities("ostiary_front"), WITHIN_S)
