"""The door knows no time of day."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from appliance.config import DoorSettings
from appliance.contract import EventType
from appliance.door.hardware import Input
from appliance.door.machine import Machine
from appliance.records import Pulse

PACKAGE = Path(__file__).resolve().parents[2] / "appliance"
LINES = ("door", "gpio", "gpiochip", "lines", "simulated_door", "simulated_world", "dead_man")
FILES = [*sorted((PACKAGE / "door").glob("*.py")), *(PACKAGE / "drivers" / f"{name}.py" for name in LINES)]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_door_asks_for_no_time_of_day(file: Path) -> None:
    """H2: nothing between the socket and the pin reads a clock that can be set: only the monotonic one."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    from_ = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {"datetime", "calendar"} & (imported | from_)
    assert "time" not in from_
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    assert asked <= {"monotonic", "sleep"}


@pytest.mark.parametrize("start_s", [0.0, 1.0, 3.6e3, 3.2e8, 1e10])
def test_door_does_the_same_at_any_hour(start_s: float) -> None:
    """H2: whatever the clock says at the start, years of it included, a visit takes as long and tells the same."""
    machine = Machine(DoorSettings())
    machine.start({Input.CONTACT: False}, start_s)
    machine.tick(start_s)
    assert machine.enter(Pulse(5.0, "p1", start_s + 1), start_s) is None
    machine.hear(start_s + 0.5)
    machine.sense(Input.CONTACT, active=True, now_s=start_s + 1)
    for half_s in range(2, 80):
        machine.hear(start_s + half_s / 2)
        machine.tick(start_s + half_s / 2)
    machine.sense(Input.CONTACT, active=False, now_s=start_s + 40)
    told = [(event.event_type, event.at_s - start_s) for event in machine.take()]
    assert told == [
        (EventType.DOOR_UNLOCKED, 0.0),
        (EventType.DOOR_OPENED, 1.0),
        (EventType.DOOR_LOCKED, 5.0),
        (EventType.HELD_OPEN_WARNING, 21.0),
        (EventType.HELD_OPEN, 31.0),
        (EventType.DOOR_CLOSED, 40.0),
        (EventType.HELD_OPEN_CLEARED, 40.0),
    ]
    assert machine.wake_s == math.inf
