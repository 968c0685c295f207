"""Floods: how much anybody may ask for, and what happens to the rest."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from appliance.contract import EventType, Reason, Role
from appliance.web.connection import OF_ONE_ADDRESS
from appliance.web.limits import FORGOTTEN_S, KEPT, Buckets, TooManyError, Waits, network_of
from tests.web.running import PASSWORD, Web, free_port, installed, web_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


@pytest.fixture(scope="module")
def strict() -> Iterator[Web]:
    """Give a web that lets an account ask once a second."""
    with (
        tempfile.TemporaryDirectory(prefix="ostiary-") as folder,
        web_of(installed(Path(folder), web={"requests_per_s": 1})) as web,
    ):
        yield web


@pytest.fixture(scope="module")
def guessed() -> Iterator[Web]:
    """Give a web at which somebody guesses passwords."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder, web_of(installed(Path(folder))) as web:
        yield web


def test_a_bucket_empties_and_fills() -> None:
    """E10: as many as fit at once, then one every so often, and whoever has to wait is told how long."""
    clock = Clock()
    buckets = Buckets(per_s=2, burst=3, clock=clock)
    for _ in range(3):
        buckets.take("ada")
    with pytest.raises(TooManyError) as refused:
        buckets.take("ada")
    assert (refused.value.retry_s, refused.value.headers) == (0.5, {"Retry-After": "1"})
    buckets.take("bob")
    clock.now_s += 0.5
    buckets.take("ada")
    with pytest.raises(TooManyError):
        buckets.take("ada")


def test_no_number_of_names_fills_the_memory() -> None:
    """E10: names that were not heard of for longest are forgotten first, so a flood of new ones keeps its bounds."""
    buckets = Buckets(per_s=1, burst=1, clock=Clock())
    for number in range(3 * KEPT):
        buckets.take(str(number))
    assert len(buckets._buckets) == KEPT


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    """E10: whoever has one IPv6 address of a network has all of them, and gains nothing by it."""
    assert network_of(address) == network


def test_an_account_and_a_key_are_told_to_wait(strict: Web) -> None:
    """E10: beyond its share an account or a key gets 429 and when to come back; others are served."""
    with strict.client(Role.OPERATOR) as client:
        answers = [client.get("/") for _ in range(6)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert answers[5].status_code == 429
    assert int(answers[5].headers["retry-after"]) == 1
    with strict.client(Role.AUDITOR) as other:
        assert other.get("/").status_code == 200


def test_500_connections_that_say_nothing_keep_nobody_out(strict: Web) -> None:
    """E6: one address keeps so many connections, the oldest that only waits leaves first, pages are served."""
    waiting = [strict.connect() for _ in range(500)]
    try:
        for wire in waiting:
            with contextlib.suppress(OSError):
                wire.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert httpx.get(f"{strict.url}/healthz").text == "ok\n"
        time.sleep(0.2)
        assert sum(is_open(wire) for wire in waiting) <= OF_ONE_ADDRESS
    finally:
        for wire in waiting:
            wire.close()


def is_open(wire: socket.socket) -> bool:
    """Tell whether the other side has not closed."""
    wire.settimeout(0)
    try:
        return bool(wire.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_waits_grow_and_end() -> None:
    """E10: a few wrong tries cost nothing, each further one twice the last, to a bound: nobody is kept out for good."""
    clock = Clock()
    waits = Waits(free=3, most_s=10, clock=clock)
    assert [waits.failed("ada") for _ in range(3)] == [False] * 3
    waits.demand("ada")
    told: list[float] = []
    for _ in range(6):
        told.append(waits.failed("ada"))
        with pytest.raises(TooManyError) as refused:
            waits.demand("ada")
        clock.now_s += refused.value.retry_s
        told.append(round(refused.value.retry_s))
    assert told == [True, 1, False, 2, False, 4, False, 8, False, 10, False, 10]
    waits.demand("ada")
    waits.demand("bob")
    clock.now_s += FORGOTTEN_S + 1
    assert waits.failed("ada") is False
    waits.demand("ada")


def test_what_was_no_failure_counts_as_none() -> None:
    """E10: a try that nobody judged, for too many were at it, is taken back; a right one forgets the wrong ones."""
    waits = Waits(free=1, most_s=10, clock=Clock())
    waits.failed("ada")
    waits.failed("ada")
    waits.take_back("ada")
    waits.demand("ada")
    waits.failed("ada")
    waits.forget("ada")
    waits.demand("ada")


def test_guessing_is_slowed_down_and_told(guessed: Web) -> None:
    """E10: after five wrong passwords the right one waits too, others do not, and the log has it once."""
    wrong = {"name": "operator", "password": "not the password"}
    with guessed.client(None) as client:
        assert [client.post("/login", data=wrong).status_code for _ in range(6)] == [401] * 6
        # A wait of a second may be over before the next answer on a busy machine; one of two is not.
        while (answer := client.post("/login", data=wrong)).headers.get("retry-after", "1") == "1":
            assert answer.status_code in {401, 429}
            time.sleep(0.2)
        assert answer.status_code == 429
        assert client.post("/login", data=wrong | {"password": PASSWORD}).status_code == 429
        assert client.post("/login", data={"name": "auditor", "password": PASSWORD}).status_code == 303
    with guessed.installation.open_audit() as audit:
        told = [entry.event for entry in audit.read()]
    assert [(event.event_type, event.reason) for event in told] == [(EventType.FAULT, Reason.TOO_MANY_ATTEMPTS)]
    assert "sign-in as operator failed again and again, from 127.0.0.1" in told[0].detail


def test_a_flood_of_sign_ins_is_no_load(guessed: Web) -> None:
    """E10: of hundreds at once a few are hashed, the rest is told to come back at once, and pages are served meanwhile.

    argon2id takes some tenths of a second and 64 MiB: one is made at a time, and one waits.
    """

    def guess(number: int) -> int:
        name = ("admin", "enroller", f"nobody{number}")[number % 3]
        return stranger.post("/login", data={"name": name, "password": f"guess {number} of many"}).status_code

    with guessed.client(None) as stranger, ThreadPoolExecutor(16) as many:
        tries = [many.submit(guess, number) for number in range(300)]
        with guessed.client(Role.AUDITOR) as client:
            assert client.get("/me").status_code == 200
        statuses = [one.result() for one in tries]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) <= 3 * 6


def test_pages_give_way_to_the_door(tmp_path: Path) -> None:
    """E6: whoever floods the pages, the door's frames come first: the process that serves them is a nice one."""
    settings = tmp_path / "appliance.toml"
    settings.write_text(f"[web]\nport = {free_port()}\n", encoding="utf-8")
    command = [sys.executable, "-m", "appliance", "web", "--config", str(settings), "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith(b"web: http://127.0.0.1:")
        assert os.getpriority(os.PRIO_PROCESS, serving.pid) >= 10
        serving.terminate()
