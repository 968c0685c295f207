"""The guardian alone: it kills who keeps the lock too long, and nobody else."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from appliance.door.guardian import GRACE_S, WORD, watch

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watched:
    """A harmless process under a guardian that runs in a thread of the test."""

    def __init__(self) -> None:
        self.victim = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
        self.pidfd = os.pidfd_open(self.victim.pid)
        self.pipe, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pipe.settimeout(5)
        self.killed: bool | None = None
        self.thread = threading.Thread(target=self._watch, name="guardian")
        self.thread.start()

    def _watch(self) -> None:
        self.killed = watch(self.theirs, self.pidfd)

    def say(self, until_s: float) -> None:
        """Say a word and read its confirmation."""
        self.pipe.send(WORD.pack(until_s))
        assert self.pipe.recv(WORD.size) == WORD.pack(until_s)

    def close(self) -> None:
        """End everything."""
        self.pipe.close()
        self.thread.join(5)
        self.theirs.close()
        self.victim.kill()
        self.victim.wait()
        os.close(self.pidfd)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Return a process with a guardian."""
    watched = Watched()
    yield watched
    watched.close()


def test_an_overdue_word_kills(watched: Watched) -> None:
    """G4: when the announced time is over by 50 ms without a word, the process is killed, and not before."""
    until_s = time.monotonic() + 0.2
    watched.say(until_s)
    assert watched.victim.wait(5) == -signal.SIGKILL
    assert until_s + GRACE_S <= time.monotonic() < until_s + 0.5
    watched.thread.join(5)
    assert watched.killed is True


def test_words_in_time_keep_alive(watched: Watched) -> None:
    """A process that renews its word in time, and then says it has locked, is left alone."""
    for _ in range(6):  # beyond the first word's end
        watched.say(time.monotonic() + 0.4)
        time.sleep(0.1)
    watched.say(0.0)
    time.sleep(0.25)
    assert watched.victim.poll() is None


def test_a_pipe_closed_while_locked_ends_quietly(watched: Watched) -> None:
    """When the pipe closes while the door is locked, the guardian ends and kills nobody."""
    watched.say(time.monotonic() + 1)
    watched.say(0.0)
    watched.pipe.close()
    watched.thread.join(5)
    assert watched.killed is False
    assert watched.victim.poll() is None


@pytest.mark.parametrize("word", [b"", b"x", WORD.pack(math.nan), WORD.pack(-1.0), b"y" * 9])
def test_nonsense_while_unlocked_kills(watched: Watched, word: bytes) -> None:
    """A pipe that closes or talks nonsense while the door is unlocked has the process killed at once."""
    watched.say(time.monotonic() + 30)
    if word:
        watched.pipe.send(word)
    else:
        watched.pipe.close()
    assert watched.victim.wait(5) == -signal.SIGKILL


def test_the_last_word_counts_though_nobody_waits_for_its_echo(watched: Watched) -> None:
    """A process that says it has locked and closes at once, leaving the echo unread, is left alone."""
    watched.say(time.monotonic() + 0.3)
    watched.pipe.send(WORD.pack(0.0))
    watched.pipe.close()
    watched.thread.join(5)
    assert watched.killed is False
    assert watched.victim.poll() is None
