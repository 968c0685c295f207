"""What comes after the questions: the programs, the time zone, and what is left to do. The system's tools stand in."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from appliance.commands.setup import setup
from appliance.commands.setup_finish import finish, left_to_do, summary
from appliance.commands.setup_trials import TRIALS
from appliance.errors import DoorError, HardwareError, RefusedError
from appliance.setup import units
from appliance.setup.place import time_zone
from appliance.setup.question import interview
from appliance.setup.questions import QUESTIONS
from appliance.setup.zone import set_zone
from tests.setup.here import draft

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.setup.draft import Draft

UNLOCK = "door.unlock_s"
UNITS = ("ostiary-controller.service", "ostiary-reader.service", "ostiary-web.service")

root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="only root may set the time zone")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have tools of the system that note in the returned file what they are asked, and fail at the verbs in `fails`.

    Units are in the state that the file `state` says, and active without it.
    """
    asked = tmp_path / "asked"
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "timedatectl"):
        tool = folder / name
        tool.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {asked}\n'
            f'[ "$1" != is-active ] || cat {tmp_path}/state 2>/dev/null || echo active\n'
            f'! grep -qsx "$1" {tmp_path}/fails\n'
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return asked


def answered(first: Draft, **said: str) -> Draft:
    """Return the draft after these answers to the wizard's own questions."""
    silent = {"check": "no", "code": "no", **said}
    return interview(first, QUESTIONS, lambda question, so_far: question.answer(so_far, silent.get(question.key, "")))


def running(first: Draft, *units: str) -> Draft:
    """Return the draft of a device on which these units run."""
    return replace(first, place=replace(first.place, running=units))


def test_programs_are_restarted_round_the_check(tmp_path: Path, tools: Path) -> None:
    """G1: reader and web stop before the controller takes the new pins, and come back once everything was tried."""
    done = answered(running(draft(tmp_path), *UNITS), restart="yes")
    finish(click.Context(setup), done)
    assert tools.read_text().splitlines() == [
        f"systemctl reset-failed {' '.join(UNITS)}",
        "systemctl stop ostiary-reader.service ostiary-web.service",
        "systemctl restart ostiary-controller.service",
        "systemctl start ostiary-reader.service ostiary-web.service",
    ]


def test_controller_that_fails_is_told(tmp_path: Path, tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """G2: a controller that cannot have its new pins is told in one line, exit 3, and the others run again."""
    (tmp_path / "fails").write_text("restart\n")
    done = answered(running(draft(tmp_path), *UNITS), restart="yes")
    with pytest.raises(click.exceptions.Exit) as ended:
        finish(click.Context(setup), done)
    assert ended.value.exit_code == 3
    assert "systemctl restart ostiary-controller.service failed" in capsys.readouterr().err
    assert tools.read_text().splitlines()[-1] == "systemctl start ostiary-reader.service ostiary-web.service"


def test_programs_that_may_not_be_restarted_are_left_alone(tmp_path: Path, tools: Path) -> None:
    """Whoever says no has nothing restarted."""
    finish(click.Context(setup), answered(running(draft(tmp_path), *UNITS), restart="no"))
    assert not tools.exists()


@root_alone
def test_time_zone_is_set_after_everything_was_seen(tmp_path: Path, tools: Path) -> None:
    """H4: another time zone is told before it is written, and set once; the one that holds already is not touched."""
    first = draft(tmp_path)
    same, other = answered(first), answered(first, time_zone="Asia/Tokyo")
    assert summary(first, same) == ["  nothing"]
    assert summary(first, other) == ["  time zone Asia/Tokyo  (was Europe/Berlin)"]
    assert not tools.exists()
    finish(click.Context(setup), same)
    assert not tools.exists()
    finish(click.Context(setup), other)
    assert tools.read_text() == "timedatectl set-timezone Asia/Tokyo\n"


def test_time_zone_is_set_without_d_bus(tmp_path: Path, tools: Path) -> None:
    """H4: on a system as small as it gets, where systemd cannot be asked, the zone is linked as systemd would do it."""
    (tmp_path / "fails").write_text("set-timezone\n")
    known = tmp_path / "usr/share/zoneinfo/Asia"
    known.mkdir(parents=True)
    (known / "Tokyo").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/timezone").write_text("Etc/UTC\n")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    set_zone("Asia/Tokyo", tmp_path)
    assert (tmp_path / "etc/localtime").resolve() == known / "Tokyo"
    assert time_zone(tmp_path) == "Asia/Tokyo"
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["localtime", "timezone"]
    with pytest.raises(HardwareError, match="Asia/Seoul is not there; later: sudo timedatectl set-timezone Asia/Seoul"):
        set_zone("Asia/Seoul", tmp_path)
    assert time_zone(tmp_path) == "Asia/Tokyo"


def test_what_changes_is_said_with_what_held_before(tmp_path: Path) -> None:
    """A setting that stood in no file had its default, and that is what it was."""
    first = draft(tmp_path, '[device]\nid = "mine"\n')
    done = interview(first, QUESTIONS, lambda question, so_far: question.answer(so_far, "9" * (question.key == UNLOCK)))
    assert summary(first, done) == ["  door.unlock_s = 9.0  (was 5.0)"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('[inputs]\nfire = "25 NO"\n', "inputs.fire is NO"),
        ('[inputs]\nrex = "23 NC"\n', "inputs.rex is NC"),
        ('[inputs]\ncontact = "22 NC"\n', "leaves by the handle"),
        ('[camera]\nsource = "simulated"\n[door]\ndriver = "gpio"\n', "made-up visitors"),
        ('[inputs]\nfire = "25 NC"\nrex = "23 NO"\ncontact = "22 NC"\n', ""),
        ('[door]\nrex = "non_push"\n[inputs]\nrex = "23 NC"\n', ""),
    ],
)
def test_wiring_that_few_mean_is_asked_about(tmp_path: Path, settings: str, said: str) -> None:
    """G7: before anything is written, wiring of which a cut wire would not release, or would unlock, is pointed out."""
    first = draft(tmp_path, settings)
    asked = [line for line in summary(first, answered(first)) if "is this meant?" in line]
    assert len(asked) == bool(said)
    assert said in "".join(asked)


def test_what_is_left_is_said_until_it_is_done(tmp_path: Path) -> None:
    """A door that is not commissioned, with nobody enrolled and no account, is not called done."""
    new = answered(draft(tmp_path), broker="here")
    said = "\n".join(left_to_do(new))
    for word in ("systemctl", "commission spoof", "enrol camera", "/setup", "keys export", "hardware.md", "once more"):
        assert word in said
    (new.place.state / "commissioning.json").touch()
    (new.place.state / "broker").mkdir()
    later = replace(new, place=replace(new.place, running=UNITS, has_account=True))
    said = "\n".join(left_to_do(later))
    for word in ("systemctl", "commission spoof", "/setup", "once more"):
        assert word not in said


@root_alone
def test_programs_that_run_are_found(tmp_path: Path, tools: Path) -> None:
    """On a machine that systemd has started, those of our units that run are known; on any other none is asked for."""
    assert units.running(tmp_path) == ()
    assert not tools.exists()
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert units.running(tmp_path) == (units.CONTROLLER, *units.OTHERS)
    (tmp_path / "state").write_text("inactive\n")
    assert units.running(tmp_path) == ()


@root_alone
@pytest.mark.parametrize("state", ["activating", "failed"])
def test_program_that_does_not_come_up_is_restarted_too(tmp_path: Path, tools: Path, state: str) -> None:
    """A1: a reader that waits for the camera of the old settings, or gave up, is to start on the new ones."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "state").write_text(f"{state}\n")
    assert units.running(tmp_path) == (units.CONTROLLER, *units.OTHERS)
    assert units.runs(units.CONTROLLER) is (state == "activating")
    assert tools.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_connection_that_is_lost_leaves_no_lock_without_its_controller(tools: Path, number: signal.Signals) -> None:
    """G2: whoever sets the door up over ssh and is cut off while a trial has the lines leaves a door that works."""
    before = signal.getsignal(number)
    with pytest.raises(SystemExit), units.running_again(UNITS):
        os.kill(os.getpid(), number)
    assert tools.read_text().splitlines()[-1] == f"systemctl start --no-block {' '.join(UNITS)}"
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("said", ["y", "n"])
def test_lines_are_taken_with_leave(tmp_path: Path, tools: Path, said: str) -> None:
    """G2: a running controller gives its lines up for a trial only where somebody says so; without, it goes on."""
    first = running(draft(tmp_path, '[door]\ndriver = "gpiochip"\nchip = "/dev/gpiochip99"\n'), *UNITS)
    with CliRunner().isolation(input=f"{said}\n"), contextlib.suppress(RefusedError, DoorError):
        TRIALS["find"](first, "inputs.rex")
    asked = tools.read_text().splitlines()
    assert asked[0] == "systemctl is-active ostiary-controller.service"
    assert asked[1:] == (["systemctl stop ostiary-controller.service"] if said == "y" else [])
