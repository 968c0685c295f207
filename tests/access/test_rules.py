"""`access.toml`: what is shipped loads, and what is wrong is one line that names the field."""

from __future__ import annotations

import os
from datetime import time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.access.passback import Passback
from appliance.access.rules import DoorRules, GroupRules, Rules, ScheduleRules, parse
from appliance.access.rules_file import RulesFile
from appliance.access.subject import FactorPolicy
from appliance.commands.options import open_installation
from appliance.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

EXAMPLE = Path(__file__).resolve().parents[2] / "firmware_config" / "access.toml"
HEAD = 'time_zone = "Europe/Lisbon"\n'
OFFICE = HEAD + '[schedules.office]\nperiods = ["Mon-Fri 07:00-19:00"]\n'
STAFF = OFFICE + '[groups.staff]\ndoors = ["front"]\n'


def test_the_example_loads_and_shows_every_key() -> None:
    """The shipped access.toml is valid, and names every key there is at least once, in use or in a comment."""
    text = EXAMPLE.read_text(encoding="utf-8")
    rules = parse(text, "access.toml")
    assert set(rules.groups) == {"staff", "cleaners", "managers", "assisted", "vault"}
    models: tuple[type[BaseModel], ...] = (Rules, ScheduleRules, GroupRules, DoorRules)
    assert [key for model in models for key in model.model_fields if key not in text] == []


def test_what_is_not_said_asks_for_nothing() -> None:
    """A zone alone is a whole file: no group, no schedule, and a door of which nothing special holds."""
    rules = parse(HEAD, "access.toml")
    assert (rules.groups, rules.schedules, rules.holidays) == ({}, {}, {})
    assert rules.door("front") == DoorRules()
    assert (DoorRules().passback, DoorRules().factor.kinds, DoorRules().reset) == (Passback.OFF, frozenset(), time(4))


def test_values_mean_what_they_say() -> None:
    """Words become the values that the judge goes by."""
    rules = parse(EXAMPLE.read_text(encoding="utf-8"), "access.toml")
    side = rules.door("side")
    assert (side.passback, side.within, side.reset) == (Passback.TIMED, timedelta(minutes=5), time(4))
    assert rules.groups["managers"].opens("anywhere")
    assert not rules.groups["staff"].opens("vault")
    assert rules.groups["cleaners"].factor is FactorPolicy.PIN
    assert parse(STAFF + "[doors.front]\npassback_reset = ''\n", "x").door("front").reset is None
    for minutes in (1, 1440):
        said = parse(f'{STAFF}[doors.front]\npassback = "timed"\npassback_minutes = {minutes}\n', "x")
        assert said.door("front").within == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "time_zone is missing"),
        ('time_zone = "Mars/Olympus"\n', "time_zone is 'Mars/Olympus'; it must be a time zone of the IANA database"),
        ('time_zone = "../../etc/passwd"\n', "time_zone is '../../etc/passwd'; it must be a time zone"),
        ('time_zone = "Europe"\n', "time_zone is 'Europe'; it must be a time zone"),
        ('time_zone = ""\n', "time_zone is ''; it must be a time zone"),
        (HEAD + "zone = 1\n", "zone is not a known key; docs/access.md lists them all"),
        (HEAD + "holidays = 1\n", "holidays is 1; "),
        (HEAD + "[holidays]\nChristmas = 2026-12-25\n", "it must be text in quotation marks"),
        (HEAD + '[holidays]\nChristmas = "25.12."\n', "holidays.Christmas is '25.12.'; it must look like 2026-12-25"),
        (
            HEAD + '[schedules.office]\nperiods = "Mon 07:00-19:00"\n',
            "schedules.office.periods is 'Mon 07:00-19:00'; it must",
        ),
        (HEAD + '[schedules.office]\nperiods = ["Mon-Fri 7-19"]\n', "it must look like Mon-Fri 07:00-19:00"),
        (OFFICE + 'holidays = "open"\n', "schedules.office.holidays is 'open'; it must be closed, as_sunday, ignored"),
        (OFFICE + 'holidays = ["Sun 08:00-12:00"]\n', "it must look like 08:00-12:00"),
        (HEAD + '[schedules."a b"]\nperiods = []\n', "schedules.a b"),
        (HEAD + "[groups.staff]\n", "groups.staff.doors is missing"),
        (HEAD + "[groups.staff]\ndoors = []\n", "groups.staff.doors is []"),
        (HEAD + '[groups.staff]\ndoors = ["fro*"]\n', "groups.staff.doors.0 is 'fro*'"),
        (STAFF + "extended = 1\n", "groups.staff.extended is 1; should be a valid boolean"),
        (STAFF + 'factor = "face"\n', "groups.staff.factor is 'face'; should be 'none', 'pin', 'pass' or 'any'"),
        (STAFF + 'schedule = "night"\n', "groups.staff.schedule is 'night'; there is no [schedules.night]"),
        (
            STAFF + 'factor_inside = "office"\n',
            "groups.staff: factor_inside and factor_outside say nothing while factor",
        ),
        (
            STAFF + 'factor = "pin"\nfactor_inside = "office"\nfactor_outside = "office"\n',
            "groups.staff: factor_inside and factor_outside are both given",
        ),
        (STAFF + 'two_person = "guards"\n', "groups.staff.two_person is 'guards'; there is no [groups.guards]"),
        (STAFF + 'two_person_inside = "office"\n', "groups.staff: two_person_inside says nothing"),
        (STAFF + '[doors.front]\npassback = "yes"\n', "doors.front.passback is 'yes'; should be 'off', 'hard'"),
        (STAFF + "[doors.front]\npassback_minutes = 0\n", "doors.front.passback_minutes is 0"),
        (STAFF + "[doors.front]\npassback_minutes = 1441\n", "doors.front.passback_minutes is 1441"),
        (STAFF + '[doors.front]\npassback_reset = "24:00"\n', "doors.front.passback_reset is '24:00'"),
        (STAFF + '[doors.front]\nunlock_schedule = "day"\n', "doors.front.unlock_schedule is 'day'; there is no"),
        (
            STAFF + "[doors.front]\nfirst_person_in = true\n",
            "doors.front.first_person_in says nothing while unlock_schedule",
        ),
        (
            STAFF + '[doors.front]\nfirst_person_in = true\nunlock_schedule = "office"\n',
            "doors.front.first_person_in is true; no group with that door has first_in",
        ),
        ("time_zone = [", "is not TOML"),
    ],
)
def test_fault_is_one_line_that_names_the_field(text: str, why: str) -> None:
    """C14: nothing that is misspelt, out of range or defined nowhere is let through to the door."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "access.toml")
    line = str(caught.value)
    assert line.startswith("configuration access.toml")
    assert why in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("holidays", "on_holidays"),
    [
        ('"closed"', ()),
        ('"ignored"', None),
        ('"as_sunday"', ("Sun 10:00-12:00", "Sat-Mon 20:00-21:00")),
        ('["09:00-11:00"]', ("09:00-11:00",)),
        ("[]", ()),
    ],
)
def test_schedule_knows_its_holidays(holidays: str, on_holidays: tuple[str, ...] | None) -> None:
    """What a schedule says of holidays becomes the periods that hold on them; of a Sunday, those that begin on one."""
    periods = 'periods = ["Mon-Sat 07:00-19:00", "Sun 10:00-12:00", "Sat-Mon 20:00-21:00"]'
    text = f'{HEAD}[holidays]\nChristmas = "12-25"\n[schedules.office]\n{periods}\nholidays = {holidays}\n'
    made = parse(text, "access.toml").schedule("office")
    assert (None if made.on_holidays is None else tuple(one.text for one in made.on_holidays)) == on_holidays
    assert made.zone.key == "Europe/Lisbon"
    assert set(made.holidays) == {"Christmas"}


def test_every_cut_of_the_example_is_rules_or_a_line() -> None:
    """Wherever the file is cut, it is a valid file or one line, never a crash."""
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = [said for end in range(0, len(text), 7) if (said := fault_of(text[:end]))]
    assert lines
    assert [line for line in lines if "\n" in line] == []


def fault_of(text: str) -> str:
    """Return why these are no rules, "" where they are."""
    try:
        parse(text, "access.toml")
    except ConfigError as fault:
        return str(fault)
    return ""


def groups(file: RulesFile) -> set[str] | None:
    """Return the groups that hold now; None for no rules."""
    return set(file.rules.groups) if file.rules is not None else None


def test_no_file_is_no_rules_until_there_is_one(tmp_path: Path) -> None:
    """Without access.toml whoever is enrolled may enter; once it appears, it holds."""
    path = tmp_path / "access.toml"
    file = RulesFile(path)
    assert (file.rules, file.refresh()) == (None, None)
    path.write_text(STAFF)
    assert (file.refresh(), file.refresh()) == ("", None)
    assert groups(file) == {"staff"}


def test_bad_edit_keeps_what_held_and_is_told_once(tmp_path: Path) -> None:
    """A file that is spoilt, emptied or lost while the door runs opens nothing: the last good rules hold, told once."""
    path = tmp_path / "access.toml"
    path.write_text(STAFF)
    file = RulesFile(path)
    good = file.rules
    assert good is not None
    for spoil in (lambda: path.write_text("groups = 1"), lambda: path.write_text(""), path.unlink):
        spoil()
        told = file.refresh()
        assert told is not None
        assert told.endswith("the rules from before still hold")
        assert file.refresh() is None
        assert file.rules is good
    path.write_text(OFFICE)
    assert file.refresh() == ""
    assert groups(file) == set()


def test_edit_of_the_same_size_and_second_is_seen(tmp_path: Path) -> None:
    """A file that is replaced by one of the same size and time is read again: the file itself is another."""
    path, other = tmp_path / "access.toml", tmp_path / "other.toml"
    path.write_text(STAFF)
    file = RulesFile(path)
    other.write_text(STAFF.replace("staff", "guest"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert file.refresh() == ""
    assert groups(file) == {"guest"}


def test_bad_file_stops_the_start(tmp_path: Path) -> None:
    """A bad file at the start, and one that is named and not there, stop it: nobody is let in for lack of rules."""
    (tmp_path / "access.toml").write_text("groups = 1")
    (tmp_path / "appliance.toml").write_text("")
    installation = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    with pytest.raises(ConfigError, match=r"access\.toml"):
        installation.open_rules()
    (tmp_path / "appliance.toml").write_text('[access]\nrules = "elsewhere.toml"\n')
    installation = open_installation(tmp_path / "appliance.toml", tmp_path / "state")
    assert installation.rules_file == tmp_path / "elsewhere.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        installation.open_rules()
    (tmp_path / "access.toml").unlink()
    (tmp_path / "appliance.toml").write_text("")
    assert open_installation(tmp_path / "appliance.toml", tmp_path / "state").open_rules().rules is None
