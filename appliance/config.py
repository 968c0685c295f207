"""`appliance.toml`, read once into frozen settings.

An unknown key, a wrong type or a value out of range stops the start with the field's name, its value and
what is allowed. Every field has a default, so that an empty file is a valid configuration.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import ConfigError

DEFAULT_STATE = Path("/var/lib/ostiary")
DEFAULT_CONFIG = Path("/etc/ostiary/appliance.toml")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
ModelId = Annotated[str, Field(pattern=rf"^{_ID}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class DeviceSettings(_Section):
    """Who this appliance is."""

    id: Identifier = "ostiary"
    door: Identifier = "front"


class CameraSettings(_Section):
    """Where frames come from: `picamera2`, `simulated`, an index, a device path, a URL, a file or a folder."""

    source: str = "picamera2"
    width_px: Annotated[int, Field(ge=160, le=3840)] = 640
    height_px: Annotated[int, Field(ge=120, le=2160)] = 480
    frame_rate: Annotated[float, Field(ge=1, le=120)] = 15.0
    stall_s: Annotated[float, Field(ge=0.2, le=30)] = 1.0


class RecognitionSettings(_Section):
    """How sure the machine must be of who it is."""

    models: str = ""  # folder of manifest.toml and the model files; empty means the one beside the package
    embedder: ModelId = "a"  # "a" or "b", which came with the program, or the id of one that was added
    detector: Literal["short", "full"] = "short"
    target_fpir: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    margin: Annotated[float, Field(ge=0, le=1)] = 0.08
    min_frames: Annotated[int, Field(ge=3, le=30)] = 3
    intent_s: Annotated[float, Field(ge=0, le=5)] = 0.3  # a face must be read for so long: a passer-by is not
    reading_s: Annotated[float, Field(ge=0.5, le=30)] = 4.0
    freshness_s: Annotated[float, Field(ge=0.1, le=5)] = 1.0
    cool_down_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    min_face_px: Annotated[float, Field(ge=40, le=1000)] = 80.0


class LivenessSettings(_Section):
    """How sure the machine must be that the face is live."""

    # Ids of models that must all agree; empty means the default one.
    models: Annotated[str, Field(pattern=rf"^({_ID}(, ?{_ID}){{0,3}})?$")] = ""
    min_bona_fide: Fraction = 0.5
    min_face_px: Annotated[float, Field(ge=40, le=1000)] = 100.0
    commissioned: Literal["required", "skipped"] = "required"  # before a face alone may open

    @property
    def model_ids(self) -> tuple[str, ...]:
        """The models' ids, each once, in their order; () for the default one."""
        return _words(self.models)


class CommissioningSettings(_Section):
    """What `ostiary commission spoof` must have shown at this door: no attack accepted, and few people refused."""

    bona_fide: Annotated[int, Field(ge=1, le=1000)] = 10  # presentations by people
    attacks: Annotated[int, Field(ge=1, le=1000)] = 5  # presentations of each species
    species: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(, ?[a-z][a-z0-9_]*)*$")] = "print, phone, tablet"
    max_bpcer: Fraction = 0.2

    @property
    def species_names(self) -> tuple[str, ...]:
        """The species of attack, each once, in their order."""
        return _words(self.species)


class DoorSettings(_Section):
    """The lock and how it is driven."""

    driver: Literal["simulated", "gpio"] = "simulated"
    relay_pin: Annotated[int, Field(ge=9, le=27)] = 17  # BCM; 9 to 27 are pulled down at boot
    strike: Literal["fail_secure", "fail_safe"] = "fail_secure"
    unlock_s: Annotated[float, Field(ge=0.5, le=30)] = 5.0
    relock: Literal["timeout", "on_open", "on_close"] = "timeout"  # whichever it is, the timeout ends it too
    extended_s: Annotated[float, Field(ge=0, le=30)] = 10.0  # more time for whoever needs it, to enter and to pass
    held_open_s: Annotated[float, Field(ge=1, le=900)] = 30.0  # a door that stands open for so long is an alarm
    warning_s: Annotated[float, Field(ge=0, le=60)] = 10.0  # so long before that alarm, the door warns
    rex: Literal["push", "non_push"] = "push"  # whether a request to exit unlocks, or only says that it is no break-in
    on_fire: Literal["release", "keep_locked"] = "release"
    socket: str = ""  # path of the controller's socket; empty means controller.sock in the state folder


class AttendantSettings(_Section):
    """How long a human has to answer."""

    ticket_s: Annotated[float, Field(ge=1, le=600)] = 30.0


class MqttSettings(_Section):
    """The broker; nothing is sent while `enabled` is false."""

    enabled: bool = False
    host: Annotated[str, Field(min_length=1, max_length=253)] = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    version: Literal["5", "3.1.1"] = "5"  # of MQTT; only with 5 does the broker keep overlong messages from us


class Settings(_Section):
    """All of `appliance.toml`."""

    device: DeviceSettings = DeviceSettings()
    camera: CameraSettings = CameraSettings()
    recognition: RecognitionSettings = RecognitionSettings()
    liveness: LivenessSettings = LivenessSettings()
    commissioning: CommissioningSettings = CommissioningSettings()
    door: DoorSettings = DoorSettings()
    attendant: AttendantSettings = AttendantSettings()
    mqtt: MqttSettings = MqttSettings()


def load(path: Path | None) -> Settings:
    """Return the settings in the file at `path`; None gives the defaults.

    Raises ConfigError with one line that names the field, its value and what is allowed.
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        msg = f"configuration {path} cannot be read: {fault}"
        raise ConfigError(msg) from fault
    return parse(text, str(path))


def parse(text: str, name: str) -> Settings:
    """Return the settings in TOML `text`; `name` is what messages call it. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # also a number of 5,000 digits, and brackets 5,000 deep
        msg = f"configuration {name} is not TOML: {fault}"
        raise ConfigError(msg) from fault
    try:
        return Settings.model_validate(table)
    except ValidationError as fault:
        raise ConfigError(f"configuration {name}: {_first_line(fault)}") from fault


def _words(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in listed.split(",") if word))


def _first_line(fault: ValidationError) -> str:
    first = fault.errors()[0]
    name = ".".join(shown if (shown := str(part)).isprintable() else repr(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{name} is not a known key; docs/reference.md lists them all"
    if first["type"] == "model_type":
        return f"{name} is {first['input']!r}; it is a section and must be written [{name}]"
    return f"{name} is {first['input']!r}; {first['msg'].removeprefix('Input ')}"
