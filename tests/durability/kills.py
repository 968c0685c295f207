"""SIGKILL in the midst of work, again and again, in a process of its own: `python -m tests.durability.kills`.

Prints one line of JSON: how many kills there were, how many changes had been acknowledged, and what was found wrong.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.durability.work import Appliance, Work

if TYPE_CHECKING:
    from tests.durability.work import Kept

_LONGEST_S = 0.1  # from the first change of a run until it is killed


def main(folder: Path, count: int, seed: int) -> None:
    """Kill a working appliance in the folder `count` times, and print what came of it."""
    chance = random.Random(seed)  # noqa: S311 - moments, not a secret
    acknowledged, faults = 0, []
    for number in range(count):
        said = _until_killed(folder, chance.randrange(2**32), chance.uniform(0, _LONGEST_S))
        acknowledged += len(said) - 1
        with Appliance(folder) as appliance:
            if why := _wrong(said[-1], appliance.kept()):
                faults.append(f"kill {number}: {why}")
            while len(appliance.gallery.people()) > 3:
                appliance.gallery.remove(appliance.gallery.people()[0].person_id)
    sys.stdout.write(json.dumps({"kills": count, "acknowledged": acknowledged, "faults": faults}) + "\n")


def _until_killed(folder: Path, seed: int, after_s: float) -> list[Kept]:
    """Return what an appliance said at its start and after each change, until it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb", buffering=0) as out:
            work = Work(seed)
            with Appliance(folder) as appliance:
                while True:
                    pickle.dump(appliance.kept(), out)
                    work.change(appliance)
    os.close(writing)
    said: list[Kept] = []
    with os.fdopen(reading, "rb") as told:
        said.append(pickle.load(told))  # noqa: S301 - our own child's
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        while True:
            try:
                said.append(pickle.load(told))  # noqa: S301 - our own child's
            except (EOFError, pickle.UnpicklingError):
                break
    os.waitpid(child, 0)
    return said


def _wrong(said: Kept, found: Kept) -> str:
    """Return what of `said` is lost or broken in what was found, where at most one more change was begun."""
    if found.gallery.findings:
        return f"the gallery has findings: {found.gallery.findings}"
    changed = [name for name in ("gallery", "audit", "ledger") if getattr(found, name) != getattr(said, name)]
    if len(changed) > 1:
        return f"{' and '.join(changed)} differ, and one change was in hand"
    details = [{one for one, *_ in kept.gallery.people} for kept in (said, found)]
    people = {one.person_id for one in details[0] ^ details[1]}
    if len(people) > 2 or (len(people) == 2 and len(found.gallery.people) != len(said.gallery.people) + 2):
        return f"{len(people)} people differ, and one change was in hand"
    (before, _), (after, bad) = said.audit, found.audit
    if bad is not None or after[: len(before)] != before or len(after) > len(before) + 1:
        return f"the audit log had {len(before)} entries and has {len(after)}; the first bad one is {bad}"
    (passed, _, used), (passed_after, _, used_after) = said.ledger, found.ledger
    if len(passed ^ passed_after) > 2 or not set(used) <= set(used_after):
        return "the ledger lost a pass or a passage"
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
