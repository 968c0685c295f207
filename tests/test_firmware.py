"""What is installed beside the program: units, boot fragment, example settings, broker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance import config
from appliance.access import rules
from appliance.broker_rights import rights
from appliance.broker_setup import ACL, CONF, Broker, access_list, configuration, whole_list
from appliance.contract import Role
from appliance.setup.doubts import doubts

ROOT = Path(__file__).parents[1]
FIRMWARE = ROOT / "firmware_config"
DOORS = FIRMWARE / "doors"
UNITS = sorted((ROOT / "systemd").glob("*.service"))
SERVED = ("ostiary-controller.service", "ostiary-reader.service", "ostiary-web.service")
AS_ROOT = "ostiary-update-check.service"  # it installs


def text_of(unit: str) -> str:
    """Return a unit as it is shipped."""
    return (ROOT / "systemd" / unit).read_text()


def value(unit: str, key: str) -> str:
    """Return what the one line of this key says in a unit."""
    (found,) = re.findall(rf"^{key}=(.*)$", text_of(unit), re.MULTILINE)
    return str(found)


def installed(program: str) -> str:
    """Return where a program is that scripts/test sees to; a test without it would show nothing."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found is not None, f"{program} is not installed: scripts/test does so"
    return found


def test_no_rules_of_access_are_installed() -> None:
    """C14: a new device has no rules of somebody else: those of the example would unlock `front` in office hours."""
    installed = tomllib.loads((FIRMWARE / "installed.toml").read_text())
    assert [entry["to"] for entry in installed["file"] if entry["to"].endswith("access.toml")] == []


def test_the_example_settings_name_every_key_with_its_default() -> None:
    """The example appliance.toml is valid, holds every key there is, and changes nothing until it is edited."""
    example = FIRMWARE / "appliance.toml"
    assert tomllib.loads(example.read_text()) == config.Settings().model_dump()
    assert config.load(example) == config.Settings()


@pytest.mark.parametrize(
    "settings", sorted(DOORS.rglob("appliance.toml")), ids=lambda path: str(path.relative_to(DOORS))
)
def test_the_doors_settings_can_be_used(settings: Path) -> None:
    """Each example of a door is understood, its rules too; its lines are where the boot fragment keeps them low.

    Its page says every line that it uses.
    """
    read = config.load(settings)
    if (rules_beside := settings.with_name("access.toml")).exists():
        understood = rules.parse(rules_beside.read_text(), rules_beside.name)
        assert all(read.device.door in group.doors or "*" in group.doors for group in understood.groups.values())
    pages = [folder / "README.md" for folder in (settings.parent, settings.parent.parent)]
    page = next(path for path in pages if path.exists()).read_text()
    inputs = [line for line in read.inputs.model_dump().values() if isinstance(line, str) and line]
    outputs = [pin for pin in read.outputs.model_dump().values() if isinstance(pin, int) and pin]
    if read.door.driver != "simulated":
        for number in (read.door.relay_pin, *outputs, *(int(line.split()[0]) for line in inputs)):
            assert re.search(rf"\b{number}\b", page), number
    if read.door.driver == "gpio":
        assert {read.door.relay_pin, *outputs} <= kept_low()


@pytest.mark.parametrize(
    "settings", sorted(DOORS.rglob("appliance.toml")), ids=lambda path: str(path.relative_to(DOORS))
)
def test_the_doors_settings_are_meant(settings: Path) -> None:
    """G8, G7: no example is wired as few mean it: whoever leaves is no break-in, and a cut fire wire releases."""
    assert doubts(config.load(settings)) == ()


def kept_low() -> set[int]:
    """Return the pins that the boot fragment drives low and pulls down."""
    lines = (FIRMWARE / "config.txt").read_text()
    kinds = [re.findall(rf"^gpio=([\d,]+)={kind}$", lines, re.MULTILINE) for kind in ("op,dl", "pd")]
    driven, pulled = ({int(pin) for line in kind for pin in line.split(",")} for kind in kinds)
    return driven & pulled


def test_the_two_leaves_of_a_mantrap_hold_each_other_shut() -> None:
    """The interlock is wiring, and each leaf's second relay is there for it: closed while its leaf may be open."""
    for leaf in ("outer", "inner"):
        read = config.load(DOORS / "mantrap-pair" / leaf / "appliance.toml")
        assert read.outputs.aux
        assert read.outputs.aux_follows == "shunt"
        assert read.inputs.bond


def test_the_boot_fragment_holds_the_default_pin_low() -> None:
    """G1: the firmware drives the default lock pin low before any kernel runs; a dead owner's line is let go."""
    lines = (FIRMWARE / "config.txt").read_text().splitlines()
    pin = config.Settings().door.relay_pin
    assert f"gpio={pin}=op,dl" in lines
    assert f"gpio={pin}=pd" in lines
    assert "dtparam=strict_gpiod" in lines


def test_the_boot_fragment_finds_any_camera() -> None:
    """A1: no module is named: another one, or one on a Pi 5's other connector, would not be there after the install."""
    lines = (FIRMWARE / "config.txt").read_text().splitlines()
    assert "camera_auto_detect=1" in lines
    assert [line for line in lines if line.startswith("dtoverlay=imx")] == []


def test_units_are_what_systemd_understands(tmp_path: Path) -> None:
    """Every line of every unit and timer is known to systemd, and what one unit names in another is there."""
    programs = {"/opt/ostiary/current/.venv/bin/ostiary", "/usr/bin/cage"}
    copies = []
    for unit in [*UNITS, *(ROOT / "systemd").glob("*.timer")]:
        text = re.sub(r"^Documentation=.*\n", "", unit.read_text(), flags=re.MULTILINE)
        for program in programs:  # which are not installed where tests run
            text = text.replace(program, "/bin/true")
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(text)
    verified = subprocess.run(
        [installed("systemd-analyze"), "verify", "--man=no", *copies], capture_output=True, text=True, check=False
    )
    assert [line for line in verified.stderr.splitlines() if "ostiary" in line] == []


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.name != AS_ROOT], ids=lambda unit: unit.name)
def test_what_a_unit_is_exposed_to(unit: Path) -> None:
    """The sandbox, as systemd rates it: the controller at most 1.5 of 10, the reader's 2.0, and no other above 2.5."""
    most = {"ostiary-controller.service": 15, "ostiary-reader.service": 20}.get(unit.name, 25)
    rated = subprocess.run(
        [installed("systemd-analyze"), "security", "--offline=true", f"--threshold={most}", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout


@pytest.mark.parametrize("unit", SERVED)
def test_units_come_back_and_are_watched(unit: str) -> None:
    """A service that dies is started again, one that hangs is killed, and systemd waits until it is ready."""
    lines = text_of(unit).splitlines()
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "Restart=always",
        "WatchdogSignal=SIGKILL",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=yes",
    ):
        assert line in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)


@pytest.mark.parametrize("unit", SERVED)
def test_who_fails_again_and_again_is_told_of_once_and_tried_later(unit: str) -> None:
    """H11: after ten starts in two minutes a service rests, one line says so, and it is started again by itself.

    The next try is outside of the limit's time, and the alert is silent for longer than that try takes.
    """
    told, again = "ostiary-alert@.service", "ostiary-again@.timer"
    assert value(unit, "OnFailure") == "ostiary-alert@%N.service ostiary-again@%N.timer"
    assert int(value(unit, "StartLimitBurst")) * int(value(unit, "RestartSec")) < int(
        value(unit, "StartLimitIntervalSec")
    )
    assert int(value(again, "OnActiveSec")) > int(value(unit, "StartLimitIntervalSec"))
    assert value(again, "RemainAfterElapse") == "no"  # or a second failure would not start it anew
    assert value("ostiary-again@.service", "ExecStart").endswith(" start %i.service")
    assert value(told, "ExecStart") == "/usr/bin/sleep 6h"


def test_the_web_reaches_neither_lock_nor_camera_nor_memory() -> None:
    """The web's unit has no device, no way to the lock's socket, and the kernel shows it no memory of the reader."""
    lines = text_of("ostiary-web.service").splitlines()
    assert "PrivateDevices=yes" in lines
    assert not any(line.startswith("DeviceAllow") for line in lines)
    assert "/run/ostiary" in value("ostiary-web.service", "InaccessiblePaths")
    assert "kernel.yama.ptrace_scope = 2" in (FIRMWARE / "sysctl" / "60-ostiary.conf").read_text().splitlines()


def test_no_page_waits_for_a_camera() -> None:
    """A1: the web starts beside a reader that withholds READY until its camera is there, not after it."""
    assert value("ostiary-web.service", "After") == "network.target"


def test_the_browser_may_read_nothing_and_reach_this_machine_alone() -> None:
    """The kiosk's browser is a user of its own: no state, no settings, no socket of the lock, no other machine."""
    unit = "ostiary-kiosk.service"
    hidden = value(unit, "InaccessiblePaths")
    for folder in ("/var/lib/ostiary", "/var/lib/ostiary-controller", "/run/ostiary", "/etc/ostiary"):
        assert f"-{folder}" in hidden.split()
    assert (value(unit, "IPAddressDeny"), value(unit, "IPAddressAllow")) == ("any", "localhost")
    assert "ostiary" not in {value(unit, "Group"), *value(unit, "SupplementaryGroups").split()}
    policy = json.loads((FIRMWARE / "kiosk" / "policy.json").read_text())
    assert policy["URLBlocklist"] == ["*"]
    start = value("ostiary-kiosk-start.service", "ExecStart").split()[3]
    assert value(unit, "ExecStart").split()[-1] == start
    here = [f"[{host}]" if ":" in host else host for host in config.LOOPBACK]  # whichever of them web.host names
    screens = {f"{scheme}://{host}/kiosk" for scheme in ("http", "https") for host in here}
    assert set(policy["URLAllowlist"]) == {f"file://{start}/start.html"} | screens


def test_screen_comes_by_itself_when_the_web_was_late() -> None:
    """G2: a start page that could not be made stops no later try, and the one before, which is spent, is gone by then.

    systemd never tries a unit again whose required unit has failed.
    """
    screen, start = text_of("ostiary-kiosk.service"), "ostiary-kiosk-start.service"
    assert not re.search(r"^(Requires|BindsTo|Requisite)=", screen, re.MULTILINE)
    assert f"Wants={start}" in screen.splitlines()
    assert any(start in line for line in screen.splitlines() if line.startswith("After="))
    assert value("ostiary-kiosk.service", "Restart") == "always"
    for name in ("start.html", "pin"):
        assert f"/run/ostiary-kiosk-start/{name}" in value(start, "ExecStartPre").split()


def test_reader_and_controller_share_nothing_but_the_socket() -> None:
    """The reader cannot open the GPIO chips; the controller has no network, no camera and no database."""
    controller, reader = (
        (ROOT / "systemd" / f"ostiary-{name}.service").read_text() for name in ("controller", "reader")
    )
    assert re.findall(r"^DeviceAllow=(\S+)", controller, re.MULTILINE) == ["char-gpiochip"]
    assert "gpiochip" not in reader
    for line in ("PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"):
        assert line in controller.splitlines()
    assert "-/var/lib/ostiary" in value("ostiary-controller.service", "InaccessiblePaths").split()


def test_those_who_lock_after_the_controllers_death_are_not_killed_with_it() -> None:
    """G1: what is left of the unit when the controller dies is asked to end and not killed, while it still locks."""
    assert "KillMode=control-group" in (ROOT / "systemd" / "ostiary-controller.service").read_text().splitlines()


def test_users_of_the_units_exist() -> None:
    """Every user and group that a unit runs as is made by sysusers.d, and their folders by tmpfiles.d or the unit."""
    users = (ROOT / "systemd" / "sysusers.d" / "ostiary.conf").read_text()
    folders = (ROOT / "systemd" / "tmpfiles.d" / "ostiary.conf").read_text()
    made = set(re.findall(r"^[ug] (\S+)", users, re.MULTILINE))
    for unit in UNITS:
        text = unit.read_text()
        assert set(re.findall(r"^(?:User|Group)=(\S+)", text, re.MULTILINE)) <= made
        own = set(re.findall(r"^RuntimeDirectory=(\S+)", text, re.MULTILINE))
        for line in re.findall(r"^(?:ReadWritePaths|WorkingDirectory)=(.+)", text, re.MULTILINE):
            for folder in line.split():
                assert f"d {folder} " in folders or folder.removeprefix("/run/") in own


def test_the_page_of_settings_can_save_and_the_controller_can_read() -> None:
    """The settings' folder is the web's user's, for a file is put in the place of another; the group may read it."""
    folders = (ROOT / "systemd" / "tmpfiles.d" / "ostiary.conf").read_text()
    assert re.search(r"^d /etc/ostiary +0750 ostiary-reader +ostiary ", folders, re.MULTILINE)
    assert value("ostiary-web.service", "User") == "ostiary-reader"
    assert value("ostiary-web.service", "Group") == value("ostiary-controller.service", "Group") == "ostiary"
    assert "ReadWritePaths=/etc/ostiary" in text_of("ostiary-web.service").splitlines()
    assert "/etc/ostiary" not in value("ostiary-controller.service", "ReadWritePaths")


def test_under_a_read_only_root_all_that_units_write_is_kept() -> None:
    """F14: whatever a unit may write outlives a boot whose root is read-only, but for what belongs to one boot."""
    kept = set()
    for line in (FIRMWARE / "read-only-root" / "fstab").read_text().splitlines():
        if line.startswith("/var/ostiary/"):
            kept.add(line.split()[1])
    written = set()
    for unit in UNITS:
        written |= {f"/var/lib/{one}" for one in re.findall(r"^StateDirectory=(\S+)", unit.read_text(), re.MULTILINE)}
        for line in re.findall(r"^ReadWritePaths=(.+)", unit.read_text(), re.MULTILINE):
            written |= {folder for folder in line.split() if not folder.startswith("/run/")}
    assert len(written) >= 5
    assert written <= kept


def test_every_unit_is_explained() -> None:
    """The page of the units names each of them."""
    page = (ROOT / "docs" / "systemd.md").read_text()
    for unit in UNITS:
        name = unit.stem
        assert f"`{name}`" in page or f"`-{name.rpartition('ostiary-')[2]}`" in page, name


def test_the_firewall_lets_in_what_is_served_and_nothing_else() -> None:
    """I6: the kernel takes the rules, again and again; what is not named is dropped; the ports are the settings'."""
    rules = FIRMWARE / "nftables" / "ostiary-firewall.nft"
    nft = installed("nft")
    twice = f"{nft} -f {rules} && {nft} -f {rules} && {nft} --json list table inet ostiary"
    loaded = subprocess.run(  # in a network of its own, where nobody is shut out
        ["unshare", "--map-root-user", "--net", "sh", "-c", twice], capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    found = [one for one in json.loads(loaded.stdout)["nftables"] if "metainfo" not in one]
    policies = {one["chain"]["name"]: one["chain"].get("policy") for one in found if "chain" in one}
    assert policies == {"input": "drop", "forward": "drop", "house": None}
    open_to_the_house = {port for one in found for port in tcp_ports(one)}
    broker = re.search(r"^listener (\d+)$", (FIRMWARE / "mosquitto" / CONF).read_text(), re.MULTILINE)
    assert broker is not None
    assert open_to_the_house == {22, config.Settings().web.port, int(broker[1])}
    assert config.Settings().metrics.host == "127.0.0.1"  # which has no password, and no port here


def tcp_ports(entry: dict[str, Any]) -> list[int]:
    """Return the TCP ports that a rule of nft's JSON matches."""
    ports: list[int] = []
    for part in entry.get("rule", {}).get("expr", []):
        match = part.get("match", {})
        if match.get("left") == {"payload": {"protocol": "tcp", "field": "dport"}}:
            right = match["right"]
            ports += right["set"] if isinstance(right, dict) else [right]
    return ports


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
