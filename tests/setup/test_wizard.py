"""`ostiary setup` as somebody at a terminal meets it, and as an unattended install does."""

from __future__ import annotations

import json
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from appliance.cli import root
from appliance.config import load
from appliance.door.hardware import Input
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import ConfigError, UsageError
from appliance.setup.draft import SHIPPED
from appliance.setup.words import INPUTS
from appliance.toml_text import comments
from tests.setup.terminal import Terminal, plain

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


# What is asked after the device's name where nothing is fitted.
SHORTEST = (
    *("device.door", "camera.source", "door.strike", "door.relay_pin", "door.unlock_s"),
    *(f"inputs.{name}" for name in INPUTS),
    *("lamps", "broker", "kiosk.language", "kiosk.mirror", "retention.preset", "code", "check"),
)


@pytest.fixture
def places(short_folder: Path) -> tuple[str, ...]:
    """Return the options of a device in a folder of its own."""
    return ("--config", str(short_folder / "appliance.toml"), "--state", str(short_folder / "state"))


def unattended(places: tuple[str, ...], file: Path, text: str) -> Result:
    """Run the set-up with this answers file."""
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(root, ["setup", *places, "--answers", str(file)])


def answer_all(hand: Terminal, *lines: str) -> None:
    """Answer questions in their order, each line as `key answer`; an answer may be nothing."""
    for line in lines:
        key, _, answer = line.partition(" ")
        hand.answer(key, answer)


def test_whole_evening(places: tuple[str, ...], short_folder: Path) -> None:
    """At a terminal: a picture of the camera, a click of the relay, a button found, settings written, a check, a code.

    E16: there is no default password; the code that makes the first account is shown here and nowhere else.
    """
    config, state = short_folder / "appliance.toml", short_folder / "state"
    before = SHIPPED.read_text(encoding="utf-8").replace('clock = "checked"', 'clock = "trusted"')  # for certificates
    config.write_text(before, encoding="utf-8")
    with Terminal("setup", *places) as hand:
        answer_all(hand, "board simulated", "time_zone", "device.id not a name")
        hand.wait_for("device.id is 'not a name'")
        answer_all(hand, "device.id cellar", "device.door back", "device.id cellar", "device.door")
        hand.answer("camera.source", "look simulated")
        hand.wait_for("light 1")
        hand.type("")
        answer_all(hand, "camera.source simulated", "door.strike 2", "door.relay_pin click")
        hand.wait_for("Go on?")
        hand.type("y")
        hand.wait_for("the lock was released")
        hand.wait_for("the lock is locked")
        answer_all(hand, "door.relay_pin skip", "door.unlock_s 99")
        hand.wait_for("door.unlock_s is 99.0")
        answer_all(hand, "door.unlock_s 6", "inputs.contact ?", "inputs.contact", "inputs.rex find")
        hand.wait_for("Move it now")
        SimulatedWorld(state / "simulated-door").set(Input.REX, active=True)
        hand.wait_for("inputs.rex [23 NO]")
        hand.type("")
        answer_all(hand, "door.rex", "inputs.tamper", "inputs.fire", "inputs.bell", "inputs.bond", "lamps")
        answer_all(hand, "broker here", "kiosk.language de", "kiosk.mirror", "retention.preset", "code", "check")
        hand.wait_for("Write this?")
        assert config.read_text(encoding="utf-8") == before
        hand.type("y")
        hand.wait_for("left to do:")
        assert hand.end() == 0
        said = plain(hand.shown)

    settings = load(config)
    assert (settings.device.id, settings.camera.source, settings.door.strike) == ("cellar", "simulated", "fail_safe")
    assert (settings.door.unlock_s, settings.inputs.rex, settings.kiosk.language) == (6.0, "23 NO", "de")
    assert comments(config.read_text(encoding="utf-8")) == comments(before)
    assert (short_folder / "appliance.toml.bak").read_text(encoding="utf-8") == before
    assert (state / "pki" / "client" / "cellar.pem").exists()
    assert (state / "broker" / "mosquitto.conf").exists()
    assert json.loads((state / "setup.code").read_text())["code"] in said
    assert "ok      models" in said
    assert "ostiary commission spoof" in said
    assert "▀" in said
    assert "\x1b[38;2;" in hand.shown  # in true colour
    wide = [line for line in said.split("What changes")[0].splitlines() if len(line) > 80]
    assert [line for line in wide if "▀" not in line] == []  # a picture is drawn over the one before


@pytest.mark.parametrize("at_the_end", [False, True])
def test_ctrl_c_changes_nothing(places: tuple[str, ...], short_folder: Path, at_the_end: bool) -> None:
    """F2: whoever ends it, at a question or at the last word, is told in one line that nothing was changed."""
    config = short_folder / "appliance.toml"
    config.write_text('[device]\nid = "old"\n')
    with Terminal("setup", *places) as hand:
        answer_all(hand, "board", "time_zone", "device.id new")
        if at_the_end:
            answer_all(hand, *SHORTEST)
        hand.wait_for("Write this?" if at_the_end else "device.door [")
        hand.interrupt("nothing was changed")
        assert hand.end() == 1
    assert config.read_text() == '[device]\nid = "old"\n'
    assert sorted(path.name for path in short_folder.iterdir()) == ["appliance.toml", "state"]
    assert list((short_folder / "state").iterdir()) == []


def test_unattended_install(places: tuple[str, ...], short_folder: Path) -> None:
    """An answers file sets a device up without a question; the same file a second time changes no byte."""
    text = 'board = "raspberry-pi"\ncheck = false\n[device]\nid = "north"\n[inputs]\nrex = "23 NO"\n'
    first = unattended(places, short_folder / "answers.toml", text)
    assert first.exit_code == 0, first.output
    assert "device.id = 'north'" in first.output
    assert "set-up code" not in first.output
    written = (short_folder / "appliance.toml").read_bytes()
    again = unattended(places, short_folder / "answers.toml", text)
    assert "unchanged: " in again.output
    assert (short_folder / "appliance.toml").read_bytes() == written
    with closing(sqlite3.connect(short_folder / "state" / "audit.db")) as log:
        told = [row[0] for row in log.execute("SELECT body FROM entry") if "config_changed" in row[0]]
    assert len(told) == 1


def test_wrong_answer_writes_nothing(places: tuple[str, ...], short_folder: Path) -> None:
    """One wrong key in an answers file ends it with exit code 2 and that key, before anything is written."""
    result = unattended(places, short_folder / "answers.toml", '[device]\nid = "north"\n[door]\nunlock_s = 0\n')
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert "door.unlock_s" in str(result.exception)
    assert not (short_folder / "appliance.toml").exists()


def without_input(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `ostiary` with its standard input closed, as some supervisors start a program."""
    command = f"exec {sys.executable} -m appliance {shlex.join(arguments)} <&-"
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


def test_nobody_can_be_asked_without_an_input(places: tuple[str, ...], short_folder: Path) -> None:
    """With standard input closed, the set-up says in one line what it needs, and writes nothing."""
    told = without_input("setup", *places)
    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        "ostiary: nobody can be asked, as standard input is closed; --answers FILE says it instead"
    ]
    assert list(short_folder.iterdir()) == []


def test_settings_out_of_reach_are_told(tmp_path: Path) -> None:
    """Where somebody may not even look for the settings, that is one line with the path, and not taken for none."""
    folder = tmp_path / ("x" * 300)  # which no file system has; root may look everywhere
    told = CliRunner().invoke(root, ["setup", "--config", str(folder / "appliance.toml"), "--state", str(tmp_path)])
    assert isinstance(told.exception, ConfigError)
    assert "sudo ostiary setup" in str(told.exception)
