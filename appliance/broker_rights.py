"""Who may say and hear what at the broker, from the roles of the contract: nobody more than they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from appliance.contract import TO_THE_DOOR, TOPIC_ROLES, VERB_ROLES, Role, Topic, topic
from appliance.errors import RefusedError
from appliance.home_assistant import CLIENT_ID as HOME_ASSISTANT

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN = (Topic.ALARM, Topic.CMD, Topic.REPLY)  # these take one more level
# What Home Assistant may hear besides its own topics: states. Never an event: duress is one.
_SHOWN = (Topic.AVAILABILITY, Topic.LOCK_STATE, Topic.DOOR_CONTACT, Topic.DOOR_STATE, Topic.ALARM)


@dataclass(frozen=True, slots=True)
class Right:
    """A topic, or all below it, that a user may say or hear."""

    way: Literal["read", "write", "readwrite"]  # as the user sees it
    topics: str  # a filter


def rights(device_id: str, clients: Mapping[str, Role], prefix: str = "") -> dict[str, tuple[Right, ...]]:
    """Return the rights of every user of the broker at one door: the door, its clients, and Home Assistant.

    The door's user name is its id, a client's is its own. Home Assistant is there where it has a discovery `prefix`.
    Raises RefusedError where two of them would share a name, and ValueError for a device id that is none.
    """
    granted = {device_id: _device(device_id, prefix)}
    if prefix:
        granted[HOME_ASSISTANT] = _home_assistant(device_id, prefix)
    for client_id, role in clients.items():
        if client_id in granted:
            raise RefusedError(f"the client {client_id} has the name of the door or of Home Assistant at the broker")
        granted[client_id] = _client(device_id, client_id, role)
    return granted


def _device(device_id: str, prefix: str) -> tuple[Right, ...]:
    granted = [Right("write", _filter(device_id, one)) for one in Topic if one not in TO_THE_DOOR]
    # A retained command is cleared by the door itself.
    granted += [Right("readwrite", _filter(device_id, one)) for one in Topic if one in TO_THE_DOOR]
    if prefix:
        granted += [Right("write", f"{prefix}/device/{device_id}/config"), Right("read", f"{prefix}/status")]
    return tuple(granted)


def _client(device_id: str, client_id: str, role: Role) -> tuple[Right, ...]:
    granted = [Right("read", _filter(device_id, one)) for one, roles in TOPIC_ROLES.items() if role in roles]
    granted.append(Right("read", topic(device_id, Topic.REPLY, client_id)))
    granted += [
        Right("write", topic(device_id, Topic.CMD, verb)) for verb, roles in VERB_ROLES.items() if role in roles
    ]
    return tuple(granted)


def _home_assistant(device_id: str, prefix: str) -> tuple[Right, ...]:
    granted = [Right("read", f"{prefix}/#"), Right("write", f"{prefix}/status")]
    granted += [Right("read", _filter(device_id, one)) for one in _SHOWN]
    for one in Topic:
        if one.startswith("ha/"):
            granted.append(Right("write" if one in TO_THE_DOOR else "read", _filter(device_id, one)))
    return tuple(granted)


def _filter(device_id: str, level: Topic) -> str:
    return topic(device_id, level) + ("/+" if level in _OPEN else "")
