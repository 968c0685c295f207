"""The board's complaints: read off the kernel's files, told once, and shown while they last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.board_watch import EVERY_S, OVER_S, SLOWED_WORDS, VOLTAGE_WORDS, BoardWatch
from appliance.drivers.board import read_board
from appliance.vitals import BoardVitals

if TYPE_CHECKING:
    from pathlib import Path


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Make the kernel's files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


FIRMWARE = "devices/platform/soc/soc:firmware/get_throttled"
NEWER = "devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
ZONE = "class/thermal/thermal_zone0"


@pytest.mark.parametrize("firmware", [FIRMWARE, NEWER])
@pytest.mark.parametrize(
    ("word", "slowed", "under_voltage"),
    [
        ("0\n", False, False),
        ("1\n", False, True),
        ("2\n", True, False),
        ("4\n", True, False),
        ("8\n", True, False),
        ("50005\n", True, True),
        ("50000\n", False, False),  # it was so once, and is over
        ("rubbish\n", False, False),
        ("", False, False),
    ],
)
def test_firmware_of_a_pi_is_read(tmp_path: Path, firmware: str, word: str, slowed: bool, under_voltage: bool) -> None:
    """H10, H9: the firmware's bits for too little voltage and for a slowed processor are those of now, not of once.

    A Pi 5's newer kernels have them under another name.
    """
    seen = read_board(tree(tmp_path, {firmware: word}))
    assert (seen.slowed, seen.under_voltage, seen.celsius) == (slowed, under_voltage, None)


def test_voltage_alarm_of_a_pi_5_is_read(tmp_path: Path) -> None:
    """H10: the alarm of the voltage monitor says it as well."""
    assert read_board(tree(tmp_path, {"class/hwmon/hwmon1/in0_lcrit_alarm": "1\n"})).under_voltage
    assert not read_board(tree(tmp_path, {"class/hwmon/hwmon1/in0_lcrit_alarm": "0\n"})).under_voltage


@pytest.mark.parametrize(("temperature", "slowed"), [("61500", False), ("80000", True), ("84200", True)])
def test_hot_board_is_one_beyond_its_trip(tmp_path: Path, temperature: str, slowed: bool) -> None:
    """CPU hot, H9: beyond the temperature at which the kernel begins to cool, the board counts as slowed down."""
    trips = {f"{ZONE}/trip_point_0_type": "passive\n", f"{ZONE}/trip_point_0_temp": "80000\n"}
    off = {f"{ZONE}/trip_point_1_type": "active\n", f"{ZONE}/trip_point_1_temp": "40000\n"}
    cooler = {"class/thermal/thermal_zone1/temp": "40000\n"}
    seen = read_board(tree(tmp_path, {f"{ZONE}/temp": temperature, **trips, **off, **cooler}))
    assert seen.celsius == int(temperature) / 1000
    assert seen.slowed is slowed


def test_board_that_tells_nothing_is_well(tmp_path: Path) -> None:
    """A board without any of these files has no complaint, and costs nothing."""
    assert read_board(tmp_path) == BoardVitals()


def test_complaint_is_told_once_and_its_end_once() -> None:
    """Supply too weak, H10: a voltage that dips again and again is one complaint, over after a minute without."""
    state = {"is": BoardVitals()}
    watch = BoardWatch(lambda: state["is"])
    told = []
    for tick in range(60):
        now_s = tick * EVERY_S
        state["is"] = BoardVitals(under_voltage=tick in range(5, 30, 2), slowed=tick == 8)
        told += [(now_s, *one) for one in watch.news(now_s)]
        assert watch.news(now_s + 1.0) == []
    assert told == [
        (50.0, VOLTAGE_WORDS, True),
        (80.0, SLOWED_WORDS, True),
        (80.0 + OVER_S, SLOWED_WORDS, False),
        (290.0 + OVER_S, VOLTAGE_WORDS, False),
    ]
