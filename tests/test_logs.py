"""Log lines and printed events: the journal has them with fields, and whoever does not read holds nobody up."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.door.link import ControllerLink
from appliance.errors import DoorError
from appliance.logs import Drain, write_all
from appliance.records import Pulse
from tests.broker import wait_for
from tests.journald import LINES, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]


def test_drain_writes_in_order_and_to_the_end() -> None:
    """What is put in is written in its order, and all of it when it is closed."""
    written: list[int] = []
    drain = Drain("drain", written.append)
    for number in range(500):
        drain.put(number)
    drain.close()
    assert written == list(range(500))
    assert drain.dropped == 0


def test_who_does_not_read_holds_nobody_up() -> None:
    """H12: with a pipe full and nobody reading, putting and closing go on; what is lost is counted and then told."""
    reading, writing = os.pipe()
    drain = Drain("drain", lambda line: write_all(writing, line), lambda count: b"lost %d\n" % count)
    began_s = time.monotonic()
    for number in range(10_000):
        drain.put(b"%06d %s\n" % (number, b"x" * 200))
    assert time.monotonic() - began_s < 2  # a block would be for ever
    assert drain.dropped > 8000
    got = b""
    with os.fdopen(reading, "rb") as pipe:
        while not drain._waiting.empty():
            got += pipe.readline()
        drain.put(b"after\n")
        while not got.endswith(b"after\n"):
            got += pipe.readline()
        drain.close()
    os.close(writing)
    lines = got.splitlines()
    numbers = [int(line.split()[0]) for line in lines if not line.startswith((b"lost", b"after"))]
    assert numbers == sorted(set(numbers))
    assert lines[-1] == b"after"
    assert sum(int(line.split()[1]) for line in lines if line.startswith(b"lost")) == drain.dropped


ALONE = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run/systemd 2>/dev/null || exit 77
mkdir -p /run/systemd/journal /run/log && mount -t tmpfs tmpfs /run/log || exit 77
exec "$0" -m tests.journald
"""


@pytest.fixture(scope="module")
def journal() -> dict[str, Any]:
    """Give what a real systemd-journald has of lines and events, some of them while it hung or was dead."""
    if not PROGRAM.exists():
        pytest.skip("systemd-journald is not installed here")
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    command = [*own, "sh", "-c", ALONE, sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 77:
        pytest.skip(f"this system lets nobody have a /run of their own: {done.stderr}")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_journal_has_an_event_with_its_fields(journal: dict[str, Any]) -> None:
    """J3: an event is found in a real journal by its ids, type, reason and number, and by nothing else of anybody."""
    event, line, unfit = journal["read"]
    ours = {name: value for name, value in event.items() if name.startswith("OSTIARY_")}
    assert ours == {
        "OSTIARY_EVENT_ID": "e7",
        "OSTIARY_EVENT_TYPE": "access_denied",
        "OSTIARY_SEQ": "7",
        "OSTIARY_DOOR": "front",
        "OSTIARY_REASON": "stale",
        "OSTIARY_METHOD": "face",
        "OSTIARY_ACTOR_KIND": "person",
        "OSTIARY_ACTOR_ID": "p1",
        "OSTIARY_TICKET_ID": "t1",
    }
    assert (event["MESSAGE"], event["PRIORITY"]) == ("12:00:00  access_denied", "6")
    assert (line["MESSAGE"], line["PRIORITY"]) == ("two\nlines ? é", "3")
    assert unfit["MESSAGE"] == "%d"


def test_journal_that_hangs_or_dies_holds_nobody_up(journal: dict[str, Any]) -> None:
    """H12: journald stopped with its socket full, then killed: no line takes long, and how many are lost is told."""
    assert journal["hung_s"] < 1  # a block would last until it goes on, which is after the last line
    assert journal["dead_s"] < 1
    lost = [int(one["OSTIARY_LOST_LINES"]) for one in journal["lost"]]
    assert 0 < sum(lost) < LINES
    assert journal["back"]["MESSAGE"] == "back"  # the same program's, to a journald that was started anew


def test_lines_go_to_standard_error_elsewhere() -> None:
    """Without systemd a line is a line; what systemd left in the environment for somebody else changes nothing."""
    code = (
        "import logging, os; from appliance.config import LogsSettings; from appliance.logs import logging_to\n"
        "for stream in ('', '8:1234', 'nonsense'):\n"
        "    os.environ['JOURNAL_STREAM'] = stream\n"
        "    with logging_to(LogsSettings(), 'ostiary') as tell:\n"
        "        logging.info('seen'); logging.debug('not seen'); print(tell)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n" * 3, "ostiary: seen\n" * 3)


@contextlib.contextmanager
def full_pipes(count: int) -> Iterator[list[int]]:
    """Give the writing ends of pipes that are full, and that nobody reads."""
    ends = [os.pipe() for _ in range(count)]
    for _, writing in ends:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
    try:
        yield [writing for _, writing in ends]
    finally:
        for end in itertools.chain(*ends):
            os.close(end)


@contextlib.contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process that hangs, once the block has ended."""
    try:
        yield
    finally:
        process.kill()


def test_reader_works_on_where_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    """H12: standard output and standard error full from the start: `ostiary run` starts, watches and ends well.

    Meanwhile Prometheus is told how it is.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "appliance.toml").write_text(f"[metrics]\nenabled = true\nport = {port}\n")
    command = [sys.executable, "-m", "appliance", "run", "--source", "simulated", "--door", "simulated"]
    command += ["--config", str(tmp_path / "appliance.toml")]
    with (
        full_pipes(2) as (out, err),
        subprocess.Popen([*command, "--state", tmp_path], cwd=ROOT, stdout=out, stderr=err) as reader,
        killed(reader),
    ):
        wait_for(lambda: EventType.STARTED in kinds(tmp_path), 20)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            read = answer.read().decode().splitlines()
        reader.send_signal(signal.SIGTERM)
        assert reader.wait(20) == 0
    assert kinds(tmp_path)[-1] is EventType.STOPPED
    for line in ('ostiary_events_total{type="started"} 1.0', "ostiary_camera_ok 1.0", "ostiary_controller_ok 1.0"):
        assert line in read


def test_controller_works_on_where_nobody_reads_what_it_says(short_folder: Path) -> None:
    """H12: with its standard error full from the start the controller unlocks, locks again in time, and ends well."""
    path = short_folder / "socket"
    command = [sys.executable, "-m", "appliance", "controller", "--door", "simulated", "--socket", str(path)]
    link = ControllerLink(path)
    with (
        full_pipes(1) as (err,),
        subprocess.Popen([*command, "--state", short_folder], cwd=ROOT, stderr=err) as controller,
        killed(controller),
        contextlib.closing(link),
    ):
        wait_for(lambda: _connects(link), 20)
        for number in range(3):
            link.pulse(Pulse(0.5, f"v{number}", time.monotonic() + 1))
        wait_for(lambda: [event for event in link.beat() if event.event_type is EventType.DOOR_LOCKED])
        controller.send_signal(signal.SIGTERM)
        assert controller.wait(20) == 0


def _connects(link: ControllerLink) -> bool:
    with contextlib.suppress(DoorError):
        link.connect(0.2)
    return link.connected


def kinds(state: Path) -> list[EventType]:
    """Return the types of the events in the audit log of this state folder."""
    with AuditLog(state / "audit.db", "ostiary", "front") as audit:
        return [entry.event.event_type for entry in audit.read()]
