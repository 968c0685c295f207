"""A disk that is full, gives errors, or has become read-only, at each single request."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from appliance.errors import StorageError
from tests.durability.cuts import SCRATCH
from tests.durability.disk import WRITES, Disk, Fails, no_fault
from tests.durability.work import Appliance, Work

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(change: Callable[[Appliance], None], appliance: Appliance) -> str:
    """Return in what words a change was refused; "" where it was made."""
    try:
        change(appliance)
    except StorageError as met:
        return str(met)
    return ""


def started(disk: Disk) -> str:
    """Return in what words a start was refused; "" where it was made."""
    try:
        with Appliance(disk.folder):
            disk.fault = no_fault
    except StorageError as met:
        return str(met)
    return ""


def trials(disk: Disk, fault: Callable[[int], Fails], step: int) -> int:
    """Let each request of some changes fail in turn, or each of so many, and return how many did.

    Every change is refused in one line and leaves everything as it was, or is acknowledged and there.
    """
    work, met = Work(9), 0
    with Appliance(disk.folder) as appliance:
        work.change_all(appliance)
        kept = appliance.kept()
        for change in (work.enrol, work.happen, work.erase, work.day):
            for number in itertools.count(1, step):
                disk.fault = fails = fault(number)
                why = refused(change, appliance)
                disk.fault = no_fault
                assert "\n" not in why
                if appliance.gallery.keyring.unsettled():  # nor could a key be taken back, or destroyed for good
                    work.enrol(appliance)
                    after = appliance.kept()
                    gone = {one.person_id for one, *_ in set(kept.gallery.people) - set(after.gallery.people)}
                    assert gone <= {one.person_id for one in after.gallery.erased}
                    kept = after
                elif why:
                    assert appliance.kept() == kept
                else:
                    while len(appliance.gallery.people()) > 3:
                        work.erase(appliance)
                    kept = appliance.kept()
                if fails.left > 0:
                    break
                met += 1
        work.change_all(appliance)
        kept = appliance.kept()
    with Appliance(disk.folder) as appliance:
        assert appliance.kept() == kept
    return met


@pytest.mark.parametrize(
    ("verbs", "code", "until_healed", "step"),
    [
        pytest.param(("xWrite",), apsw.SQLITE_FULL, True, 1, id="F3 full"),
        pytest.param(WRITES, apsw.SQLITE_IOERR_WRITE, False, 1, id="F4 writes"),
        pytest.param(("xRead",), apsw.SQLITE_IOERR_READ, False, 1, id="F4 reads"),
        pytest.param((*WRITES, "xOpen"), apsw.SQLITE_READONLY, True, 4, id="F5 read-only"),
    ],
)
def test_each_request_that_fails(verbs: tuple[str, ...], code: int, step: int, *, until_healed: bool) -> None:
    """Disk full, disk read-only, F3, F4, F5: whichever request fails, once or for good, nothing is half done or false.

    Once the disk is well again everything goes on, and the next start finds it.
    """
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk = Disk(Path(folder))
        with disk.mounted():
            met = trials(disk, lambda number: Fails(verbs, number, code, until_healed=until_healed), step)
    assert met > 10


def test_start_on_a_failing_disk() -> None:
    """F4: whichever read or write of a start fails, the start is refused in one line or made; the next one has all."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk, met = Disk(Path(folder)), 0
        with disk.mounted():
            with Appliance(disk.folder) as appliance:
                Work(9).change_all(appliance)
                kept = appliance.kept()
            for number in itertools.count(1):
                disk.fault = fails = Fails((*WRITES, "xRead", "xOpen"), number, apsw.SQLITE_IOERR, until_healed=False)
                why = started(disk)
                disk.fault = no_fault
                assert "\n" not in why
                with Appliance(disk.folder) as appliance:
                    assert appliance.kept() == kept
                if fails.left > 0:
                    break
                met += 1
    assert met > 10
