"""`appliance.toml`, read once into frozen settings.

An unknown key, a wrong type or a value out of range stops the start with the field's name, its value and
what is allowed. Every field has a default, so that an empty file is a valid configuration.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from appliance.access.schedule import Period
from appliance.contract import REFERRED
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.contract import Reason


class Section(BaseModel):
    """A table of a settings file: frozen, with no unknown key and no type but the right one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # where nobody but this machine is served
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
ModelId = Annotated[str, Field(pattern=rf"^{_ID}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
_Model = TypeVar("_Model", bound=BaseModel)
Wire = Annotated[str, Field(pattern=r"^((0|[1-9][0-9]{0,3}) (NO|NC))?$")]
Pin = Annotated[int, Field(ge=0, le=1023)]
_CLIENT = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
Rings = Annotated[str, Field(pattern=rf"^({_CLIENT}([,;] ?{_CLIENT})*)?$")]
_REFERRED = "|".join(sorted(REFERRED))


class DeviceSettings(Section):
    """Who this appliance is."""

    id: Identifier = "ostiary"
    door: Identifier = "front"


class CameraSettings(Section):
    """Where frames come from: `picamera2`, `simulated`, an index, a device path, a URL, a file or a folder."""

    source: str = "picamera2"
    width_px: Annotated[int, Field(ge=160, le=3840)] = 640
    height_px: Annotated[int, Field(ge=120, le=2160)] = 480
    frame_rate: Annotated[float, Field(ge=1, le=120)] = 15.0
    stall_s: Annotated[float, Field(ge=0.2, le=30)] = 1.0
    integrity: Literal["on", "off"] = "on"  # whether another camera, another view or a lost focus ends face mode
    moved_s: Annotated[float, Field(ge=1, le=600)] = 20.0  # another view or no focus for so long


class RecognitionSettings(Section):
    """How sure the machine must be of who it is."""

    models: str = ""  # folder of manifest.toml and the model files; empty means the one beside the package
    embedder: ModelId = "a"  # "a" or "b", which came with the program, or the id of one that was added
    upgrade: Literal["photos", "lazy"] = "photos"  # whence another embedder's templates: kept photos, the door as well
    detector: Literal["short", "full"] = "short"
    target_fpir: Annotated[float, Field(gt=0, le=0.1)] = 1e-3
    margin: Annotated[float, Field(ge=0, le=1)] = 0.08
    min_frames: Annotated[int, Field(ge=3, le=30)] = 3
    intent_s: Annotated[float, Field(ge=0, le=5)] = 0.3  # a face must be read for so long: a passer-by is not
    reading_s: Annotated[float, Field(ge=0.5, le=30)] = 4.0
    freshness_s: Annotated[float, Field(ge=0.1, le=5)] = 1.0
    cool_down_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    min_face_px: Annotated[float, Field(ge=40, le=1000)] = 80.0


class LivenessSettings(Section):
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


class CommissioningSettings(Section):
    """What `ostiary commission spoof` must have shown at this door: no attack accepted, and few people refused."""

    bona_fide: Annotated[int, Field(ge=1, le=1000)] = 10  # presentations by people
    attacks: Annotated[int, Field(ge=1, le=1000)] = 5  # presentations of each species
    species: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(, ?[a-z][a-z0-9_]*)*$")] = "print, phone, tablet"
    max_bpcer: Fraction = 0.2

    @property
    def species_names(self) -> tuple[str, ...]:
        """The species of attack, each once, in their order."""
        return _words(self.species)


class DoorSettings(Section):
    """The lock and how it is driven."""

    driver: Literal["simulated", "gpio", "gpiochip"] = "simulated"
    chip: Annotated[str, Field(pattern=r"^/dev/[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] = "/dev/gpiochip0"  # of `gpiochip`
    relay_pin: Pin = 17  # BCM with `gpio`, the chip's line offset with `gpiochip`
    strike: Literal["fail_secure", "fail_safe"] = "fail_secure"
    unlock_s: Annotated[float, Field(ge=0.5, le=30)] = 5.0
    relock: Literal["timeout", "on_open", "on_close"] = "timeout"  # whichever it is, the timeout ends it too
    extended_s: Annotated[float, Field(ge=0, le=30)] = 10.0  # more time for whoever needs it, to enter and to pass
    held_open_s: Annotated[float, Field(ge=1, le=900)] = 30.0  # a door that stands open for so long is an alarm
    warning_s: Annotated[float, Field(ge=0, le=60)] = 10.0  # so long before that alarm, the door warns
    rex: Literal["push", "non_push"] = "push"  # whether a request to exit unlocks, or only says that it is no break-in
    on_fire: Literal["release", "keep_locked"] = "release"
    socket: str = ""  # path of the controller's socket; empty means controller.sock in the state folder


@dataclass(frozen=True, slots=True)
class Line:
    """The wire of one input."""

    pin: int  # BCM number, or line offset of a chip
    normally_closed: bool  # the circuit is closed at rest, so that a cut wire reads active


class InputSettings(Section):
    """The door's sensors: pin and contact at rest, `27 NC` or `22 NO`; empty is not fitted."""

    contact: Wire = ""
    rex: Wire = ""
    tamper: Wire = ""
    fire: Wire = ""
    bell: Wire = ""
    bond: Wire = ""
    debounce_s: Annotated[float, Field(ge=0, le=0.2)] = 0.02

    @property
    def lines(self) -> dict[str, Line]:
        """The lines that are fitted, by the name of their input."""
        wires = {name: wire.split() for name, wire in self if name != "debounce_s" and wire}
        return {name: Line(int(pin), rest == "NC") for name, (pin, rest) in wires.items()}


class OutputSettings(Section):
    """The door's signals, each the number of a pin as `door.relay_pin`; 0 is not fitted."""

    aux: Pin = 0
    alarm: Pin = 0
    red: Pin = 0
    green: Pin = 0
    blue: Pin = 0
    buzzer: Pin = 0
    aux_follows: Literal["opener", "shunt"] = "opener"

    @property
    def pins(self) -> dict[str, int]:
        """The pins that are fitted, by the name of their output."""
        return {name: pin for name, pin in self if name != "aux_follows" and pin}


class AccessSettings(Section):
    """Who may enter when: docs/access.md."""

    rules: str = ""  # path of access.toml; empty means the one beside this file, where there is one
    # Whether the time is believed only once the network or a hardware clock has set it, or always.
    clock: Literal["checked", "trusted"] = "checked"
    two_person_s: Annotated[float, Field(ge=5, le=120)] = 30.0  # the second person comes within
    factor_s: Annotated[float, Field(ge=5, le=120)] = 20.0  # a PIN or pass is shown within; then a human is asked


class ConsentSettings(Section):
    """What people are asked to agree to: docs/enrolment.md."""

    folder: str = ""  # of VERSION/LANGUAGE.txt; empty means the texts that came with the program


class AttendantSettings(Section):
    """Which humans are asked, and how long they have to answer: docs/mqtt.md."""

    ticket_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    order: Rings = ""  # client ids who are rung together, then who is rung too: `desk, guard; manager`; empty: all
    escalate_s: Annotated[float, Field(ge=1, le=600)] = 10.0  # before the next of the order are rung too
    quiet: str = ""  # time of day in which `quiet_order` is rung: `22:00-06:00`
    quiet_order: Rings = ""  # as `order`; empty: nobody, and who would have to be asked about is refused at once
    two_for: Annotated[str, Field(pattern=rf"^(all|({_REFERRED})(, ?({_REFERRED}))*)?$")] = ""  # needs two approvals

    @field_validator("quiet")
    @classmethod
    def _demand_period(cls, text: str) -> str:
        if text:
            Period.parse(text, with_days=False)
        return text

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Who is rung, one group after the other; () for everybody at once."""
        return _groups(self.order)

    @property
    def quiet_groups(self) -> tuple[tuple[str, ...], ...]:
        """Who is rung in quiet hours; () for nobody."""
        return _groups(self.quiet_order)

    @property
    def quiet_period(self) -> Period | None:
        """The quiet hours, on the wall clock; None for none."""
        return Period.parse(self.quiet, with_days=False) if self.quiet else None

    def approvals(self, reason: Reason) -> int:
        """Return how many attendants must approve a visitor who is referred for this reason: 1 or 2."""
        return 2 if self.two_for == "all" or reason in _words(self.two_for) else 1


Days = Annotated[int, Field(ge=0, le=36500)]


class RetentionSettings(Section):
    """How long people are kept: docs/privacy.md. Of the days, 0 is what the preset says, and without one for ever."""

    preset: Literal["none", "conservative", "gdpr", "bipa"] = "none"
    never_seen_days: Days = 0  # enrolled and never let in
    unseen_days: Days = 0  # not let in any more
    leaver_days: Days = 0  # past the end of their validity, or suspended
    consent_days: Days = 0  # since they agreed


class MqttSettings(Section):
    """The broker; nothing is sent while `enabled` is false."""

    enabled: bool = False
    host: Annotated[str, Field(min_length=1, max_length=253)] = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""  # our own certificate, for a broker that knows its clients by theirs
    key_file: str = ""  # of that certificate
    version: Literal["5", "3.1.1"] = "5"  # of MQTT; only with 5 does the broker keep overlong messages from us
    backlog: Annotated[int, Field(ge=1, le=500_000)] = 100_000  # events that `event/feed` sends after an outage


class MetricsSettings(Section):
    """What Prometheus may read, in the open: docs/operating.md."""

    enabled: bool = False
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9478


class LogsSettings(Section):
    """Where log lines go: docs/operating.md."""

    to: Literal["auto", "journal", "lines"] = "auto"  # the journal where systemd started us, else standard error
    level: Literal["debug", "info", "warning", "error"] = "info"


class WebSettings(Section):
    """The local web pages, the kiosk and the HTTP interfaces, which `ostiary web` serves: docs/web.md."""

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8480
    names: str = ""  # by which browsers may call it besides, separated by commas: `door.example.org`
    cert_file: str = ""  # TLS, without which nobody but this machine is served
    key_file: str = ""  # of that certificate
    requests_per_s: Annotated[int, Field(ge=1, le=10_000)] = 20  # of one account or key, three times that at once

    @property
    def host_names(self) -> frozenset[str]:
        """Every name by which a browser may call it, in lower case and without a port."""
        return frozenset({"localhost", "127.0.0.1", "[::1]", self.host.lower(), *map(str.lower, _words(self.names))})

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.cert_file)


class KioskSettings(Section):
    """The screen at the door: docs/kiosk.md."""

    language: Literal["en", "de", "es", "fr", "zh"] = "en"  # until somebody chooses another, for as long as they stay
    mirror: bool = True  # whether visitors see themselves
    greet: bool = False  # whether somebody who was let in is called by their name, for others to read
    sound: bool = False  # tones for being let in, asked about and refused
    contact: Annotated[str, Field(max_length=200)] = ""  # whom visitors may ask about their data; "" names nobody


class HomeAssistantSettings(Section):
    """What Home Assistant is shown and may do, over the same broker: docs/home-assistant.md."""

    enabled: bool = False
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,63}(/[A-Za-z0-9_-]{1,63})?$")] = "homeassistant"
    commands: bool = False  # whether it may move the lock and answer tickets; each time with the code
    hold_s: Annotated[int, Field(ge=1, le=86_400)] = 300  # LOCK and UNLOCK hold for so long; then the schedule rules


class Settings(Section):
    """All of `appliance.toml`."""

    device: DeviceSettings = DeviceSettings()
    camera: CameraSettings = CameraSettings()
    recognition: RecognitionSettings = RecognitionSettings()
    liveness: LivenessSettings = LivenessSettings()
    commissioning: CommissioningSettings = CommissioningSettings()
    door: DoorSettings = DoorSettings()
    inputs: InputSettings = InputSettings()
    outputs: OutputSettings = OutputSettings()
    access: AccessSettings = AccessSettings()
    consent: ConsentSettings = ConsentSettings()
    attendant: AttendantSettings = AttendantSettings()
    retention: RetentionSettings = RetentionSettings()
    mqtt: MqttSettings = MqttSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogsSettings = LogsSettings()
    web: WebSettings = WebSettings()
    kiosk: KioskSettings = KioskSettings()
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()

    @model_validator(mode="after")
    def _demand_pins(self) -> Self:
        taken: dict[int, str] = {}
        for key, shown, pin, (lowest, highest, why) in self._pins():
            if self.door.driver == "gpio" and not lowest <= pin <= highest:
                msg = f"{key} is {shown!r}; with the driver gpio it must be BCM {lowest} to {highest}, {why}"
                raise ValueError(msg)
            if pin in taken:
                msg = f"{key} is {shown!r}; pin {pin} is taken by {taken[pin]}"
                raise ValueError(msg)
            taken[pin] = key
        return self

    @model_validator(mode="after")
    def _demand_broker(self) -> Self:
        if self.home_assistant.enabled and not self.mqtt.enabled:
            msg = "home_assistant.enabled is true and mqtt.enabled is false; it is reached over the broker alone"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _demand_tls(self) -> Self:
        web = self.web
        if bool(web.cert_file) != bool(web.key_file):
            msg = "web.cert_file and web.key_file go together; one of them is empty"
            raise ValueError(msg)
        if not web.tls and web.host not in LOOPBACK:
            msg = f"web.host is {web.host!r} and web.cert_file is empty; without TLS it must be {' or '.join(LOOPBACK)}"
            raise ValueError(msg)
        return self

    def _pins(self) -> Iterator[tuple[str, int | str, int, tuple[int, int, str]]]:
        yield "door.relay_pin", self.door.relay_pin, self.door.relay_pin, _BCM_OUTPUT
        for name, pin in self.outputs.pins.items():
            yield f"outputs.{name}", pin, pin, _BCM_OUTPUT
        for name, line in self.inputs.lines.items():
            yield f"inputs.{name}", getattr(self.inputs, name), line.pin, _BCM_INPUT


# Lowest, highest and why: BCM 0 to 8 are pulled up from power-on, which no output may be; 0 and 1 are the HAT's.
_BCM_OUTPUT = (9, 27, "which are pulled down at boot")
_BCM_INPUT = (2, 27, "which are on the header and free of the HAT's memory")


def with_driver(settings: Settings, driver: str) -> Settings:
    """Return the settings with another `door.driver`. Raises ConfigError where it cannot have their pins."""
    table = settings.model_dump()
    table["door"]["driver"] = driver
    return _checked(Settings, table, f"with door.driver {driver}")


def load(path: Path | None) -> Settings:
    """Return the settings in the file at `path`; None gives the defaults.

    Raises ConfigError with one line that names the field, its value and what is allowed.
    """
    return Settings() if path is None else parse(read(path), str(path))


def read(path: Path) -> str:
    """Return the text of a settings file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        msg = f"configuration {path} cannot be read: {fault}"
        raise ConfigError(msg) from fault


def parse(text: str, name: str) -> Settings:
    """Return the settings in TOML `text`; `name` is what messages call it. Raises ConfigError."""
    return parse_as(Settings, text, name, "docs/reference.md")


def parse_as(model: type[_Model], text: str, name: str, keys: str) -> _Model:
    """Return TOML `text` as the model; `name` is what messages call it, `keys` where all its keys are listed.

    Raises ConfigError with one line that names the field, its value and what is allowed.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:  # also a number of 5,000 digits, and brackets 5,000 deep
        msg = f"configuration {name} is not TOML: {fault}"
        raise ConfigError(msg) from fault
    return _checked(model, table, name, keys)


def _checked(model: type[_Model], table: dict[str, object], name: str, keys: str = "docs/reference.md") -> _Model:
    try:
        return model.model_validate(table)
    except ValidationError as fault:
        raise ConfigError(f"configuration {name}: {_first_line(fault, keys)}") from fault


def _words(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in listed.split(",") if word))


def _groups(listed: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_words(group) for group in listed.split(";") if group)


def _first_line(fault: ValidationError, keys: str) -> str:
    first = fault.errors()[0]
    ours = first["type"] == "value_error"
    allowed = str(first["ctx"]["error"]) if ours else first["msg"].removeprefix("Input ")
    if not first["loc"]:  # over several fields, which it names
        return allowed
    name = ".".join(shown if (shown := str(part)).isprintable() else repr(part) for part in first["loc"])
    if ours and isinstance(first["input"], dict):  # over several keys of one section
        return f"{name}: {allowed}"
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        return f"{name} is not a known key; {keys} lists them all"
    if first["type"] == "model_type":
        return f"{name} is {first['input']!r}; it is a section and must be written [{name}]"
    return f"{name} is {first['input']!r}; {allowed}"
