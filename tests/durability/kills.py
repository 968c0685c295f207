"""SIGKILL in the midst of work, again and again, in a process of its own: `python -m tests.durability.kills`.

Prints one line of JSON: how many kills there were, how many changes had been acknowledged, and what was found wrong.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.durability.cuts import SCRATCH
from tests.durability.work import Appliance, Kept, Work

_LONGEST_S = 0.05  # from the start of the work until it is killed
_IN_ONE_PLACE = 20  # kills, after which the work begins anew: the longer the log, the longer it takes to say it all


class Said(NamedTuple):
    """What an appliance said before it was killed."""

    changes: int  # that it had acknowledged
    kept: Kept


def main(count: int, seed: int) -> None:
    """Kill a working appliance `count` times, and print what came of it."""
    chance = random.Random(seed)  # noqa: S311 - moments, not a secret
    acknowledged, faults = 0, []
    for start in range(0, count, _IN_ONE_PLACE):
        with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
            folder = Path(place) / "state"
            folder.mkdir()
            for number in range(start, min(start + _IN_ONE_PLACE, count)):
                said = _until_killed(folder, chance.randrange(2**32), chance.uniform(0, _LONGEST_S))
                acknowledged += said.changes
                with Appliance(folder) as appliance:
                    if why := _wrong(said.kept, appliance.kept()):
                        faults.append(f"kill {number}: {why}")
    sys.stdout.write(json.dumps({"kills": count, "acknowledged": acknowledged, "faults": faults}) + "\n")


def _until_killed(folder: Path, seed: int, after_s: float) -> Said:
    """Return what an appliance had said last when it was killed, so long after it had begun."""
    said = folder.with_name("said")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        work = Work(seed)
        with Appliance(folder) as appliance:
            for changes in itertools.count():
                draft = said.with_suffix(".draft")
                draft.write_bytes(pickle.dumps(Said(changes, appliance.kept())))
                draft.replace(said)
                if changes == 0:
                    os.write(writing, b"ready")
                work.change(appliance)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        told.read(5)
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    last: Said = pickle.loads(said.read_bytes())  # noqa: S301 - our own child's
    return last


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
    main(int(sys.argv[1]), int(sys.argv[2]))
