"""Power cuts: an appliance's requests to its disk are noted once, and the power is then cut at each of them."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from appliance.errors import StorageError
from tests.durability.disk import Disk
from tests.durability.platter import Platter
from tests.durability.work import (
    Appliance,
    Kept,
    Work,
    audit_says,
    gallery_says,
    ledger_says,
    open_audit,
    open_gallery,
    open_ledger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from tests.durability.platter import Op

# Memory: what a real disk does with a sync is not what is tried here.
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - each use makes a folder of its own in it
SCRATCH = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None


class Said(NamedTuple):
    """What the databases said once they had acknowledged a change."""

    requests: int  # to the disk until then
    kept: Kept


@dataclass(frozen=True, slots=True)
class Recording:
    """An appliance's work: every request to the disk, and what was acknowledged when."""

    trace: tuple[Op, ...]
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a number of cuts showed."""

    images: set[int] = field(default_factory=set)  # hashes of what was found on the disk
    acknowledged: list[int] = field(default_factory=list)  # for each cut, how many changes were before it
    faults: list[str] = field(default_factory=list)  # one line for each cut that lost or broke something


def record(changes: int, seed: int, prepare: Callable[[Appliance], None] = lambda _: None) -> Recording:
    """Return an appliance's work from its first start on, with a restart after every 20 changes."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk, work, said = Disk(Path(folder)), Work(seed), []
        with disk.mounted():
            for start in range(0, changes, 20):
                with Appliance(Path(folder)) as appliance:
                    prepare(appliance)
                    said.append(Said(len(disk.trace), appliance.kept()))
                    for _ in range(min(20, changes - start)):
                        work.change(appliance)
                        said.append(Said(len(disk.trace), appliance.kept()))
        return Recording(tuple(disk.trace), tuple(said))


def cut(recording: Recording, count: int, seed: int) -> Outcome:
    """Cut the power at least `count` times: as often in each change, evenly over its requests."""
    chance = random.Random(seed)  # noqa: S311 - sectors, not a secret
    moments = Counter(before for before, _, _ in _moments(recording, chance))
    each, met, outcome = -(-count // len(moments)), Counter[int](), Outcome()
    with tempfile.TemporaryDirectory(dir=SCRATCH) as place:
        restart = Restart(Path(place))
        for before, at, platter in _moments(recording, chance):
            allowed = [said.kept for said in recording.said[max(0, before - 1) : before + 1]]
            met[before] += 1
            upto = each * met[before] // moments[before]
            for number in range(each * (met[before] - 1) // moments[before], upto):
                files = platter.cut(chance)
                outcome.images.add(hash(tuple(sorted(files.items()))))
                outcome.acknowledged.append(before)
                if why := _wrong(restart(files), allowed):
                    outcome.faults.append(
                        f"cut {number} after request {at} ({recording.trace[at - 1].kind.name}): {why}"
                    )
    return outcome


class Damaged(str):
    """What is wrong with a database: it says nothing else."""

    __slots__ = ()


class Restart:
    """What the databases say when they are opened, with Python's own SQLite, on the files that a cut left.

    The same files of one database say the same each time, so they are opened once.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._known: dict[int, Hashable] = {}

    def __call__(self, files: dict[str, bytes]) -> tuple[Hashable, ...]:
        """Return what they say, as `Kept`; `Damaged` where one cannot be opened, or its integrity check complains."""
        owners = {name: name.split(".")[0] for name in files}
        parts = {
            "gallery": {name: files[name] for name in files if owners[name] not in {"audit", "ledger"}},
            "audit": {name: files[name] for name in files if owners[name] == "audit"},
            "ledger": {name: files[name] for name in files if owners[name] == "ledger"},
        }
        return tuple(self._say(which, part) for which, part in parts.items())

    def _say(self, which: str, files: dict[str, bytes]) -> Hashable:
        key = hash((which, *sorted(files.items())))
        if key not in self._known:
            with tempfile.TemporaryDirectory(dir=self._place) as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                    (Path(folder) / name).chmod(0o600)
                self._known[key] = _said(which, Path(folder))
        return self._known[key]


def _moments(recording: Recording, chance: random.Random) -> Iterator[tuple[int, int, Platter]]:
    """Give each request after which something is not synced: how often was said what is kept, and the disk."""
    platter, before = Platter(), 0
    for at, op in enumerate(recording.trace, 1):
        platter.take(op, chance)
        while before < len(recording.said) and recording.said[before].requests <= at:
            before += 1
        if platter.dirty:
            yield before, at, platter


def _said(which: str, folder: Path) -> Hashable:
    """Return what the database in this folder says, or that it is damaged."""
    says: Hashable
    try:
        match which:
            case "gallery":
                with open_gallery(folder) as gallery:
                    says = gallery_says(gallery)
            case "audit":
                with open_audit(folder) as audit:
                    says = audit_says(audit)
            case _:
                with open_ledger(folder) as ledger:
                    says = ledger_says(ledger)
    except StorageError as fault:
        return Damaged(fault)
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                return Damaged(f"{path.name}: {found}")
    return says


def _wrong(kept: tuple[Hashable, ...], allowed: list[Kept]) -> str:
    """Return what is wrong with what is kept; "" where it is what was acknowledged, or with the change in hand."""
    if kept in allowed:
        return ""
    for which, says in zip(Kept._fields, kept, strict=True):
        if isinstance(says, Damaged):
            return says
        if says not in [getattr(one, which) for one in allowed]:
            return f"the {which} lost an acknowledged change, or has half of one"
    return "one database is behind another"
