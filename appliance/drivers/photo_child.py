"""Photos of strangers to the device: decoded in a process of its own, which may take little and may die.

A decoder has had holes before. What comes over the network is opened where a hole opens nothing: no database, no key,
no door, a bounded share of memory and time, one photo and then the end.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from appliance.drivers.photo import decode_photo
from appliance.errors import PhotoError
from appliance.records import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

MAX_PIXELS = 16_000_000
MEMORY_BYTES = 512 * 1024 * 1024  # beyond what the libraries take: decoded twice, and turned
CPU_S = 10
WAIT_S = 20.0
_WORD = 4  # bytes of the length before a photo, and of height and of width before its pixels
_REFUSED = 3  # exit code: the reason stands on standard output
_BESIDE_NOBODY = 10  # nice: the door's frames come first


def decode_apart(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the picture in `data` as `decode_photo` does, decoded in a child; of at most 16 megapixels.

    Takes some tenths of a second. Raises PhotoError, one line that names the photo, also where the child died or
    took too much.
    """
    return decode_series_apart([data], name, MAX_PIXELS)[0]


def decode_series_apart(photos: Sequence[bytes], name: str, max_pixels: int) -> list[NDArray[np.uint8]]:
    """Return the pictures of one sender, each of at most `max_pixels`, decoded one after the other in one child.

    Raises PhotoError as `decode_apart` where any of them cannot be used.
    """
    command = [sys.executable, "-P", "-m", "appliance.drivers.photo_child", name, str(max_pixels)]
    # An environment without anything of ours; of credentials and notify sockets a decoder has no need.
    environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if key in os.environ}
    sent = b"".join(len(one).to_bytes(_WORD) + one for one in photos)
    try:
        done = subprocess.run(
            command, input=sent, capture_output=True, timeout=WAIT_S, check=False, env=environment, close_fds=True
        )
    except subprocess.TimeoutExpired as fault:
        raise PhotoError(f"photo {name} takes longer than {WAIT_S:.0f} s to decode, and was given up") from fault
    except OSError as fault:
        raise PhotoError(f"photo {name} cannot be decoded now: {fault.strerror}") from fault
    if done.returncode == _REFUSED:
        raise PhotoError(done.stdout.decode("utf-8", "replace"))
    pictures = _pictures(done.stdout, max_pixels) if done.returncode == 0 else []
    if len(pictures) != len(photos):
        raise PhotoError(f"photo {name} is broken: its decoder died of it (exit {done.returncode})")
    return pictures


def _pictures(said: bytes, max_pixels: int) -> list[NDArray[np.uint8]]:
    """Return the pictures that the child wrote; [] for anything that is none."""
    found: list[NDArray[np.uint8]] = []
    at = 0
    while at < len(said):
        height, width = (int.from_bytes(said[start : start + _WORD]) for start in (at, at + _WORD))
        at += 2 * _WORD
        size = height * width * 3
        if not 0 < height * width <= max_pixels or at + size > len(said):
            return []
        found.append(frozen(np.frombuffer(said, np.uint8, size, at).reshape(height, width, 3)))
        at += size
    return found


def _confine() -> None:
    """Give up what a decoder does not need, before it sees a byte."""
    taken = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    for what, most in (
        (resource.RLIMIT_AS, taken + MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),  # a picture of somebody is not written to the disk
        (resource.RLIMIT_NOFILE, 16),
    ):
        resource.setrlimit(what, (most, most))
    os.nice(_BESIDE_NOBODY)


def _photos(said: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(said):
        start = at + _WORD
        at = start + int.from_bytes(said[at:start])
        yield said[start:at]


def main() -> int:
    """Decode the photos on standard input; their pixels, or one line why not, go to standard output."""
    name, max_pixels = sys.argv[1], int(sys.argv[2])
    _confine()
    try:
        pictures = [decode_photo(photo, name, max_pixels) for photo in _photos(sys.stdin.buffer.read())]
    except PhotoError as fault:
        sys.stdout.write(str(fault))
        return _REFUSED
    except MemoryError:
        sys.stdout.write(f"photo {name} takes more memory than it may")
        return _REFUSED
    for picture in pictures:
        height, width = picture.shape[:2]
        sys.stdout.buffer.write(height.to_bytes(_WORD) + width.to_bytes(_WORD))
        sys.stdout.buffer.write(picture.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
