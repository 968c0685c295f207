"""The camera's edge: what every source of frames promises, and which driver serves which source."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance.errors import CameraError
from appliance.records import Frame, frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from appliance.config import CameraSettings

MIN_SIDE_PX, MAX_SIDE_PX = 32, 4096


class Camera(Protocol):
    """A source of frames. Belongs to one thread."""

    live: bool  # False for a recording, which ends and has a time of its own
    identity: str  # what the device says it is, the same at each opening; "" where it can say nothing

    def read(self) -> Frame | None:
        """Return the next frame, waiting for it at most the source's own time-out; None at the end of a recording.

        Raises CameraStalledError where no frame came, CameraError where the source has gone or sends nonsense.
        """
        ...

    def close(self) -> None:
        """Let the device go; may be called twice."""
        ...


class Paced:
    """A recording played in real time, so that a human can answer while it runs."""

    def __init__(self, recording: Camera) -> None:
        self.live = recording.live
        self.identity = recording.identity
        self._recording = recording
        self._start_s = time.monotonic()

    def read(self) -> Frame | None:
        """Return the next frame when its time has come; None at the end."""
        frame = self._recording.read()
        if frame is not None:
            time.sleep(max(0.0, self._start_s + frame.captured_at_s - time.monotonic()))
        return frame

    def close(self) -> None:
        """Let the recording go."""
        self._recording.close()


def checked(pixels: object, captured_at_s: float, sequence: int, small: object = None) -> Frame:
    """Return the pixels, and a small picture of the same view where there is one, as a frame. Raises CameraError."""
    return Frame(sound(pixels), captured_at_s, sequence, None if small is None else sound(small))


def sound(pixels: object) -> NDArray[np.uint8]:
    """Return the pixels, read-only. Raises CameraError for anything but (H, W, 3) uint8 of a usable size."""
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        kind = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise CameraError(f"camera frame is {kind}; (height, width, 3) uint8 is needed")
    height, width = pixels.shape[:2]
    if not (MIN_SIDE_PX <= height <= MAX_SIDE_PX and MIN_SIDE_PX <= width <= MAX_SIDE_PX):
        raise CameraError(f"camera frame is {width}x{height}; each side must be {MIN_SIDE_PX} to {MAX_SIDE_PX} px")
    return frozen(np.ascontiguousarray(pixels))


def open_camera(settings: CameraSettings) -> Camera:
    """Return the opened source that `settings.source` names. Raises CameraError with one line where it cannot be."""
    # Each driver is imported only when it is asked for: picamera2 exists on Raspberry Pi OS alone.
    if settings.source == "picamera2":
        from appliance.drivers.picamera import PiCamera  # noqa: PLC0415

        return PiCamera(settings)
    if settings.source == "simulated" or settings.source.startswith("simulated:"):
        from appliance.drivers.simulated import SimulatedCamera, script_named  # noqa: PLC0415

        return SimulatedCamera(script_named(settings.source.partition(":")[2] or "day"), settings)
    from appliance.drivers.opencv import open_source  # noqa: PLC0415

    return open_source(settings)
