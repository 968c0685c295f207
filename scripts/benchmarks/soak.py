"""Millions of frames through one running reader, and whether its memory, descriptors or threads grow.

The reader is the service itself with a real controller behind it; what it writes lies in memory. Before the camera,
people, a stranger and pictures come and go in a film that runs over and over, with time going on. The models answer
each picture of the film once; from then on their answers are given again, for the models alone take most of a frame.
Everything else is done for each frame anew: capture, following, presentations, matching, policy, admission, audit.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from appliance.commands.options import Installation
from appliance.config import CameraSettings, DoorSettings, LivenessSettings, Settings
from appliance.door.child import simulated_controller
from appliance.drivers.scene import Visit
from appliance.service import Hooks, Service
from tests.durability.cuts import SCRATCH

from . import report
from .endless import HEIGHT_PX, NEAR, RATE, WIDTH_PX, Film, answer_again, enrol_astronaut

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.pipeline import Step
    from appliance.records import AuditEvent, Frame, OperatingPoint

_VISITS = (
    Visit(face="astronaut", for_s=2.4, nearness=NEAR),  # who is enrolled
    Visit(face="official", for_s=2.4, nearness=NEAR),
    Visit(face="astronaut", for_s=2.4, nearness=NEAR, shows="print"),
    Visit(face="official", for_s=2.4, nearness=NEAR, shows="phone"),
)
_EMPTY = 864  # frames before each visit: about one visitor a minute
_CROWD = tuple(Visit(face=face, for_s=6.0, nearness=NEAR, shows="print") for face in ("astronaut", "official"))
_LOOKS, _APART = 100, 200  # at most, and frames between two at least
_WARM = 0.1  # of the frames, before growth is counted: caches fill


@dataclass
class Outcome:
    """What a soak showed."""

    frames: list[int] = field(default_factory=list)  # at which was looked
    looks: dict[str, list[float]] = field(default_factory=dict)  # by what was looked at: its value at each
    events: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    logged: int = 0  # bytes of the audit log


def run(frames: int, *, models: bool, crowd: bool) -> None:
    """Print how memory, descriptors and threads went while so many frames were read, and what the log grew by."""
    outcome = soak(frames, models=models, crowd=crowd, told=lambda line: print(line, flush=True))
    days = frames / RATE / 86_400
    rate = frames / outcome.took_s
    print(f"{frames:,} frames, {days:.2f} days at {RATE:g} a second, in {outcome.took_s:,.0f} s")
    print(f"audit log: {outcome.logged / 1e6:.2f} MB, {outcome.logged / 1e6 / days:.1f} MB in a day of such visits")
    print(f"events: {', '.join(f'{name} {count:,}' for name, count in outcome.events.most_common())}")
    grown = {name: slope(outcome.frames, values) for name, values in outcome.looks.items()}
    rows = [
        (
            name,
            f"{values[0]:,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            f"{values[-1]:,.0f}",
            _words(grown[name]),
        )
        for name, values in outcome.looks.items()
    ]
    columns = ("what", "first", "range", "last", f"growth in a million frames, after the first {_WARM:.0%} (95 %)")
    report.show(f"one reader, looked at {len(outcome.frames)} times", columns, rows)
    line: dict[str, Any] = {"bench": "soak", "frames": frames, "models": models, "crowd": crowd}
    line |= {"rate": round(rate, 1), "took_s": round(outcome.took_s, 1)}
    line |= {"events": outcome.events.total(), "log_bytes_a_day": round(outcome.logged / days)}
    for name, values in outcome.looks.items():
        at, low, high = (report.number(1e6 * value, 3) for value in grown[name])
        line[name] = {"first": values[0], "last": values[-1], "a_million": at, "ci95": [low, high]}
    report.finish(line)


def _words(grown: tuple[float, float, float]) -> str:
    at, low, high = (1e6 * value for value in grown)
    return f"{at:+.2f} ({low:+.2f} to {high:+.2f})"


def soak(
    frames: int, *, models: bool, crowd: bool = False, told: Callable[[str], None] = lambda _line: None
) -> Outcome:
    """Return what so many frames did to a reader; `models` for each by the models, else by what they said before.

    `crowd` has one picture held up after the other without a pause, of two people in turns.
    """
    settings = Settings(
        camera=CameraSettings(width_px=WIDTH_PX, height_px=HEIGHT_PX),
        liveness=LivenessSettings(commissioned="skipped", min_face_px=60),
        door=DoorSettings(unlock_s=0.5),
    )
    film = Film(frames, _CROWD, 0) if crowd else Film(frames, _VISITS, _EMPTY)
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="ostiary-soak-", dir=SCRATCH) as made:
        installation = Installation(settings, Path(made), None)
        enrol_astronaut(installation)
        with simulated_controller(installation.state) as door:
            service = Service(installation.with_controller(door), film, _hooks(frames, outcome, told, film.end))
            service.link.connect(5.0)
            if not models:
                answer_again(service, film)
            began_s = time.monotonic()
            service.run()
            outcome.took_s = time.monotonic() - began_s
            outcome.logged = installation.audit_file.stat().st_size
            if not controllers():
                raise click.ClickException(f"the controller ended before frame {outcome.frames[-1]:,}")
    return outcome


def _hooks(frames: int, outcome: Outcome, told: Callable[[str], None], end: Callable[[], None]) -> Hooks:
    """Return what looks at this process a hundred times, and counts the events; `end` where the controller has."""
    every, seen = max(_APART, frames // _LOOKS), itertools.count(1)

    def on_event(event: AuditEvent) -> None:
        outcome.events[event.event.event_type.value] += 1

    def on_step(_frame: Frame, _step: Step, _point: OperatingPoint) -> None:
        if (number := next(seen)) % every == 0:
            outcome.frames.append(number)
            if not controllers():
                end()
                return
            found = held()
            for name, value in found.items():
                outcome.looks.setdefault(name, []).append(value)
            told(f"{number:>12,} frames: " + ", ".join(f"{name} {value:,.0f}" for name, value in found.items()))

    return Hooks(on_event=on_event, on_step=on_step)


def held() -> dict[str, float]:
    """Return what the reader holds, memory in KB and Python's own objects too, and what its controller does."""
    gc.collect()
    of_ours = controllers()
    return {
        "RSS KB": _status("self", "VmRSS"),
        "descriptors": _descriptors("self"),
        "threads": _status("self", "Threads"),
        "objects": len(gc.get_objects()),
        "controller's RSS KB": sum(_status(child, "VmRSS") for child in of_ours),
        "controller's descriptors": sum(_descriptors(child) for child in of_ours),
    }


def controllers() -> list[str]:
    """Return the process ids of this process's controllers; what has ended has no command line any more."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return [child for child in children if b"\0controller\0" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _status(process: str, name: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _descriptors(process: str) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def slope(frames: list[int], values: list[float]) -> tuple[float, float, float]:
    """Return the growth for one frame by least squares, after the warm-up, and its 95 % interval; NaN for too few."""
    at = np.array(frames, np.float64)
    late = at > _WARM * at[-1] if at.size else np.zeros(0, bool)
    x, y = at[late], np.array(values, np.float64)[late]
    if x.size < 3:
        return math.nan, math.nan, math.nan
    x -= x.mean()
    rise = float(x @ y / (x @ x))
    error = y - y.mean() - rise * x
    spread = 1.96 * math.sqrt(float(error @ error) / (x.size - 2) / float(x @ x))
    return rise, rise - spread, rise + spread
