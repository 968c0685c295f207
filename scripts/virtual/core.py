"""The core's tests inside the root of another processor, one program at a time under qemu-user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import click

from .roots import ROOT, downloaded, made_root, platform_of, run, tree_at

if TYPE_CHECKING:
    from pathlib import Path

    from .roots import Arch

# Models and pipeline, controller, gallery, and what holds the drivers to their contracts: the shortest first. Not those
# that draw films for the cues over time: they take hours, emulated.
TESTS = (
    "tests/pipeline/test_alignment.py",
    "tests/pipeline/test_detection.py",
    "tests/pipeline/test_embedding.py",
    "tests/pipeline/test_liveness.py",
    "tests/pipeline/test_matching.py",
    "tests/test_manifest.py",
    "tests/test_fixed_point.py",
    "tests/models",
    "tests/drivers/test_tflite.py",
    "tests/drivers/test_faiss_index.py",
    "tests/pipeline/test_policy.py",
    "tests/pipeline/test_presentation.py",
    "tests/people/test_gallery.py",
    "tests/people/test_protection.py",
    "tests/people/test_keyring.py",
    "tests/door/test_machine.py",
    "tests/door/test_latches.py",
    "tests/door/test_protocol.py",
    "tests/door/test_debounce.py",
    "tests/door/test_controller.py",
    "tests/door/test_guardian.py",
    "tests/contracts",
    "tests/people/test_calibration.py",
    "tests/pipeline/test_quality.py",
    "tests/pipeline/test_step.py",
    "tests/pipeline/test_following.py",
    "tests/pipeline/test_attended.py",
    "tests/drivers/test_simulated_door.py",
    "tests/test_audit.py",
)
# Left out by name, and why.
LEFT_OUT = {
    "tests/pipeline/test_detection.py::test_forty_faces_cost_no_more_than_a_group": "holds a time, 0.1 s",
    "tests/pipeline/test_detection.py::test_every_anchor_firing_is_still_bounded": "holds a time, 0.2 s",
    "tests/door/test_controller.py::test_a_reader_that_hangs_loses_the_lock_after_a_second": "holds a time, 0.1 s",
    "tests/door/test_controller.py::test_storm_is_one_pulse": "holds a time, 0.1 s",
    "tests/people/test_gallery.py::test_ten_thousand_references_load_fast": "holds a time, 1 s",
}
_CPUINFO = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: {revision}

"""


class Processor(NamedTuple):
    """What a board's kernel says of a core in /proc/cpuinfo."""

    board: str
    part: str
    variant: str
    revision: int
    features: str


# What a Pi 4 has, and a Pi 5, whose int8 products the model runtime does with other code. It asks the kernel which
# processor it is on, and qemu-user would tell it of this machine's; without an answer it leaves its fast code aside.
CPUS = {
    "cortex-a72": Processor("Raspberry Pi 4", "0xd08", "0x0", 3, "fp asimd evtstrm crc32 cpuid"),
    "cortex-a76": Processor(
        "Raspberry Pi 5",
        "0xd0b",
        "0x4",
        1,
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
    ),
}
_LONGEST_S = 3600.0


class Counts(NamedTuple):
    """What became of a run of tests."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    names: tuple[str, ...]  # of those that failed


def prepare(arch: Arch, work: Path) -> dict[Path, str]:
    """Lay the committed tree and its environment for this processor; return what is mounted where in the root."""
    place = work / f"tree-{arch.debian}"
    if place.exists():
        shutil.rmtree(place)
    tree_at(place)
    (place / ".venv").mkdir()
    return {place: "srv/ostiary", _environment(arch, work): "srv/ostiary/.venv"}


def run_core(arch: Arch, work: Path, cpu: str, path: str, mounts: dict[Path, str]) -> Counts:
    """Return what the tests of one path come to on an instruction set. Raises ClickException where they do not run."""
    log, report = work / f"core-{cpu}.log", next(iter(mounts)) / "core.xml"
    report.unlink(missing_ok=True)
    left_out = [f"--deselect={name}" for name in LEFT_OUT]
    called = [".venv/bin/python", "-m", "pytest", "-q", "--junitxml=core.xml", *left_out, path]
    script = f"cd /srv/ostiary && exec {' '.join(called)}"
    try:
        run(_inside(made_root(arch, work), mounts, cpu, script), log, timeout_s=_LONGEST_S)
    except click.ClickException:
        if not report.exists():
            raise
    except subprocess.TimeoutExpired as fault:
        raise click.ClickException(f"{path} took more than {_LONGEST_S:.0f} s; see {log}") from fault
    return _counts(report)


def _environment(arch: Arch, work: Path) -> Path:
    """Return the environment of this processor: what the locks pin, laid there by this machine's pip.

    The other processor's own pip would take half an hour for it, emulated; it does so in the whole machine.
    """
    wheels, kept = downloaded(arch, work), work / f"venv-{arch.debian}"
    stamp = kept / "installed-lock"
    digest = (wheels / "of").read_text()
    if stamp.exists() and stamp.read_text() == digest:
        return kept
    if kept.exists():
        shutil.rmtree(kept)
    kept.mkdir()
    root, log = made_root(arch, work), work / f"environment-{arch.debian}.log"
    run(_inside(root, {kept: "srv/ostiary"}, "max", "python3 -m venv --without-pip /srv/ostiary"), log)
    site = kept / "lib/python3.11/site-packages"
    for one in ("build", "test"):
        run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
                *("--require-hashes", f"--find-links={wheels}", f"--target={site}", "--upgrade", *platform_of(arch)),
                f"--requirement={ROOT / 'requirements' / f'{one}.lock'}",
            ],
            log,
        )
    (site / "ostiary.pth").write_text("/srv/ostiary\n")
    stamp.write_text(digest)
    return kept


def _inside(root: Path, mounts: dict[Path, str], cpu: str, script: str) -> list[str]:
    """Return the command that runs a script in the root, with mounts that end with it."""
    (root / "srv/ostiary").mkdir(exist_ok=True)
    binds = " && ".join(f"mount --bind {place} {root}/{inside}" for place, inside in mounts.items())
    basics = f"mount -t proc proc {root}/proc && mount -t sysfs sys {root}/sys && mount --rbind /dev {root}/dev"
    basics += f" && mount -t tmpfs none {root}/tmp"  # noqa: S108 - the root's own
    basics += f" && mount --bind {_told(root.parent, cpu)} {root}/proc/cpuinfo" if cpu in CPUS else ""
    set_up = f"env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 QEMU_CPU={cpu}"
    enter = f"exec chroot {root} {set_up} sh -c '{script}'"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{basics} && {binds} && {enter}"]


def _told(work: Path, cpu: str) -> Path:
    """Return a file that says of the processor what its board's kernel would."""
    file, told = work / f"cpuinfo-{cpu}", CPUS[cpu]._asdict()
    file.write_text("".join(_CPUINFO.format(number=number, **told) for number in range(os.cpu_count() or 1)))
    return file


def _counts(report: Path) -> Counts:
    suite = ET.fromstring(report.read_text())[0]  # noqa: S314 - our own pytest's
    tests, bad, skipped = (int(suite.get(key, 0)) for key in ("tests", "failures", "skipped"))
    bad += int(suite.get("errors", 0))
    failed = [case for case in suite if case.find("failure") is not None or case.find("error") is not None]
    names = tuple(f"{case.get('classname')}.{case.get('name')}" for case in failed)
    return Counts(tests - bad - skipped, bad, skipped, float(suite.get("time", 0)), names)
