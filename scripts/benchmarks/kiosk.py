"""What the screen at the door costs, and how far its mirror lags: the real processes, with and without one who looks.

The reader looks at an empty room, so that what the mirror costs is not hidden by what a face does. The browser is
Debian's Chromium without a screen: it draws with the processor, which a device with a screen leaves to its GPU.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.commands.options import Installation, open_installation
from appliance.errors import UsageError
from appliance.web.accounts import Accounts, Kind
from appliance.web.kiosk_code import make

from . import report
from .crowded import await_web, figures, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 30.0
SETTLE_S = 2.0
PARTS = ("alone", "mirror", "browser")
SCREEN = "800,480"
_NOWHERE = subprocess.DEVNULL
_TICKS_S = os.sysconf("SC_CLK_TCK")
_PART = re.compile(rb"Content-Length: (\d+)\r\nX-Captured-At: ([0-9.]+)\r\n\r\n")


def run(rounds: int, block_s: float) -> None:
    """Print the shares of a core of reader, web and browser in turns, and the mirror's lag; the last line is JSON."""
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    lags_ms: list[float] = []
    with ExitStack() as closing_all:
        folder = Path(closing_all.enter_context(tempfile.TemporaryDirectory(prefix="ostiary-")))
        installation = _installed(folder)
        reader = closing_all.enter_context(running(installation, "run", "--door", "simulated"))
        web = closing_all.enter_context(running(installation, "web"))
        await_web(installation.settings.web.port, web)
        _await_reader(installation, reader)
        for _ in range(rounds):
            for part in PARTS:
                with _looking(part, installation, folder, lags_ms) as browser:
                    time.sleep(SETTLE_S)
                    watched = {"reader": reader.pid, "web": web.pid} | ({"browser": browser} if browser else {})
                    for name, share in _shares(watched, block_s).items():
                        shares[part, name].append(share)
    lag = figures(np.array(lags_ms))
    told = {f"{name}, {part}": [round(value, 2) for value in sorted(seen)] for (part, name), seen in shares.items()}
    columns = ("process", "who looks", "% of a core", "least", "most", "n")
    rows = [
        (name, part, f"{np.median(seen):.1f}", f"{min(seen):.1f}", f"{max(seen):.1f}", str(len(seen)))
        for (part, name), seen in sorted(shares.items(), key=lambda one: one[0][1])
    ]
    report.show(f"{rounds} blocks of {block_s:g} s each", columns, rows)
    print(
        f"lag of the mirror: p50 {lag['p50']:.1f} ms, p95 {lag['p95']:.1f} ms "
        f"({lag['p95_low']:.1f} to {lag['p95_high']:.1f}), worst {lag['worst']:.1f} ms, n {lag['n']}"
    )
    report.finish({"bench": "kiosk", "rounds": rounds, "block_s": block_s, "core_percent": told, "lag_ms": lag})


def _installed(folder: Path) -> Installation:
    scene = folder / "nobody.json"
    scene.write_text('{"visits": []}', encoding="utf-8")
    settings = folder / "appliance.toml"
    settings.write_text(f'[web]\nport = {free_port()}\n[camera]\nsource = "simulated:{scene}"\n', encoding="utf-8")
    return open_installation(settings, folder / "state")


@contextmanager
def running(installation: Installation, *verb: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of the processes while the block runs."""
    where = ["--config", str(installation.config_file), "--state", str(installation.state)]
    process = subprocess.Popen([sys.executable, "-m", "appliance", *verb, *where], stdout=_NOWHERE, stderr=_NOWHERE)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _await_reader(installation: Installation, reader: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + START_S
    while not installation.reader_socket.exists():
        if reader.poll() is not None or time.monotonic() > end_s:
            raise UsageError("the reader does not come up")
        time.sleep(0.05)


@contextmanager
def _looking(part: str, installation: Installation, folder: Path, lags_ms: list[float]) -> Iterator[int]:
    """Have nobody look, a client that only reads the stream, or a browser, whose process is given; 0 for none."""
    with ExitStack() as leaving:
        if part == "mirror":
            leaving.enter_context(_reading(installation, lags_ms))
        yield leaving.enter_context(_browsing(installation, folder)) if part == "browser" else 0


@contextmanager
def _reading(installation: Installation, lags_ms: list[float]) -> Iterator[None]:
    """Read the mirror in a thread, and note how old each picture is when its last byte is there."""
    with Accounts(installation.web_file) as accounts:
        secret = accounts.begin_session("bench", Kind.KIOSK)
    stopping = threading.Event()
    reading = threading.Thread(target=_read, args=(installation, secret, lags_ms, stopping), name="mirror")
    reading.start()
    try:
        yield
    finally:
        stopping.set()
        reading.join()


def _read(installation: Installation, secret: str, lags_ms: list[float], stopping: threading.Event) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", installation.settings.web.port, timeout=10)) as connection:
        connection.request("GET", "/kiosk/mirror", headers={"Cookie": f"ostiary={secret}"})
        stream, waiting = connection.getresponse(), b""
        while not stopping.is_set():
            waiting += stream.read1(1 << 20)
            while (head := _PART.search(waiting)) is not None and len(waiting) >= head.end() + int(head[1]):
                lags_ms.append(1000 * (time.monotonic() - float(head[2])))
                waiting = waiting[head.end() + int(head[1]) :]


@contextmanager
def _browsing(installation: Installation, folder: Path) -> Iterator[int]:
    program = shutil.which("chromium")
    if program is None:
        raise UsageError("chromium is not installed")
    entry = f"http://127.0.0.1:{installation.settings.web.port}/kiosk/enter?code={make(installation.kiosk_file)}"
    options = ["--headless=new", "--no-sandbox", f"--window-size={SCREEN}", f"--user-data-dir={folder / 'browser'}"]
    browser = subprocess.Popen([program, *options, entry], stdout=_NOWHERE, stderr=_NOWHERE)
    try:
        time.sleep(SETTLE_S)
        yield browser.pid
    finally:
        browser.terminate()
        browser.wait()


def _shares(watched: dict[str, int], for_s: float) -> dict[str, float]:
    """Return the share of one core, in %, that each of these processes takes with its children from now on."""
    before, began_s = {name: _ticks(pid) for name, pid in watched.items()}, time.monotonic()
    time.sleep(for_s)
    spent_s = time.monotonic() - began_s
    return {name: 100 * (_ticks(pid) - before[name]) / _TICKS_S / spent_s for name, pid in watched.items()}


def _ticks(root: int) -> int:
    """Return the processor time of a process and of all under it, in ticks (proc(5): utime, stime)."""
    parents, ticks = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        pid = int(entry.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {root}
    for pid in sorted(parents):  # a parent is older than its children
        if parents[pid] in family:
            family.add(pid)
    return sum(ticks.get(pid, 0) for pid in family)
