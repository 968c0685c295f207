"""Cameras and recordings through OpenCV: USB index, V4L2 path, GStreamer string (Jetson), URL, file, folder."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2

from appliance.drivers.camera import checked, sound
from appliance.drivers.photo import read_photo
from appliance.drivers.v4l2 import identity_of
from appliance.errors import CameraError, CameraStalledError, PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from appliance.config import CameraSettings
    from appliance.drivers.camera import Camera
    from appliance.records import Frame

_log = logging.getLogger(__name__)

PHOTO_ENDINGS = {".jpg", ".jpeg", ".png"}
FOLDER_INTERVAL_S = 0.1  # a folder of pictures is played at ten a second
MAX_BROKEN = 30  # consecutive frames that cannot be decoded before a recording counts as broken


def open_source(settings: CameraSettings) -> Camera:
    """Return the camera or recording that `settings.source` names. Raises CameraError with one line."""
    source = settings.source
    if source.isdecimal() or source.startswith("/dev/"):
        return OpenCvCamera(int(source) if source.isdecimal() else source, cv2.CAP_V4L2, settings)
    if "!" in source:  # a GStreamer pipeline is written with exclamation marks
        return OpenCvCamera(source, cv2.CAP_GSTREAMER, settings)
    if "://" in source:
        return OpenCvCamera(source, cv2.CAP_FFMPEG, settings)
    path = Path(source)
    if source.strip() and path.is_dir():  # an empty name would be the folder we stand in
        return PhotoFolder(path)
    if path.is_file():
        return Recording(path)
    raise CameraError(
        f"camera source {source or 'of no name'} is not there; allowed are picamera2, simulated, a number, "
        "a /dev path, a URL, a GStreamer pipeline, a video file or a folder of photos"
    )


def rgb(pixels: object) -> NDArray[np.uint8]:
    """Return OpenCV's BGR pixels as RGB. Raises CameraError for anything else: a GStreamer source can send grey."""
    return cast("NDArray[np.uint8]", cv2.cvtColor(sound(pixels), cv2.COLOR_BGR2RGB))


class OpenCvCamera:
    """A live camera; time is the monotonic clock at arrival."""

    live = True

    def __init__(self, source: int | str, backend: int, settings: CameraSettings) -> None:
        self._source = source
        self.identity = identity_of(source) if backend == cv2.CAP_V4L2 else ""
        self._capture = cv2.VideoCapture(source, backend)
        if not self._capture.isOpened():
            raise CameraError(f"camera {source} cannot be opened; is it connected, and used by nobody else?")
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width_px)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height_px)
        self._capture.set(cv2.CAP_PROP_FPS, settings.frame_rate)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame is wanted, not the oldest
        self._sequence = 0

    def read(self) -> Frame | None:
        """Return the next frame. Raises CameraStalledError where the camera gave none."""
        ok, pixels = self._capture.read()
        if not ok:
            raise CameraStalledError(f"camera {self._source} gave no frame")
        self._sequence += 1
        return checked(rgb(pixels), time.monotonic(), self._sequence)

    def close(self) -> None:
        """Let the device go."""
        self._capture.release()


class Recording:
    """A video file, from its first frame to its last; time is the recording's own, from 0."""

    live = False
    identity = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise CameraError(f"recording {path} cannot be opened; a video file that FFmpeg reads is needed")
        self._sequence = 0
        self._last_s = -1.0

    def read(self) -> Frame | None:
        """Return the next frame that can be decoded; None at the end. A stated frame count is never believed."""
        for _ in range(MAX_BROKEN):
            ok, pixels = self._capture.read()
            if ok:
                return self._frame(pixels)
            if not self._capture.grab():
                break
        if self._sequence == 0:
            raise CameraError(f"recording {self._path} holds no frame that can be decoded")
        return None

    def _frame(self, pixels: object) -> Frame:
        self._sequence += 1
        stated_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        # Some files state no times, or the same one again: time must rise all the same.
        self._last_s = stated_s if stated_s > self._last_s else self._last_s + 1 / 30
        return checked(rgb(pixels), self._last_s, self._sequence)

    def close(self) -> None:
        """Let the file go."""
        self._capture.release()


class PhotoFolder:
    """A folder of JPEG and PNG photos in the order of their names, ten a second; unreadable ones are passed over."""

    live = False
    identity = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_ENDINGS)
        if not self._paths:
            raise CameraError(f"folder {folder} holds no .jpg, .jpeg or .png")
        self._next = 0
        self.refused: list[str] = []

    def read(self) -> Frame | None:
        """Return the next readable photo; None after the last."""
        while self._next < len(self._paths):
            self._next += 1
            try:
                pixels = read_photo(self._paths[self._next - 1])
            except PhotoError as fault:
                self.refused.append(str(fault))
                _log.warning("%s; it is passed over", fault)
                continue
            return checked(pixels, self._next * FOLDER_INTERVAL_S, self._next)
        if len(self.refused) == len(self._paths):
            raise CameraError(f"folder {self._folder} holds no photo that can be read; the first: {self.refused[0]}")
        return None

    def close(self) -> None:
        """Nothing is held."""
