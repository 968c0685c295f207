"""What the set-up finds: where its file goes, which board this is, which cameras are there, which time zone holds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import CameraError
from appliance.setup import units
from appliance.setup.owner import as_owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# V4L2 devices that are no cameras: a Raspberry Pi's codecs and image processors, and the raw end of the ribbon cable,
# which picamera2 speaks for, on a Jetson libargus. By the names of their kernel drivers.
_NO_CAMERA = re.compile(r"bcm2835|pispbe|rpivid|rpi-hevc|rp1-cfe|unicam|vi-output")


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of board, and how its pins are called."""

    name: str
    words: str
    driver: str  # door.driver
    relay_pin: int  # where hardware.md has the lock's relay
    # Pins that an input may be looked for at: of the header, without those that hardware.md has for outputs, and those
    # of I2C, SPI and the serial console: whoever reads them takes them away from a clock or a HAT. None are known of a
    # board that nobody has described.
    inputs: tuple[int, ...] = ()


PI = Board(
    "raspberry-pi",
    "pins by BCM number, over gpiozero",
    "gpio",
    17,
    (4, 5, 6, 16, 18, 22, 23, 24, 25, 27),
)
JETSON = Board(
    "jetson",
    "lines by offset on /dev/gpiochip0, over libgpiod",
    "gpiochip",
    144,
    (112, 122, 85, 126, 125, 123, 105, 106, 41, 43, 53, 113, 124, 52, 51),
)
CHIP = Board("gpiochip", "any other board with a GPIO chip: gpioinfo names its lines", "gpiochip", 17)
SIMULATED = Board("simulated", "no lock is wired to this machine: try everything out", "simulated", 17, PI.inputs)
BOARDS = {board.name: board for board in (PI, JETSON, CHIP, SIMULATED)}


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that is connected."""

    source: str  # camera.source
    words: str


@dataclass(frozen=True, slots=True)
class Place:
    """One appliance on disk and what is around it."""

    config_file: Path
    state: Path
    board: Board  # that was found
    cameras: tuple[FoundCamera, ...]
    time_zone: str  # such as Europe/Berlin
    running: tuple[str, ...] = ()  # our units that run here, and that we may restart
    has_account: bool = False  # somebody has set up the web pages already


def look_around(config_file: Path, state: Path, root: Path = Path("/")) -> Place:
    """Return what is found here; `root` is where the system's own files begin."""
    return Place(
        config_file,
        state,
        board_found(root),
        (*_pi_cameras(), *usb_cameras(root)),
        time_zone(root),
        units.running(root),
        _has_account(state),
    )


def board_found(root: Path) -> Board:
    """Return the board that the device tree names; SIMULATED where there is no GPIO chip at all."""
    try:
        model = (root / "proc/device-tree/model").read_text(errors="replace")
    except OSError:  # a PC has none
        model = ""
    if "Raspberry Pi" in model:
        return PI
    if "Jetson" in model:
        return JETSON
    return CHIP if any((root / "dev").glob("gpiochip*")) else SIMULATED


def usb_cameras(root: Path) -> Iterator[FoundCamera]:
    """Give every V4L2 camera, in the order of its number."""
    devices = (root / "sys/class/video4linux").glob("video*")
    for device in sorted(devices, key=lambda path: int(path.name.removeprefix("video"))):
        name = _line(device / "name")
        # A camera's further devices, its metadata for one, have an index of their own.
        if _line(device / "index") == "0" and not _NO_CAMERA.search(name):
            yield FoundCamera(f"/dev/{device.name}", name or "a camera without a name")


def time_zone(root: Path) -> str:
    """Return the system's time zone; UTC where nothing says."""
    linked = os.path.realpath(root / "etc/localtime").partition("/zoneinfo/")[2]
    return linked or _line(root / "etc/timezone") or "UTC"


def _pi_cameras() -> Iterator[FoundCamera]:
    # The driver's file loads OpenCV, which nobody needs who is helped, or told that a key is wrong.
    from appliance.drivers.picamera import connected  # noqa: PLC0415

    try:
        models = connected()
    except CameraError:  # it is not installed: this is no Raspberry Pi
        return
    if models:
        others = f", the first of {len(models)}" if len(models) > 1 else ""  # picamera2 opens no other
        yield FoundCamera("picamera2", f"{models[0]}, on the ribbon cable{others}")


def _has_account(state: Path) -> bool:
    from appliance.web.accounts import Accounts  # noqa: PLC0415 - it loads what hashes passwords

    file = state / "web.db"
    if not file.exists():  # which asking would make
        return False
    with as_owner_of(state), Accounts(file) as accounts:
        return not accounts.nobody_yet()


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
