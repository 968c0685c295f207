"""The door under fault and load: how late the lock falls, how fast it moves, and that it never stays past its limit."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.config import DoorSettings
from appliance.contract import EventType
from appliance.door.guard import STEP_S
from appliance.door.guardian import GRACE_S
from appliance.door.hardware import Input
from appliance.door.lock import MAX_UNLOCKED_S, REST_S, SILENCE_S, Hold
from appliance.door.machine import Machine
from appliance.door.protocol import Happened, Lines, read_notice
from appliance.records import Pulse

from . import report
from .doors import DEBOUNCE_S, Door, busy_cores, pulse_line, same_priority

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

ALLOWED_S = 0.1  # over the promise: G4
PAST_LIMIT_S = 0.05  # in the schedules
_SEED = 20
_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a door that is unlocked, and within what time its line is promised low."""

    name: str
    within_s: float
    ends_controller: bool


FAULTS = (
    Fault("reader killed", 0.0, ends_controller=False),
    Fault("reader stopped", SILENCE_S, ends_controller=False),
    Fault("reader hangs up", 0.0, ends_controller=False),
    Fault("reader raves", 0.0, ends_controller=False),
    Fault("controller killed", 0.0, ends_controller=True),
    Fault("controller stopped", STEP_S + GRACE_S, ends_controller=True),
    Fault("guardian killed", 0.0, ends_controller=True),
    Fault("guardian stopped", STEP_S + GRACE_S, ends_controller=True),
)


def moments(count: int, doors: int) -> dict[str, Any]:
    """Print how late the line was low after each kind of fault at a random moment, and return the figures."""
    late_s: dict[str, list[float]] = {fault.name: [] for fault in FAULTS}
    with ExitStack() as opened:
        standing = [opened.enter_context(Door()) for _ in range(doors)]
        nice = standing[0].nice
        pool = opened.enter_context(ThreadPoolExecutor(doors))
        shares = pool.map(lambda one: _share(standing[one], range(one, count, doors)), range(doors))
        for name, late in (trial for share in shares for trial in share):
            late_s[name].append(late)
    worst, over = {}, 0
    for fault in FAULTS:
        found_ms = 1000 * np.array(late_s[fault.name])
        if found_ms.size:
            worst[fault.name] = round(float(found_ms.max()), 1)
            beyond = int(np.count_nonzero(found_ms > 1000 * ALLOWED_S))
            over += beyond
            print(
                f"{fault.name:20} n {found_ms.size:4}  promised {1000 * fault.within_s:5.0f} ms"
                f"  late: median {np.median(found_ms):7.1f}, worst {found_ms.max():7.1f} ms, over 100 ms: {beyond}"
            )
    print(f"{count} moments at {doors} doors, controllers at nice {nice}; late is after the promise, below 0 is early")
    return {"moments": count, "doors": doors, "nice": nice, "late_ms_worst": worst, "over": over}


def _share(door: Door, trials: Iterable[int]) -> list[tuple[str, float]]:
    found = []
    for trial in trials:
        draw = random.Random(_SEED + trial)  # noqa: S311 - a moment, not a secret
        fault, for_s = draw.choice(FAULTS), draw.uniform(0.5, 5.0)
        found.append((fault.name, _trial(door, fault, for_s, draw.uniform(0.0, min(for_s, 0.9 * SILENCE_S)))))
        if fault.ends_controller:
            door.restart()
        else:
            time.sleep(REST_S)
    return found


def _trial(door: Door, fault: Fault, for_s: float, moment_s: float) -> float:
    """Return how many seconds after what is promised the line was low."""
    unlocked_s = time.monotonic()
    with ExitStack() as ends:
        act = _prepare(door, fault.name, for_s, ends)
        limit_s = time.monotonic() + for_s
        time.sleep(max(0.0, unlocked_s + moment_s - time.monotonic()))
        fault_s = time.monotonic()
        act()
        low_s = door.wait_low(for_s + _WAIT_S)
    at_s, level, _ = door.observer.history()[-1]
    if level == 0 and unlocked_s < at_s < low_s:  # the controller drove it, and noted when; death leaves no note
        low_s = at_s
    return low_s - min(limit_s, fault_s + fault.within_s)  # where it locked by itself first, that was its limit


def _prepare(door: Door, name: str, for_s: float, ends: ExitStack) -> Callable[[], object]:
    """Have the door unlocked by a reader, and return what brings the fault about."""
    if name in {"reader hangs up", "reader raves"}:
        peer = ends.enter_context(door.peer())
        peer.sendall(pulse_line(for_s))
        peer.recv(4096)
        return peer.close if name == "reader hangs up" else lambda: _rave(peer)
    reader = door.reader(for_s)
    ends.callback(reader.wait)
    ends.callback(reader.kill)
    if reader.stdout is not None:
        ends.callback(reader.stdout.close)
    how = signal.SIGSTOP if name.endswith("stopped") else signal.SIGKILL
    process = {"reader": reader.pid, "controller": door.process.pid, "guardian": door.guardian}[name.partition(" ")[0]]
    return lambda: os.kill(process, how)


def _rave(peer: socket.socket) -> None:
    with suppress(BrokenPipeError):  # hung up on, because a busy machine let it be silent for too long: locked before
        peer.sendall(b'{"v":2,"kind":"pulse"}\n')


def latency(count: int) -> dict[str, Any]:
    """Print how long edges and pulses take, with the cores idle and busy, and return the figures."""
    figures: dict[str, Any] = {"n": count, "debounce_ms": 1000 * DEBOUNCE_S}
    for load, around in (("idle", nullcontext()), ("busy", busy_cores())):
        with around, Door() as door, same_priority():
            figures["nice"] = door.nice
            for what, spent_s in _times(door, count).items():
                low, high, worst = (1000 * float(np.quantile(spent_s, share)) for share in (0.5, 0.99, 1.0))
                print(f"{load:5} {what:42} n {len(spent_s)}  p50 {low:6.2f}  p99 {high:6.2f}  worst {worst:6.2f} ms")
                figures[f"{load}: {what}"] = {"p50": round(low, 2), "p99": round(high, 2), "worst": round(worst, 2)}
    print(f"edges less the {1000 * DEBOUNCE_S:g} ms of debouncing; controller and this at nice {figures['nice']}")
    return figures


def _times(door: Door, count: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {"edge to state": [], "edge to event at a peer": [], "pulse sent to line high": []}
    draw = random.Random(_SEED)  # noqa: S311 - a moment, not a secret
    with door.peer() as peer:
        lines = Lines()
        peer.sendall(b'{"v":2,"kind":"beat"}\n')  # be the reader from the start
        for number in range(count):
            door.world.set(Input.TAMPER, active=number % 2 == 0)
            happened, heard_s = _next(peer, lines, EventType.TAMPER, EventType.TAMPER_CLEARED)
            spent["edge to state"].append(happened.at_s - door.told_s - DEBOUNCE_S)
            spent["edge to event at a peer"].append(heard_s - door.told_s - DEBOUNCE_S)
            time.sleep(draw.uniform(0.0, 0.05))
            line, sent_s = pulse_line(0.5), time.monotonic()
            peer.sendall(line)
            _next(peer, lines, EventType.DOOR_UNLOCKED)
            spent["pulse sent to line high"].append(door.observer.history()[-1][0] - sent_s)
            peer.sendall(b'{"v":2,"kind":"lock","request_id":"l%d"}\n' % number)
            happened, _ = _next(peer, lines, EventType.DOOR_LOCKED)
            peer.sendall(_beat_of(happened))
            time.sleep(REST_S + draw.uniform(0.01, 0.03))
    return spent


def _beat_of(happened: Happened) -> bytes:
    return f'{{"v":2,"kind":"beat","run":"{happened.run}","seq":{happened.seq}}}\n'.encode()


def _next(peer: socket.socket, lines: Lines, *wanted: EventType) -> tuple[Happened, float]:
    """Return the next event of these types that the peer is told, and when it was."""
    while True:
        said = lines.feed(peer.recv(4096))
        heard_s = time.monotonic()
        for notice in map(read_notice, said):
            if isinstance(notice, Happened) and notice.event_type in wanted:
                return notice, heard_s


def schedules(count: int, real: int, doors: int) -> dict[str, Any]:
    """Print how long random schedules kept the line high past its limit, in the core and in real processes."""
    past_s = [_pure(random.Random(_SEED + one)) for one in range(count)]  # noqa: S311 - times, not secrets
    print(f"{count} schedules in the core, ticks late by 0 to 1 s: {max(past_s):.6f} s past limit and delay at most")
    with ExitStack() as opened:
        standing = [opened.enter_context(Door()) for _ in range(doors)]
        nice = standing[0].nice
        pool = opened.enter_context(ThreadPoolExecutor(doors))
        found = pool.map(lambda one: [_really(standing[one], trial) for trial in range(one, real, doors)], range(doors))
        late_ms = [1000 * late for one in found for late in one]
    over = sum(late > 1000 * PAST_LIMIT_S for late in late_ms)
    print(
        f"{real} schedules in real processes at nice {nice}: {max(late_ms):.1f} ms past the limit, over 50 ms: {over}"
    )
    core = {"schedules": count, "core_past_s": round(max(past_s), 6)}
    return core | {"real": real, "nice": nice, "real_past_ms": round(max(late_ms), 1), "real_over": over}


def _pure(draw: random.Random) -> float:
    """Return the most by which the line was high past its limit and the delay of the tick that found that out."""
    machine = Machine(DoorSettings())
    now_s, until_s, begun_s, past_s = 1000.0, -math.inf, math.inf, -math.inf
    for _ in range(draw.randint(5, 40)):
        wanted_s = now_s + draw.expovariate(1 / 3)
        late_s = draw.uniform(0.0, 1.0)
        while (due_s := machine.wake_s) <= wanted_s:
            now_s = max(now_s, due_s + late_s)
            if machine.released:
                past_s = max(past_s, now_s - until_s - late_s)
            machine.tick(now_s)
            machine.hear(now_s)
            begun_s = begun_s if machine.released else math.inf
        now_s = max(now_s, wanted_s)
        machine.tick(now_s)
        begun_s = begun_s if machine.released else math.inf
        machine.hear(now_s)
        for_s = draw.uniform(0.1, 40.0)
        if draw.random() < 0.8:
            accepted = machine.enter(Pulse(for_s, "p", now_s), now_s) is None
            begun_s = min(begun_s, now_s) if accepted else begun_s
            ends_s = min(now_s + max(for_s, 0.5), begun_s + MAX_UNLOCKED_S)
        else:
            accepted = machine.hold(Hold.UNLOCKED, "o", for_s, now_s) is None
            ends_s = now_s + max(for_s, 1.0)
        until_s = max(until_s, ends_s) if accepted else until_s
    return past_s


def _really(door: Door, trial: int) -> float:
    """Return how many seconds past its limit the line was driven low in one random schedule of pulses."""
    draw = random.Random(_SEED + trial)  # noqa: S311 - times, not secrets
    link, limit_s = door.link(), 0.0
    for _ in range(draw.randint(1, 3)):
        state = link.pulse(Pulse(draw.uniform(0.1, 1.2), f"p{trial}", time.monotonic() + 1))
        limit_s = state.until_s or limit_s
        end_s = time.monotonic() + draw.uniform(0.0, 0.4)
        while time.monotonic() < end_s:
            link.beat()
            time.sleep(0.02)
    while door.observer.level():
        link.beat()
        time.sleep(0.005)
    time.sleep(REST_S)
    link.close()
    at_s, _, _ = door.observer.history()[-1]
    return at_s - limit_s


def run(moments_: int, latency_: int, schedules_: int, doors: int) -> None:
    """Measure what is asked for, and end with its figures."""
    figures: dict[str, Any] = {"bench": "door"}
    if moments_:
        figures["moments"] = moments(moments_, doors)
    if latency_:
        figures["latency"] = latency(latency_)
    if schedules_:
        figures["schedules"] = schedules(schedules_, min(schedules_, max(4, schedules_ // 40)), doors)
    report.finish(figures)
