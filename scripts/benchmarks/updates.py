"""What is left of an update that is cut off at each step it takes on the file system: by a kill, and by a power cut."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.durability.cuts import SCRATCH
from tests.update.cuts import cut

from . import report

if TYPE_CHECKING:
    from tests.update.cuts import Outcome
_OWN_MOUNTS = 0x00020000  # CLONE_NEWNS of unshare(2)
# name, whether the new release is ill, whether what was not synced is lost, whether the release's files are synced
_KINDS = (
    ("kill", False, False, True),
    ("kill, ill", True, False, True),
    ("power cut", False, True, True),
    ("power cut, ill", True, True, True),
    ("power cut, not synced", False, True, False),  # which must lose something, or the trial is worth nothing
)


def run(every: int, *, power: bool) -> int:
    """Print what was found after each cut, and return how many faults there were; power cuts take root and ext4."""
    if power and os.geteuid() != 0:
        raise SystemExit("bench: power cuts need root, for a loop device: --no-power leaves them out")
    if power:
        _alone()
    figures: dict[str, Any] = {}
    for name, ill, power_cut, synced in _KINDS:
        if power or not power_cut:
            with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
                outcome = cut(Path(folder), ill=ill, every=every, power=power_cut, synced=synced)
            figures[name] = _told(name, outcome)
    wrong = sum(int(told["faults"]) for name, told in figures.items() if "not synced" not in name)
    report.finish({"bench": "updates", "faults": wrong, **figures})
    return wrong


def _alone() -> None:
    """Let nobody else see what is mounted here: in a container's copy of it, it could not be taken away again."""
    if ctypes.CDLL(None, use_errno=True).unshare(_OWN_MOUNTS):
        raise OSError(ctypes.get_errno(), "a mount namespace of its own cannot be had")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _told(name: str, outcome: Outcome) -> dict[str, Any]:
    ran = ", ".join(f"{version} {count}" for version, count in sorted(outcome.ran.items()))
    print(f"{name}: cut off at {outcome.points} steps; after the boot ran: {ran}; faults {len(outcome.faults)}")
    if "not synced" not in name:
        report.name("after an update that was cut off", outcome.faults)
    return {"points": outcome.points, "ran": dict(outcome.ran), "faults": len(outcome.faults)}
