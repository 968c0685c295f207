"""A disk whose fsync fails once: what is in memory alone is never taken for written, by nobody who comes later."""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from appliance.errors import StorageError
from tests.durability.cuts import SCRATCH, Restart
from tests.durability.disk import Disk, no_fault
from tests.durability.platter import Platter
from tests.durability.work import Appliance, Work

if TYPE_CHECKING:
    from tests.durability.work import Kept


class SyncFails:
    """A fault at the sync of this number, counted from 1."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, verb: str, name: str, data: bytes = b"") -> int:  # noqa: ARG002 - whatever the file
        """Raise when it is this sync's turn."""
        self.left -= verb == "xSync"
        if verb == "xSync" and self.left == 0:
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        return len(data)


def change(work: Work, appliance: Appliance, count: int) -> bool:
    """Make so many changes; tell whether all were acknowledged. One that is refused leaves everything as it was.

    But for one case: where only the old key of somebody could not be destroyed any more, the gallery has changed.
    """
    for _ in range(count):
        before = appliance.kept()
        try:
            work.change(appliance)
        except StorageError:
            if appliance.gallery.keyring.unsettled():
                assert appliance.kept()[1:] == before[1:]
            else:
                assert appliance.kept() == before
            return False
    return True


def found_after_a_cut(disk: Disk, requests: int, seed: int) -> Kept:
    """Return what the databases say after a power cut once so many requests were made."""
    chance = random.Random(seed)  # noqa: S311 - sectors, not a secret
    platter = Platter()
    for op in disk.trace[:requests]:
        platter.take(op, chance)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
        return Restart(Path(place))(platter.cut(chance))


def trial(number: int, seed: int, *, restarted: bool) -> bool | None:
    """Let the sync of this number fail; tell whether everything acknowledged later is there after a power cut.

    None where there are fewer syncs. `restarted`: the program is killed at once and another one goes on.
    """
    with tempfile.TemporaryDirectory(dir=SCRATCH) as one, tempfile.TemporaryDirectory(dir=SCRATCH) as two:
        disk, work = Disk(Path(one)), Work(seed)
        with disk.mounted(), Appliance(Path(one)) as appliance:
            change(work, appliance, 2)
            disk.fault = fault = SyncFails(number)
            change(work, appliance, 5)
            disk.fault = no_fault
            if fault.left > 0:
                return None
            after = disk.killed(Path(two))
            work.change_all(appliance)  # what was refused is there no more, whatever of it came to the disk
            kept, requests = appliance.kept(), len(disk.trace)
        if restarted:
            disk = after
            with disk.mounted(), Appliance(Path(two)) as appliance:
                work.change_all(appliance)
                kept, requests = appliance.kept(), len(disk.trace)
        return found_after_a_cut(disk, requests, seed) == kept


def trials(*, restarted: bool) -> list[bool]:
    """Return how each sync's failure ended, of some work that chance chose."""
    ends = (trial(number, 8, restarted=restarted) for number in itertools.count(1))
    return [end for end in itertools.takewhile(lambda end: end is not None, ends) if end is not None]


def test_failed_sync_is_no_commit_and_harms_none_after_it() -> None:
    """F4: whichever sync fails, its change is refused and not there; what the program does next survives a cut."""
    ends = trials(restarted=False)
    assert len(ends) > 20
    assert all(ends)


def test_failed_sync_harms_no_later_program() -> None:
    """F4: a program that is killed after a failed sync leaves a log that is in memory alone; the next one's work stays.

    Without writing that log again before anything is built upon it, 2 of these 22 trials lose acknowledged changes.
    """
    ends = trials(restarted=True)
    assert len(ends) > 20
    assert all(ends)
