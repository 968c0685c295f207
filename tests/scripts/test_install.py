"""`scripts/install`, into folders that stand for systems: every step is done for real but the fetching of packages."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.installing import removing, table
from scripts.installing.faults import InstallError
from scripts.installing.plan import Plan, carry_out
from scripts.installing.release import BASE, check_manifest
from scripts.installing.system import Device, detect

ROOT = Path(__file__).parents[2]
SYSTEMS = {
    "debian": ("debian", "12", ""),
    "raspberry-pi": ("debian", "13", "etc/rpi-issue"),
    "jetson": ("ubuntu", "22.04", "etc/nv_tegra_release"),
}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs, and only root can give files to others")


def system(folder: Path, kind: str = "debian") -> Path:
    """Return a folder that says it is such a system, and holds nothing else."""
    name, version, mark = SYSTEMS[kind]
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/os-release").write_text(f'ID={name}\nVERSION_ID="{version}"\nPRETTY_NAME="{name} {version}"\n')
    if mark:
        (folder / mark).write_text("\n")
    return folder


def tree(folder: Path, version: str = "0.1.0") -> Path:
    """Return a tree that is installed as the real one is, but has one small model and next to no program."""
    for part in ("systemd", "firmware_config", "scripts/installing"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "scripts/install", folder / "scripts/install")
    (folder / "appliance").mkdir()
    (folder / "appliance/__init__.py").write_text(f'__version__ = "{version}"\n')
    (folder / "models").mkdir()
    (folder / "models/small.tflite").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (folder / "models/manifest.toml").write_text(f'[[model]]\nfile = "small.tflite"\nsha256 = "{digest}"\n')
    return folder


def plan(source: Path, target: Path, *roles: str) -> Plan:
    """Return what installs this tree there, without packages."""
    return Plan(detect(target), source, None, roles, packages=False, now=False)


def install(source: Path, target: Path, *roles: str) -> tuple[list[str], list[str]]:
    """Install, and return the steps that were done and what was left as somebody had edited it."""
    said: list[str] = []
    one = plan(source, target, *roles)
    steps, left = one.everything()
    carry_out(steps, said.append, one.begin)
    return said, left


def contents(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return mode, owner, group and content of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kept = path.lstat()
        within = str(path.relative_to(folder))
        what = str(path.readlink()) if path.is_symlink() else path.read_bytes().hex() if path.is_file() else ""
        # systemd's own lock and backup files say nothing of what was installed.
        if not within.endswith(("-", ".lock")):
            found[within] = (kept.st_mode, kept.st_uid, kept.st_gid, hashlib.sha256(what.encode()).hexdigest())
    return found


def started(target: Path) -> set[str]:
    """Return the units that every boot starts."""
    return {path.name for path in (target / "etc/systemd/system").glob("*.wants/*")}


def command(*words: str, source: Path = ROOT, answer: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tree's installer as a user would."""
    program = source / "scripts/install"
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, input=answer)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Pi with everything of ours, all roles, installed from this very tree."""
    target = system(tmp_path_factory.mktemp("pi"), "raspberry-pi")
    (target / "boot/firmware").mkdir(parents=True)
    (target / "boot/firmware/config.txt").write_text("arm_64bit=1\n[pi4]\narm_boost=1")
    done = command("--root", str(target), "--no-packages", *(word for role in table.ROLES for word in ("--role", role)))
    assert done.returncode == 0, done.stderr
    return target


@as_root
def test_a_dry_run_says_every_step_and_changes_nothing(tmp_path: Path) -> None:
    """What `--dry-run` prints is what then is done, one line a step; the system is afterwards as it was before."""
    target = system(tmp_path / "pi", "raspberry-pi")
    source, before = tree(tmp_path / "tree"), contents(target)
    foretold = command("--root", str(target), "--no-packages", "--dry-run", source=source).stdout.splitlines()
    assert contents(target) == before
    done = command("--root", str(target), "--no-packages", source=source).stdout.splitlines()
    would = [line.removeprefix("would: ") for line in foretold if line.startswith("would: ")]
    assert len(would) > 15
    assert would == [line.removeprefix("install: ") for line in done if "next:" not in line][:-1]


@as_root
def test_everything_lies_where_the_list_says(door: Path) -> None:
    """Each file has the content, mode and group of the list and is root's; its units start at every boot."""
    device = detect(door)
    for file in table.read(ROOT).meant_for("raspberry-pi", table.ROLES).files:
        path = door / file.target.relative_to("/")
        found = path.stat()
        assert path.read_bytes() == (ROOT / file.source).read_bytes()
        if "boot" not in path.parts:
            assert stat.S_IMODE(found.st_mode) == file.mode, path
        assert (found.st_uid, found.st_gid) == (0, device.number_of("group", file.group)), path
        if file.enable:
            assert file.target.name in started(door), file.target
    fragments = "[all]\ninclude ostiary.txt\ninclude ostiary-kiosk.txt\n"  # of one board alone, they would not hold
    assert (door / "boot/firmware/config.txt").read_text() == f"arm_64bit=1\n[pi4]\narm_boost=1\n{fragments}"
    assert (door / "var/lib/ostiary").stat().st_uid == device.number_of("passwd", "ostiary-reader")


@as_root
def test_no_service_can_write_to_the_program(door: Path) -> None:
    """What runs is root's, and nobody else may write to it: a reader that was taken over stays so until it restarts."""
    base = door / BASE.removeprefix("/")
    assert (base / "current").readlink() == Path("releases/0.1.0")
    assert (base / "current/appliance/cli.py").is_file()
    assert not (base / "current/tests").exists()
    for path in [base, *base.rglob("*")]:
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0)
        assert path.is_symlink() or not found.st_mode & 0o022, path


@as_root
def test_a_second_run_does_nothing(door: Path) -> None:
    """Installing what is installed changes not one byte, and says so."""
    before = contents(door)
    again = command("--root", str(door), "--no-packages")
    assert (again.returncode, again.stdout) == (0, "install: nothing to do\n")
    assert contents(door) == before


@as_root
@pytest.mark.parametrize("kind", SYSTEMS)
def test_each_system_gets_what_is_meant_for_it(kind: str, tmp_path: Path) -> None:
    """A Pi gets its boot fragment and nobody else does; without a word about roles, a machine is a door."""
    target = system(tmp_path / "system", kind)
    assert detect(target).kind == kind
    install(tree(tmp_path / "tree"), target)
    assert (target / "boot/firmware/ostiary.txt").exists() == (kind == "raspberry-pi")
    assert (target / "etc/systemd/system/ostiary-reader.service").exists()
    assert not (target / "etc/systemd/system/ostiary-kiosk.service").exists()


@as_root
def test_what_the_owner_has_edited_is_left(tmp_path: Path) -> None:
    """Settings are written once; a unit that was edited here is left, and the line says where a change belongs."""
    target = system(tmp_path / "system")
    install(tree(tmp_path / "old"), target)
    settings, unit = target / "etc/ostiary/appliance.toml", target / "etc/systemd/system/ostiary-reader.service"
    settings.write_text("# mine\n")
    unit.write_text(unit.read_text() + "# mine\n")
    newer = tree(tmp_path / "new", "0.2.0")
    for path in (
        "firmware_config/appliance.toml",
        "systemd/ostiary-reader.service",
        "systemd/ostiary-controller.service",
    ):
        with (newer / path).open("a") as file:
            file.write("# newer\n")
    _, left = install(newer, target)
    assert settings.read_text() == "# mine\n"
    assert unit.read_text().endswith("# mine\n")
    assert (target / "etc/systemd/system/ostiary-controller.service").read_text().endswith("# newer\n")
    assert len(left) == 1
    assert "/etc/systemd/system/ostiary-reader.service.d/" in left[0]


@as_root
def test_a_link_that_a_service_left_leads_nowhere(tmp_path: Path) -> None:
    """E4: the reader's user may write to /etc/ostiary; no link it leaves there has root write to another file."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system")
    install(source, target)
    settings, other = target / "etc/ostiary/appliance.toml", tmp_path / "shadow"
    other.write_text("root's alone")
    other.chmod(0o600)
    settings.unlink()
    settings.with_name(".appliance.toml.part").symlink_to(other)
    install(source, target)
    assert (other.read_text(), stat.S_IMODE(other.stat().st_mode)) == ("root's alone", 0o600)
    assert settings.read_bytes() == (source / "firmware_config/appliance.toml").read_bytes()


@as_root
def test_a_file_of_the_systems_may_hold_any_bytes(tmp_path: Path) -> None:
    """A name in Latin-1 in passwd or in the Pi's config.txt stays, and hinders neither installing nor removing."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system", "raspberry-pi")
    config = target / "boot/firmware/config.txt"
    config.parent.mkdir(parents=True)
    config.write_bytes(b"# T\xfcr\n")
    (target / "etc/passwd").write_bytes(b"eva:x:1000:1000:Eva M\xfcller:/home/eva:/bin/sh\n")
    words = ["--root", str(target), "--no-packages"]
    assert command(*words, source=source).returncode == 0
    assert command(*words, source=source).stdout == "install: nothing to do\n"
    assert config.read_bytes() == b"# T\xfcr\n[all]\ninclude ostiary.txt\n"
    assert (target / "etc/passwd").read_bytes().startswith(b"eva:x:1000:1000:Eva M\xfcller:")
    assert command("--root", str(target), "--uninstall", source=source).returncode == 0
    assert config.read_bytes() == b"# T\xfcr\n[all]\n"


@as_root
def test_only_the_firmwares_files_have_no_mode(tmp_path: Path) -> None:
    """FAT knows no modes, and what is on it is left so; an image in a folder named boot has modes all the same."""
    target = system(tmp_path / "boot")
    install(tree(tmp_path / "tree"), target)
    assert stat.S_IMODE((target / "usr/local/bin/ostiary").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "etc/ostiary/appliance.toml").stat().st_mode) == 0o640


@as_root
def test_a_disk_that_fails_at_any_step_is_told_in_one_line(tmp_path: Path) -> None:
    """F5: a file that cannot be removed is named with the reason, and the installer ends with 1, not with a trace."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system")
    install(source, target)
    gone = target / "etc/sysctl.d/60-ostiary.conf"
    gone.unlink()
    gone.mkdir()  # as a read-only disk does, it fails where a file is to go
    done = command("--root", str(target), "--uninstall", source=source)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"install: {gone}: ")
    gone.rmdir()
    assert command("--root", str(target), "--uninstall", source=source).returncode == 0


@as_root
def test_one_installer_at_a_time(tmp_path: Path) -> None:
    """Of two that work on one system, the second is refused; what only tells may be asked for meanwhile."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system")
    words = ["--root", str(target), "--no-packages"]
    with detect(target).alone():
        refused = command(*words, source=source)
        assert command(*words, "--dry-run", source=source).returncode == 0
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "another installer is at work" in refused.stderr
    assert command(*words, source=source).returncode == 0


STAND_IN = '#!/bin/sh\necho "$(basename "$0")" "$@" >> "$(dirname "$0")/asked"\n'


class Running(Device):
    """A system in a folder, whose systemd is a stand-in that notes what it is asked."""

    @property
    def running(self) -> bool:
        """Say that it runs."""
        return True


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Return a system that runs; what is asked of its systemd is noted in the file `asked` beside it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("systemctl", "udevadm"):
        (programs / name).write_text(STAND_IN)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    found = detect(system(tmp_path / "system"))
    return Running(found.root, found.kind, found.name)


def asked_of(device: Device) -> list[str]:
    """Return what systemd was asked since the last time."""
    notes = device.root.parent / "programs/asked"
    lines = notes.read_text().splitlines()
    notes.unlink()
    return lines


def asked_by(device: Device, source: Path, *, now: bool = False) -> list[str]:
    """Install a tree and return what systemd was asked."""
    one = Plan(device, source, None, (), packages=False, now=now)
    carry_out(one.everything()[0], lambda _line: None, one.begin)
    return asked_of(device)


@as_root
@pytest.mark.parametrize("udev", [True, False])
def test_udev_is_asked_where_it_runs(running: Running, tmp_path: Path, *, udev: bool) -> None:
    """A container has a systemd and no udev: installing does not end there; on a machine the rules hold at once."""
    if udev:
        (running.root / "run/udev").mkdir(parents=True)
        (running.root / "run/udev/control").touch()
    assert ("udevadm trigger" in asked_by(running, tree(tmp_path / "tree"))) is udev


def started_by(device: Device, source: Path) -> list[str]:
    """Install a tree and return what systemd was asked to start."""
    return [unit for line in asked_by(device, source) if " --no-block start " in line for unit in line.split()[3:]]


@as_root
def test_services_start_once_the_door_is_set_up(running: Running, tmp_path: Path) -> None:
    """No reader starts on settings that come with a release, be it an older one; it does on the owner's."""
    source, newer = tree(tmp_path / "tree"), tree(tmp_path / "newer", "0.2.0")
    with (newer / "firmware_config/appliance.toml").open("a") as file:
        file.write("# another default\n")
    assert started_by(running, source) == []
    assert started_by(running, newer) == []
    (running.root / "etc/ostiary/appliance.toml").write_text("# mine\n")
    newest = tree(tmp_path / "newest", "0.3.0")
    assert "ostiary-reader.service" in started_by(running, newest)


@as_root
def test_installing_starts_no_second_watch_of_an_update(running: Running, tmp_path: Path) -> None:
    """I5: an update's trial calls the installer; that leaves alone the unit that watches a trial at boot."""
    lines = asked_by(running, tree(tmp_path / "tree"), now=True)
    assert any(" enable ostiary-update-check.service" in line for line in lines)
    assert not [line for line in lines if "ostiary-update-check" in line and " enable " not in line]


@as_root
def test_a_unit_whose_file_is_gone_does_not_hinder_uninstall(running: Running, tmp_path: Path) -> None:
    """Units are stopped by a pattern: systemd fails where it is named one that it does not know."""
    install(tree(tmp_path / "tree"), running.root)
    (running.root / "etc/systemd/system/ostiary-web.service").unlink()
    carry_out(removing.steps(running, purge=False), lambda _line: None)
    stops = [line for line in asked_of(running) if line.startswith("systemctl stop")]
    assert stops == ["systemctl stop ostiary-*"]
    assert not (running.root / "opt/ostiary").exists()


@as_root
def test_a_unit_that_the_owner_disabled_stays_so(tmp_path: Path) -> None:
    """Each unit is enabled once: another install does not undo what its owner has decided since."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system")
    install(source, target)
    others = started(target) - {"ostiary-controller.service"}
    assert others != started(target)
    subprocess.run(["systemctl", f"--root={target}", "--quiet", "disable", "ostiary-controller.service"], check=True)
    said, _ = install(source, target)
    assert said == []
    assert started(target) == others


@as_root
def test_a_newer_release_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The new release runs, the old one stays beside it, roles are remembered, and a file that it dropped is gone."""
    target = system(tmp_path / "system")
    install(tree(tmp_path / "old"), target, "broker")
    newer = tree(tmp_path / "new", "0.2.0")
    listed = newer / table.NAME
    listed.write_text(listed.read_text().replace("/usr/local/bin/ostiary", "/usr/local/bin/ostiary2"))
    install(newer, target)
    assert (target / "opt/ostiary/current").readlink() == Path("releases/0.2.0")
    assert (target / "opt/ostiary/releases/0.1.0/appliance").is_dir()
    assert json.loads((target / "opt/ostiary/installed.json").read_text())["roles"] == ["broker"]
    assert [path.name for path in (target / "usr/local/bin").iterdir()] == ["ostiary2"]


@as_root
def test_a_power_cut_at_any_step_is_mended_by_a_second_run(tmp_path: Path) -> None:
    """I4: wherever installing breaks off, what runs is a whole release or none, and a second run ends as the first."""
    source, whole, target = tree(tmp_path / "tree"), system(tmp_path / "whole"), system(tmp_path / "cut")
    install(source, whole)
    cuts = 0
    while True:
        one = plan(source, target)
        steps, _ = one.everything()
        left = [step for step in steps if step.needed()]
        if not left:
            break
        # A release is begun anew until it is whole, so it is cut off after one of its steps, two, and three.
        carry_out(left[: 1 + cuts if "release 0.1.0" in left[0].words else 1], lambda _line: None, one.begin)
        current = target / "opt/ostiary/current"
        assert not current.is_symlink() or (current / "release.json").is_file()
        cuts += 1
    assert cuts > 15
    assert contents(target) == contents(whole)


@as_root
def test_being_killed_is_mended_by_a_second_run(tmp_path: Path) -> None:
    """I4: killed in the middle of a step, wherever it was, the installer finishes when it is called again."""
    source, target = tree(tmp_path / "tree"), system(tmp_path / "system")
    words = ["--root", str(target), "--no-packages"]
    for after_s in (0.15, 0.3):
        running = subprocess.Popen(
            [source / "scripts/install", *words], stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(after_s)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert command(*words, source=source).returncode == 0
    assert command(*words, source=source).stdout == "install: nothing to do\n"
    assert not [path for path in target.rglob(".*") if path.name.endswith((".part", ".new"))]


@as_root
def test_a_damaged_model_is_not_installed(tmp_path: Path) -> None:
    """I1, F3: a model that is not the manifest's stops the installer; the release before goes on, no half is left."""
    target = system(tmp_path / "system")
    install(tree(tmp_path / "old"), target)
    newer = tree(tmp_path / "new", "0.2.0")
    (newer / "models/small.tflite").write_bytes(b"weightS")
    with pytest.raises(InstallError, match=r"small\.tflite is missing or damaged"):
        install(newer, target)
    assert [path.name for path in (target / "opt/ostiary/releases").iterdir()] == ["0.1.0"]
    assert (target / "opt/ostiary/current").readlink() == Path("releases/0.1.0")


def test_a_bundle_that_was_cut_off_is_not_installed(tmp_path: Path) -> None:
    """I4: each file of an unpacked bundle is the one that was packed, or nothing is installed from it."""
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"a": hashlib.sha256(b"a").hexdigest()}}))
    with pytest.raises(InstallError, match="is not as it was packed"):
        check_manifest(tmp_path)
    (tmp_path / "a").write_bytes(b"b")
    with pytest.raises(InstallError, match="is not as it was packed"):
        check_manifest(tmp_path)
    (tmp_path / "a").write_bytes(b"a")
    check_manifest(tmp_path)
    (tmp_path / "appliance").mkdir()
    (tmp_path / "appliance/old.py").write_bytes(b"of another bundle, unpacked here before")
    with pytest.raises(InstallError, match=r"old\.py was not packed"):
        check_manifest(tmp_path)


@pytest.fixture
def lived_in(tmp_path: Path) -> Path:
    """Return a system with a door on it that has state and a backup."""
    target = system(tmp_path / "system", "raspberry-pi")
    (target / "boot/firmware").mkdir(parents=True)
    (target / "boot/firmware/config.txt").write_text("arm_64bit=1\n")
    install(tree(tmp_path / "tree"), target)
    (target / "var/lib/ostiary/gallery.db").write_text("people")
    return target


@as_root
def test_uninstall_leaves_what_the_door_remembers(lived_in: Path) -> None:
    """Program, units and lines go; people, settings and backups stay, and a file that was edited as well."""
    (lived_in / "etc/udev/rules.d/60-ostiary.rules").write_text("# mine\n")
    assert command("--root", str(lived_in), "--uninstall").returncode == 0
    assert not (lived_in / "opt/ostiary").exists()
    assert not list((lived_in / "etc/systemd").rglob("ostiary*"))
    assert (lived_in / "boot/firmware/config.txt").read_text() == "arm_64bit=1\n[all]\n"
    assert (lived_in / "var/lib/ostiary/gallery.db").read_text() == "people"
    assert (lived_in / "etc/ostiary/appliance.toml").exists()
    assert (lived_in / "etc/udev/rules.d/60-ostiary.rules").read_text() == "# mine\n"
    assert command("--root", str(lived_in), "--uninstall").stdout.splitlines()[-1] == "install: nothing to do"


@as_root
def test_purge_asks_first(lived_in: Path) -> None:
    """Only a plain yes removes people and settings; then nothing of ours is left, and no user."""
    before = contents(lived_in)
    refused = command("--root", str(lived_in), "--uninstall", "--purge", answer="y\n")
    assert (refused.returncode, refused.stderr) == (1, "install: nothing was removed\n")
    assert contents(lived_in) == before
    assert command("--root", str(lived_in), "--uninstall", "--purge", answer="yes\n").returncode == 0
    assert removing.kept(detect(lived_in)) == []
    assert "ostiary" not in (lived_in / "etc/passwd").read_text() + (lived_in / "etc/group").read_text()
    assert not [path for path in lived_in.rglob("*ostiary*") if "home" not in path.parts]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--role", "window"], "invalid choice: 'window'"),
        (["--root", "/nowhere/at/all"], "--root /nowhere/at/all is no folder"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--uninstall", "--role", "door"], "--uninstall goes with --purge, --dry-run and --root alone"),
        (["--uninstall", "--no-packages"], "--uninstall goes with --purge, --dry-run and --root alone"),
        (["--root", "SYSTEM", "--wheels", "/nowhere/at/all"], "--wheels /nowhere/at/all is no folder"),
        (["somewhere"], "unrecognized arguments: somewhere"),
        (["--root"], "argument --root: expected one argument"),
    ],
)
@as_root
def test_wrong_words_are_named(words: list[str], said: str, tmp_path: Path) -> None:
    """A mistake on the command line is said in one line, changes nothing, and ends with 2."""
    target = system(tmp_path / "system")
    done = command(*(str(target) if word == "SYSTEM" else word for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in target.rglob("*")) == ["etc", "os-release"]


@pytest.mark.parametrize(
    "release",
    [
        'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42"\n',
        'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n',
        'ID=raspbian\nVERSION_ID="12"\nPRETTY_NAME="Raspbian GNU/Linux 12 (bookworm)"\n',
        'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "",
    ],
)
def test_another_system_is_refused(release: str, tmp_path: Path) -> None:
    """Whatever nothing was made for, 32 bits and a plain Ubuntu too, is told what is needed; nothing is written."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(release)
    done = command("--root", str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Raspberry Pi OS or Debian 12 or 13 (64 bit)" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["etc", "os-release"]


@as_root
def test_nobody_but_root_installs(tmp_path: Path) -> None:
    """Called by another user, the installer says how it is called, and ends with 2."""
    target = system(tmp_path / "system")
    words = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        sys.executable,
        "-m",
        "scripts.installing",
        "--root",
        str(target),
    ]
    open_to_all = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    for folder in (target, *target.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):  # noqa: S108 - pytest's folders are closed to others
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=open_to_all)
    assert (done.returncode, done.stderr) == (2, "install: only root may install: sudo scripts/install\n")
