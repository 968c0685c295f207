"""No room on the disk, none for temporary files, and no descriptor left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALONE = """
mount --make-rprivate / && mount -t tmpfs -o size=3m tmpfs "$1" && mkdir -m 700 "$1/state" || exit 77
mount -t tmpfs -o size=4k tmpfs "$2" && { yes >"$2/filler" 2>/dev/null; true; } || exit 77
TMPDIR=$2 exec "$3" -m tests.reliability.starved "$1/state"
"""


def test_reader_goes_on_without_room_or_descriptors() -> None:
    """F3, H7, H8: with no room for a grant nobody is let in; without temporary files, or descriptors, they are.

    Once there is room again the next visitor is let in. A plain file is the old one or the new one, whole. The check
    says that the disk is too small.
    """
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as temporary:
        command = [*own, "sh", "-c", ALONE, "sh", state, temporary, sys.executable]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 77:
        pytest.skip(f"this system lets nobody mount a disk of their own: {done.stderr}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["told"] == [
        ["nothing", 1, 1],
        ["room", 1, 1],
        ["nothing", 2, 2],
        ["descriptors", 3, 3],
        ["nothing", 4, 4],
    ]
    assert told["holds"]
    assert told["plain"] == ["No space left on device; b'old'", "9000"]
    code, line = told["check"]
    assert code == 3
    assert line.startswith("FAILED  disk        0.0 GB free")
