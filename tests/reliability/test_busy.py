"""A machine that has better things to do."""

from __future__ import annotations

import math

from scripts.benchmarks.doors import Door, busy_cores


def test_door_locks_while_every_core_is_busy() -> None:
    """H5: with every core at work for others, a pulse unlocks, and the controller locks again when its time is over."""
    with Door() as door, busy_cores():
        reader = door.reader(0.5)
        try:
            assert math.isfinite(door.wait_low(20.0))
        finally:
            reader.kill()
            reader.communicate()
        assert [level for _, level, _ in door.observer.history()] == [0, 1, 0]
        assert door.process.poll() is None
