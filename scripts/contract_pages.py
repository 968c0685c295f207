"""Writes asyncapi.json, contract.schema.json and openapi.json in docs/: the contract for programs, from the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from appliance.api.native.app import document
from appliance.contract import JOIN, RETAINED, TO_THE_DOOR, TOPIC_ROLES, VERB_ROLES, LockState, Topic
from appliance.envelope import MAX_INTEGER, MAX_LIFETIME_S, Fault
from appliance.home_assistant.orders import AnswerOrder, LockOrder
from appliance.messages import (
    DoorStateMessage,
    EventMessage,
    FeedGap,
    HomeAccess,
    HomeEvent,
    Reply,
    TicketEnded,
    TicketMessage,
    TicketResult,
    TicketState,
)
from appliance.verbs import VERBS, Join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from appliance.verbs import Args

DOCS = Path(__file__).resolve().parents[1] / "docs"
ASYNCAPI = DOCS / "asyncapi.json"
SCHEMA = DOCS / "contract.schema.json"
OPENAPI = DOCS / "openapi.json"
_ID = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
_JPEG = {"type": "string", "contentMediaType": "image/jpeg", "description": "the bytes themselves"}
_SWITCH = {"type": "string", "enum": ["ON", "OFF"]}

# What goes over each topic: models of JSON, or the schema of a plain text.
PAYLOADS: dict[Topic, tuple[type[BaseModel], ...] | dict[str, Any]] = {
    Topic.AVAILABILITY: {"type": "string", "enum": ["online", "offline", "stopped"]},
    Topic.LOCK_STATE: {"type": "string", "enum": [state.value for state in LockState]},
    Topic.DOOR_CONTACT: _SWITCH,
    Topic.DOOR_STATE: (DoorStateMessage,),
    Topic.ALARM: _SWITCH,
    Topic.EVENT: (EventMessage,),
    Topic.EVENT_FEED: (EventMessage, FeedGap),
    Topic.APPROVAL_REQUEST: (TicketMessage,),
    Topic.APPROVAL_RESULT: (TicketResult,),
    Topic.APPROVAL_IMAGE: _JPEG,
    Topic.REPLY: (Reply,),
    Topic.HA_LOCK: (LockOrder,),
    Topic.HA_ANSWER: (AnswerOrder,),
    Topic.HA_EVENT: (HomeEvent,),
    Topic.HA_IMAGE: _JPEG,
    Topic.HA_ACCESS: (HomeAccess,),
}
COMMANDS: dict[str, type[Args]] = {**VERBS, JOIN: Join}
_LEAF = {Topic.ALARM: "alarm", Topic.REPLY: "client_id"}  # the level below


def schema() -> dict[str, Any]:
    """Return one JSON Schema with everything in it that is sent, each under its name in `$defs`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ostiary: what is sent over MQTT",
        "$defs": _definitions("#/$defs/"),
    }


def asyncapi() -> dict[str, Any]:
    """Return the contract as AsyncAPI 3.0, seen from the door: it sends, and receives commands."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic, name, said in _said():
        messages |= said
        channels[name] = _channel(topic, name, said)
        heard = topic in TO_THE_DOOR
        operations[f"{'hear' if heard else 'say'}.{name}"] = {
            "action": "receive" if heard else "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in said],
            "bindings": {"mqtt": {"qos": 1, "retain": topic in RETAINED, "bindingVersion": "0.2.0"}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ostiary over MQTT",
            "version": "1.0.0",
            "description": "In words, with the way in which a command is signed: docs/mqtt.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _definitions("#/components/schemas/")},
    }


def _said() -> Iterator[tuple[Topic, str, dict[str, Any]]]:
    """Yield every channel: its topic, its name with dots for slashes, and the messages that it has."""
    for topic, payload in PAYLOADS.items():
        yield topic, topic.value.replace("/", "."), _messages(topic, payload)
    for verb, model in COMMANDS.items():
        name = f"command.{verb}"
        yield Topic.CMD, f"cmd.{verb}", {name: {"name": name, "summary": _summary(model), "payload": _at(name)}}


def _channel(topic: Topic, name: str, said: dict[str, Any]) -> dict[str, Any]:
    parameters = {"device_id": {"description": "`device.id` of the door"}}
    below = name.removeprefix(topic.value.replace("/", ".")).replace(".", "/", 1)  # a verb keeps its own dots
    if topic in _LEAF:
        below = f"/{{{_LEAF[topic]}}}"
        parameters[_LEAF[topic]] = {"description": f"the {_LEAF[topic].replace('_', ' ')}"}
    return {
        "address": f"ostiary/{{device_id}}/{topic}{below}",
        "parameters": parameters,
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in said},
        "description": _who(name, topic),
    }


def _who(name: str, topic: Topic) -> str:
    if topic is Topic.CMD:
        roles = VERB_ROLES.get(name.removeprefix("cmd."))
        return "Said by: " + (", ".join(sorted(roles)) if roles else "whoever is shown the code")
    if topic is Topic.REPLY:
        return "Heard by: the client that it names"
    if topic in TO_THE_DOOR:
        return "Said by: Home Assistant, where that is allowed"
    return "Heard by: " + (", ".join(sorted(TOPIC_ROLES[topic])) if topic in TOPIC_ROLES else "Home Assistant")


def _messages(topic: Topic, payload: tuple[type[BaseModel], ...] | dict[str, Any]) -> dict[str, Any]:
    if isinstance(payload, tuple):
        return {
            one.__name__: {"name": one.__name__, "summary": _summary(one), "payload": _at(one.__name__)}
            for one in payload
        }
    name = topic.value.replace("/", ".")
    kind = payload.get("contentMediaType", "text/plain")
    return {name: {"name": name, "contentType": kind, "payload": payload}}


def _definitions(root: str) -> dict[str, Any]:
    """Return every schema by name; `root` is where they refer to each other."""
    said = {one for payload in PAYLOADS.values() if isinstance(payload, tuple) for one in payload}
    said |= {TicketState, TicketEnded}
    found: dict[str, Any] = {}
    for mode, models in (("serialization", said), ("validation", set(COMMANDS.values()))):
        listed = sorted(models, key=lambda model: model.__name__)
        _, defined = models_json_schema(
            [(model, "serialization" if mode == "serialization" else "validation") for model in listed],
            ref_template=root + "{model}",
        )
        found |= defined["$defs"]
    found |= {f"command.{verb}": _command(verb, root) for verb in COMMANDS}
    found["Fault"] = {
        "type": "string",
        "enum": [fault.value for fault in Fault],
        "description": "`error` where the envelope is refused",
    }
    return {name: found[name] for name in sorted(found)}


def _command(verb: str, root: str) -> dict[str, Any]:
    """Return the schema of a signed command; docs/mqtt.md says what is signed."""
    number = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
    fields: dict[str, Any] = {
        "v": {"const": 1},
        "request_id": {"type": "string", "pattern": _ID},
        "client_id": {"type": "string", "pattern": _ID},
        "verb": {"const": verb},
        "args": {"$ref": f"{root}{COMMANDS[verb].__name__}"},
        "iat": number | {"description": "now, in seconds since 1970 UTC"},
        "exp": number | {"description": f"when it is worthless; above iat by at most {MAX_LIFETIME_S}"},
        "nonce": number | {"description": "above that of the client's last command at this door"},
        "sig": {"type": "string", "pattern": "^[0-9a-f]{128}$", "description": "Ed25519"},
    }
    return {
        "type": "object",
        "title": f"cmd/{verb}",
        "description": _summary(COMMANDS[verb]),
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _at(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def pages() -> dict[Path, str]:
    """Return the files as they must be."""
    return {
        path: json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        for path, content in ((ASYNCAPI, asyncapi()), (SCHEMA, schema()), (OPENAPI, document()))
    }
