"""Which pin a switch hangs at, over every driver that reads one."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.config import Line, Settings, with_driver
from appliance.door.hardware import Input
from appliance.drivers.door import open_door, open_pins
from appliance.drivers.gpio import GpioInputs
from appliance.drivers.gpiochip import GpiochipInputs
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import DoorError, RefusedError
from appliance.setup.place import PI
from appliance.setup.wires import SETTLE_S, Wired, closed, find, judged
from tests.drivers.gpiod_chip import StandInChip
from tests.drivers.wired_pin import WiredChip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.door.hardware import InputLines


class Hand:
    """A clock that stands still but while somebody waits, and a hand that moves switches at set times."""

    def __init__(self, *moves: tuple[float, Callable[[], object]]) -> None:
        self.now_s = 0.0
        self._moves = list(moves)

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def sleep(self, for_s: float) -> None:
        """Let time go by, and move what is due."""
        self.now_s += for_s
        while self._moves and self._moves[0][0] <= self.now_s:
            self._moves.pop(0)[1]()


def found(pins: dict[int, InputLines], *moves: tuple[float, Callable[[], object]]) -> Wired | None:
    """Return what is found while a hand moves switches."""
    hand = Hand(*moves)
    return find(pins, closed(pins), 10.0, hand.clock, hand.sleep)


def on_pi(chip: WiredChip, *pins: int) -> dict[int, InputLines]:
    """Return the pins of a chip as gpiozero reads them."""
    return {pin: GpioInputs({Input.CONTACT: Line(pin, normally_closed=False)}, chip) for pin in pins}


@pytest.mark.parametrize("rests_closed", [False, True])
def test_switch_is_found_on_gpiozero(rests_closed: bool) -> None:
    """A switch that is pressed and held gives its pin, and NC where its circuit was closed before."""
    chip = WiredChip()
    line = Line(23, normally_closed=rests_closed)
    chip.wire(line, closed=rests_closed)
    with contextlib.closing(chip):
        pins = on_pi(chip, 22, 23, 24)
        assert found(pins, (1.0, lambda: chip.wire(line, closed=not rests_closed))) == Wired(23, rests_closed)
        assert chip.driven == []
        for lines in pins.values():
            lines.close()


@pytest.mark.parametrize("rests_closed", [False, True])
def test_switch_is_found_on_a_chip(rests_closed: bool) -> None:
    """The same over libgpiod's lines."""
    chip = StandInChip()
    for offset in (105, 106):
        chip.put(offset, 1)  # pulled up
    chip.put(106, int(not rests_closed))
    pins = {
        pin: GpiochipInputs(chip.as_gpiod(), {Input.CONTACT: Line(pin, normally_closed=False)}) for pin in (105, 106)
    }
    assert (
        str(found(dict(pins), (1.0, lambda: chip.put(106, int(rests_closed)))))
        == f"106 {'NC' if rests_closed else 'NO'}"
    )
    assert chip.driven == []
    for lines in pins.values():
        lines.close()


def test_switch_is_found_in_the_simulation(tmp_path: Path) -> None:
    """G6: the exit button of a simulated door is found while somebody presses it, in real time and by its pin."""
    world = SimulatedWorld(tmp_path / "simulated-door")
    pressed = threading.Timer(0.1, world.set, (Input.REX,), {"active": True})
    with open_pins(Settings(), tmp_path, PI.inputs) as pins:
        assert sorted(pins) == [16, 22, 23, 24, 25, 27]
        rest = closed(pins)
        pressed.start()
        assert find(pins, rest, 5.0) == Wired(23, normally_closed=False)
    pressed.join()


def test_bounce_is_not_believed() -> None:
    """G8: a contact that touches for less than 0.3 s, or a brushed wire, is not taken for a switch."""
    chip, line = WiredChip(), Line(24, normally_closed=False)
    moves = [
        (second + after_s, functools.partial(chip.wire, line, closed=closes))
        for second in range(1, 9)
        for after_s, closes in ((0.0, True), (SETTLE_S - 0.05, False))
    ]
    with contextlib.closing(chip):
        pins = on_pi(chip, 22, 24)
        assert found(pins, *moves) is None
        for lines in pins.values():
            lines.close()


def test_two_at_once_are_refused() -> None:
    """Two pins that change together are a short or two hands: neither is guessed."""
    with pytest.raises(RefusedError, match="22, 23"):
        judged({22: False, 23: True, 24: False}, {22: True, 23: False, 24: False})
    assert judged({22: False}, {22: False}) is None


def test_nothing_moved_is_nothing_found() -> None:
    """Where nobody touches anything, the wait ends and nothing is found."""
    chip = WiredChip()
    with contextlib.closing(chip):
        pins = on_pi(chip, 22)
        assert found(pins) is None
        assert closed(pins) == {22: False}
        pins[22].close()


def test_no_chip_is_told(tmp_path: Path) -> None:
    """G2: where there is no GPIO chip, that is said in one line, and nothing is claimed."""
    with pytest.raises(DoorError), open_pins(with_driver(Settings(), "gpio"), tmp_path, (22,)):
        pass


def test_pin_of_a_door_that_runs_is_left_out(tmp_path: Path) -> None:
    """G2: a chip whose lines a controller has claimed gives the others, and the relay never."""
    chip = StandInChip()
    settings = Settings()
    with contextlib.closing(open_door(settings, tmp_path)):
        taken = chip.request_lines(chip.path, {105: None})
        opened = {}
        for pin in (105, 106):
            with contextlib.suppress(DoorError):
                opened[pin] = GpiochipInputs(chip.as_gpiod(), {Input.CONTACT: Line(pin, normally_closed=False)})
        assert list(opened) == [106]
        opened[106].close()
        taken.release()
