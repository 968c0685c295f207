"""What the set-up finds on a machine: its board, its cameras, its time zone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.drivers.picamera import connected
from appliance.errors import CameraError
from appliance.setup.place import CHIP, JETSON, PI, SIMULATED, board_found, time_zone, usb_cameras

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from appliance.setup.place import Board


@pytest.mark.parametrize(
    ("model", "board"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0\0", PI),
        ("Raspberry Pi 4 Model B Rev 1.5\0", PI),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0", JETSON),
        ("Radxa ROCK 5B\0", CHIP),
    ],
)
def test_board_is_known_by_its_device_tree(tmp_path: Path, model: str, board: Board) -> None:
    """The board's own name decides; an unknown one with a GPIO chip is one with a GPIO chip."""
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text(model)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    assert board_found(tmp_path) is board


def test_machine_without_pins_is_simulated(tmp_path: Path) -> None:
    """Where there is no GPIO chip, no lock is proposed that is none."""
    (tmp_path / "dev").mkdir()
    assert board_found(tmp_path) is SIMULATED


def test_cameras_are_told_from_what_else_is_video(tmp_path: Path) -> None:
    """Codecs, image processors and a camera's own metadata are not proposed as cameras."""
    devices = {
        "video0": ("HD Pro Webcam C920", "0"),
        "video1": ("HD Pro Webcam C920", "1"),
        "video10": ("bcm2835-codec-decode", "0"),
        "video2": ("USB 2.0 Camera: HD USB Camera", "0"),
        "video20": ("pispbe-input", "0"),
        "video19": ("rpi-hevc-dec", "0"),
        "video30": ("vi-output, imx219 9-0010", "0"),
    }
    for name, (said, index) in devices.items():
        folder = tmp_path / "sys/class/video4linux" / name
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{said}\n")
        (folder / "index").write_text(f"{index}\n")
    assert [camera.source for camera in usb_cameras(tmp_path)] == ["/dev/video0", "/dev/video2"]


def test_time_zone_is_read(tmp_path: Path) -> None:
    """The zone is the one that the system's clock is shown in; UTC where nothing says."""
    assert time_zone(tmp_path) == "UTC"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/timezone").write_text("Europe/Madrid\n")
    assert time_zone(tmp_path) == "Europe/Madrid"
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Asia/Tokyo")
    assert time_zone(tmp_path) == "Asia/Tokyo"


class _Library:
    """picamera2's own list of cameras, as its manual shows it."""

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        """Return one camera on the ribbon cable, and one on USB."""
        return [
            {
                "Model": "imx708_wide",
                "Location": 2,
                "Rotation": 180,
                "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a",
                "Num": 0,
            },
            {"Model": "UVC Camera (046d:0825)", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0-046d:0825"},
        ]


def test_pi_cameras_are_those_on_the_ribbon() -> None:
    """picamera2 lists USB cameras too; those are OpenCV's."""
    library = cast("ModuleType", SimpleNamespace(Picamera2=_Library))
    assert connected(library) == ("imx708_wide",)


def test_no_picamera2_is_no_camera() -> None:
    """A1: where picamera2 is not installed, that is a fault with a name."""
    with pytest.raises(CameraError, match="picamera2"):
        connected()
