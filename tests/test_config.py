"""Configuration: what is not allowed stops the start, in one line that says field, value and what is allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.config import Line, Settings, load, parse, with_driver
from appliance.contract import REFERRED, Reason
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

# Every numeric field: the lowest and highest value, and whether the lowest itself is allowed.
RANGES: dict[str, tuple[float, float, bool]] = {
    "camera.width_px": (160, 3840, True),
    "camera.height_px": (120, 2160, True),
    "camera.frame_rate": (1.0, 120.0, True),
    "camera.stall_s": (0.2, 30.0, True),
    "camera.moved_s": (1.0, 600.0, True),
    "home_assistant.hold_s": (1, 86400, True),
    "web.port": (1, 65535, True),
    "web.requests_per_s": (1, 10_000, True),
    "recognition.target_fpir": (0.0, 0.1, False),
    "recognition.margin": (0.0, 1.0, True),
    "recognition.min_frames": (3, 30, True),
    "recognition.intent_s": (0.0, 5.0, True),
    "recognition.reading_s": (0.5, 30.0, True),
    "recognition.freshness_s": (0.1, 5.0, True),
    "recognition.cool_down_s": (1.0, 600.0, True),
    "recognition.min_face_px": (40.0, 1000.0, True),
    "liveness.min_bona_fide": (0.0, 1.0, True),
    "liveness.min_face_px": (40.0, 1000.0, True),
    "commissioning.bona_fide": (1, 1000, True),
    "commissioning.attacks": (1, 1000, True),
    "commissioning.max_bpcer": (0.0, 1.0, True),
    "door.relay_pin": (0, 1023, True),
    "door.unlock_s": (0.5, 30.0, True),
    "door.extended_s": (0.0, 30.0, True),
    "door.held_open_s": (1.0, 900.0, True),
    "door.warning_s": (0.0, 60.0, True),
    "inputs.debounce_s": (0.0, 0.2, True),
    **{f"outputs.{name}": (0, 1023, True) for name in ("aux", "alarm", "red", "green", "blue", "buzzer")},
    "access.two_person_s": (5.0, 120.0, True),
    "access.factor_s": (5.0, 120.0, True),
    "attendant.ticket_s": (1.0, 600.0, True),
    "attendant.escalate_s": (1.0, 600.0, True),
    **{f"retention.{name}_days": (0, 36500, True) for name in ("never_seen", "unseen", "leaver", "consent")},
    "mqtt.port": (1, 65535, True),
    "mqtt.backlog": (1, 500_000, True),
    "metrics.port": (1, 65535, True),
}
KEYS = [
    f"{section}.{name}"
    for section, field in Settings.model_fields.items()
    for name in type(field.default).model_fields  # every section has a default
]


def kind_of(key: str) -> Any:  # noqa: ANN401 - a type, as pydantic holds it
    """Return what a field is annotated with."""
    section, name = key.split(".")
    return type(Settings.model_fields[section].default).model_fields[name].annotation


def value_of(settings: Settings, key: str) -> object:
    """Return one field's value."""
    section, name = key.split(".")
    value: object = getattr(getattr(settings, section), name)
    return value


def parsed(key: str, value: str) -> Settings:
    """Return the settings of a file with one line in it."""
    section, name = key.split(".")
    return parse(f"[{section}]\n{name} = {value}\n", "appliance.toml")


def refusal(key: str, value: str) -> str:
    """Return the message with which this line is refused; checks that it is one line and names the field."""
    with pytest.raises(ConfigError) as fault:
        parsed(key, value)
    message = str(fault.value)
    assert "\n" not in message
    assert message.startswith(f"configuration appliance.toml: {key}")
    return message


def written(key: str, value: float) -> str:
    """Return a number as TOML has it: whole for a whole field."""
    return str(int(value)) if kind_of(key) is int else repr(float(value))


def test_empty_file_and_no_file_are_the_defaults() -> None:
    """Every field has a default, so that nothing has to be written down."""
    assert load(None) == parse("", "appliance.toml") == Settings()


def test_table_of_ranges_is_complete() -> None:
    """Every field that is a number stands in this file's table."""
    assert sorted(RANGES) == sorted(key for key in KEYS if kind_of(key) in {int, float})


@pytest.mark.parametrize("key", RANGES)
def test_ends_of_each_range(key: str) -> None:
    """The ends of a range are allowed, what lies beyond is refused with its value and the bound."""
    low, high, closed = RANGES[key]
    step = 1 if kind_of(key) is int else 1e-6
    assert value_of(parsed(key, written(key, high)), key) == high
    if closed:
        assert value_of(parsed(key, written(key, low)), key) == low
    for beyond, bound in [(high + step, high), (low - step if closed else low, low)]:
        value = written(key, beyond)
        message = refusal(key, value)
        assert f"{key} is {value}" in message
        assert re.search(rf"(greater|less) than( or equal to)? {bound:g}\b", message), message


@pytest.mark.parametrize("key", RANGES)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "true", "false", '"5"', "[5]", "1979-05-27", "{}"])
def test_what_is_no_number_is_refused(key: str, value: str) -> None:
    """NaN, infinity, a truth value, a text, a list or a date is never taken for a number."""
    refusal(key, value)


@pytest.mark.parametrize("key", [key for key in KEYS if kind_of(key) is int])
def test_whole_numbers_are_whole(key: str) -> None:
    """A pin or a port with a fraction is refused, even where the fraction is nothing."""
    assert "integer" in refusal(key, f"{int(RANGES[key][0]) + 1}.0")


@pytest.mark.parametrize("key", [key for key in KEYS if kind_of(key) is bool])
@pytest.mark.parametrize("value", ["0", "1", '"true"', "1.0"])
def test_truth_is_not_a_number(key: str, value: str) -> None:
    """A switch is true or false and nothing that resembles it."""
    assert "boolean" in refusal(key, value)


@pytest.mark.parametrize("key", [key for key in KEYS if kind_of(key) is str])
@pytest.mark.parametrize("value", ["5", "true", "[]"])
def test_text_is_text(key: str, value: str) -> None:
    """A name or a path is a text."""
    assert "string" in refusal(key, value)


@pytest.mark.parametrize("key", [key for key in KEYS if get_args(kind_of(key))])
def test_choice_names_what_can_be_chosen(key: str) -> None:
    """A choice refuses anything else and lists what there is."""
    message = refusal(key, '"whatever"')
    assert "whatever" in message
    assert all(repr(choice) in message for choice in get_args(kind_of(key)))
    for choice in get_args(kind_of(key)):
        assert value_of(parsed(key, f'"{choice}"'), key) == choice


@pytest.mark.parametrize("key", ["device.id", "device.door"])
@pytest.mark.parametrize("value", ["", "-a", "a b", "a/b", "#", "+", "$SYS", "../x", "a\\u0000", "ä", "a" * 64, "a\\n"])
def test_names_that_go_into_topics_are_plain(key: str, value: str) -> None:
    """A device or door whose name could be a wildcard, a path or two lines is refused (D7)."""
    refusal(key, f'"{value}"')


@pytest.mark.parametrize("value", ["", "print,", ",", "Print", "print;phone", "print\\nphone", "../print", "<b>"])
def test_species_are_plain_words(value: str) -> None:
    """The kinds of attack to be tried are words, each once; they become names of folders and parts of a page."""
    refusal("commissioning.species", f'"{value}"')
    assert parsed("commissioning.species", '"mask, mask,print"').commissioning.species_names == ("mask", "print")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((f"attendant.{key}", value) for key in ("order", "quiet_order") for value in (";", "a;", "a b", "#", "a,,b")),
        *(("attendant.quiet", value) for value in ("22-06", "24:00-06:00", "Mon 22:00-06:00", "06:00-06:00", "later")),
        *(("attendant.two_for", value) for value in ("any", "unknown_face;", "all, unknown_face", "wrong_pin", "ok")),
    ],
)
def test_who_is_asked_is_said_in_plain_words(key: str, value: str) -> None:
    """What is no client id, no time of day or no reason for a ticket is refused, and named."""
    refusal(key, f'"{value}"')


def test_who_is_asked_is_read_in_order() -> None:
    """Groups come in their order, each client once; a reason that is named needs two voices, another one."""
    asked = parse(
        '[attendant]\norder = "desk, guard,desk; manager"\nquiet = "22:00-06:00"\n'
        'two_for = "liveness_uncertain, ambiguous_match"\n',
        "appliance.toml",
    ).attendant
    assert asked.groups == (("desk", "guard"), ("manager",))
    assert asked.quiet_groups == ()
    assert asked.quiet_period is not None
    assert (asked.quiet_period.begin, asked.quiet_period.end) == (22 * 60, 30 * 60)
    assert [asked.approvals(one) for one in (Reason.LIVENESS_UNCERTAIN, Reason.UNKNOWN_FACE)] == [2, 1]
    assert Settings().attendant.approvals(Reason.LIVENESS_UNCERTAIN) == 1
    everything = parse('[attendant]\ntwo_for = "all"\n', "appliance.toml").attendant
    assert {everything.approvals(one) for one in REFERRED} == {2}


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", "a b", "../a", "a/b", "a,b,c,d,e", "ä", "a\\nb", "a" * 64])
def test_liveness_models_are_ids(value: str) -> None:
    """The liveness models are up to four ids, each once; none is a path, and nothing at all is the default one."""
    refusal("liveness.models", f'"{value}"')
    assert parsed("liveness.models", '""').liveness.model_ids == ()
    assert parsed("liveness.models", '"one-1.0, two,one-1.0"').liveness.model_ids == ("one-1.0", "two")


WIRES = [f"inputs.{name}" for name in ("contact", "rex", "tamper", "fire", "bell", "bond")]


@pytest.mark.parametrize("key", WIRES)
@pytest.mark.parametrize(
    "value", ["27", "NC", "27NC", "27 nc", "27  NC", " 27 NC", "27 NC\\n", "-1 NO", "07 NC", "1e1 NO"]
)
def test_a_wire_is_a_pin_and_a_contact(key: str, value: str) -> None:
    """An input is a pin and how its contact rests, or nothing; anything that is nearly so is refused."""
    assert "pattern" in refusal(key, f'"{value}"')


def test_what_is_fitted_is_what_is_named() -> None:
    """Lines and pins hold what the file names, and by default nothing is fitted."""
    settings = parse('[inputs]\nfire = "27 NC"\nrex = "22 NO"\n[outputs]\nbuzzer = 12\n', "appliance.toml")
    assert settings.inputs.lines == {"fire": Line(27, normally_closed=True), "rex": Line(22, normally_closed=False)}
    assert settings.outputs.pins == {"buzzer": 12}
    assert Settings().inputs.lines == {}
    assert Settings().outputs.pins == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[door]\nrelay_pin = 8", "door.relay_pin is 8; with the driver gpio it must be BCM 9 to 27, which are "),
        ("[door]\nrelay_pin = 28", "door.relay_pin is 28; with the driver gpio it must be BCM 9 to 27, which are "),
        ("[outputs]\nred = 8", "outputs.red is 8; with the driver gpio it must be BCM 9 to 27, which are "),
        ('[inputs]\nfire = "1 NC"', "inputs.fire is '1 NC'; with the driver gpio it must be BCM 2 to 27, which are "),
        ('[inputs]\nrex = "28 NO"', "inputs.rex is '28 NO'; with the driver gpio it must be BCM 2 to 27, which are "),
        ('[inputs]\nrex = "17 NO"', "inputs.rex is '17 NO'; pin 17 is taken by door.relay_pin"),
        ("[outputs]\nred = 5\n[door]\nrelay_pin = 5", "outputs.red is 5; pin 5 is taken by door.relay_pin"),
        ('[outputs]\nred = 22\n[inputs]\nbell = "22 NC"', "inputs.bell is '22 NC'; pin 22 is taken by outputs.red"),
        ('[inputs]\nbell = "22 NC"\nfire = "22 NO"', "inputs.bell is '22 NC'; pin 22 is taken by inputs.fire"),
    ],
)
def test_pins_are_had_by_one_line_each_and_fit_the_driver(text: str, line: str) -> None:
    """G2: a pin that two lines would have, or that this driver must not drive, is refused with field, value and why."""
    driver = "gpio" if "with the driver" in line else "gpiochip"
    text = text.replace("[door]", f'[door]\ndriver = "{driver}"')
    if "[door]" not in text:
        text += f'\n[door]\ndriver = "{driver}"'
    with pytest.raises(ConfigError) as fault:
        parse(text, "appliance.toml")
    assert str(fault.value).startswith(f"configuration appliance.toml: {line}")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("driver", ["simulated", "gpiochip"])
def test_a_chip_numbers_its_lines_as_it_likes(driver: str) -> None:
    """A line offset of a chip is not held to a Raspberry Pi's header, until that driver is to have it."""
    settings = parse(f'[door]\ndriver = "{driver}"\nrelay_pin = 144\n[inputs]\nrex = "0 NO"', "appliance.toml")
    assert settings.door.relay_pin == 144
    assert settings.inputs.lines["rex"].pin == 0
    assert with_driver(settings, "simulated").door.driver == "simulated"
    with pytest.raises(ConfigError, match=r"^configuration with door\.driver gpio: door\.relay_pin is 144; "):
        with_driver(settings, "gpio")


@pytest.mark.parametrize("value", ["gpiochip0", "/dev/", "/dev/../x", "/dev/a b", "/dev/a/b", "/run/gpiochip0"])
def test_a_chip_is_a_device(value: str) -> None:
    """The chip is a device's path and nothing else."""
    assert "pattern" in refusal("door.chip", f'"{value}"')


@pytest.mark.parametrize(
    ("text", "name"),
    [("colour = 1", "colour"), ("[camera]\nsorce = 1", "camera.sorce"), ("[cammera]\nwidth_px = 640", "cammera")],
)
def test_unknown_key_is_named(text: str, name: str) -> None:
    """A misspelt key is never passed over in silence."""
    with pytest.raises(ConfigError, match=rf"^configuration appliance\.toml: {re.escape(name)} is not a known key"):
        parse(text, "appliance.toml")


@pytest.mark.parametrize("text", ["camera = 5", "camera = []", 'camera = "x"', "[[camera]]\nwidth_px = 640"])
def test_section_must_be_a_section(text: str) -> None:
    """A section that is something else is refused by its name, without a word about the program's inside."""
    with pytest.raises(ConfigError, match=r"^configuration appliance\.toml: camera is ") as fault:
        parse(text, "appliance.toml")
    assert "CameraSettings" not in str(fault.value)


@pytest.mark.parametrize("text", ["[camera", "= 5", "a = 1\na = 2", "\0", "[camera]\n[camera]", 'id = "\\q"'])
def test_text_that_is_not_toml_says_where(text: str) -> None:
    """What is no TOML is refused in one line with the place."""
    with pytest.raises(ConfigError, match=r"^configuration appliance\.toml is not TOML: .*\(at .*\)$"):
        parse(text, "appliance.toml")


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 20000, "a = " + "{x = " * 5000])
def test_monstrous_file_is_refused(text: str) -> None:
    """Numbers and nesting without end are refused like any other text that is no TOML."""
    with pytest.raises(ConfigError, match=r"^configuration appliance\.toml is not TOML: "):
        parse(text, "appliance.toml")


def test_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """No file, a folder, and bytes that are no UTF-8: one line that names the file."""
    (tmp_path / "latin.toml").write_bytes(b'id = "\xe4"')
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(ConfigError, match=re.escape(str(path))) as fault:
            load(path)
        assert "\n" not in str(fault.value)


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen once read."""
    with pytest.raises(Exception, match="frozen"):
        Settings().door.unlock_s = 60.0


SCALAR = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.dates(),
    st.times(),
    st.datetimes(),
)
NAME = st.one_of(st.sampled_from(sorted({part for key in KEYS for part in key.split(".")})), st.text(max_size=6))
TABLE = st.dictionaries(
    NAME,
    st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=4)),
    max_size=6,
)


def toml(value: object) -> str:
    """Return a value in TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08X}" for letter in value) + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


@given(TABLE)
@trials(max_examples=250, deadline=None)
def test_no_table_does_more_than_be_refused(table: dict[str, object]) -> None:
    """Whatever stands in a file, the answer is settings or one ConfigError of one line."""
    text = "\n".join(f"{toml(name)} = {toml(value)}" for name, value in table.items())
    try:
        assert isinstance(parse(text, "appliance.toml"), Settings)
    except ConfigError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - either outcome is right


@given(st.text())
@trials(max_examples=150, deadline=None)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """Any text at all is settings or one ConfigError of one line."""
    try:
        parse(text, "appliance.toml")
    except ConfigError as fault:
        assert "\n" not in str(fault)  # noqa: PT017 - either outcome is right
