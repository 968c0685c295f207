"""The mirror's pictures: small, few, and of no weight for the reader."""

from __future__ import annotations

import base64
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.drivers.photo import decode_photo
from appliance.enrolment.requests import Preview
from appliance.local_socket import MAX_BYTES, Call, Caller
from appliance.preview import MAX_VIEWERS, SIDE_PX, Mirror, small_jpeg
from appliance.records import Frame, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = np.random.default_rng(1).integers(0, 255, (2160, 3840, 3), np.uint8)  # what JPEG can least make small


@contextmanager
def mirroring() -> Iterator[Mirror]:
    """Give a mirror, closed at the end."""
    mirror = Mirror()
    try:
        yield mirror
    finally:
        mirror.close()


@contextmanager
def viewer(mirror: Mirror, folder: Path) -> Iterator[Call]:
    """Give somebody who watches."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(5)
    caller = Caller(theirs)
    with Call(ours, folder) as call:
        mirror.begin(caller, Preview())
        yield call
    caller.end()


def frame(at_s: float, pixels: NDArray[np.uint8] = NOISE[:480, :640]) -> Frame:
    """Return a frame of this time."""
    return Frame(frozen(pixels.copy()), at_s, 0)


@pytest.mark.parametrize("shape", [(480, 640), (720, 1280), (2160, 3840), (640, 480), (1, 1)])
def test_every_picture_fits_into_a_packet(shape: tuple[int, int]) -> None:
    """Whatever the camera sees and however large, a picture fits with its frame, upright and in its own shape."""
    jpeg = small_jpeg(NOISE[: shape[0], : shape[1]])
    assert len(base64.b64encode(jpeg)) < MAX_BYTES - 200
    seen = decode_photo(jpeg, "preview")
    assert max(seen.shape[:2]) == min(max(shape), SIDE_PX)
    assert abs(seen.shape[0] / seen.shape[1] - shape[0] / shape[1]) < 0.01


def test_frames_come_ten_times_a_second_at_most(tmp_path: Path) -> None:
    """Of a camera's 15 frames a second ten are shown, each with the camera's own time, evenly enough."""
    with mirroring() as mirror, viewer(mirror, tmp_path) as call:
        shown = []
        heard = iter(call)
        for number in range(30):
            due_s = mirror._due_s
            mirror.offer(frame(100 + number / 15))
            if mirror._due_s != due_s:
                shown.append(next(heard)["captured_at_s"])
        assert 18 <= len(shown) <= 21
        assert all(after - before < 0.14 for before, after in pairwise(shown))


def test_nobody_who_looks_costs_nothing() -> None:
    """While nobody watches no frame is kept, none is encoded, and there is no thread for it."""
    before = threading.active_count()
    with mirroring() as mirror:
        mirror.offer(frame(1.0))
        assert mirror._frame is None
        assert threading.active_count() == before


def test_who_does_not_listen_holds_nobody_up(tmp_path: Path) -> None:
    """D6: a viewer that reads nothing misses pictures, one that has gone is forgotten, and the others go on seeing."""
    with mirroring() as mirror, ExitStack() as closing:
        closing.enter_context(viewer(mirror, tmp_path))  # who never reads
        with viewer(mirror, tmp_path):
            pass  # and one who has gone
        call = closing.enter_context(viewer(mirror, tmp_path))
        heard = iter(call)
        for number in range(12):
            began_s = time.monotonic()
            mirror.offer(frame(1.0 + number))
            assert next(heard)["captured_at_s"] == 1.0 + number
            assert time.monotonic() - began_s < 2
        assert len(mirror._viewers) == 2


def test_few_watch_at_once(tmp_path: Path) -> None:
    """E6: more viewers than there are places for are told so, and hung up on."""
    with mirroring() as mirror, ExitStack() as closing:
        for _ in range(MAX_VIEWERS):
            closing.enter_context(viewer(mirror, tmp_path))
        late = closing.enter_context(viewer(mirror, tmp_path))
        assert list(late) == [{"error": f"{MAX_VIEWERS} watch the camera already"}]
