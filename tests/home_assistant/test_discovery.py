"""The discovery message: what Home Assistant's documentation allows, and of this door what is true."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from appliance.config import DeviceSettings, HomeAssistantSettings, InputSettings, MqttSettings, Settings
from appliance.contract import Alarm, EventType, LockState, Topic
from appliance.home_assistant.discovery import birth_topic, config_topic, discovery
from tests.home_assistant.documented import Choice, DeviceMessage, Happening, Image, Lock, Removed


def settings(device_id: str = "front", *, commands: bool = False, contact: str = "") -> Settings:
    """Return the settings of a door that shows itself."""
    return Settings(
        device=DeviceSettings(id=device_id),
        inputs=InputSettings(contact=contact),
        mqtt=MqttSettings(enabled=True),
        home_assistant=HomeAssistantSettings(enabled=True, commands=commands),
    )


def described(of: Settings) -> DeviceMessage:
    """Return the message, read as Home Assistant's documentation has it."""
    return DeviceMessage.model_validate_json(discovery(of))


@given(
    commands=st.booleans(),
    contact=st.sampled_from(["", "27 NC"]),
    device_id=st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII), fullmatch=True),
)
def test_every_key_is_a_documented_one(commands: bool, contact: str, device_id: str) -> None:
    """D7: whatever the door is called, the message keeps to what is documented and its topics to the door's own."""
    said = described(settings(device_id, commands=commands, contact=contact))
    topics = set(re.findall(r'_topic":"([^"]*)"', discovery(settings(device_id)).decode()))
    assert all(one.startswith(f"ostiary/{device_id}/") for one in topics)
    entities = [one for one in said.cmps.values() if not isinstance(one, Removed)]
    assert len({one.unique_id for one in entities}) == len(entities)
    assert all(one.default_entity_id == f"{one.platform}.{one.object_id}" for one in entities)


def test_the_message_is_the_same_every_time() -> None:
    """D16: sent again at every birth, it names the same entities; ids do not change with the rest of the settings."""
    assert discovery(settings()) == discovery(settings())
    bare, full = described(settings()).cmps, described(settings(commands=True, contact="27 NC")).cmps
    assert bare.keys() == full.keys()
    both = [key for key in bare if not isinstance(bare[key], Removed) and not isinstance(full[key], Removed)]
    assert [bare[key] for key in both] == [full[key] for key in both]


def test_there_is_a_lock_only_where_it_may_be_moved() -> None:
    """D2: without `commands` there is no button, and the lock's state is shown; each takes the other's place away."""
    shown = described(settings()).cmps
    moved = described(settings(commands=True)).cmps
    assert shown["lock"] == Removed(platform="lock")
    assert moved["lock_state"] == Removed(platform="sensor")
    assert isinstance(shown["lock_state"], Choice)
    assert shown["lock_state"].options == [state.value for state in LockState]
    lock = moved["lock"]
    assert isinstance(lock, Lock)
    assert (lock.state_topic, lock.command_topic) == ("ostiary/front/lock/state", "ostiary/front/ha/lock")
    states = lock.model_dump(include={f"state_{state.value.lower()}" for state in LockState})
    assert set(states.values()) == {state.value for state in LockState}
    assert re.fullmatch(lock.code_format, "258025")
    assert not any(re.fullmatch(lock.code_format, code) for code in ("25802", "25802x", "2580258025802"))


def test_every_event_but_duress_is_named() -> None:
    """G11: the list of event types is the contract's without duress, which no entity could show."""
    events = described(settings()).cmps["event"]
    assert isinstance(events, Happening)
    assert set(events.event_types) == set(EventType) - {EventType.DURESS}
    assert "duress" not in discovery(settings(commands=True, contact="27 NC")).decode()


def test_everything_of_the_contract_has_an_entity() -> None:
    """D16: every state that the door retains is shown, and so are its events, its visitor and its last access."""
    said = discovery(settings(contact="27 NC")).decode()
    shown = {one.removeprefix("ostiary/front/") for one in re.findall(r'"(ostiary/[^"]*)"', said)}
    alarms = {f"alarm/{alarm}" for alarm in Alarm}
    wanted = {Topic.LOCK_STATE, Topic.DOOR_CONTACT, Topic.DOOR_STATE, Topic.AVAILABILITY}
    assert shown == alarms | wanted | {Topic.HA_EVENT, Topic.HA_IMAGE, Topic.HA_ACCESS}
    image = described(settings()).cmps["visitor"]
    assert isinstance(image, Image)
    assert image.content_type == "image/jpeg"


def test_where_home_assistant_looks() -> None:
    """The message and the birth are where the prefix says."""
    of = settings()
    assert config_topic(of) == "homeassistant/device/front/config"
    assert birth_topic(of) == "homeassistant/status"
