"""The web of an appliance with many people, as the real process on loopback, and how long it takes to answer."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import numpy as np

from appliance.access.pin import HASHER
from appliance.commands.options import Installation, open_installation
from appliance.contract import Role
from appliance.errors import UsageError
from appliance.web.accounts import Accounts

from .drill import fill_log
from .growth import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

START_S = 30.0
RESAMPLED = 1000


@dataclass(frozen=True, slots=True)
class Crowded:
    """A web with many people in it, being served."""

    installation: Installation
    port: int
    key: str  # an API key, admin
    session: str  # of an account, admin: the value of the cookie `ostiary`

    def by_key(self) -> dict[str, str]:
        """Return the headers with which a program asks."""
        return {"X-API-Key": self.key}

    def by_session(self) -> dict[str, str]:
        """Return the headers with which a browser asks."""
        return {"Cookie": f"ostiary={self.session}"}


@contextmanager
def crowded(people: int, entries: int) -> Iterator[Crowded]:
    """Serve a web with so many people, of three templates each, and a log of so many entries, while the block runs.

    Raises UsageError where it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        state, port = Path(folder) / "state", free_port()
        settings = Path(folder) / "appliance.toml"
        settings.write_text(f"[web]\nport = {port}\nrequests_per_s = 10000\n", encoding="utf-8")
        installation = open_installation(settings, state)
        fill(state, 0, people)
        fill_log(installation, entries)
        with Accounts(installation.web_file) as accounts:
            accounts.add("bench", Role.ADMIN, HASHER.hash("as long as a bench"))
            key, session = accounts.add_key("bench", Role.ADMIN), accounts.begin_session("bench")
        command = [sys.executable, "-m", "appliance", "web", "--config", str(settings), "--state", str(state)]
        serving = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            await_web(port, serving)
            yield Crowded(installation, port, key, session)
        finally:
            serving.terminate()
            serving.wait()


def spent_ms(port: int, paths: Sequence[str], headers: Mapping[str, str]) -> NDArray[np.float64]:
    """Return the milliseconds of a GET of each path, one after the other on one connection, the body read to its end.

    Raises UsageError for an answer that is not 200.
    """
    spent = []
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for path in paths:
            began = time.perf_counter()
            connection.request("GET", path, headers=dict(headers))
            answer = connection.getresponse()
            body = answer.read()
            spent.append(1000 * (time.perf_counter() - began))
            if answer.status != 200:
                raise UsageError(f"{path} answers {answer.status}: {body[:200]!r}")
    return np.array(spent)


def figures(spent: NDArray[np.float64]) -> dict[str, float]:
    """Return p50, p95 with its 95 % interval by resampling, p99 and the worst, in milliseconds, and n."""
    dice = np.random.default_rng(1)
    again = dice.choice(spent, (RESAMPLED, spent.size))
    low, high = np.percentile(np.percentile(again, 95, axis=1), [2.5, 97.5])
    p50, p95, p99 = np.percentile(spent, [50, 95, 99])
    values = {"p50": p50, "p95": p95, "p95_low": low, "p95_high": high, "p99": p99, "worst": spent.max()}
    return {"n": spent.size} | {name: round(float(value), 2) for name, value in values.items()}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def await_web(port: int, serving: subprocess.Popen[bytes]) -> None:
    """Return once the web answers on this port. Raises UsageError where it does not come up."""
    end_s = time.monotonic() + START_S
    while serving.poll() is None and time.monotonic() < end_s:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise UsageError(f"the web did not come up within {START_S:g} s")
