"""A flood of commands at a running reader: what it costs the decisions, beside calm and the same flood elsewhere."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import socket
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.broker import private_broker
from appliance.clients import Registry
from appliance.config import CameraSettings, LivenessSettings, Settings
from appliance.contract import Role, Topic, topic
from appliance.envelope import sign
from appliance.signing import new_key, read_key
from ostiary_client import Client

from . import report
from .watching import ratio, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized

    from appliance.config import MqttSettings

KINDS = ("calm", "elsewhere", "at the door")
_PLACES = {1: topic("other", Topic.CMD, "approve"), 2: topic("ostiary", Topic.CMD, "approve")}
_BURST_S = 0.01
_PATIENCE_S = 2.0  # for an answer
_DRAINED_S = 60.0  # for what the flood has left on its way


def run(rounds: int, block_s: float, rate: int) -> None:
    """Flood a reader's command topic in turns with another topic and with calm, and print what its frames took.

    A frame's time is from its capture to its step: waiting, reading by the models, deciding. Somebody stands there.
    """
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        bench = _Bench(Path(folder), rate)
        bench.measure(rounds, block_s)
    rows, line = [], dict[str, Any]({"bench": "flood", "rate": rate, "rounds": rounds, "block_s": block_s})
    elsewhere = np.array(bench.took[1])  # the broker and the flood itself take their part of the machine there too
    for number, name in enumerate(KINDS):
        times = np.array(bench.took[number])
        p50, p99 = np.percentile(times, [50, 99])
        share, low, high = ratio(times, elsewhere)
        answered, asked = sum(bench.answered[number]), len(bench.answered[number])
        shown = [f"{p50:.1f}", f"{p99:.1f}", f"{share:.2f} ({low:.2f} to {high:.2f})", f"{answered} of {asked}"]
        rows.append([name, str(times.size), *shown])
        line[name] = {"n": times.size, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "p50_ratio": round(share, 3)}
        line[name] |= {"p50_ratio_ci95": [round(low, 3), round(high, 3)], "answered": answered, "asked": asked}
    columns = [
        "flood",
        "frames",
        "p50 ms",
        "p99 ms",
        "p50 over elsewhere (95 %)",
        f"orders answered in {_PATIENCE_S:g} s",
    ]
    report.show(f"{rate:,} commands a second, {rounds} rounds of {block_s:g} s each", columns, rows)
    report.finish(line | {"sent": bench.sent.value})


class _Bench:
    """A reader with a stranger before it, a broker, and a process that floods it."""

    def __init__(self, folder: Path, rate: int) -> None:
        self._folder = folder
        self._rate = rate
        self._now: Synchronized[int] = multiprocessing.Value("i", -1)  # index of the block in KINDS; -1 between two
        self.sent: Synchronized[int] = multiprocessing.Value("q", 0)
        self.took: list[list[float]] = [[], [], []]  # ms
        self.answered: list[list[bool]] = [[], [], []]

    def measure(self, rounds: int, block_s: float) -> None:
        """Take each kind of block in turns, in a random order."""
        with private_broker(self._folder, "mosquitto") as broker, self._reader(broker.settings):
            key = read_key(self._folder / "boss.key")
            flooding = multiprocessing.Process(target=self._flood, args=(broker.settings, self._payload()), daemon=True)
            flooding.start()
            with Client(broker.settings, "ostiary", "boss", key, tickets=False) as boss:
                for _ in range(rounds):
                    for number in random.sample(range(len(KINDS)), len(KINDS)):
                        self._block(boss, number, block_s)
            flooding.terminate()
            flooding.join()

    def _block(self, boss: Client, number: int, block_s: float) -> None:
        self._now.value, end_s = number, time.monotonic() + block_s
        while time.monotonic() < end_s:
            self.answered[number].append(boss.send("status", timeout_s=_PATIENCE_S).ok)
            time.sleep(0.2)
        self._now.value, end_s = -1, time.monotonic() + _DRAINED_S
        while not boss.send("status", timeout_s=1.0).ok and time.monotonic() < end_s:
            pass

    @contextlib.contextmanager
    def _reader(self, mqtt: MqttSettings) -> Iterator[None]:
        """Run a reader that a guard and a boss may send commands to."""
        camera, liveness = CameraSettings(frame_rate=15), LivenessSettings(commissioned="skipped")
        with Registry(self._folder / "clients.db") as registry:
            for name, role in (("guard", Role.OPERATOR), ("boss", Role.ADMIN)):
                registry.add(name, role, new_key(self._folder / f"{name}.key"))

        def took(ms: float) -> None:
            if (block := self._now.value) >= 0:
                self.took[block].append(ms)

        with watching(self._folder, Settings(camera=camera, liveness=liveness, mqtt=mqtt), took):
            yield

    def _payload(self) -> bytes:
        """Return what costs the door most: well formed, in time, in a known client's name, and signed for elsewhere."""
        return sign(
            read_key(self._folder / "guard.key"),
            topic=topic("ostiary", Topic.CMD, "approve"),
            device_id="elsewhere",
            client_id="guard",
            verb="approve",
            args={"ticket_id": "0123456789abcdef" * 2},
            now=time.time(),
            ttl_s=300,
            nonce=1,
            request_id="r1",
        )

    def _flood(self, settings: MqttSettings, payload: bytes) -> None:
        """Publish with QoS 0 to the place of the present block, over a socket of our own."""
        password = Path(settings.password_file).read_text(encoding="utf-8")
        fields = b"".join(_text(one.encode()) for one in ("flood", settings.username, password))
        count = int(self._rate * _BURST_S)
        bursts = {at: _packet(0x30, _text(place.encode()) + payload) * count for at, place in _PLACES.items()}
        with socket.create_connection((settings.host, settings.port)) as wire:
            wire.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\xc2\x00\x00" + fields))
            wire.recv(4)
            due_s = time.monotonic()
            while True:
                if (burst := bursts.get(self._now.value)) is not None:
                    wire.sendall(burst)
                    self.sent.value += count
                due_s = max(due_s + _BURST_S, time.monotonic() - 1)
                time.sleep(max(0.0, due_s - time.monotonic()))


def _packet(kind: int, body: bytes) -> bytes:
    """Return a packet of MQTT 3.1.1."""
    left, length = len(body), b""
    while left or not length:
        left, digit = divmod(left, 128)
        length += bytes([digit | (128 if left else 0)])
    return bytes([kind]) + length + body


def _text(raw: bytes) -> bytes:
    return struct.pack(">H", len(raw)) + raw
