"""Drills in galleries of any size: hand out and erase one person, back up and restore, look for whom time is over."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.access.ledger import Ledger
from appliance.audit import as_payload, canonical
from appliance.backup import archive
from appliance.backup.restore import restore
from appliance.commands.options import Installation, open_installation
from appliance.contract import EventType, Reason
from appliance.people.enrolment import CLI, remove
from appliance.people.passes import PassBook
from appliance.privacy.export import Sources, export
from appliance.privacy.purge import Purge
from appliance.privacy.retention import PRESETS
from appliance.records import Actor, ActorKind, AuditEvent, Event

from . import growth, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AT_ONCE = 10_000


def run(sizes: tuple[int, ...], entries: int, turns: int) -> None:
    """Fill a device to each size and print what the drills take."""
    lines = []
    for size in sorted(sizes):
        with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
            device = open_installation(None, Path(folder) / "state")
            growth.fill(device.state, 0, size)
            fill_log(device, entries)
            lines.append({"people": size, "entries": entries} | _drills(device, turns) | _backups(device, turns))
            print(", ".join(f"{name} {value}" for name, value in lines[-1].items()))
    report.finish({"bench": "drill", "turns": turns, "sizes": lines})


def _drills(device: Installation, turns: int) -> dict[str, Any]:
    in_process = [_drill(device, number) for number in range(turns)]
    with device.open_gallery() as gallery:
        someone = gallery.people(after=size // 2 if (size := gallery.size()) else 0, limit=1)[0].person_id
    words = ["--state", str(device.state)]
    path = str(device.state.parent / "process.zip")
    commands = _timed(lambda: _ostiary(["privacy", "export", someone, "--to", path, *words]))
    commands += _timed(lambda: _ostiary(["person", "remove", someone, "--yes", *words]))
    steps = list(_purge_steps(device))
    return {
        "export_and_erase_ms": _words(in_process),
        "two_commands_ms": round(commands),
        "purge_look_ms": round(sum(steps)),
        "purge_longest_step_ms": round(max(steps), 1),
    }


def _drill(device: Installation, number: int) -> float:
    """Return the milliseconds of one export and erasure."""
    with (
        device.open_gallery() as gallery,
        PassBook(device.gallery_file) as passes,
        Ledger(device.ledger_file) as ledger,
        device.open_audit() as audit,
    ):
        person = gallery.people(after=number, limit=1)[0].person_id
        audit.append(Event(EventType.ACCESS_GRANTED, datetime.now(UTC), Actor(ActorKind.PERSON, person)))
        path = device.state.parent / f"{person}.zip"

        def both() -> None:
            export(Sources(gallery, passes, ledger, audit), person, path, actor=CLI, method="bench")
            remove(gallery, audit, person)
            ledger.forget(person)

        return _timed(both)


def _purge_steps(device: Installation) -> Iterator[float]:
    """Yield the milliseconds of each step of a look at everybody, of whom nobody is due."""
    with device.open_gallery() as gallery, device.open_audit() as audit:
        steps = Purge(gallery, audit, PRESETS["gdpr"], date(2026, 1, 2), CLI).steps(dry=True)
        while True:
            began = time.perf_counter()
            try:
                next(steps)
            except StopIteration:
                return
            finally:
                yield 1000 * (time.perf_counter() - began)


def _backups(device: Installation, turns: int) -> dict[str, Any]:
    with device.open_gallery() as gallery:
        key = gallery.keyring.secret("backup")
    path = device.state.parent / "backup"
    spent: dict[str, list[float]] = {"backup_s": [], "verify_s": [], "restore_s": []}
    size = 0
    for _ in range(min(turns, 3)):
        path.unlink(missing_ok=True)
        spent["backup_s"].append(_timed(lambda: archive.create(device, path, key)) / 1000)
        spent["verify_s"].append(_timed(lambda: archive.verify(path, key, device.state)) / 1000)
        spent["restore_s"].append(_timed(lambda: restore(device, path, key)) / 1000)
        size = path.stat().st_size
    shutil.rmtree(device.state / "restored", ignore_errors=True)
    return {"backup_mb": round(size / 1e6, 1)} | {
        name: [round(one, 2) for one in times] for name, times in spent.items()
    }


def fill_log(device: Installation, entries: int) -> None:
    """Give the device a log of so many entries that verifies, written without waiting for the disk at each."""
    with device.open_audit() as audit:
        first = audit.append(Event(EventType.ACCESS_DENIED, datetime.now(UTC), reason=Reason.UNKNOWN_FACE))
    with closing(sqlite3.connect(device.audit_file)) as raw:
        chain = itertools.islice(_chain(first), entries - 1)
        while rows := list(itertools.islice(chain, _AT_ONCE)):
            raw.executemany("INSERT INTO entry VALUES (?, ?, ?)", rows)
        raw.commit()


def _chain(first: AuditEvent) -> Iterator[tuple[int, str, str]]:
    """Yield what follows an entry, without end."""
    fields = as_payload(first)
    before = fields.pop("hash")
    for number in itertools.count(first.seq + 1):
        body = canonical(fields | {"seq": number, "prev_hash": before})
        before = hashlib.sha256(body).hexdigest()
        yield number, body.decode(), before


def _ostiary(words: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "appliance", *words], check=True, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _words(times: list[float]) -> str:
    return f"median {statistics.median(times):.0f}, longest {max(times):.0f}, n {len(times)}"
