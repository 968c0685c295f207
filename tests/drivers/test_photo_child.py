"""The child in which a photo from the network is decoded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.drivers import photo_child
from appliance.drivers.photo import decode_photo, encode_jpeg, encode_png
from appliance.drivers.photo_child import MEMORY_BYTES, decode_apart, decode_series_apart
from appliance.drivers.scene import FACES
from appliance.errors import PhotoError

FACE = (FACES / "astronaut.png").read_bytes()


def test_the_child_gives_the_same_pixels() -> None:
    """A12: a photo decoded in the child is the photo decoded here, pixel for pixel."""
    assert np.array_equal(decode_apart(FACE, "face"), decode_photo(FACE, "face"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"GIF89a" + bytes(100), "is a GIF"),
        (FACE[: len(FACE) // 2], "cut short"),
        (encode_png(np.zeros((4001, 4000, 3), np.uint8)), "4000 x 4001 px; at most 16,000,000 pixels"),
    ],
)
def test_what_is_no_photo_is_one_line(data: bytes, why: str) -> None:
    """A9, A10, A11: what cannot be decoded is one line with the name that it was given."""
    with pytest.raises(PhotoError, match=f"^photo u1#1 .*{why}"):
        decode_apart(data, "u1#1")


def test_a_series_is_whole_or_nothing() -> None:
    """A13: pictures of one sender come back in order; with one that is broken, or too large, none comes back."""
    small, other = (encode_png(np.full((30, 40, 3), level, np.uint8)) for level in (7, 200))
    decoded = decode_series_apart([small, other, small], "clip", 1200)
    assert [int(one[0, 0, 0]) for one in decoded] == [7, 200, 7]
    for broken in (small[:-20], b"", FACE):
        with pytest.raises(PhotoError, match=r"^photo clip "):
            decode_series_apart([small, broken, small], "clip", 1200)


def test_a_decoder_that_dies_takes_nobody_along() -> None:
    """A12: where the child is killed in the middle, whoever asked is told in one line and goes on."""
    killed: list[int] = []

    def kill() -> None:
        until_s = time.monotonic() + 10
        while not killed and time.monotonic() < until_s:
            for child in Path("/proc/self/task").glob("*/children"):
                for pid in child.read_text().split():
                    if b"photo_child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(int(pid), signal.SIGKILL)
                        killed.append(int(pid))

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PhotoError, match=r"photo doomed is broken: its decoder died of it \(exit -9\)"):
        decode_apart(encode_jpeg(np.zeros((3000, 4000, 3), np.uint8)), "doomed")
    killer.join()


def test_the_child_may_take_little() -> None:
    """A10, A12: beyond its share of memory it gets none, its time is bounded, and no picture lands in a core dump."""
    source = (
        "import resource, numpy as np\n"
        "from appliance.drivers.photo_child import _confine\n"
        "_confine()\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
        f"kept = np.ones({MEMORY_BYTES // 4}, np.uint8)\n"
        "try:\n"
        f"    np.ones({MEMORY_BYTES}, np.uint8)\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(photo_child.CPU_S), "0", "refused"]


def test_the_child_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """J9: neither the folder of credentials nor systemd's socket is in the child's environment."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, pathlib\npathlib.Path({str(tmp_path / 'seen')!r}).write_text(' '.join(sorted(os.environ)))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    decode_apart(FACE, "face")
    seen = set((tmp_path / "seen").read_text().split())
    assert "PATH" in seen
    assert not seen & {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "HOME"}
