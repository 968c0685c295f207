"""The Raspberry Pi camera through picamera2, which Raspberry Pi OS ships (`apt install python3-picamera2`).

Written against the documented API and tested against a recorded stand-in of it: no Pi was at hand.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appliance.drivers.camera import checked
from appliance.errors import CameraError, CameraStalledError

if TYPE_CHECKING:
    from types import ModuleType

    from appliance.config import CameraSettings
    from appliance.records import Frame


class PiCamera:
    """A camera module on the Pi's ribbon cable; time is the sensor's, on the monotonic clock."""

    live = True

    def __init__(self, settings: CameraSettings, library: ModuleType | None = None) -> None:
        self._stall_s = settings.stall_s
        self._sequence = 0
        library = library or _library()
        try:
            self._camera = library.Picamera2()
            size = (settings.width_px, settings.height_px)
            configuration = self._camera.create_video_configuration(
                # libcamera's "BGR888" is red, green, blue in memory; its "RGB888" is the other way round.
                main={"size": size, "format": "BGR888"},
                controls={"FrameRate": settings.frame_rate},
                buffer_count=3,
                queue=False,  # a request made now gets a frame exposed from now on, not one that waited
            )
            self._camera.configure(configuration)
            self._camera.start()
        except (RuntimeError, IndexError) as fault:  # no camera on the cable is an IndexError there
            raise CameraError(f"Pi camera cannot be opened: {fault or 'none is connected'}") from fault

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraStalledError where none came within `stall_s`."""
        try:
            job = self._camera.capture_request(wait=False)
            request = self._camera.wait(job, timeout=self._stall_s)
        except TimeoutError as fault:
            raise CameraStalledError(f"Pi camera gave no frame for {self._stall_s} s") from fault
        except RuntimeError as fault:
            raise CameraError(f"Pi camera has failed: {fault}") from fault
        try:
            # make_array copies, so that the buffer goes back to the camera at once; padding is cut off there.
            pixels = request.make_array("main")
            stamp_ns = request.get_metadata().get("SensorTimestamp")  # CLOCK_BOOTTIME, nanoseconds
        finally:
            request.release()
        self._sequence += 1
        return checked(pixels, _monotonic_s(stamp_ns), self._sequence)

    def close(self) -> None:
        """Stop the camera and let it go."""
        self._camera.stop()
        self._camera.close()


def _monotonic_s(stamp_ns: int | None) -> float:
    """Return a sensor time on the monotonic clock: the two differ by the time the machine was suspended."""
    now_s = time.monotonic()
    if stamp_ns is None:
        return now_s
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - stamp_ns / 1e9
    return now_s - max(0.0, age_s)


def _library() -> ModuleType:
    try:
        import picamera2  # noqa: PLC0415 - it exists on Raspberry Pi OS alone
    except ImportError as fault:
        raise CameraError("picamera2 is not installed; on Raspberry Pi OS: apt install python3-picamera2") from fault
    return picamera2  # type: ignore[no-any-return]
