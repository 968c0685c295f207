"""What Home Assistant's documentation of MQTT discovery (2024.12 to 2026.2) allows, for the platforms in use here.

Written from its lists of configuration variables; a key that is not listed is an error here, though Home Assistant
would drop it in silence.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Topic = Annotated[str, StringConstraints(pattern=r"^[^+#\x00]{1,200}$")]
Template = Annotated[str, StringConstraints(pattern=r"^\{\{.*\}\}$")]


class Part(BaseModel):
    """A table of the message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Entity(Part):
    """What every entity may say; `unique_id` is demanded of each that belongs to a device."""

    unique_id: Annotated[str, Field(pattern=r"^ostiary_")]
    default_entity_id: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
    object_id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    name: str | None
    qos: Literal[0, 1, 2] = 0
    value_template: Template | None = None
    json_attributes_topic: Topic | None = None
    json_attributes_template: Template | None = None


class Lock(Entity):
    """Platform lock."""

    platform: Literal["lock"]
    state_topic: Topic
    command_topic: Topic
    command_template: Template
    code_format: str
    payload_lock: str
    payload_unlock: str
    payload_open: str
    state_locked: str
    state_unlocked: str
    state_locking: str
    state_unlocking: str
    state_jammed: str
    state_open: str


class BinarySensor(Entity):
    """Platform binary_sensor; of its device classes those that a door has."""

    platform: Literal["binary_sensor"]
    state_topic: Topic
    device_class: Literal["door", "lock", "problem", "safety", "tamper", "smoke", "opening", "connectivity"]


class Choice(Entity):
    """Platform sensor, device class enum: no unit, no state class, and every value is named."""

    platform: Literal["sensor"]
    state_topic: Topic
    device_class: Literal["enum"]
    options: Annotated[list[str], Field(min_length=1)]


class Moment(Entity):
    """Platform sensor, device class timestamp."""

    platform: Literal["sensor"]
    state_topic: Topic
    device_class: Literal["timestamp"]


class Happening(Entity):
    """Platform event."""

    platform: Literal["event"]
    state_topic: Topic
    event_types: Annotated[list[str], Field(min_length=1)]
    device_class: Literal["button", "doorbell", "motion"] | None = None


class Image(Entity):
    """Platform image, bytes over MQTT."""

    platform: Literal["image"]
    image_topic: Topic
    content_type: str


class Removed(Part):
    """An entity that the device has no more: its platform alone."""

    platform: Literal["lock", "sensor", "binary_sensor"]


class Device(Part):
    """`dev`; at least one identifier."""

    identifiers: Annotated[list[str], Field(min_length=1)]
    name: str
    manufacturer: str
    model: str
    sw_version: str


class Origin(Part):
    """`o`; the name is demanded of a device-based message."""

    name: str
    sw_version: str


class Availability(Part):
    """One topic of availability; its payloads are `online` and `offline` where nothing else is said."""

    topic: Topic
    value_template: Template


class DeviceMessage(Part):
    """The whole message."""

    dev: Device
    o: Origin
    availability: list[Availability]
    cmps: dict[str, Lock | BinarySensor | Choice | Moment | Happening | Image | Removed]
