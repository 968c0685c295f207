"""What power cuts, kills and a day's work do to the databases: what is lost, and how much is written."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.access.passback import Passage, Side
from appliance.contract import EventType
from appliance.records import Actor, ActorKind, Event
from tests.durability.cuts import SCRATCH, cut, record
from tests.durability.disk import Disk
from tests.durability.work import NOON, Appliance, Work

from . import report

if TYPE_CHECKING:
    from tests.durability.cuts import Outcome

ROOT = Path(__file__).resolve().parents[2]
_CHANGES = 60  # in each recording
_EACH = 2_000  # cuts of one recording
_PEOPLE = 50
_IDLE_S = 60.0


def run(cuts: int, kills: int, events: int, *, idle: bool) -> None:
    """Print what was lost in so many cuts and kills, and what is written for so many events a day."""
    figures = {
        **_cuts(cuts),
        **(_kills(kills) if kills else {}),
        **(_day(events) if events else {}),
        **(_idle() if idle else {}),
    }
    report.finish({"bench": "power", **figures})


def _cuts(count: int) -> dict[str, Any]:
    full, normal = Counter[str](), Counter[str]()
    for seed in range(-(-count // _EACH)):
        _add(full, cut(record(_CHANGES, seed), min(_EACH, count), seed))
        _add(normal, cut(record(_CHANGES, seed, _careless), max(20, min(_EACH, count) // 20), seed))
    for name, met in (("synchronous=FULL, as shipped", full), ("synchronous=NORMAL, for comparison", normal)):
        print(
            f"{name}: {met['cuts']} cuts, {met['images']} different disks; {met['acknowledged']} changes acknowledged"
            f" before them; lost or broken in {met['faults']} cuts"
        )
    return {"full": dict(full), "normal": dict(normal)}


def _careless(appliance: Appliance) -> None:
    for one in (appliance.gallery, appliance.gallery.keyring, appliance.audit, appliance.ledger):
        one._db.execute("PRAGMA synchronous=NORMAL")  # noqa: SLF001 - what must never be


def _add(to: Counter[str], outcome: Outcome) -> None:
    to["cuts"] += len(outcome.acknowledged)
    to["images"] += len(outcome.images)
    to["acknowledged"] += sum(outcome.acknowledged)
    to["faults"] += len(outcome.faults)


def _kills(count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.durability.kills", str(count), "1"]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    report.name("kills lost or broke something", told["faults"])
    print(f"SIGKILL: {told['kills']} times, {told['acknowledged']} changes acknowledged; faults: {len(told['faults'])}")
    return {"kills": told["kills"], "killed_acknowledged": told["acknowledged"], "killed_faults": len(told["faults"])}


def written_in_a_day(events: int) -> int:
    """Return how many bytes the databases are given to write for so many events, half of which let somebody in."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk, work = Disk(Path(folder)), Work(1)
        with disk.mounted(), Appliance(disk.folder) as appliance:
            for _ in range(_PEOPLE):
                work.enrol(appliance)
            people = [person.person_id for person in appliance.gallery.people()]
            disk.written = 0
            for number in range(events):
                at = NOON + timedelta(seconds=number)
                person_id = people[number // 2 % _PEOPLE]
                granted = number % 2 == 0
                kind = EventType.ACCESS_GRANTED if granted else EventType.ACCESS_DENIED
                appliance.audit.append(Event(kind, at, Actor(ActorKind.PERSON, person_id), detail="x" * 60))
                if granted:
                    appliance.ledger.passed(person_id, Passage(Side.ENTRY, at))
                    appliance.gallery.seen(person_id, at.date())
        return disk.written


def _day(events: int) -> dict[str, Any]:
    written = written_in_a_day(events)
    print(f"{events} events, half of them letting one of {_PEOPLE} people in: {written / 1e6:.1f} MB written")
    return {"events": events, "written_bytes": written}


def _idle() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        disk, work = Disk(Path(folder)), Work(1)
        with disk.mounted(), Appliance(disk.folder) as appliance:
            work.change_all(appliance)
            before, until_s = len(disk.trace), time.monotonic() + _IDLE_S
            while time.monotonic() < until_s:
                appliance.gallery.changed()
                time.sleep(0.1)
            requests = len(disk.trace) - before
    print(f"{_IDLE_S:.0f} s of looking whether the gallery has changed: {requests} writes or syncs")
    return {"idle_s": _IDLE_S, "idle_requests": requests}
