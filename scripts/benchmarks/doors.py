"""Controllers to be measured: real processes on simulated lines, at the priority that their unit gives them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from appliance.door import ControllerLink
from appliance.door.link import BEAT_S
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.drivers.simulated_world import SimulatedWorld
from appliance.errors import DoorError

if TYPE_CHECKING:
    from collections.abc import Iterator

NICE = -10  # of systemd/ostiary-controller.service
DEBOUNCE_S = 0.02
_START_S = 30.0
_SETTINGS = f'[inputs]\ntamper = "24 NO"\nrex = "23 NO"\ndebounce_s = {DEBOUNCE_S}\n'

# A reader of its own process: says the line it is given, then beats as the appliance's does.
_READER = f"""
import socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(sys.argv[2].encode() + b"\\n")
peer.recv(4096)
print("unlocked", flush=True)
while True:
    peer.sendall(b'{{"v":2,"kind":"beat"}}\\n')
    time.sleep({BEAT_S})
"""


class Door:
    """One controller in a folder of its own; started again when a measurement ended it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ostiary-")
        self._state = Path(self._folder.name)
        (self._state / "door.toml").write_text(_SETTINGS)
        self.socket = self._state / "controller.sock"
        self.observer = SimulatedDoorObserver(self._state / "simulated-door")
        self.told_s = 0.0  # when the world last changed
        self.world = SimulatedWorld(self._state / "simulated-door", self._now)
        self.guardian = 0  # its process id
        self.process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._folder.cleanup()

    @property
    def nice(self) -> int:
        """The controller's priority, as the kernel tells it."""
        return os.getpriority(os.PRIO_PROCESS, self.process.pid)

    def restart(self) -> None:
        """Start anew, in whatever way the last one ended."""
        self._stop()
        self.process = self._start()

    def link(self) -> ControllerLink:
        """Return a link that has spoken to the controller."""
        link = ControllerLink(self.socket)
        link.connect(5.0)
        return link

    def peer(self) -> socket.socket:
        """Return a bare connection."""
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5.0)
        peer.connect(str(self.socket))
        return peer

    def reader(self, for_s: float) -> subprocess.Popen[bytes]:
        """Return a reader that has just unlocked for so long, and beats."""
        command = [sys.executable, "-I", "-S", "-c", _READER, str(self.socket), pulse_line(for_s).decode().strip()]
        # When its controller is killed it ends too, and need not say so.
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if reader.stdout is None or reader.stdout.readline() != b"unlocked\n":
            raise DoorError("the reader could not unlock")
        return reader

    def wait_low(self, within_s: float) -> float:
        """Return when the line was first seen low, looking every millisecond or so; inf where it stays high."""
        end_s = time.monotonic() + within_s
        while self.observer.level():
            if time.monotonic() > end_s:
                return float("inf")
            time.sleep(0.0005)
        return time.monotonic()

    def _now(self) -> float:
        self.told_s = time.monotonic()
        return self.told_s

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = ["--config", str(self._state / "door.toml"), "--state", str(self._state)]
        process = subprocess.Popen(
            ["nice", "-n", str(NICE), sys.executable, "-m", "appliance", "controller", *arguments],
            stderr=subprocess.DEVNULL,
        )
        end_s = time.monotonic() + _START_S
        while True:
            try:
                self.link().close()
            except DoorError:
                if process.poll() is not None or time.monotonic() > end_s:
                    raise
                time.sleep(0.02)
            else:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                self.guardian = int(children.split()[0])
                return process

    def _stop(self) -> None:
        self.process.kill()  # its guardian ends with it, unless that is stopped
        with contextlib.suppress(OSError):
            os.kill(self.guardian, signal.SIGKILL)
        self.process.wait()


def pulse_line(for_s: float) -> bytes:
    """Return the line that asks for a pulse now."""
    now_s = time.monotonic()
    body = {"request_id": f"r{time.monotonic_ns()}", "presentation_id": "p", "for_s": for_s, "deadline_s": now_s + 5}
    return json.dumps({"v": 2, "kind": "pulse", **body}).encode() + b"\n"


@contextlib.contextmanager
def same_priority() -> Iterator[None]:
    """Run at the controller's priority: what waits for a core must not be the instrument."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy at priority 0 with a loop of its own."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
