"""What is installed beside the program: units, boot fragment, example settings, broker."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from appliance import config
from appliance.broker_rights import rights
from appliance.broker_setup import ACL, CONF, Broker, access_list, configuration, whole_list
from appliance.contract import Role

ROOT = Path(__file__).parents[1]
FIRMWARE = ROOT / "firmware_config"
UNITS = sorted((ROOT / "systemd").glob("*.service"))


def test_the_example_settings_name_every_key_with_its_default() -> None:
    """The example appliance.toml is valid, holds every key there is, and changes nothing until it is edited."""
    example = FIRMWARE / "appliance.toml"
    assert tomllib.loads(example.read_text()) == config.Settings().model_dump()
    assert config.load(example) == config.Settings()


def test_the_boot_fragment_holds_the_default_pin_low() -> None:
    """G1: the firmware drives the default lock pin low before any kernel runs; a dead owner's line is let go."""
    lines = (FIRMWARE / "config.txt").read_text().splitlines()
    pin = config.Settings().door.relay_pin
    assert f"gpio={pin}=op,dl" in lines
    assert f"gpio={pin}=pd" in lines
    assert "dtparam=strict_gpiod" in lines


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_what_systemd_understands(unit: Path, tmp_path: Path) -> None:
    """Every line of a unit is known to systemd, and it rates the sandbox as safe: exposure at most 2.5 of 10."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here")
    # The program is not installed where tests run; all else is read as it is.
    copy = tmp_path / unit.name
    text = unit.read_text().replace("/opt/ostiary/.venv/bin/ostiary", "/bin/true")
    copy.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    verified = subprocess.run(
        [analyze, "verify", "--recursive-errors=no", copy], capture_output=True, text=True, check=False
    )
    assert unit.name not in verified.stderr, verified.stderr
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=25", copy], capture_output=True, text=True, check=False
    )
    assert rated.returncode == 0, rated.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_come_back_and_are_watched(unit: Path) -> None:
    """A service that dies is started again, one that hangs is killed, and systemd waits until it is ready."""
    lines = unit.read_text().splitlines()
    for line in (
        "Type=notify",
        "Restart=always",
        "WatchdogSignal=SIGKILL",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
    ):
        assert line in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)


def test_reader_and_controller_share_nothing_but_the_socket() -> None:
    """The reader cannot open the GPIO chips; the controller has no network, no camera and no database."""
    controller, reader = (
        (ROOT / "systemd" / f"ostiary-{name}.service").read_text() for name in ("controller", "reader")
    )
    assert re.findall(r"^DeviceAllow=(\S+)", controller, re.MULTILINE) == ["char-gpiochip"]
    assert "gpiochip" not in reader
    for line in ("PrivateNetwork=yes", "InaccessiblePaths=-/var/lib/ostiary", "RestrictAddressFamilies=AF_UNIX"):
        assert line in controller.splitlines()


def test_those_who_lock_after_the_controllers_death_are_not_killed_with_it() -> None:
    """G1: what is left of the unit when the controller dies is asked to end and not killed, while it still locks."""
    assert "KillMode=control-group" in (ROOT / "systemd" / "ostiary-controller.service").read_text().splitlines()


def test_users_of_the_units_exist() -> None:
    """Every user and group that a unit runs as is made by sysusers.d, and their folders by tmpfiles.d."""
    users = (ROOT / "systemd" / "sysusers.d" / "ostiary.conf").read_text()
    folders = (ROOT / "systemd" / "tmpfiles.d" / "ostiary.conf").read_text()
    made = set(re.findall(r"^[ug] (\S+)", users, re.MULTILINE))
    for unit in UNITS:
        assert set(re.findall(r"^(?:User|Group)=(\S+)", unit.read_text(), re.MULTILINE)) <= made
        for folder in re.findall(r"^(?:ReadWritePaths|WorkingDirectory)=(\S+)", unit.read_text(), re.MULTILINE):
            assert f"d {folder} " in folders


def test_the_brokers_example_is_what_setup_writes() -> None:
    """D2: the shipped configuration and access list are those of `ostiary broker setup` for the device as it comes.

    Where this fails, run that command with the clients below in the registry and `--at /etc/mosquitto/ostiary`.
    """
    settings = config.Settings()
    clients = {
        "recogniser": Role.RECOGNISER,
        "attendant": Role.OPERATOR,
        "desk": Role.ENROLLER,
        "watcher": Role.AUDITOR,
        "manager": Role.ADMIN,
    }
    granted = rights(settings.device.id, clients, settings.home_assistant.prefix)
    broker = Broker(settings.device.id, granted, "certificates", "localhost", 8883, Path("/etc/mosquitto/ostiary"))
    assert (FIRMWARE / "mosquitto" / CONF).read_text() == configuration(broker)
    assert (FIRMWARE / "mosquitto" / ACL).read_text() == whole_list({broker.device_id: access_list(broker)})
