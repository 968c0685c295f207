"""A real controller process on a simulated line, and a raw reader to speak to it in any manner."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from appliance.door import ControllerLink
from appliance.drivers.simulated_door import SimulatedDoorObserver
from appliance.drivers.simulated_world import SimulatedWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.contract import EventType
    from appliance.door.protocol import Happened

_START_S = 20.0

# A reader as a process of its own: unlocks, then beats until something happens to it.
_READER = """
import json, socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(sys.argv[2].encode() + b"\\n")
peer.recv(4096)
print("unlocked", flush=True)
while True:
    peer.sendall(b'{"v":2,"kind":"beat"}\\n')
    time.sleep(0.05)
"""


class RunningController:
    """`ostiary controller` on the folder `state`, ready to be spoken to."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self.socket = state / "controller.sock"
        self.observer = SimulatedDoorObserver(state / "simulated-door")
        self.world = SimulatedWorld(state / "simulated-door")
        self.errors = state / "errors.txt"
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = state / "notify.sock"
        notify.unlink(missing_ok=True)
        self.notices.bind(str(notify))
        self.notices.settimeout(_START_S)
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "controller", "--state", str(state), *arguments],
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
                stderr=errors,
            )
        self.first_notice = self.notices.recv(64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.notices.close()

    @property
    def guardian(self) -> int:
        """Process id of the guardian."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def link(self) -> ControllerLink:
        """Return a reader's link that has spoken to this controller."""
        link = ControllerLink(self.socket)
        link.connect(2.0)
        return link

    def raw(self) -> socket.socket:
        """Return a bare connection."""
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(2.0)
        peer.connect(str(self.socket))
        return peer

    def reader(self, for_s: float) -> subprocess.Popen[str]:
        """Return a reader process that has unlocked for `for_s` seconds and beats."""
        reader = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _READER, str(self.socket), pulse_line(for_s=for_s).decode().strip()],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "unlocked\n"
        return reader

    def low_at_s(self, within_s: float) -> float:
        """Return when the line was first seen low; fails when it stays high for `within_s`."""
        end_s = time.monotonic() + within_s
        while self.observer.level():
            assert time.monotonic() < end_s, f"the line is still high after {within_s} s"
            time.sleep(0.001)
        return time.monotonic()

    def levels(self) -> list[int]:
        """Return every level the line was driven to, from the claim on."""
        return [level for _, level, _ in self.observer.history()]

    def says(self) -> str:
        """Return what the controller wrote so far."""
        return self.errors.read_text()


def has_ended(process: int) -> bool:
    """Tell whether a process that is not our child ends within a second."""
    end_s = time.monotonic() + 1
    while time.monotonic() < end_s:
        try:
            if not Path(f"/proc/{process}/cmdline").read_bytes():  # ended, not yet collected by its parent
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


_WIRES = """
[inputs]
contact = "22 NO"
rex = "23 NO"
tamper = "24 NC"
fire = "25 NC"
bell = "26 NO"
bond = "27 NO"

[outputs]
aux = 9
alarm = 10
red = 11
green = 12
blue = 13
buzzer = 14
"""


def wired(state: Path, **door: object) -> tuple[str, str]:
    """Return the arguments of a controller whose door has every line fitted, with these settings of it."""
    config = state / "wired.toml"
    config.write_text("[door]\n" + "".join(f"{key} = {json.dumps(one)}\n" for key, one in door.items()) + _WIRES)
    return ("--config", str(config))


@contextlib.contextmanager
def beating(link: ControllerLink) -> Iterator[list[Happened]]:
    """Beat in a thread while the block runs, as a reader does, and give what it hears and writes down."""
    heard: list[Happened] = []
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            for one in link.beat():
                heard.append(one)
                link.written(one)
            ended.wait(0.02)

    thread = threading.Thread(target=beat, name="reader")
    thread.start()
    try:
        yield heard
    finally:
        ended.set()
        thread.join(5)


def soon(condition: Callable[[], object], within_s: float = 2.0) -> None:
    """Wait until this is so; fails where it does not come."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.002)


def reply_on(peer: socket.socket) -> dict[str, Any]:
    """Return the next reply that this bare connection is given; what else was said until then is dropped."""
    heard = b""
    while b'"kind":"reply"' not in heard or not heard.endswith(b"\n"):
        chunk = peer.recv(4096)
        assert chunk, "the controller hung up"
        heard += chunk
    return next(json.loads(line) for line in heard.splitlines() if b'"kind":"reply"' in line)


def written(link: ControllerLink) -> list[tuple[EventType, str, str]]:
    """Beat, take what happened for written down, and return its type, cause and originator."""
    happened = link.beat()
    for one in happened:
        link.written(one)
    return [(one.event_type, one.cause.value, one.by) for one in happened]


_count = iter(range(1_000_000_000))


def pulse_line(**changes: object) -> bytes:
    """Return a line that asks for a pulse, valid but for `changes`."""
    body = {
        "v": 2,
        "kind": "pulse",
        "request_id": f"r{next(_count)}",
        "presentation_id": "p1",
        "for_s": 5.0,
        "deadline_s": time.monotonic() + 1.0,
        **changes,
    }
    return json.dumps(body).encode() + b"\n"


def end(reader: subprocess.Popen[str]) -> None:
    """End a reader process, stopped or not."""
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    if reader.stdout is not None:
        reader.stdout.close()
