"""Logs into a real systemd-journald, which hangs and dies meanwhile: `python -m tests.journald`, alone in its own /run.

Prints one line of JSON: what the journal has of each part, and what waiting for it cost.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import LogsSettings
from appliance.contract import EventType, Reason
from appliance.logs import logging_to
from appliance.records import Actor, ActorKind, AuditEvent, Event

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path("/lib/systemd/systemd-journald")
_SOCKET = Path("/run/systemd/journal/socket")
_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = Event(EventType.ACCESS_DENIED, _NOON, Actor(ActorKind.PERSON, "p1"), "face", Reason.STALE, ticket_id="t1")
LINES = 5000

_log = logging.getLogger("appliance.test")


def main() -> None:
    """Print what came of it."""
    told: dict[str, Any] = {}
    with logging_to(LogsSettings(to="journal"), "ostiary controller") as tell:
        assert tell is not None
        with _journald() as journal:
            tell(AuditEvent(7, "e7", "front", "front", EVENT, "", ""), "12:00:00  access_denied")
            _log.error("two\nlines \udc80 %s", "é")
            _log.info("%d", "no number")
            told["read"] = _entries(3)
            os.kill(journal.pid, signal.SIGSTOP)
            told["hung_s"] = _flood()
            os.kill(journal.pid, signal.SIGCONT)
            told["lost"] = [one for one in _until("awake") if "OSTIARY_LOST_LINES" in one]
        told["dead_s"] = _flood()
        with _journald():
            told["back"] = _until("back")[-1]
    sys.stdout.write(json.dumps(told) + "\n")


@contextmanager
def _journald() -> Iterator[subprocess.Popen[bytes]]:
    _SOCKET.unlink(missing_ok=True)
    with subprocess.Popen([PROGRAM], stderr=subprocess.DEVNULL) as journal:
        end_s = time.monotonic() + 5
        while not _SOCKET.exists() and time.monotonic() < end_s:
            time.sleep(0.02)
        try:
            yield journal
        finally:
            journal.terminate()


def _flood() -> float:
    """Log so much that no socket holds it, and return the longest time that one line took, in seconds."""
    longest_s = 0.0
    for number in range(LINES):
        began_s = time.monotonic()
        _log.info("flood %d", number)
        longest_s = max(longest_s, time.monotonic() - began_s)
    return longest_s


def _entries(least: int) -> list[dict[str, Any]]:
    """Return what the journal has of us, once there is so much."""
    command = [
        "journalctl",
        "--directory",
        "/run/log/journal",
        "--output",
        "json",
        "SYSLOG_IDENTIFIER=ostiary-controller",
    ]
    end_s = time.monotonic() + 10
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        if len(found) >= least or time.monotonic() > end_s:
            return found
        time.sleep(0.05)


def _until(message: str) -> list[dict[str, Any]]:
    """Log the message until the journal, where at first there may be no room, has it; return what it has."""
    end_s = time.monotonic() + 10
    found: list[dict[str, Any]] = []
    while not found or found[-1]["MESSAGE"] != message:
        assert time.monotonic() < end_s, found[-1:]
        _log.info(message)
        time.sleep(0.1)
        found = _entries(1)
    return found


if __name__ == "__main__":
    main()
