"""Capture: the newest frame wins, a recording loses none, and a camera that lies is noticed and opened again."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.capture import BLIND_WORDS, LATE_WORDS, MAX_LATE, STUCK_WORDS, Capture, FrameWatch
from appliance.config import CameraSettings
from appliance.drivers.camera import checked
from appliance.drivers.scene import Scene, Visit
from appliance.drivers.simulated import Script, SimulatedCamera
from appliance.errors import CameraError, CameraStalledError
from appliance.records import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STALL_S = 0.3
WAIT_S = 3.0  # how long a test waits for what must come


class PlayedCamera:
    """A live camera of 100 frames a second, to which a test can do everything that happens to real ones."""

    live = True
    identity = ""

    def __init__(self, rate: float = 100.0) -> None:
        self._interval_s = 1 / rate
        self._random = np.random.default_rng(1)
        self._last: Frame | None = None
        self.sequence = 0
        self.unplugged = self.silent = self.frozen = self.dark = self.rubbish = False
        self.hung = threading.Event()  # read() hangs until it is set
        self.hung.set()
        self.offset_s = 0.0  # added to every frame's time
        self.closed = 0

    def read(self) -> Frame | None:
        """Return the next frame, or do what was asked for."""
        time.sleep(self._interval_s)
        self.hung.wait()
        if self.unplugged:
            raise CameraError("camera is unplugged")
        if self.silent:
            raise CameraStalledError("camera gave no frame")
        self.sequence += 1
        if self.rubbish:
            return checked(np.zeros((1, 1, 3), np.uint8), time.monotonic(), self.sequence)
        if self._last is None or not self.frozen:
            level = 0 if self.dark else 128
            grain = self._random.integers(0, 2 if self.dark else 100, (48, 64, 3))
            self._last = Frame((level + grain).astype(np.uint8), 0.0, 0)
        return checked(self._last.pixels.copy(), time.monotonic() + self.offset_s, self.sequence)

    def close(self) -> None:
        """Count."""
        self.closed += 1


class Shop:
    """Where cameras are opened: it may have none at times, and counts how often it was asked."""

    def __init__(self, *cameras: PlayedCamera) -> None:
        self.cameras = list(cameras)
        self.asked_at_s: list[float] = []

    def __call__(self) -> PlayedCamera:
        """Hand out the next camera. Raises CameraError where there is none."""
        self.asked_at_s.append(time.monotonic())
        if not self.cameras:
            raise CameraError("camera cannot be opened")
        return self.cameras.pop(0)


@pytest.fixture
def running() -> Iterator[Callable[..., Capture]]:
    """Give a function that starts a capture, which is stopped at the end."""
    started: list[Capture] = []

    def start(shop: Callable[[], PlayedCamera | SimulatedCamera], stall_s: float = STALL_S) -> Capture:
        capture = Capture(shop, stall_s)
        capture.start()
        started.append(capture)
        return capture

    yield start
    for capture in started:
        capture.stop()


def until(true: Callable[[], bool], within_s: float = WAIT_S) -> float:
    """Return the seconds until it became true; fails where it did not."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, "it never became true"
        time.sleep(0.005)
    return time.monotonic() - began


def seen(pixels: int | np.ndarray[tuple[int, ...], np.dtype[np.uint8]], at_s: float) -> Frame:
    """Return a frame: textured with `pixels` as a seed, or these pixels."""
    if isinstance(pixels, int):
        pixels = np.random.default_rng(pixels).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    return Frame(pixels, at_s, 0)


def test_watch_drops_frames_whose_time_does_not_rise() -> None:
    """Equal, earlier, NaN and infinite times are dropped and counted; the right ones before and after are not (A4)."""
    watch = FrameWatch(1.0)
    times = [math.nan, math.inf, 1.0, 1.1, 1.1, 0.5, -math.inf, math.nan, 1.2, math.inf, 1.3]
    handed_on = [at_s for number, at_s in enumerate(times) if watch.accept(seen(number, at_s))]
    assert handed_on == [1.0, 1.1, 1.2, 1.3]
    assert watch.counters.out_of_order == 7
    assert watch.fault() == ""


def test_watch_tells_of_a_clock_that_does_not_come_back() -> None:
    """One frame from the far future does not silence the camera for good: after a second of it, it is a fault (A4)."""
    watch = FrameWatch(1.0)
    assert watch.accept(seen(0, 1e9))
    for number in range(MAX_LATE):
        assert watch.fault() == ""
        assert not watch.accept(seen(number + 1, 2.0 + number / 15))
    assert watch.fault() == LATE_WORDS
    watch.begin_again()
    assert watch.fault() == ""
    assert watch.accept(seen(99, 4.0))


def test_watch_tells_the_same_picture_within_its_patience() -> None:
    """The same bytes under new times are not handed on, and are a fault after the patience, not before (A3)."""
    watch = FrameWatch(1.0)
    assert watch.accept(seen(1, 0.0))
    assert not any(watch.accept(seen(1, number / 10)) for number in range(1, 10))
    assert watch.fault() == ""
    assert not watch.accept(seen(1, 1.0))
    assert watch.fault() == STUCK_WORDS
    assert watch.counters.repeated == 10
    assert watch.accept(seen(2, 1.1))
    assert watch.fault() == ""


@pytest.mark.parametrize("level", [0, 3, 128, 252, 255])
@pytest.mark.parametrize("noise", [0, 2])
def test_watch_tells_a_blind_camera(level: int, noise: int) -> None:
    """All black, all white or all grey, with noise or without, is told as blindness after the patience (A5)."""
    watch, random = FrameWatch(1.0), np.random.default_rng(2)
    watch.accept(seen(1, 0.0))
    for number in range(1, 16):
        grain = random.normal(0, noise, (480, 640, 3))
        watch.accept(seen(np.clip(level + grain, 0, 255).astype(np.uint8), number / 10))
        assert watch.fault() == (BLIND_WORDS if number >= 10 else "")
    watch.accept(seen(5, 1.7))
    assert watch.fault() == ""


def test_night_is_told_once() -> None:
    """A5: in a dark night, whose noise alone crosses the bound of blindness again and again, one fault is told."""
    watch, random = FrameWatch(1.0), np.random.default_rng(2)
    grain = random.normal(0, 1, (480, 640, 3))
    told = [""]
    for number in range(150):
        noise = 2.8 if number % 30 < 25 else 3.3
        watch.accept(seen((128 + noise * np.roll(grain, number, axis=0)).astype(np.uint8), number / 15))
        told += [watch.fault()] * (watch.fault() != told[-1])
    assert told == ["", BLIND_WORDS]
    watch.accept(seen(5, 11.0))
    assert watch.fault() == ""


def test_watch_does_not_mind_another_size() -> None:
    """A picture of another size is another picture (A6)."""
    watch = FrameWatch(1.0)
    small = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    assert watch.accept(seen(small, 0.0))
    assert watch.accept(seen(np.repeat(small, 2, axis=1), 0.1))


def test_newest_frame_wins(running: Callable[..., Capture]) -> None:
    """Behind a slow reader frames are dropped, never queued: what is taken is new (A16)."""
    capture = running(Shop(PlayedCamera(200.0)))
    taken = []
    for _ in range(6):
        time.sleep(0.08)
        frame = capture.take(WAIT_S)
        assert frame is not None
        assert time.monotonic() - frame.captured_at_s < 0.3
        taken.append(frame.sequence)
    assert taken == sorted(set(taken))
    assert capture.counters.dropped >= 30
    assert taken[-1] == pytest.approx(capture.counters.dropped + len(taken), abs=2)


def test_frame_is_taken_once(running: Callable[..., Capture]) -> None:
    """A frame is handed on once; where there is no new one, waiting ends at its time-out with None."""
    camera = PlayedCamera(5.0)
    capture = running(Shop(camera))
    assert capture.take(WAIT_S) is not None
    began = time.monotonic()
    assert capture.take(0.05) is None
    assert time.monotonic() - began == pytest.approx(0.05, abs=0.04)


def test_waiting_for_a_frame_can_be_ended_for_something_else(running: Callable[..., Capture]) -> None:
    """D10: an order that comes while no frame does is not kept waiting, and costs no frame."""
    camera = PlayedCamera()
    capture = running(Shop(camera))
    assert capture.take(WAIT_S) is not None
    camera.hung.clear()
    while capture.take(0.1) is not None:
        pass
    threading.Timer(0.05, capture.wake).start()
    began = time.monotonic()
    assert capture.take(WAIT_S) is None
    assert time.monotonic() - began < WAIT_S / 2
    camera.hung.set()
    capture.wake()
    until(lambda: capture.take(WAIT_S) is not None)


def test_recording_loses_no_frame() -> None:
    """However slow the reader, every frame of a recording is handed on in order, and then it has ended."""
    camera = SimulatedCamera(Script(Scene(visits=(Visit(for_s=0.7, pause_s=0.0),))), CameraSettings(), paced=False)
    capture = Capture(lambda: camera, STALL_S)
    capture.start(camera)
    sequences = []
    while not capture.ended:
        frame = capture.take(WAIT_S)
        if frame is not None:
            sequences.append(frame.sequence)
            time.sleep(0.002)
    capture.stop()
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) > 20
    assert capture.counters.dropped == 0
    assert capture.failed is None


def test_broken_recording_ends_with_its_fault() -> None:
    """A recording that breaks off is not opened again: it ends, says why, and is closed."""
    camera = PlayedCamera()
    camera.live = False
    shop = Shop()
    capture = Capture(shop, STALL_S)
    capture.start(camera)
    assert capture.take(WAIT_S) is not None
    camera.unplugged = True
    while not capture.ended:
        capture.take(0.1)
    capture.stop()
    assert str(capture.failed) == "camera is unplugged"
    assert shop.asked_at_s == []
    assert camera.closed == 1


def test_no_camera_at_the_start_is_told_and_waited_for(running: Callable[..., Capture]) -> None:
    """Without a camera there is no frame and a fault; one that comes later is taken up by itself (A1)."""
    shop = Shop()
    capture = running(shop)
    until(lambda: capture.fault() == "camera cannot be opened")
    assert capture.take(0.05) is None
    shop.cameras.append(PlayedCamera())
    assert capture.take(WAIT_S) is not None
    assert capture.fault() == ""


def test_tries_to_open_grow_rarer(running: Callable[..., Capture]) -> None:
    """A camera that stays away is asked for again and again, each pause twice the one before (A2)."""
    shop = Shop()
    running(shop)
    until(lambda: len(shop.asked_at_s) == 4)
    pauses = np.diff(shop.asked_at_s)
    assert pauses == pytest.approx([0.2, 0.4, 0.8], abs=0.12)


class LoosePlug(PlayedCamera):
    """A camera that is gone again after three frames."""

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraError after the third."""
        self.unplugged = self.sequence >= 3
        return super().read()


def test_camera_with_a_loose_plug_is_asked_for_ever_more_rarely(running: Callable[..., Capture]) -> None:
    """A2: a camera that comes and goes by the second does not begin the pauses anew with each of its frames."""
    shop = Shop(*(LoosePlug() for _ in range(4)))
    running(shop)
    until(lambda: len(shop.asked_at_s) == 4)
    assert np.diff(shop.asked_at_s) == pytest.approx([0.24, 0.44, 0.84], abs=0.15)


def test_unplugged_camera_is_told_at_once_and_comes_back(running: Callable[..., Capture]) -> None:
    """A camera pulled out is told within a second, let go, and its successor taken up; no old frame is left (A2)."""
    first, second = PlayedCamera(), PlayedCamera()
    shop = Shop(first, second)
    capture = running(shop)
    assert capture.take(WAIT_S) is not None
    first.unplugged = True
    assert until(lambda: capture.fault() == "camera is unplugged", 1.0) < 1.0
    frame = capture.take(WAIT_S)
    assert frame is not None
    assert time.monotonic() - frame.captured_at_s < 0.5
    assert capture.fault() == ""
    assert (first.closed, second.closed) == (1, 0)
    assert capture.counters.reopened == 1


def test_stalled_camera_is_opened_again(running: Callable[..., Capture]) -> None:
    """A camera that gives no frame is let go and opened again (A2)."""
    first, second = PlayedCamera(), PlayedCamera()
    capture = running(Shop(first, second))
    assert capture.take(WAIT_S) is not None
    first.silent = True
    until(lambda: first.closed == 1)
    assert capture.take(WAIT_S) is not None
    assert second.sequence > 0


def test_hang_inside_the_driver_is_noticed(running: Callable[..., Capture]) -> None:
    """A driver that never comes back is told within the stall time, and stopping does not wait for it (A2)."""
    camera = PlayedCamera()
    capture = running(Shop(camera))
    assert capture.take(WAIT_S) is not None
    camera.hung.clear()
    assert until(lambda: "gave no frame for" in capture.fault()) == pytest.approx(STALL_S, abs=0.15)
    assert capture.take(0.1) is None or capture.take(0.1) is None
    began = time.monotonic()
    capture.stop()
    assert time.monotonic() - began < 2.5
    camera.hung.set()


def test_frozen_camera_is_a_stall(running: Callable[..., Capture]) -> None:
    """Camera frozen: the same picture again and again is told within the stall time, and the camera reopened (A3)."""
    first, second = PlayedCamera(), PlayedCamera()
    capture = running(Shop(first, second))
    assert capture.take(WAIT_S) is not None
    first.frozen = True
    assert until(lambda: STUCK_WORDS in capture.fault()) < STALL_S + 0.3
    assert first.closed == 1
    assert capture.take(WAIT_S) is not None
    assert second.sequence > 0
    assert capture.fault() == ""


def test_camera_that_is_still_frozen_after_opening_stays_a_fault(running: Callable[..., Capture]) -> None:
    """A stuck picture that comes again after reopening gives no frame and no all-clear, and tries grow rarer (A3)."""
    cameras = [PlayedCamera() for _ in range(9)]  # the same noise from the start: the same first picture
    for camera in cameras:
        camera.frozen = True
    capture = running(Shop(*cameras))
    assert capture.take(WAIT_S) is not None
    until(lambda: STUCK_WORDS in capture.fault())
    for _ in range(60):
        assert STUCK_WORDS in capture.fault()
        assert capture.take(0.02) is None
    assert capture.counters.reopened <= 4


def test_blind_camera_is_told_and_kept(running: Callable[..., Capture]) -> None:
    """Camera covered: a lens cap is told within the stall time and until it is off; the camera is not reopened (A5)."""
    camera = PlayedCamera()
    capture = running(Shop(camera))
    assert capture.take(WAIT_S) is not None
    camera.dark = True
    assert until(lambda: BLIND_WORDS in capture.fault()) < STALL_S + 0.3
    camera.dark = False
    until(lambda: capture.fault() == "")
    assert camera.closed == 0


def test_rubbish_is_never_handed_on(running: Callable[..., Capture]) -> None:
    """Frames of an impossible size reach nobody and have the camera opened again (A7)."""
    first, second = PlayedCamera(), PlayedCamera()
    first.rubbish = True
    capture = running(Shop(first, second))
    frame = capture.take(WAIT_S)
    assert frame is not None
    assert frame.pixels.shape == (48, 64, 3)
    assert first.closed == 1


def test_time_that_jumps_back_costs_frames_and_not_the_camera(running: Callable[..., Capture]) -> None:
    """A jump back drops frames until it is a fault, then the camera is opened again and frames flow on (A4)."""
    first, second = PlayedCamera(), PlayedCamera()
    capture = running(Shop(first, second))
    assert capture.take(WAIT_S) is not None
    first.offset_s = -60.0
    until(lambda: first.closed == 1)
    assert capture.counters.out_of_order >= MAX_LATE
    frame = capture.take(WAIT_S)
    assert frame is not None
    assert time.monotonic() - frame.captured_at_s < 0.5


def test_stopping_closes_the_camera_and_ends_the_thread() -> None:
    """After stop() the camera is closed once and no thread is left; a capture never started stops as well."""
    camera = PlayedCamera()
    capture = Capture(Shop(camera), STALL_S)
    capture.start()
    assert capture.take(WAIT_S) is not None
    capture.stop()
    assert camera.closed == 1
    assert not any(thread.name == "capture" for thread in threading.enumerate())
    Capture(Shop(), STALL_S).stop()
