"""What every source of frames promises, the real and the simulated alike."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pytest

from appliance.config import CameraSettings
from appliance.drivers.camera import MAX_SIDE_PX, checked, open_camera
from appliance.drivers.photo import encode_png
from appliance.drivers.picamera import PiCamera
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import CameraError
from tests.drivers.recorded_picamera2 import Bench

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.drivers.camera import Camera
    from appliance.records import Frame

FRAMES = 6
CONDITIONS = ["covered", "defocused", "moved"]
SOURCES = [
    "simulated",
    "simulated paced",
    *(f"simulated {how}" for how in CONDITIONS),
    "recording",
    "folder",
    "picamera",
]


class Source(NamedTuple):
    """An opened camera, its number of frames; None for a live one."""

    camera: Camera
    length: int | None


def red(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a red picture with something in it that moves."""
    picture = np.full((96, 128, 3), (200, 30, 20), np.uint8)
    picture[:20, 10 * number : 10 * number + 10] = 0
    return picture


def film(
    path: Path,
    count: int = FRAMES,
    size: tuple[int, int] = (128, 96),
    rate: float = 10.0,
    by: int = cv2.CAP_OPENCV_MJPEG,
) -> Path:
    """Write a recording of red pictures."""
    # OpenCV's own writer: that of FFmpeg cuts odd sizes to even ones.
    writer = cv2.VideoWriter(str(path), by, cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    assert writer.isOpened()
    for number in range(count):
        writer.write(cv2.resize(red(number), size)[:, :, ::-1])
    writer.release()
    return path


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """Give each kind of source in turn, with a red thing before it where that can be had."""
    settings = CameraSettings(width_px=160, height_px=120, frame_rate=100.0)
    script = Script(Scene(visits=(Visit(for_s=1.0, pause_s=0.0),)))
    if request.param == "simulated":
        return Source(SimulatedCamera(script, settings, paced=False), 200)
    if request.param == "simulated paced":
        return Source(SimulatedCamera(script, settings), None)
    if request.param.startswith("simulated "):
        scene = {"visits": [{"for_s": 1.0, "pause_s": 0.0}], "camera": request.param.removeprefix("simulated ")}
        return Source(SimulatedCamera(Script(Scene.model_validate(scene)), settings, paced=False), 200)
    if request.param == "picamera":
        return Source(PiCamera(settings, Bench(red(1)).library), None)
    if request.param == "folder":
        for number in range(FRAMES):
            (tmp_path / f"{number}.png").write_bytes(encode_png(red(number)))
        return Source(open_camera(CameraSettings(source=str(tmp_path))), FRAMES)
    # On aarch64 OpenCV's own writes (200, 30, 20) as (170, 46, 20).
    path = film(tmp_path / "red.avi", by=cv2.CAP_FFMPEG)
    return Source(open_camera(CameraSettings(source=str(path))), FRAMES)


def frames_of(source: Source, most: int = 1000) -> list[Frame]:
    """Return every frame of a recording, and six of a live camera."""
    frames: list[Frame] = []
    while len(frames) < (most if source.length is not None else FRAMES):
        seen = source.camera.read()
        if seen is None:
            break
        frames.append(seen)
    return frames


def test_frames_are_rgb_bytes_that_nobody_can_change(source: Source) -> None:
    """A frame is (H, W, 3) uint8, in rows one after another, and read-only; a small picture is as well."""
    for seen in frames_of(source, 4):
        for pixels in (seen.pixels, seen.pixels if seen.small is None else seen.small):
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            assert pixels.flags.c_contiguous
            assert not pixels.flags.writeable


def test_time_and_sequence_rise(source: Source) -> None:
    """Every frame is later than the one before, and its number is higher (A4)."""
    frames = frames_of(source)
    assert len(frames) >= FRAMES - 1
    assert all(later.captured_at_s > one.captured_at_s for one, later in itertools.pairwise(frames))
    assert all(later.sequence > one.sequence for one, later in itertools.pairwise(frames))


def test_live_camera_is_on_the_monotonic_clock(source: Source) -> None:
    """A live frame's time is now on the monotonic clock; a recording counts from its own beginning."""
    seen = source.camera.read()
    assert seen is not None
    if source.camera.live:
        assert abs(time.monotonic() - seen.captured_at_s) < 1
    else:
        assert 0 <= seen.captured_at_s < 1


def test_identity_is_a_live_cameras_own(source: Source) -> None:
    """A2: a live camera says which one it is, the same at every frame; a recording says nothing."""
    said = {source.camera.identity}
    for _ in frames_of(source, 4):
        said.add(source.camera.identity)
    (identity,) = said
    assert bool(identity) or not source.camera.live


def test_recording_ends_with_none_again_and_again(source: Source) -> None:
    """A recording has all its frames and then None, however often it is asked; a live camera does not end."""
    if source.length is None:
        assert all(source.camera.read() is not None for _ in range(FRAMES))
        return
    assert len(frames_of(source)) == source.length
    assert [source.camera.read() for _ in range(3)] == [None, None, None]


def test_closing_twice_is_harmless(source: Source) -> None:
    """A camera can be closed after any frame, and once more."""
    source.camera.read()
    source.camera.close()
    source.camera.close()


@pytest.mark.parametrize("source", ["recording", "folder", "picamera"], indirect=True)
def test_red_is_red(source: Source) -> None:
    """A red thing comes out red: the order is RGB, in the small picture too."""
    seen = source.camera.read()
    assert seen is not None
    for pixels in (seen.pixels, seen.pixels if seen.small is None else seen.small):
        assert np.abs(pixels[-8:].mean(axis=(0, 1)) - (200, 30, 20)).max() < 8


def test_simulated_window_is_bluer_than_its_door() -> None:
    """The simulated room's window is bluish and its door brown: its order is RGB as well."""
    seen = SimulatedCamera(Script(Scene(visits=(Visit(),))), CameraSettings(), paced=False).read()
    assert seen is not None
    window, door = seen.pixels[120:200, 520:580].mean(axis=(0, 1)), seen.pixels[150:350, 60:130].mean(axis=(0, 1))
    assert window[2] > window[0] + 10
    assert door[0] > door[2] + 10


@pytest.mark.parametrize(
    "pixels",
    [
        None,
        [[1, 2, 3]],
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((31, 640, 3), np.uint8),
        np.zeros((640, 31, 3), np.uint8),
        np.zeros((48, MAX_SIDE_PX + 1, 3), np.uint8),
        np.zeros((480, 640), np.uint8),
        np.zeros((480, 640, 4), np.uint8),
        np.zeros((720, 640, 1), np.uint8),
        np.zeros(480 * 640 * 3, np.uint8),
        np.full((48, 64, 3), np.nan, np.float32),
        np.full((48, 64, 3), np.inf),
        np.zeros((48, 64, 3), np.uint16),
    ],
)
def test_rubbish_is_no_frame(pixels: object) -> None:
    """Empty, tiny, huge, grey, planar, floating or flat: one line, before anything computes on it (A7, A8)."""
    with pytest.raises(CameraError, match=r"^camera frame is [^\n]+$"):
        checked(pixels, 0.0, 1)
    if pixels is not None:  # a small picture may be missing
        with pytest.raises(CameraError, match=r"^camera frame is [^\n]+$"):
            checked(np.zeros((48, 64, 3), np.uint8), 0.0, 1, pixels)


@pytest.mark.parametrize("source", ["nowhere.mp4", "", "gibberish", "simulated:nowhere.json", "98", "/dev/video98"])
def test_source_that_is_not_there_is_one_line(source: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A source that cannot be opened is a fault in one line that names it, and nobody else says anything (A1)."""
    with pytest.raises(CameraError) as fault:
        open_camera(CameraSettings(source=source))
    assert "\n" not in str(fault.value)
    assert source.removeprefix("simulated:") in str(fault.value)
    assert capfd.readouterr() == ("", "")
