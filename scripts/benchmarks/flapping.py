"""A broker that is killed and started again and again while events are sealed: what a client misses, what grows.

The reader's switchboard, audit log and feed are at work in this process, and so is a client that hears the feed and
asks for what it has missed; each broker is a real mosquitto that forgets everything when it is killed.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.broker import private_broker
from appliance.contract import Role
from tests.broker import wait_for
from tests.hall import hall

from . import report
from .soak import held, slope

if TYPE_CHECKING:
    from tests.hall import Hall

_EACH = 5  # events before each kill, and as many while there is no broker
_LONGEST_S = 0.3  # from the events to the kill
_PATIENCE_S = 60.0
_WATCHED = ("RSS KB", "descriptors", "threads")


@dataclass
class Outcome:
    """What a number of kills showed."""

    events: int = 0  # in the log
    heard: list[int] = field(default_factory=list)  # their numbers, in the order in which the client had them
    looks: dict[str, list[float]] = field(default_factory=dict)  # after each kill
    back_s: list[float] = field(default_factory=list)  # from a broker's start until the reader is there


def run(times: int) -> int:
    """Kill so many brokers and print what came of it; 1 where the client misses an event or has one out of order."""
    outcome = flap(times)
    wrong = outcome.heard != list(range(1, outcome.events + 1))
    print(
        f"{times} brokers killed, {outcome.events} events sealed; the client had {len(outcome.heard)}, in order, once"
    )
    print(f"back after a broker's start: {min(outcome.back_s):.1f} to {max(outcome.back_s):.1f} s (n {times})")
    line: dict[str, Any] = {"bench": "flapping", "kills": times, "events": outcome.events, "heard": len(outcome.heard)}
    line |= {"wrong": wrong, "back_s": [round(one, 2) for one in (min(outcome.back_s), max(outcome.back_s))]}
    for name in _WATCHED:
        values = outcome.looks[name]
        at, low, high = slope(list(range(1, times + 1)), values)
        print(f"{name}: {values[0]:,.0f} to {values[-1]:,.0f}; a kill adds {at:+.3f} (95 %: {low:+.3f} to {high:+.3f})")
        line[name] = {"first": values[0], "last": values[-1], "a_kill": report.number(at, 3)}
    report.finish(line)
    return int(wrong)


def flap(times: int) -> Outcome:
    """Return what came of so many brokers killed at random moments. Fails where the reader does not come back."""
    chance, outcome = random.Random(3), Outcome()  # noqa: S311 - moments, not a secret
    with tempfile.TemporaryDirectory(prefix="ostiary-") as made, ExitStack() as at_last:
        folder, life = Path(made), ExitStack()
        at_last.callback(lambda: life.close())  # noqa: PLW0108 - that of the last broker, not of this one
        broker = life.enter_context(private_broker(folder, "mosquitto"))
        front = at_last.enter_context(hall(broker.settings, folder))
        book = at_last.enter_context(front.client("book", Role.AUDITOR, events=True))
        for number in range(times):
            front.say(*(f"before kill {number}" for _ in range(_EACH)))
            time.sleep(chance.uniform(0, _LONGEST_S))
            os.kill(broker.process_id, signal.SIGKILL)
            life.close()
            front.say(*(f"after kill {number}" for _ in range(_EACH)))
            came = _connects(front)
            life = ExitStack()
            broker = life.enter_context(private_broker(folder, "mosquitto", broker.port))
            began_s = time.monotonic()
            _wait_for_more(front, came)
            outcome.back_s.append(time.monotonic() - began_s)
            for name, value in held().items():
                outcome.looks.setdefault(name, []).append(value)
        wait_for(lambda: len(front.events) == 2 * _EACH * times, _PATIENCE_S)
        outcome.events = len(front.events)
        for event in book.events(0, quiet_s=_PATIENCE_S):
            outcome.heard.append(event.seq)
            if event.seq == outcome.events:
                break
    return outcome


def _wait_for_more(front: Hall, connects: int) -> None:
    wait_for(lambda: _connects(front) > connects, _PATIENCE_S)


def _connects(front: Hall) -> int:
    return 0 if front._board is None else front._board.connects  # noqa: SLF001 - what the hall is for
