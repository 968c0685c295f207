"""Films as files: which may be read, and a new one written, whole or not at all.

What is written is pictures alone, with their rate: no sound, no metadata.
"""

from __future__ import annotations

import math
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from appliance import pixels
from appliance.drivers.opencv import Recording
from appliance.errors import CameraError, RefusedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

ENDING = ".mp4"  # MPEG-4 Visual, the one codec for it that every build of OpenCV has
USUAL_RATE = 25.0  # frames a second, where a film states nothing that makes sense
# Where and how films begin. Anything else that FFmpeg knows, a play list for one, can name other files to be read.
_BEGINNINGS = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI "))


def is_film(path: Path) -> bool:
    """Tell whether the file begins as MP4, QuickTime, Matroska, WebM or AVI does. Raises RefusedError."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except (OSError, ValueError) as fault:
        raise RefusedError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from fault
    return any(head[at : at + len(magic)] == magic for at, magic in _BEGINNINGS)


def open_film(path: Path) -> Recording:
    """Return the film, to be read from its first frame. Raises RefusedError for a file that is none."""
    if not is_film(path):
        raise RefusedError(f"{path} is no film; MP4, QuickTime, Matroska, WebM and AVI are read")
    try:
        return Recording(path)
    except CameraError as fault:
        raise RefusedError(str(fault)) from fault


def stated(path: Path) -> tuple[float, int]:
    """Return what a film says of itself: frames a second, 1..240, and how many frames; 0 where it does not say."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    sound_rate = rate if 1 <= rate <= 240 else USUAL_RATE
    return sound_rate, int(count) if 0 < count < math.inf else 0


class FilmWriter:
    """Writes frames of one size into an MP4. An odd last row or column is left out: the codec has pairs of them."""

    def __init__(self, path: Path, frame_rate: float) -> None:
        self._path, self._frame_rate = path, frame_rate
        self._writer: cv2.VideoWriter | None = None
        self._shape: tuple[int, ...] = ()
        self._written = 0

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Append a frame, (H, W, 3) RGB. Raises StorageError, or RefusedError for a film whose size changes."""
        if self._writer is None:
            self._shape = picture.shape
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            size = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, self._frame_rate, size)
            if not self._writer.isOpened():
                raise StorageError(f"film {self._path} cannot be written")
        if picture.shape != self._shape:  # OpenCV would leave it out without a word
            raise RefusedError(f"the film changes its size from {self._shape[:2]} to {picture.shape[:2]}; cut it there")
        self._writer.write(pixels.swapped(picture))
        self._written += 1

    def close(self) -> None:
        """Finish the file. Raises StorageError where not every frame is in it, or there was none."""
        if self._writer is None:
            raise StorageError(f"film {self._path} has no frame")
        self._writer.release()
        # A full disk is no fault to OpenCV: the frames are merely not there.
        if (found := _count(self._path)) != self._written:
            raise StorageError(f"film {self._path} holds {found} frames of {self._written}; is the disk full?")


def _count(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give the name of a file to write; it appears at `path`, whole, when the block ends, or not at all.

    Only its owner can read it. Raises RefusedError where something is there already, which stays, and StorageError
    where the folder cannot be written.
    """
    try:
        number, name = tempfile.mkstemp(suffix=path.suffix, prefix=".", dir=path.parent)
    except OSError as fault:
        raise StorageError(f"{path} cannot be written: {fault.strerror}") from fault
    os.close(number)
    unfinished = Path(name)
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        _name(unfinished, path)
    except FileExistsError as fault:
        raise RefusedError(f"{path} is there already; a file is never overwritten") from fault
    except OSError as fault:
        raise StorageError(f"{path} cannot be written: {fault.strerror}") from fault
    finally:
        unfinished.unlink(missing_ok=True)


def _name(unfinished: Path, path: Path) -> None:
    """Give a finished file its name. Raises FileExistsError where that is taken."""
    try:
        os.link(unfinished, path)  # unlike a renaming, it never replaces what is there
    except PermissionError:  # a file system without links, such as a memory stick's
        if path.exists():
            raise FileExistsError(path) from None
        unfinished.rename(path)
