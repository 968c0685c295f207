"""A flood of requests at the web beside a running reader: what it costs the decisions, beside calm and elsewhere."""

from __future__ import annotations

import multiprocessing
import random
import socket
import socketserver
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from appliance.commands.options import open_installation
from appliance.contract import Role
from appliance.web.accounts import Accounts

from . import report
from .crowded import await_web, free_port
from .kiosk import running
from .watching import ratio, watching

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

KINDS = ("calm", "elsewhere", "at the web")
CONNECTIONS = 8
_BODY = b"name=admin&password=a+guess+of+many"
_HEAD = b"Host: localhost\r\nContent-Length: %d\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
# What a stranger can send: a page, a sign-in, a file, the interfaces for programs.
_REQUESTS = (
    b"GET / HTTP/1.1\r\n" + _HEAD % 0,
    b"POST /login HTTP/1.1\r\n" + _HEAD % len(_BODY) + _BODY,
    b"GET /static/style.css HTTP/1.1\r\n" + _HEAD % 0,
    b"GET /api/v1/people HTTP/1.1\r\n" + _HEAD % 0,
    b"POST /face/v1.2/detect HTTP/1.1\r\n" + _HEAD % len(_BODY) + _BODY,
)
_PLAIN = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


def run(rounds: int, requests: int, rate: int) -> None:
    """Flood the web, something that answers nothing, and nothing in turns; print what the reader's frames took.

    A frame's time is from its capture to its step: waiting, reading by the models, deciding. Somebody stands there.
    """
    took: list[list[float]] = [[], [], []]
    said: Counter[int] = Counter()
    lasted_s = 0.0
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder, _bench(Path(folder), took, rate) as bench:
        for _ in range(rounds):
            for number in random.sample(range(len(KINDS)), len(KINDS)):
                statuses, block_s = bench.block(number, requests // rounds)
                if number == len(KINDS) - 1:
                    said.update(statuses)
                    lasted_s += block_s
    rows, line = (
        [],
        dict[str, Any]({"bench": "web-flood", "requests": sum(said.values()), "rate": rate, "rounds": rounds}),
    )
    for number, name in enumerate(KINDS):
        times = np.array(took[number])
        told = line[name] = {"n": times.size}
        for other in KINDS[:number]:
            share, low, high = ratio(times, np.array(took[KINDS.index(other)]), 99.0)
            told[f"p99 over {other}"] = [round(value, 3) for value in (share, low, high)]
        p50, p99 = np.percentile(times, [50, 99])
        told |= {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
        shares = [f"{told[key][0]:.2f} ({told[key][1]:.2f} to {told[key][2]:.2f})" for key in told if "over" in key]
        rows.append([name, str(times.size), f"{p50:.1f}", f"{p99:.1f}", *shares, *[""] * (2 - len(shares))])
    columns = ["flood", "frames", "p50 ms", "p99 ms", "p99 over calm (95 %)", "p99 over elsewhere (95 %)"]
    answers = ", ".join(f"{count} with {status}" for status, count in sorted(said.items()))
    report.show(f"{sum(said.values()):,} requests over {CONNECTIONS} connections, {rounds} rounds", columns, rows)
    print(f"answered: {answers}; {sum(said.values()) / lasted_s:.0f} a second")
    report.finish(line | {"answers": {str(status): count for status, count in said.items()}})


class _Bench:
    """A process that floods, and what is counted meanwhile."""

    def __init__(self, ports: tuple[int, int], took: list[list[float]], rate: int) -> None:
        self._ports = ports
        self._took = took
        self._rate = rate
        self._now = -1

    def hear(self, ms: float) -> None:
        """Count a frame to the present block."""
        if self._now >= 0:
            self._took[self._now].append(ms)

    def block(self, number: int, requests: int) -> tuple[list[int], float]:
        """Flood as this kind says, or wait as long as a flood takes; return the answers' statuses and the seconds."""
        here, there = multiprocessing.Pipe()
        flooding = None
        if number:
            arguments = (self._ports[number - 1], requests, self._rate, there)
            flooding = multiprocessing.get_context("spawn").Process(target=flood, args=arguments, daemon=True)
            flooding.start()
            here.recv()  # it is there, and was not counted
        self._now, began_s = number, time.monotonic()
        if flooding is None:
            time.sleep(requests / self._rate)
        statuses: list[int] = here.recv() if flooding is not None else []
        self._now, lasted_s = -1, time.monotonic() - began_s
        if flooding is not None:
            flooding.join()
        time.sleep(1.0)  # what is left of it
        return statuses, lasted_s


@contextmanager
def _bench(folder: Path, took: list[list[float]], rate: int) -> Iterator[_Bench]:
    port = free_port()
    config = folder / "appliance.toml"
    config.write_text(
        f'[camera]\nframe_rate = 15.0\n[liveness]\ncommissioned = "skipped"\n[web]\nport = {port}\n', encoding="utf-8"
    )
    installation = open_installation(config, folder)
    with Accounts(installation.web_file) as accounts:
        accounts.add("admin", Role.ADMIN, "")
    with _answering_nothing() as elsewhere, running(installation, "web") as web:
        await_web(port, web)
        bench = _Bench((elsewhere, port), took, rate)
        with watching(folder, installation.settings, bench.hear):
            yield bench


@contextmanager
def _answering_nothing() -> Iterator[int]:
    """Answer every request with nothing, in a process of its own, and give the port."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=answer_nothing, args=(there,), daemon=True)
    process.start()
    try:
        yield int(here.recv())
    finally:
        process.terminate()
        process.join()


def answer_nothing(told: Connection) -> None:
    """Serve 204 to whoever asks, and tell the port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := _head_of(self.rfile):
                self.rfile.read(_length_of(head))
                self.wfile.write(_PLAIN)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told.send(server.server_address[1])
        server.serve_forever()


def flood(port: int, requests: int, rate: int, told: Connection) -> None:
    """Send so many requests over a few connections, no more than `rate` a second, and tell the statuses."""
    statuses: list[int] = []
    every_s = CONNECTIONS / rate

    def send(count: int) -> None:
        with closing(socket.create_connection(("127.0.0.1", port))) as wire, wire.makefile("rb") as answers:
            due_s = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, due_s - time.monotonic()))
                due_s += every_s
                wire.sendall(_REQUESTS[number % len(_REQUESTS)])
                head = _head_of(answers)
                answers.read(_length_of(head))
                statuses.append(int(head.split(b" ", 2)[1]))

    threads = [threading.Thread(target=send, args=(requests // CONNECTIONS,)) for _ in range(CONNECTIONS)]
    told.send(None)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.send(statuses)


def _head_of(lines: Any) -> bytes:  # noqa: ANN401 - a socket's file, of either side
    head = b""
    while (line := lines.readline()) not in {b"", b"\r\n"}:
        head += line
    return head


def _length_of(head: bytes) -> int:
    found = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return int(found[0].partition(b":")[2]) if found else 0
