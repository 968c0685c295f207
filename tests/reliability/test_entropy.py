"""A machine that has just been switched on, and has no randomness to give yet."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SHORT_S = 1.5
# As getrandom(2) does until the kernel has gathered enough: whoever asks waits.
SLOW = f"""
import os, time
given, until_s = os.urandom, time.monotonic() + {SHORT_S}
def urandom(count):
    time.sleep(max(0.0, until_s - time.monotonic()))
    return given(count)
os.urandom = urandom
"""


def test_controller_waits_for_randomness_before_it_is_ready(short_folder: Path) -> None:
    """H13: where randomness comes late the controller waits, says READY after it and beats its watchdog only then."""
    (short_folder / "sitecustomize.py").write_text(SLOW)
    command = [sys.executable, "-m", "appliance", "controller", "--door", "simulated", "--state", str(short_folder)]
    environment = os.environ | {"NOTIFY_SOCKET": f"{short_folder}/notify", "PYTHONPATH": str(short_folder)}
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(f"{short_folder}/notify")
        manager.settimeout(30)
        began_s = time.monotonic()
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as controller:
            try:
                first = manager.recv(256)
                waited_s = time.monotonic() - began_s
                second = manager.recv(256)
            finally:
                controller.terminate()
    assert (first, second) == (b"READY=1", b"WATCHDOG=1")
    assert waited_s >= SHORT_S
