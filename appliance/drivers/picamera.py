"""The Raspberry Pi camera through picamera2, which Raspberry Pi OS ships (`apt install python3-picamera2`).

Written against the documented API, read against the sources of picamera2 0.3.22 (the oldest that has all of
it) and 0.3.38, and tested against a recorded stand-in of it: no Pi was at hand.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

from appliance.drivers.camera import MIN_SIDE_PX, checked
from appliance.errors import CameraError, CameraStalledError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from appliance.config import CameraSettings
    from appliance.records import Frame

SMALL_SIDE_PX = 320  # of the second stream: the detectors take 128 or 192


class PiCamera:
    """A camera module on the Pi's ribbon cable; time is the sensor's, on the monotonic clock.

    Two streams of one exposure: `main` in full size for the crops, `lores` in YUV for detection, which the
    camera's own hardware shrinks.
    """

    live = True

    def __init__(self, settings: CameraSettings, library: ModuleType | None = None) -> None:
        self.identity = ""
        self._stall_s = settings.stall_s
        self._sequence = 0
        library = library or _library()
        try:
            self._camera = library.Picamera2()
        except (RuntimeError, IndexError) as fault:  # older releases say IndexError where none is there
            raise CameraError(f"Pi camera cannot be opened: {fault or 'none is connected'}") from fault
        try:
            self._start(settings)
        except (RuntimeError, ValueError, LookupError) as fault:
            self.close()  # or the next try finds it busy
            raise CameraError(f"Pi camera cannot be started: {fault}") from fault

    def _start(self, settings: CameraSettings) -> None:
        size = (settings.width_px, settings.height_px)
        configuration = self._camera.create_video_configuration(
            # libcamera's "BGR888" is red, green, blue in memory; its "RGB888" is the other way round.
            main={"size": size, "format": "BGR888"},
            # Up to the Pi 4, the second stream has to be YUV.
            lores={"size": _small(size), "format": "YUV420"},
            controls={"FrameRate": settings.frame_rate},
            buffer_count=3,
            queue=False,  # a request made now gets a frame exposed from now on, not one that waited
        )
        self._camera.configure(configuration)
        # What was configured counts, not what was asked for: libcamera rounds sizes to what the hardware does.
        self._small_px: tuple[int, int] = self._camera.camera_configuration()["lores"]["size"]
        self._camera.start()
        # A sensor has no serial number: what is known is its model, and on which connector it hangs.
        first = self._camera.global_camera_info()[0]
        self.identity = f"{first.get('Model', 'camera')} at {first['Id']}"

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraStalledError where none came within `stall_s`."""
        try:
            job = self._camera.capture_request(wait=False)
            request = self._camera.wait(job, timeout=self._stall_s)
            with _released(request):
                # make_array copies, so that the buffer goes back to the camera at once.
                pixels = request.make_array("main")
                small = rgb_of_yuv420(request.make_array("lores"), *self._small_px)
                stamp_ns = request.get_metadata().get("SensorTimestamp")  # CLOCK_BOOTTIME, nanoseconds
        except TimeoutError as fault:
            raise CameraStalledError(f"Pi camera gave no frame for {self._stall_s} s") from fault
        except RuntimeError as fault:
            raise CameraError(f"Pi camera has failed: {fault}") from fault
        self._sequence += 1
        return checked(pixels, _monotonic_s(stamp_ns), self._sequence, small)

    def close(self) -> None:
        """Stop the camera and let it go."""
        with contextlib.suppress(RuntimeError):  # it has gone already
            # stop() waits in line behind a request that a dead camera never answers, for ever: cancel that first.
            self._camera.cancel_all_and_flush()
            self._camera.stop()
        with contextlib.suppress(RuntimeError):
            self._camera.close()


def connected(library: ModuleType | None = None) -> tuple[str, ...]:
    """Return the model of each camera on a ribbon cable. Raises CameraError where picamera2 is not there."""
    try:
        # It lists USB cameras too, whose ids name the bus: those are OpenCV's.
        found = (library or _library()).Picamera2.global_camera_info()
    except RuntimeError as fault:
        raise CameraError(f"Pi cameras cannot be listed: {fault}") from fault
    return tuple(str(one.get("Model", "a camera")) for one in found if "/usb" not in str(one.get("Id", "")))


def rgb_of_yuv420(planes: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) RGB of a YUV420 buffer, whose rows may be longer than the picture is wide.

    Raises CameraError where the buffer has another size or shape than such a picture.
    """
    fits = planes.dtype == np.uint8 and planes.ndim == 2 and height % 2 == 0 and planes.shape[0] * 2 == height * 3
    if not fits or planes.shape[1] < width or planes.shape[1] % 2:
        raise CameraError(f"camera's small picture is {planes.dtype} {planes.shape}; YUV420 of {width}x{height} needed")
    # Each row of Y, U and V ends in padding of the same share, so that it all ends up right of the picture.
    return cast("NDArray[np.uint8]", cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420))[:, :width]


@contextlib.contextmanager
def _released(request: Any) -> Iterator[None]:  # noqa: ANN401 - picamera2 comes without types
    try:
        yield
    finally:
        request.release()


def _small(size: tuple[int, int]) -> tuple[int, int]:
    """Return even width and height of the same view, neither beyond the picture's own nor too small for a frame."""
    scale = min(1.0, SMALL_SIDE_PX / max(size))
    return max(MIN_SIDE_PX, 2 * int(size[0] * scale / 2)), max(MIN_SIDE_PX, 2 * int(size[1] * scale / 2))


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
