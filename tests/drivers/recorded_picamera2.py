"""A stand-in for picamera2 on a Pi, with the behaviour that its documentation and source state.

Recorded from the source of picamera2 0.3.38 (picamera2.py, request.py, job.py), not from a Pi: none was at hand.
What is kept is what can go wrong: streams whose rows are padded, sizes that libcamera rounds, a job that a dead
camera never does and behind which stop() waits for ever, a camera that stays taken until it is closed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

PADDING = 255  # what lies between the rows: green, and bright, where it is read as pixels


class Bench:
    """One Pi with one camera module, and what a test does to it."""

    def __init__(self, scene: NDArray[np.uint8]) -> None:
        self.scene = scene  # (H, W, 3) RGB, what the camera looks at
        self.padding = 64  # bytes at the end of each row of a stream
        self.rounded: tuple[int, int] | None = None  # the size that libcamera makes of the small stream
        self.connected = True
        self.old = False  # a release that counts cameras with an index
        self.dead = False  # the cable came loose: no job is ever done
        self.broken = ""  # what the camera says when asked for pixels
        self.stamps = True  # whether the metadata hold the sensor's time
        self.refuses = ""  # what configure() says
        self.taken = False
        self.held = 0  # requests that were not given back
        self.model = "imx708"
        self.calls: list[str] = []

    @property
    def library(self) -> ModuleType:
        """What `import picamera2` gives on this Pi."""
        return cast("ModuleType", self)

    def Picamera2(self) -> Picamera2:  # noqa: N802 - as it is called there
        """Open the camera. Raises as the library does where there is none, or it is taken."""
        if not self.connected:
            raise IndexError("list index out of range") if self.old else RuntimeError("No camera number 0 found")
        if self.taken:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.taken = True
        return Picamera2(self)


class Picamera2:
    """An opened camera."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._configuration: dict[str, Any] = {}
        self._jobs: list[Job] = []
        self._started = False
        self._open = True

    def global_camera_info(self) -> list[dict[str, Any]]:
        """Return what is known of each camera, in the order of their numbers."""
        where = f"/base/soc/i2c0mux/i2c@1/{self._bench.model}@1a"
        return [{"Model": self._bench.model, "Location": 2, "Rotation": 180, "Id": where}]

    def create_video_configuration(
        self,
        main: dict[str, Any],
        lores: dict[str, Any] | None = None,
        controls: dict[str, Any] | None = None,
        *,
        buffer_count: int = 6,
        queue: bool = True,
    ) -> dict[str, Any]:
        """Return a configuration, its sizes brought to even numbers."""
        streams = {"main": dict(main), "lores": None if lores is None else dict(lores)}
        for stream in streams.values():
            if stream is not None:
                width, height = stream["size"]
                stream["size"] = (width - width % 2, height - height % 2)
        return {**streams, "controls": controls or {}, "buffer_count": buffer_count, "queue": queue}

    def configure(self, camera_config: dict[str, Any]) -> None:
        """Take the configuration. Raises RuntimeError for one that the hardware cannot do."""
        main, lores = camera_config["main"], camera_config["lores"]
        if self._bench.refuses:
            raise RuntimeError(self._bench.refuses)
        if lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]:
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        if lores["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        lores["size"] = self._bench.rounded or lores["size"]
        main["stride"] = 3 * main["size"][0] + self._bench.padding
        lores["stride"] = lores["size"][0] + self._bench.padding
        self._configuration = camera_config

    def camera_configuration(self) -> dict[str, Any]:
        """Return what was really configured."""
        return self._configuration

    def start(self) -> None:
        """Start the camera."""
        if not self._configuration:
            raise RuntimeError("Camera has not been configured")
        self._started = True
        self._bench.calls.append("start")

    def capture_request(self, *, wait: bool) -> Job:
        """Ask for the next frame, without waiting for it."""
        assert not wait
        job = Job(None if self._bench.dead else Request(self._bench, self._configuration))
        self._jobs.append(job)
        return job

    def wait(self, job: Job, timeout: float | None = None) -> Request:
        """Return what the job gave. Raises TimeoutError; the job stays in the queue."""
        if job.request is None:
            assert timeout is not None, "this would hang"
            time.sleep(timeout)
            raise TimeoutError
        self._jobs.remove(job)
        return job.request

    def cancel_all_and_flush(self) -> None:
        """Empty the queue."""
        self._jobs.clear()

    def stop(self) -> None:
        """Stop, behind every job in the queue."""
        if not self._started:
            return
        assert not self._jobs, "stop() would hang: a job that is never done stands before it"
        self._started = False
        self._bench.calls.append("stop")

    def close(self) -> None:
        """Give the camera back. Raises RuntimeError where it has gone."""
        if not self._open:
            return
        self.stop()
        self._open = False
        self._bench.taken = False
        self._bench.calls.append("close")


class Job:
    """A request that was asked for."""

    def __init__(self, request: Request | None) -> None:
        self.request = request


class Request:
    """A completed request: buffers that belong to the camera until they are released."""

    def __init__(self, bench: Bench, configuration: dict[str, Any]) -> None:
        self._bench = bench
        self._configuration = configuration
        self._exposed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        bench.held += 1

    def make_array(self, name: str) -> NDArray[np.uint8]:
        """Return a copy of a stream: RGB without its padding, YUV420 with it, as the library does."""
        if self._bench.broken:
            raise RuntimeError(self._bench.broken)
        stream = self._configuration[name]
        width, height = stream["size"]
        view = cv2.resize(self._bench.scene, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        if stream["format"] == "YUV420":
            return padded_planes(view, stream["stride"])
        # The names of libcamera are those of a little-endian number: BGR888 has red first in memory.
        return view if stream["format"] == "BGR888" else np.ascontiguousarray(view[:, :, ::-1])

    def get_metadata(self) -> dict[str, Any]:
        """Return the request's metadata."""
        return {"SensorTimestamp": self._exposed_ns} if self._bench.stamps else {}

    def release(self) -> None:
        """Give the buffers back."""
        self._bench.held -= 1
        assert self._bench.held >= 0, "released twice"


def padded_planes(view: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Return (height * 3 / 2, stride) YUV420 of an RGB view, with `PADDING` after each row of each plane."""
    height, width = view.shape[:2]
    planes = cv2.cvtColor(view, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    size = width * height
    luma = planes[:size].reshape(height, width)
    chroma = planes[size:].reshape(height, width // 2)  # U above V
    buffer = np.full((height * 3 // 2, stride), PADDING, np.uint8)
    buffer[:height, :width] = luma
    buffer[height:].reshape(height, stride // 2)[:, : width // 2] = chroma
    return buffer
