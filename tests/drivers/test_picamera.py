"""The Pi camera's driver against a stand-in of picamera2; no Pi was at hand."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from appliance.config import CameraSettings
from appliance.drivers.camera import open_camera
from appliance.drivers.picamera import PiCamera, rgb_of_yuv420
from appliance.errors import CameraError, CameraStalledError
from tests.drivers.recorded_picamera2 import Bench, padded_planes
from tests.pipeline.faces import placed

SETTINGS = CameraSettings(width_px=640, height_px=480, stall_s=0.2)


@pytest.fixture
def bench() -> Bench:
    """Give a Pi whose camera looks at a face."""
    return Bench(placed(150, (320, 240)))


def test_full_picture_is_what_the_camera_sees(bench: Bench) -> None:
    """The main stream comes pixel for pixel, red first, without its padding."""
    frame = PiCamera(SETTINGS, bench.library).read()
    assert frame is not None
    assert np.array_equal(frame.pixels, bench.scene)


@pytest.mark.parametrize("padding", [0, 2, 32, 64, 192])
def test_padding_is_never_pixels(bench: Bench, padding: int) -> None:
    """However long the rows of the small stream are, its picture is the full one made small (A6)."""
    bench.padding = padding
    frame = PiCamera(SETTINGS, bench.library).read()
    assert frame is not None
    assert frame.small is not None
    assert frame.small.shape == (240, 320, 3)
    shrunk = bench.scene.reshape(240, 2, 320, 2, 3).mean(axis=(1, 3))
    assert np.abs(frame.small - shrunk).mean() < 4  # chroma is halved, and luma has 220 levels
    assert np.abs(frame.small[:, -2:] - shrunk[:, -2:]).mean() < 4


@pytest.mark.parametrize("size", [(320, 240), (288, 216), (256, 240)])
def test_size_that_libcamera_made_of_it_counts(bench: Bench, size: tuple[int, int]) -> None:
    """Where the hardware rounds the small stream's size, the configured size is read and not the one asked for (A6)."""
    bench.rounded = size
    frame = PiCamera(SETTINGS, bench.library).read()
    assert frame is not None
    assert frame.small is not None
    assert frame.small.shape == (size[1], size[0], 3)


def test_small_stream_is_never_larger_than_the_full_one() -> None:
    """At every allowed size the small stream keeps the picture's shape and fits, as libcamera demands."""
    for width, height in [(160, 120), (162, 122), (640, 480), (1280, 720), (3840, 2160), (160, 2160)]:
        bench = Bench(np.full((height, width, 3), 90, np.uint8))
        frame = PiCamera(CameraSettings(width_px=width, height_px=height), bench.library).read()
        assert frame is not None
        assert frame.small is not None
        assert frame.small.shape[0] <= height
        assert frame.small.shape[1] <= width


@pytest.mark.parametrize(
    ("shape", "size"),
    [((360, 319), (320, 240)), ((359, 320), (320, 240)), ((361, 320), (320, 240)), ((360, 321), (320, 240))],
)
def test_small_picture_of_a_wrong_size_is_refused(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """A YUV buffer with a row or column too few or an odd number of them is refused before OpenCV sees it (A7)."""
    with pytest.raises(CameraError, match="YUV420 of 320x240 needed"):
        rgb_of_yuv420(np.zeros(shape, np.uint8), *size)


def test_odd_height_is_refused() -> None:
    """A small picture of odd height has no half a row of colour (A7)."""
    with pytest.raises(CameraError, match="needed"):
        rgb_of_yuv420(np.zeros((361, 320), np.uint8), 320, 241)


def test_colours_of_the_small_picture_are_right() -> None:
    """Red, green and blue come out as themselves, within what limited-range YUV keeps."""
    view = np.zeros((64, 96, 3), np.uint8)
    view[:, :32, 0], view[:, 32:64, 1], view[:, 64:, 2] = 220, 220, 220
    assert np.abs(rgb_of_yuv420(padded_planes(view, 160), 96, 64).astype(int) - view).max() <= 6


def test_time_is_the_sensors_on_the_monotonic_clock(bench: Bench) -> None:
    """A frame is as old as its exposure says; without a stamp its time is its arrival."""
    for bench.stamps in (True, False):
        before_s = time.monotonic()
        frame = PiCamera(SETTINGS, bench.library).read()
        assert frame is not None
        assert before_s - 0.05 <= frame.captured_at_s <= time.monotonic()
        bench.taken = False


def test_every_request_is_given_back(bench: Bench) -> None:
    """Buffers go back to the camera after each frame and after each fault, or it would run dry after three."""
    camera = PiCamera(SETTINGS, bench.library)
    for _ in range(5):
        camera.read()
    bench.broken = "failed to find buffer"
    for _ in range(5):
        with pytest.raises(CameraError, match="failed to find buffer"):
            camera.read()
    assert bench.held == 0


def test_dead_camera_is_told_in_time_and_let_go(bench: Bench) -> None:
    """A cable that comes loose is a stall within `stall_s`; closing then neither hangs nor fails (A2)."""
    camera = PiCamera(SETTINGS, bench.library)
    camera.read()
    bench.dead = True
    began = time.monotonic()
    with pytest.raises(CameraStalledError, match=r"no frame for 0\.2 s"):
        camera.read()
    assert time.monotonic() - began < 3
    camera.close()
    camera.close()
    assert bench.calls == ["start", "stop", "close"]
    bench.dead = False
    assert PiCamera(SETTINGS, bench.library).read() is not None


@pytest.mark.parametrize("old", [False, True])
def test_no_camera_on_the_cable(bench: Bench, old: bool) -> None:
    """No camera is one line, whichever way the installed release says it (A1)."""
    bench.connected, bench.old = False, old
    with pytest.raises(CameraError, match=r"Pi camera cannot be opened: .+"):
        PiCamera(SETTINGS, bench.library)


def test_camera_that_cannot_be_configured_is_let_go(bench: Bench) -> None:
    """A refused configuration is one line, and the camera is free for the next try."""
    bench.refuses = "Invalid camera configuration"
    with pytest.raises(CameraError, match="cannot be started: Invalid camera configuration"):
        PiCamera(SETTINGS, bench.library)
    assert not bench.taken
    bench.refuses = ""
    assert PiCamera(SETTINGS, bench.library).read() is not None


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="picamera2 is installed here")
def test_missing_library_says_how_to_get_it() -> None:
    """Off a Pi, the default source is refused with the package to install."""
    with pytest.raises(CameraError, match="apt install python3-picamera2"):
        open_camera(CameraSettings())
