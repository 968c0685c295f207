"""SIGKILL of the running reader, again and again: how soon it is back, what of its work is lost, and every pulse.

The reader is the real process, before it the simulated camera with people who come and go, behind it one real
controller with a simulated lock, which lives through everything. The exit button is pressed now and then.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.commands.options import Installation
from appliance.config import Settings
from appliance.contract import EventType
from appliance.door.child import simulated_controller
from appliance.door.hardware import Input
from appliance.door.lock import Cause
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import UsageError
from appliance.people.gallery import Gallery

from . import report
from .endless import DIMENSION, enrol_astronaut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.records import AuditEvent

PROMISED_S = 1.5  # from the start to READY
_DEADLINE_S = 60.0
_WORKING_S = 1.5  # the longest from READY to the kill
_STARTING_S = 1.0  # the longest from the start to a kill before READY
_EARLY = 10  # one kill in so many comes before READY
_PRESSED = 8  # in one life of so many the exit button is pressed
_EACH_VERIFIED = 50  # kills between two readings of the whole chain; what is new is looked at after each
_SEED = 7
_READER = """
[camera]
source = "simulated:{scene}"

[liveness]
commissioned = "skipped"

[door]
socket = "{socket}"
unlock_s = 0.5
"""
_CONTROLLER = '[door]\nunlock_s = 0.5\n\n[inputs]\nrex = "23 NO"\n'


@dataclass
class Outcome:
    """What a number of kills showed."""

    ready_s: list[float] = field(default_factory=list)  # of each start that was let come to READY
    spent_s: list[float] = field(default_factory=list)  # processor time of each of them until then
    early: int = 0  # kills before READY
    told: int = 0  # events that the readers had told somebody of before they were killed
    entries: int = 0  # of the audit log in the end
    grants: int = 0
    pulses: int = 0  # rising edges of the lock that a grant brought about
    exits: int = 0  # rising edges that the exit button brought about
    faults: list[str] = field(default_factory=list)


def run(times: int) -> int:
    """Kill a reader so many times and print what came of it; 1 where anything was lost or opened unwritten."""
    outcome = kill(times)
    report.name("kills lost, broke or opened something", outcome.faults)
    ready = np.array(outcome.ready_s)
    p50, p99 = (float(np.quantile(ready, share)) for share in (0.5, 0.99))
    over = int(np.count_nonzero(ready > PROMISED_S))
    print(f"{times} kills, {outcome.early} of them before READY; faults: {len(outcome.faults)}")
    print(
        f"start to READY after a kill: median {p50:.2f} s, p99 {p99:.2f} s, longest {ready.max():.2f} s,"
        f" over {PROMISED_S:g} s: {over} (n {ready.size}); processor time: median {np.median(outcome.spent_s):.2f} s"
    )
    print(
        f"{outcome.entries} entries in a chain that holds, {outcome.told} of them told before a kill and all there;"
        f" {outcome.grants} grants, {outcome.pulses} pulses, each of a grant written before it; {outcome.exits} exits"
    )
    line: dict[str, Any] = {"bench": "kills", "kills": times, "early": outcome.early, "faults": len(outcome.faults)}
    line |= {"ready_s": {"n": ready.size, "p50": round(p50, 3), "p99": round(p99, 3), "max": round(ready.max(), 3)}}
    line |= {
        "cpu_s": round(float(np.median(outcome.spent_s)), 3),
        "over": over,
        "told": outcome.told,
        "entries": outcome.entries,
        "grants": outcome.grants,
    }
    report.finish(line | {"pulses": outcome.pulses, "exits": outcome.exits})
    return 1 if outcome.faults else 0


def kill(times: int) -> Outcome:
    """Return what so many kills at random moments showed. Raises UsageError where the reader does not come up."""
    chance, outcome = random.Random(_SEED), Outcome()  # noqa: S311 - moments, not a secret
    with tempfile.TemporaryDirectory(prefix="ostiary-kills-") as made:
        folder = Path(made)
        installation = Installation(Settings(), folder, None)
        digest = _digest(installation, enrol_astronaut(installation))
        (folder / "digest").write_text(digest)
        (folder / "door.toml").write_text(_CONTROLLER)
        visits = tuple(Visit(face=face, for_s=2.0, pause_s=0.2) for face in ("astronaut", "official") * 200)
        (folder / "scene.json").write_text(Scene(visits=visits).model_dump_json())
        with simulated_controller(folder, folder / "door.toml") as door:
            (folder / "reader.toml").write_text(_READER.format(scene=folder / "scene.json", socket=door))
            for number in range(times):
                told = _live_and_die(folder, chance, outcome, early=number % _EARLY == _EARLY - 1)
                outcome.faults += [f"kill {number}: {why}" for why in _wrong(installation, outcome, told, number)]
                if (number + 1) % _EACH_VERIFIED == 0:
                    print(f"{number + 1} kills, faults: {len(outcome.faults)}", flush=True)
            _end_well(folder)
        judge(installation, SimulatedDoorObserver(folder / "simulated-door"), outcome)
    return outcome


def _digest(installation: Installation, model_id: str) -> str:
    """Return a hash over every template, with whose it is, and the model it is of."""
    with Gallery(installation.gallery_file) as gallery:
        seen = gallery.snapshot(model_id, DIMENSION)
        rows = zip(seen.person_ids, seen.reference_ids, seen.matrix, strict=True)
        return f"{model_id} {hashlib.sha256(repr([(*ids, row.tobytes()) for *ids, row in rows]).encode()).hexdigest()}"


def _live_and_die(folder: Path, chance: random.Random, outcome: Outcome, *, early: bool) -> list[dict[str, Any]]:
    """Start a reader, kill it, and return the events that it had told of."""
    with _reader(folder) as (process, manager):
        began_s = time.monotonic()
        if early:
            outcome.early += 1
            time.sleep(chance.uniform(0, _STARTING_S))
        else:
            _wait_for_ready(manager)
            outcome.ready_s.append(time.monotonic() - began_s)
            outcome.spent_s.append(_spent_s(process.pid))
            _work(folder, chance)
        process.kill()
        said, _ = process.communicate()
    return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]


def _spent_s(process_id: int) -> float:
    """Return the processor time that a process has taken."""
    after_name = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _work(folder: Path, chance: random.Random) -> None:
    """Let the reader work for a while, with somebody who leaves through the door now and then."""
    for_s, pressed = chance.uniform(0, _WORKING_S), chance.randrange(_PRESSED) == 0
    if pressed:
        before_s = chance.uniform(0, for_s)
        time.sleep(before_s)
        SimulatedWorld(folder / "simulated-door").press(Input.REX)
        for_s -= before_s
    time.sleep(max(0.0, for_s))


@contextlib.contextmanager
def _reader(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Give a reader that has just been started, and the socket on which it says how it is."""
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-") as place,
        contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager,
    ):
        manager.bind(f"{place}/notify")
        manager.settimeout(_DEADLINE_S)
        command = [sys.executable, "-m", "appliance", "run", "--json"]
        command += ["--config", str(folder / "reader.toml"), "--state", str(folder)]
        environment = os.environ | {"NOTIFY_SOCKET": f"{place}/notify"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                yield process, manager
            finally:
                process.kill()


def _wait_for_ready(manager: socket.socket) -> None:
    try:
        while b"READY=1" not in manager.recv(256):
            pass
    except TimeoutError as fault:
        raise UsageError(f"the reader was not ready within {_DEADLINE_S:g} s") from fault


def _wrong(installation: Installation, outcome: Outcome, told: Sequence[dict[str, Any]], number: int) -> Iterator[str]:
    """Yield what a kill did to the gallery or to the log."""
    outcome.told += len(told)
    before = (installation.state / "digest").read_text()
    if _digest(installation, before.split()[0]) != before:
        yield "the gallery is another than before"
    with installation.open_audit() as audit:
        written = {one.seq: one.hash for one in audit.read(told[0]["seq"] - 1)} if told else {}
        for event in told:
            if written.get(event["seq"]) != event["hash"]:
                yield f"entry {event['seq']} was told and is not in the log"
        if (number + 1) % _EACH_VERIFIED == 0 and not (verdict := audit.verify()).ok:
            yield f"the log does not hold from entry {verdict.first_bad} on: {verdict.why}"


def _end_well(folder: Path) -> None:
    """Have a last reader write down what the killed ones left, and stop it as a service manager does."""
    with _reader(folder) as (process, manager):
        _wait_for_ready(manager)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate()


def judge(installation: Installation, door: SimulatedDoorObserver, outcome: Outcome) -> None:
    """Hold every rising edge of the lock against the log."""
    with installation.open_audit() as audit:
        if not (verdict := audit.verify()).ok:
            outcome.faults.append(f"the log does not hold from entry {verdict.first_bad} on: {verdict.why}")
        entries = list(audit.read())
    outcome.entries = len(entries)
    grants: dict[str, AuditEvent] = {}  # the first of each visit
    for one in entries:
        if one.event.event_type is EventType.ACCESS_GRANTED:
            grants.setdefault(one.event.presentation_id, one)
    outcome.grants = len(grants)
    edges = [at_s for at_s, level, _ in door.history() if level == 1]
    unlocked = [one for one in entries if one.event.event_type is EventType.DOOR_UNLOCKED]
    if len(edges) != len(unlocked):
        outcome.faults.append(f"the lock was driven high {len(edges)} times, and the log has {len(unlocked)} of them")
    now_s, now = time.monotonic(), datetime.now(UTC)
    for at_s, entry in zip(edges, unlocked, strict=False):
        outcome.faults += _judge_edge(now + timedelta(seconds=at_s - now_s), entry, grants, outcome)


def _judge_edge(at: datetime, unlocked: AuditEvent, grants: dict[str, AuditEvent], outcome: Outcome) -> Iterator[str]:
    """Yield why this edge should not have been: by the exit button, or by a grant that was written before it."""
    if unlocked.event.detail.startswith(Cause.REX):
        outcome.exits += 1
        return
    outcome.pulses += 1
    grant = grants.get(unlocked.event.presentation_id)
    if grant is None:
        yield f"entry {unlocked.seq}: the door was unlocked at {at}, and no grant was written"
    elif not (grant.seq < unlocked.seq and grant.event.at < at):
        yield f"entry {unlocked.seq}: the door was unlocked at {at}, before its grant {grant.seq} at {grant.event.at}"
