"""What an outage of the broker costs a decision, and what power cuts in the midst of one cost the feed.

A real reader in a process of its own, a real controller with a simulated lock, a real mosquitto, and before that a
line that can be held or cut. By turns the broker answers, is stopped in its tracks (SIGSTOP), sits behind a line on
which nothing is read any more, or is not there.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.broker import private_broker
from appliance.commands.options import Installation
from appliance.config import LivenessSettings, Settings
from appliance.door.child import simulated_controller
from appliance.errors import BrokerError
from appliance.service import Hooks, Service
from tests.durability.feeding import endure
from tests.line import Line

from . import report
from .alert import PATIENCE_S, Strangers, quantiles_ms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from appliance.broker import PrivateBroker
    from appliance.pipeline import Step
    from appliance.records import Frame, OperatingPoint

FINE, STOPPED, STALLED, ABSENT = "answers", "stopped", "stalled", "absent"
_VISIT_S = 1.2  # then the other stranger stands there
_SETTLE_S = 0.7  # after each change
_STRETCH, _CUTS = 2_000, 20  # events between two of the cuts that are lived with, and cuts tried in each


def run(rounds: int, block_s: float, events: int) -> None:
    """Print how long frames took with each kind of broker, and what became of so many events under power cuts."""
    figures: dict[str, Any] = {"bench": "outage", "rounds": rounds, "block_s": block_s}
    if rounds:
        figures |= _compare(rounds, block_s)
    if events:
        figures |= _cut(events)
    report.finish(figures)


def _compare(rounds: int, block_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ostiary-outage-") as folder:
        took = _measured(Path(folder), rounds, block_s)
    rows, figures = [], dict[str, Any]()
    for name, spent_s in took.items():
        found = quantiles_ms(spent_s)
        ratios = [_ratio(spent_s, took[FINE], share) for share in (0.5, 0.99)]
        figures[name] = found | {"n": len(spent_s), "p50_ratio": ratios[0], "p99_ratio": ratios[1]}
        words = [f"{middle:.2f} ({low:.2f} to {high:.2f})" for middle, low, high in ratios]
        rows.append((name, str(len(spent_s)), f"{found['p50']:.1f}", f"{found['p99']:.1f}", *words))
    columns = ("broker", "frames", "p50 ms", "p99 ms", "p50 over answers (95 %)", "p99 over answers (95 %)")
    report.show(f"frame captured -> read, decided and told; {rounds} rounds of {block_s:g} s each", columns, rows)
    return figures


def _measured(folder: Path, rounds: int, block_s: float) -> dict[str, list[float]]:
    """Return the seconds that each frame with a face to read took, by what the broker did meanwhile."""
    took: dict[str, list[float]] = {name: [] for name in (FINE, STOPPED, STALLED, ABSENT)}
    with private_broker(folder, "mosquitto") as broker, Line(broker.host, broker.port) as line:
        mqtt = broker.settings.model_copy(update={"port": line.port})
        settings = Settings(liveness=LivenessSettings(commissioned="skipped"), mqtt=mqtt)
        with _reader(Installation(settings, folder, None)) as told:
            for _ in range(rounds):
                # Absent is the last, so that the line has held for a while and is tried again soon.
                for name in (*random.sample((FINE, STOPPED, STALLED), 3), ABSENT):
                    _wait_for_reader(line)
                    took[name] += _block(name, broker, line, told, block_s)
    return took


def _block(name: str, broker: PrivateBroker, line: Line, told: Connection, block_s: float) -> list[float]:
    with _as_it_is(name, broker, line):
        time.sleep(_SETTLE_S)
        began_s = time.monotonic()
        time.sleep(block_s)
        ended_s = time.monotonic()
    spent_s = []
    while told.poll():
        captured_s, done_s = told.recv()
        if began_s <= captured_s and done_s <= ended_s:
            spent_s.append(done_s - captured_s)
    return spent_s


@contextlib.contextmanager
def _as_it_is(name: str, broker: PrivateBroker, line: Line) -> Iterator[None]:
    """Let the broker be so while the block runs."""
    match name:
        case "stopped":
            os.kill(broker.process_id, signal.SIGSTOP)
        case "stalled":
            line.hold()
        case "absent":
            line.cut()
    yield
    os.kill(broker.process_id, signal.SIGCONT)
    line.release()
    if name == ABSENT:
        line.mend()


def _wait_for_reader(line: Line) -> None:
    """Return once the reader has been there for a moment. Raises BrokerError where it does not come."""
    end_s = time.monotonic() + 40
    while not line.used:
        if time.monotonic() > end_s:
            raise BrokerError("the reader does not come back to its broker")
        time.sleep(0.05)
    time.sleep(_SETTLE_S)


@contextlib.contextmanager
def _reader(plain: Installation) -> Iterator[Connection]:
    """Give what a reader tells of its frames, before which strangers come and go."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    with simulated_controller(plain.state) as controller:
        reader = spawn.Process(target=_read, args=(plain.with_controller(controller), there))
        reader.start()
        try:
            if not here.poll(60):
                raise BrokerError("the reader does not come up")
            yield here
        finally:
            here.send("stop")
            reader.join(PATIENCE_S)
            reader.kill()


def _read(installation: Installation, told: Connection) -> None:
    """Be the reader, and tell of each frame with a face that was read when it was captured and when it was done."""
    turn = multiprocessing.Value("i", 0)

    def on_step(frame: Frame, step: Step, _point: OperatingPoint) -> None:
        done_s = time.monotonic()
        turn.value = int(done_s / _VISIT_S)
        if step.presentation is not None and step.presentation.latest.embedding is not None:
            told.send((frame.captured_at_s, done_s))

    hooks = Hooks(on_step=on_step, on_turn=lambda: service.stop() if told.poll() else None)
    service = Service(installation, Strangers(turn), hooks)
    service.link.connect(PATIENCE_S)
    service.run()


def _ratio(these: list[float], those: list[float], share: float) -> tuple[float, float, float]:
    """Return the ratio of two quantiles, and its 95 % interval by resampling."""
    chance = np.random.default_rng(0)
    above, below = (
        np.quantile(chance.choice(np.array(one), (2000, len(one))), share, axis=1) for one in (these, those)
    )
    low, high = (float(end) for end in np.quantile(above / below, (0.025, 0.975)))
    return round(float(np.quantile(these, share) / np.quantile(those, share)), 3), round(low, 3), round(high, 3)


def _cut(events: int) -> dict[str, Any]:
    outcome = endure(events, min(events, _STRETCH), _CUTS, 1)
    report.name("power cuts lost or bent an event", outcome.faults)
    print(
        f"feed: {outcome.events:,} events, {outcome.cuts:,} power cuts, one in {_CUTS} of them lived with;"
        f" {outcome.again:,} events came again; missing or bent after {len(outcome.faults)} cuts"
    )
    return {"events": outcome.events, "cuts": outcome.cuts, "again": outcome.again, "faults": len(outcome.faults)}
