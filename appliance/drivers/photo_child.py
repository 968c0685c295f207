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
    from numpy.typing import NDArray

MAX_PIXELS = 16_000_000
MEMORY_BYTES = 512 * 1024 * 1024  # beyond what the libraries take: decoded twice, and turned
CPU_S = 10
WAIT_S = 20.0
_HEAD = 8  # bytes of height and width before the pixels
_REFUSED = 3  # exit code: the reason stands on standard output
_BESIDE_NOBODY = 10  # nice: the door's frames come first


def decode_apart(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the picture in `data` as `decode_photo` does, decoded in a child; of at most 16 megapixels.

    Takes some tenths of a second. Raises PhotoError, one line that names the photo, also where the child died or
    took too much.
    """
    command = [sys.executable, "-P", "-m", "appliance.drivers.photo_child", name]
    # An environment without anything of ours; of credentials and notify sockets a decoder has no need.
    environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if key in os.environ}
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=WAIT_S, check=False, env=environment, close_fds=True
        )
    except subprocess.TimeoutExpired as fault:
        raise PhotoError(f"photo {name} takes longer than {WAIT_S:.0f} s to decode, and was given up") from fault
    except OSError as fault:
        raise PhotoError(f"photo {name} cannot be decoded now: {fault.strerror}") from fault
    if done.returncode == _REFUSED:
        raise PhotoError(done.stdout.decode("utf-8", "replace"))
    pixels = _pixels(done.stdout) if done.returncode == 0 else None
    if pixels is None:
        raise PhotoError(f"photo {name} is broken: its decoder died of it (exit {done.returncode})")
    return pixels


def _pixels(said: bytes) -> NDArray[np.uint8] | None:
    """Return the picture that the child wrote; None for anything that is none."""
    height, width = int.from_bytes(said[:4]), int.from_bytes(said[4:_HEAD])
    if not 0 < height * width <= MAX_PIXELS or len(said) != _HEAD + height * width * 3:
        return None
    return frozen(np.frombuffer(said, np.uint8, offset=_HEAD).reshape(height, width, 3))


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


def main() -> int:
    """Decode the photo on standard input; its pixels, or one line why not, go to standard output."""
    name = sys.argv[1]
    _confine()
    try:
        pixels = decode_photo(sys.stdin.buffer.read(), name, MAX_PIXELS)
    except PhotoError as fault:
        sys.stdout.write(str(fault))
        return _REFUSED
    except MemoryError:
        sys.stdout.write(f"photo {name} takes more memory than it may")
        return _REFUSED
    height, width = pixels.shape[:2]
    sys.stdout.buffer.write(height.to_bytes(4) + width.to_bytes(4))
    sys.stdout.buffer.write(pixels.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
