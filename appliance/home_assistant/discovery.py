"""The discovery message: the door as a device of Home Assistant, with all its entities.

The words are those of Home Assistant's MQTT integration, 2024.12 or later: device-based discovery. What a key means
stands in its documentation; what is said here is why it has this value.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from appliance import __version__
from appliance.contract import Alarm, EventType, LockState, Mode, Phase, Topic, topic
from appliance.home_assistant.code import MAX_DIGITS, MIN_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Settings

# What nobody may see who looks over a shoulder. Home Assistant keeps, shows and logs whatever it is told.
HIDDEN = frozenset({EventType.DURESS})
SHOWN = tuple(kind for kind in EventType if kind not in HIDDEN)

_ALARMS = {
    Alarm.FORCED_OPEN: ("Forced open", "safety"),
    Alarm.HELD_OPEN: ("Held open", "problem"),
    Alarm.TAMPER: ("Tamper", "tamper"),
    Alarm.FIRE: ("Fire alarm", "safety"),
    Alarm.LOCK: ("Lock fault", "problem"),
    Alarm.CAMERA: ("Camera fault", "problem"),
}
# `at` lets the door tell an order of this moment from one that waited somewhere, or is sent once more.
_ORDER = "{{ {'command': value, 'code': code, 'at': now().timestamp()} | to_json }}"
_RING = """{{ '{"event_type": "ring"}' if value_json.event_type == 'bell' else '{}' }}"""


def config_topic(settings: Settings) -> str:
    """Return the topic of the discovery message; an empty retained message there removes the device."""
    return f"{settings.home_assistant.prefix}/device/{settings.device.id}/config"


def birth_topic(settings: Settings) -> str:
    """Return the topic on which Home Assistant says `online` when it has started or is back at the broker."""
    return f"{settings.home_assistant.prefix}/status"


def discovery(settings: Settings) -> bytes:
    """Return the discovery message as JSON in UTF-8; it is the same as long as the settings are."""
    device_id = settings.device.id
    # `stopped` is neither online nor what the broker says for us, and unavailable all the same.
    online = "{{ 'online' if value == 'online' else 'offline' }}"
    message = {
        "dev": {
            "identifiers": [f"ostiary_{device_id}"],
            "name": device_id if _is_ours(device_id) else f"Ostiary {device_id}",
            "manufacturer": "Ostiary",
            "model": "Door-entry appliance",
            "sw_version": __version__,
        },
        "o": {"name": "ostiary", "sw_version": __version__},
        "availability": [{"topic": topic(device_id, Topic.AVAILABILITY), "value_template": online}],
        "cmps": _components(settings),
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _components(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the entities by key. One that this door does not have names its platform alone, which removes it."""
    at = partial(topic, settings.device.id)
    commands, contact = settings.home_assistant.commands, bool(settings.inputs.contact)
    parts = {
        "lock": ("lock", _lock(at) if commands else None),
        # Home Assistant has no lock without a button, and a button that does nothing is worse than none.
        "lock_state": ("sensor", None if commands else _choice("Lock", at(Topic.LOCK_STATE), list(LockState))),
        "contact": ("binary_sensor", _switch("Door", at(Topic.DOOR_CONTACT), "door") if contact else None),
        "phase": ("sensor", _choice("State", at(Topic.DOOR_STATE), list(Phase), "{{ value_json.phase }}")),
        "mode": ("sensor", _choice("Mode", at(Topic.DOOR_STATE), list(Mode), "{{ value_json.mode }}")),
        "event": ("event", {"name": "Events", "state_topic": at(Topic.HA_EVENT), "event_types": SHOWN}),
        "bell": ("event", _bell(at)),
        "visitor": ("image", {"name": "Visitor", "image_topic": at(Topic.HA_IMAGE), "content_type": "image/jpeg"}),
        "last_access": ("sensor", _last_access(at)),
    }
    for alarm, (name, device_class) in _ALARMS.items():
        parts[f"alarm_{alarm}"] = ("binary_sensor", _switch(name, at(Topic.ALARM, alarm.value), device_class))
    return {key: _entity(settings.device.id, key, platform, said) for key, (platform, said) in parts.items()}


def _entity(device_id: str, key: str, platform: str, said: dict[str, Any] | None) -> dict[str, Any]:
    if said is None:
        return {"platform": platform}
    slug = f"{'' if _is_ours(device_id) else 'ostiary_'}{device_id.lower().replace('-', '_')}"
    return {
        "platform": platform,
        "unique_id": f"ostiary_{device_id}_{key}",
        "default_entity_id": f"{platform}.{slug}_{key}",
        "object_id": f"{slug}_{key}",  # the same for Home Assistant before 2025.10; later ones do not mind it
        "qos": 1,
    } | said


def _is_ours(device_id: str) -> bool:
    """Tell whether the id says by itself what the device is."""
    return device_id.lower().startswith("ostiary")


def _lock(at: Callable[[Topic], str]) -> dict[str, Any]:
    return {
        "name": None,  # the device's own name: it is what the device is for
        "state_topic": at(Topic.LOCK_STATE),
        "command_topic": at(Topic.HA_LOCK),
        "command_template": _ORDER,
        "code_format": f"^[0-9]{{{MIN_DIGITS},{MAX_DIGITS}}}$",
        "payload_lock": "LOCK",
        "payload_unlock": "UNLOCK",
        "payload_open": "OPEN",
    } | {f"state_{state.value.lower()}": state.value for state in LockState}


def _switch(name: str, state_topic: str, device_class: str) -> dict[str, Any]:
    return {"name": name, "state_topic": state_topic, "device_class": device_class}


def _choice(name: str, state_topic: str, options: list[Any], template: str = "{{ value }}") -> dict[str, Any]:
    said = {"name": name, "state_topic": state_topic, "device_class": "enum", "options": options}
    return said | {"value_template": template}


def _bell(at: Callable[[Topic], str]) -> dict[str, Any]:
    return {
        "name": "Doorbell",
        "state_topic": at(Topic.HA_EVENT),
        "device_class": "doorbell",
        "event_types": ["ring"],
        "value_template": _RING,
    }


def _last_access(at: Callable[[Topic], str]) -> dict[str, Any]:
    return {
        "name": "Last access",
        "state_topic": at(Topic.HA_ACCESS),
        "device_class": "timestamp",
        "value_template": "{{ value_json.at }}",
        "json_attributes_topic": at(Topic.HA_ACCESS),
        "json_attributes_template": "{{ {'person_id': value_json.person_id, 'method': value_json.method} | to_json }}",
    }
