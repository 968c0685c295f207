"""Updates that are cut off at each step they take on the file system, by a kill or by a power cut.

A kill leaves what was written. A power cut leaves what was synced: the update runs on an ext4 of its own on a loop
device, whose image is copied at that moment and mounted again. That takes root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError
from appliance.update import applying, archive, databases
from appliance.update.places import Places
from tests.update.releases import House, SimulatedMachine, house

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = "1.0.0", "1.1.0"
ALWAYS_ILL = {NEW: 99}
_STEPS = {"open", "subprocess.Popen", *(f"os.{verb}" for verb in ("mkdir", "rename", "remove", "rmdir", "symlink"))}
_STEPS |= {"os.chmod", "os.chown"}
_CUT = 137  # the exit code of somebody who was killed
_IMAGE_BYTES = 24 << 20


@dataclass
class Outcome:
    """What was found after each cut."""

    points: int = 0
    ran: Counter[str] = field(default_factory=Counter)  # which version ran after the next boot, and how often
    faults: list[str] = field(default_factory=list)


def cut(folder: Path, *, ill: bool, every: int = 1, power: bool = False, synced: bool = True) -> Outcome:
    """Cut an update of a small release off at every so many steps, boot, update again, and return what was found.

    With `ill`, the new release is never well. `folder` is empty and where the work is done. Without `synced`, the
    files of a release are not made durable: a trial of power cuts that finds no fault then is worth nothing.
    """
    base, outcome = folder / "base", Outcome()
    disk = folder / "disk"
    disk.mkdir()
    with _disk(folder / "image", disk, power=power):
        first = house(base if not power else disk / "base", OLD)
        first.made(NEW)
    step, ended = every, False
    while not ended:
        if power:
            ended = _power_cut(folder, step, outcome, ill=ill, synced=synced)
        else:
            shutil.copytree(base, disk / "base", symlinks=True)
            ended = _killed(disk / "base", step, ill=ill)
            _look(disk / "base", outcome, step, ill=ill, kept=ended and not ill)
            shutil.rmtree(disk / "base")
        step += every
    return outcome


def _power_cut(folder: Path, step: int, outcome: Outcome, *, ill: bool, synced: bool) -> bool:
    image, now, after = folder / "image", folder / "now", folder / "after"
    disk = folder / "disk"
    shutil.copyfile(image, now)
    with _disk(now, disk, power=True, made=True):
        ended = _killed(disk / "base", step, ill=ill, synced=synced)
        shutil.copyfile(now, after)  # the page cache of the mounted one is not in it
    with _disk(after, disk, power=True, made=True):
        _look(disk / "base", outcome, step, ill=ill, kept=ended and not ill)
    return ended


def _killed(folder: Path, step: int, *, ill: bool, synced: bool = True) -> bool:
    """Update in a process of its own, which ends at its n-th step; tell whether it came to its end before."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            if not synced:
                for module in (archive, applying, databases):
                    vars(module)["sync_disk"] = _forget
            _die_at(step, str(folder))
            with suppress(ApplianceError):
                _at(folder, ill=ill).updater.apply(folder / f"ostiary-{NEW}.tar.gz")
            os._exit(0)
        os._exit(3)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in {0, _CUT}:
        raise RuntimeError(f"the update ended with {code} at step {step}")
    return code == 0


def _forget(_: object) -> None:
    """Say that something is durable, and do nothing for it."""


def _die_at(step: int, folder: str) -> None:
    steps = 0

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal steps
        if event not in _STEPS or (event == "open" and not str(args[0]).startswith(folder)):
            return
        steps += 1
        if steps >= step:
            os._exit(_CUT)

    sys.addaudithook(count)


def _at(folder: Path, *, ill: bool) -> House:
    places = Places(folder / "root")
    return House(folder, places, SimulatedMachine(places, ALWAYS_ILL if ill else {}))


def _look(folder: Path, outcome: Outcome, step: int, *, ill: bool, kept: bool) -> None:
    """Note what boots after the cut, what the boot makes of it, and what another update does then."""
    door = _at(folder, ill=ill)
    outcome.points += 1
    found = [f"before the boot: {name}" for name in door.broken()]
    if kept and door.places.linked("current") != NEW:
        found.append("it was said to be kept, and is not")
    if door.places.trial() is not None and not door.places.linked("previous"):
        found.append("before the boot: a trial, and no release before it to go on with it")
    with suppress(ApplianceError):
        door.updater.watch()
    outcome.ran[door.places.linked("current")] += 1
    found += [f"after the boot: {name}" for name in door.broken()]
    with suppress(ApplianceError):
        door.updater.apply(folder / f"ostiary-{NEW}.tar.gz")
    found += [f"after another update: {name}" for name in door.broken()]
    if door.places.linked("current") != (OLD if ill else NEW):
        found.append(f"{door.places.linked('current')} runs in the end")
    if door.places.trial() is not None or list((door.places.base / "releases").glob(".*")):
        found.append("something of the update is left")
    outcome.faults += [f"step {step}: {one}" for one in found]


@contextmanager
def _disk(image: Path, folder: Path, *, power: bool, made: bool = False) -> Iterator[None]:
    """Mount an ext4 image at a folder for the block, where it is to be a disk of its own."""
    if not power:
        yield
        return
    if not made:
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
