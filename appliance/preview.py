"""The preview: what the camera sees now, as JPEG for whoever watches on this device. No frame is kept.

It is encoded in a thread of its own, at a screen's size, and only while somebody watches.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from typing import TYPE_CHECKING

from appliance.drivers.photo import encode_jpeg
from appliance.local_socket import MAX_BYTES
from appliance.pixels import shrunk

if TYPE_CHECKING:
    import socket

    import numpy as np
    from numpy.typing import NDArray

    from appliance.enrolment.requests import Preview
    from appliance.local_socket import Caller
    from appliance.records import Frame

MAX_HZ = 10.0
MAX_VIEWERS = 4
SIDE_PX = 640
_QUALITIES = (70, 40, 15)  # the first that fits into a packet
_ROOM = MAX_BYTES * 3 // 4 - 1024  # what is left of a packet for a picture in base64
_EARLY_S = 0.01  # a frame that comes by so much before its time is taken


class Mirror:
    """Frames come in from the capture's thread, callers from the loop's, and pictures go out from its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._viewers: list[socket.socket] = []
        self._frame: Frame | None = None
        self._due_s = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)

    def begin(self, caller: Caller, _asked: Preview) -> None:
        """Show the caller every frame from now on; one that listens too slowly misses some.

        Each is told as `{"jpeg", "captured_at_s"}`: base64, and the camera's clock, which is monotonic.
        """
        with self._changed:
            if len(self._viewers) >= MAX_VIEWERS:
                caller.say({"error": f"{MAX_VIEWERS} watch the camera already"})
                caller.end()
                return
            self._viewers.append(caller.another_wire())
        if not self._thread.is_alive():
            self._thread.start()

    def offer(self, frame: Frame) -> None:
        """Take the newest frame, at no cost while nobody watches or the last is too recent; from any one thread."""
        at_s = frame.captured_at_s
        if not self._viewers or at_s < self._due_s - _EARLY_S:
            return
        # In step with the rate that is wanted, and not always a whole frame late: two of three at 15 frames a second.
        self._due_s = max(self._due_s + 1 / MAX_HZ, at_s)
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def close(self) -> None:
        """Show nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(2.0)
        for wire in self._viewers:
            wire.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or self._closing)
                frame, self._frame = self._frame, None
                viewers = tuple(self._viewers)
            if self._closing or frame is None:
                return
            gone = self._show(frame, viewers)
            with self._changed:
                self._viewers = [wire for wire in self._viewers if wire not in gone]
            for wire in gone:
                wire.close()

    @staticmethod
    def _show(frame: Frame, viewers: tuple[socket.socket, ...]) -> list[socket.socket]:
        """Send one picture, and return who is not there any more."""
        jpeg = base64.b64encode(small_jpeg(frame.pixels)).decode()
        packet = json.dumps({"jpeg": jpeg, "captured_at_s": frame.captured_at_s}).encode()
        gone = []
        for wire in viewers:
            with contextlib.suppress(BlockingIOError):  # it has not read the last ones yet
                try:
                    wire.send(packet)
                except (BrokenPipeError, ConnectionResetError):
                    gone.append(wire)
        return gone


def small_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W, 3) RGB pixels as a JPEG of at most `SIDE_PX` a side that fits into a packet of the local socket."""
    small, encoded = shrunk(pixels, SIDE_PX), b""
    for quality in _QUALITIES:
        encoded = encode_jpeg(small, quality)
        if len(encoded) <= _ROOM:
            break
    return encoded
