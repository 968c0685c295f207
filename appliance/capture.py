"""Capture: frames from the camera in a thread of its own; the newest wins, and a camera that lies is noticed."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from appliance.errors import CameraError, CameraStalledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from appliance.drivers.camera import Camera
    from appliance.records import Frame

_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 5.0
_STEADY_S = 10.0  # a loose plug comes and goes by the second, and each time is two entries of a log that is never cut
BLIND_CONTRAST = 3.0  # luma levels; a lens cap measures 2 to 3 with sensor noise, the dullest room more than 10
BACK_CONTRAST = 5.0  # of a blind camera that sees again: in a dark night, noise alone crosses one bound many times
STUCK_WORDS = "sends the same picture again and again"
BLIND_WORDS = "sees nothing: all dark, all bright or covered"
LATE_WORDS = "sends frames whose time does not rise"
MAX_LATE = 15  # frames in a row: one second at the usual rate


@dataclass(slots=True)
class Counters:
    """What happened to frames that were not handed on."""

    dropped: int = 0  # a newer one came before anybody took it
    out_of_order: int = 0  # its time was not after the one before
    repeated: int = 0  # its pixels were those of the one before
    reopened: int = 0


class FrameWatch:
    """Judges frames by one another, for a camera that answers and yet shows nothing true."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last_s = -math.inf
        self._late = 0  # frames in a row whose time did not rise
        self._pixels: NDArray[np.uint8] | None = None
        self._changed_at_s = self._saw_at_s = 0.0
        self.counters = Counters()

    def accept(self, frame: Frame) -> bool:
        """Tell whether the frame may be handed on: later than the one before, and not the same picture."""
        at_s = frame.captured_at_s
        if not self._last_s < at_s < math.inf:  # NaN lands here too
            self.counters.out_of_order += 1
            self._late += 1
            return False
        if self._last_s == -math.inf:
            self._changed_at_s = self._saw_at_s = at_s
        bound = BACK_CONTRAST if self._blind else BLIND_CONTRAST
        self._last_s, self._late = at_s, 0
        if _contrast(frame) > bound:
            self._saw_at_s = at_s
        before, self._pixels = self._pixels, frame.pixels
        if before is not None and np.array_equal(frame.pixels, before):
            self.counters.repeated += 1
            return False
        self._changed_at_s = at_s
        return True

    def fault(self) -> str:
        """Return what is wrong with the picture in words, "" for nothing; told after the patience has run out."""
        if self._late >= MAX_LATE:
            return LATE_WORDS
        if self._blind:
            return BLIND_WORDS  # first: a lens cap before a good sensor gives the same black again and again
        return STUCK_WORDS if self._last_s - self._changed_at_s >= self._patience_s else ""

    @property
    def _blind(self) -> bool:
        return self._last_s - self._saw_at_s >= self._patience_s

    def begin_again(self) -> None:
        """Forget the time, as the camera was opened again; not the picture, which may still be stuck."""
        self._last_s, self._late = -math.inf, 0


def _contrast(frame: Frame) -> float:
    return float(frame.pixels[::8, ::8, 1].std())


class Capture:
    """Owns the camera in the thread `capture`. Live frames are dropped when late; a recording waits to be read."""

    def __init__(
        self, opener: Callable[[], Camera], stall_s: float, shown: Callable[[Frame], None] = lambda _frame: None
    ) -> None:
        """Take what it works with; `shown` hears of each frame in the capture's thread, and must be quick."""
        self._opener = opener
        self._shown = shown
        self._stall_s = stall_s
        self._watch = FrameWatch(stall_s)
        self._ready = threading.Condition()
        self._frame: Frame | None = None
        self._identity = ""
        self._woken = False
        self._fault = ""
        self._heard_s = time.monotonic()
        self._ended = False
        self._stopping = False
        self._thread = threading.Thread(target=self._live, name="capture", daemon=True)
        self._camera: Camera | None = None
        self.failed: CameraError | None = None  # why a recording ended before its end

    def start(self, camera: Camera | None = None) -> None:
        """Begin to capture, with a camera that is open already or one that the thread opens, and reopens."""
        self._camera = camera
        self._heard_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let the camera go; waits for at most two seconds."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def take(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that nobody has taken yet; None for none within `timeout_s`, or before a `wake`."""
        with self._ready:
            self._ready.wait_for(
                lambda: self._frame is not None or self._woken or self._ended or self._stopping, timeout_s
            )
            self._woken = False
            frame, self._frame = self._frame, None
            self._ready.notify_all()
            return frame

    def wake(self) -> None:
        """Have the present or the next `take` wait no longer, from any thread: there is something else to do."""
        with self._ready:
            self._woken = True
            self._ready.notify_all()

    @property
    def ended(self) -> bool:
        """Whether a recording has been read to its end and its last frame was taken."""
        with self._ready:
            return self._ended and self._frame is None

    @property
    def identity(self) -> str:
        """What the camera of the newest frame says it is; "" before the first, or where it can say nothing."""
        with self._ready:
            return self._identity

    @property
    def counters(self) -> Counters:
        """What happened to frames that were not handed on."""
        return self._watch.counters

    def fault(self) -> str:
        """Return what is wrong with the camera now, in words; "" for nothing. Knows of a hang within `stall_s`."""
        with self._ready:
            if self._fault or self._ended:
                return self._fault
            silent_s = time.monotonic() - self._heard_s
        return f"camera gave no frame for {silent_s:.1f} s" if silent_s > self._stall_s else ""

    def _live(self) -> None:
        try:
            self._run()
        finally:
            if (
                not self._stopping and not self._ended
            ):  # a bug: a reader that went on would be blind until it is stopped
                self._end(CameraError("the thread that reads the camera has failed; the log says why"))

    def _run(self) -> None:
        pause_s, opened_s = _FIRST_RETRY_S, time.monotonic()
        while not self._stopping and not self._ended:
            try:
                if self._camera is None:
                    self._camera, opened_s = self._opener(), time.monotonic()
                if self._read_on(self._camera) and time.monotonic() - opened_s >= _STEADY_S:
                    pause_s = _FIRST_RETRY_S
            except CameraError as fault:
                if self._camera is not None and not self._camera.live:
                    self._end(fault)
                    continue
                self._let_go(str(fault))
                with self._ready:
                    self._ready.wait_for(lambda: self._stopping, pause_s)
                pause_s = min(2 * pause_s, _LAST_RETRY_S)
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _read_on(self, camera: Camera) -> bool:
        """Hand on one frame; tell whether it was fit to be. Raises CameraError where the camera must be reopened."""
        frame = camera.read()
        if frame is None:
            self._end(None)
            return True
        accepted = self._watch.accept(frame) or not camera.live
        if accepted:
            self._shown(frame)
        words = self._watch.fault() if camera.live else ""
        if words in {STUCK_WORDS, LATE_WORDS}:
            raise CameraStalledError(f"camera {words}")
        with self._ready:
            self._heard_s = time.monotonic()
            self._identity = camera.identity
            if words or accepted:  # a picture that was stuck before it was reopened must change first
                self._fault = f"camera {words}" if words else ""
            if not camera.live:
                self._ready.wait_for(lambda: self._frame is None or self._stopping)
            elif self._frame is not None and accepted:
                self._watch.counters.dropped += 1
            if accepted:
                self._frame = frame
                self._ready.notify_all()
        return accepted

    def _end(self, fault: CameraError | None) -> None:
        with self._ready:
            self.failed, self._ended = fault, True
            self._ready.notify_all()

    def _let_go(self, fault: str) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        self._watch.begin_again()
        self._watch.counters.reopened += 1
        with self._ready:
            self._fault = fault
            self._frame = None  # nothing is decided on what was seen before
