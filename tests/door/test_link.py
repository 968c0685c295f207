"""The reader's end: never in the way, whatever the controller does."""

from __future__ import annotations

import json
import math
import socket
import time
from typing import TYPE_CHECKING

import pytest

from appliance.contract import EventType, LockState
from appliance.door import Cause, ControllerLink
from appliance.door.protocol import Happened, Now, as_state, encode
from appliance.errors import DoorError
from appliance.records import DoorState, Pulse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class FakeController:
    """A listening socket that says only what the test says."""

    def __init__(self, path: Path) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.listening.settimeout(2)

    def accept(self) -> socket.socket:
        """Return the controller's side of a link's connection."""
        peer, _ = self.listening.accept()
        peer.settimeout(2)
        return peer


@pytest.fixture
def fake(state: Path) -> Iterator[FakeController]:
    """Return a controller in name only."""
    fake = FakeController(state / "c.sock")
    yield fake
    fake.listening.close()


@pytest.fixture
def clock() -> list[float]:
    """Return a clock that stands still: its one number is the time."""
    return [100.0]


@pytest.fixture
def link(state: Path, clock: list[float]) -> Iterator[ControllerLink]:
    """Return a link that tells its beats by the test's clock."""
    link = ControllerLink(state / "c.sock", clock=lambda: clock[0])
    yield link
    link.close()


def test_no_controller_is_said_in_one_line(link: ControllerLink) -> None:
    """Without a controller, connecting and asking raise DoorError, and a beat neither raises nor waits."""
    with pytest.raises(DoorError, match=r"^no controller at .*c\.sock: No such file or directory$"):
        link.connect(0.1)
    with pytest.raises(DoorError, match=r"^not connected"):
        link.pulse(Pulse(5.0, "p1", 1.0))
    assert link.beat() == ()
    assert not link.connected


def test_it_connects_by_itself(link: ControllerLink, state: Path, clock: list[float]) -> None:
    """Beats without a controller go on trying and find one within 2 s of its appearing."""
    while clock[0] < 110:
        link.beat()
        clock[0] += 0.01
    fake = FakeController(state / "c.sock")
    appeared_s = clock[0]
    while not link.connected:
        link.beat()
        clock[0] += 0.01
    assert clock[0] - appeared_s <= 2.02
    fake.listening.close()


def test_beats_are_at_most_five_a_second(link: ControllerLink, fake: FakeController, clock: list[float]) -> None:
    """However often it is called, a heartbeat is sent at most every 0.2 s."""
    for _ in range(100):
        link.beat()
        clock[0] += 0.01
    with fake.accept() as peer:
        assert peer.recv(4096) == b'{"v":2,"kind":"beat","run":"","seq":0}\n' * 5


def test_silence_ends_the_connection(link: ControllerLink, fake: FakeController) -> None:
    """A request that is not answered in time raises, and hangs up so that nothing it unlocked stays so."""
    link.beat()
    with fake.accept() as peer:
        begun_s = time.monotonic()
        with pytest.raises(DoorError, match=r"did not answer within 0\.1 s$"):
            link.state(timeout_s=0.1)
        assert 0.1 <= time.monotonic() - begun_s < 3
        assert not link.connected
        while peer.recv(4096):
            pass


@pytest.mark.parametrize("nonsense", [b"hello\n", b"x" * 2000, b'{"v":2,"kind":"beat"}\n', b"\xff\n"])
def test_a_mad_controller_is_left(link: ControllerLink, fake: FakeController, nonsense: bytes) -> None:
    """Nonsense from the controller ends the connection; a beat does not raise, a request does."""
    link.beat()
    with fake.accept() as peer:
        peer.sendall(nonsense)
        assert link.beat() == ()
    assert not link.connected


def said(seq: int, run: str = "0123abcd", event_type: EventType = EventType.REX) -> bytes:
    """Return the line that tells that something happened."""
    state = as_state(DoorState(LockState.LOCKED, None, ""))
    return encode(Happened(run=run, seq=seq, event_type=event_type, cause=Cause.NONE, by="p1", at_s=5.0, state=state))


def test_what_happened_before_the_end_is_not_lost(link: ControllerLink, fake: FakeController) -> None:
    """What the controller said before it hung up is still returned, once."""
    link.beat()
    with fake.accept() as peer:
        peer.sendall(said(1, event_type=EventType.DOOR_LOCKED))
    told = link.beat()
    assert [(one.event_type, one.by, one.at_s) for one in told] == [(EventType.DOOR_LOCKED, "p1", 5.0)]
    assert link.beat() == ()
    assert not link.connected


def test_what_is_told_again_is_returned_once(link: ControllerLink, fake: FakeController, clock: list[float]) -> None:
    """J8: over any number of connections each event is returned once, and a new run of the controller starts anew."""
    link.resume("0123abcd", 2)
    lines = [said(seq) for seq in (1, 2, 3, 4)]
    heard = list(link.beat())
    for sent in (lines, lines[:3], [*lines, said(5)], [said(1, run="4567cdef")]):
        with fake.accept() as peer:
            peer.sendall(b"".join(sent))
            heard += link.beat()
        heard += link.beat()  # it hung up: from here on the next one is looked for
        clock[0] += 1.0
        heard += link.beat()
    assert [(one.run, one.seq) for one in heard] == [
        ("0123abcd", 3),
        ("0123abcd", 4),
        ("0123abcd", 5),
        ("4567cdef", 1),
    ]


def test_only_what_was_written_is_said_to_be(link: ControllerLink, fake: FakeController, clock: list[float]) -> None:
    """J8: a beat names the newest event that was written down, first the one that an earlier reader wrote."""
    link.resume("0123abcd", 2)
    link.beat()
    with fake.accept() as peer:
        peer.sendall(said(3) + said(4))
        third, _ = link.beat()
        clock[0] += 1.0
        link.beat()
        link.written(third)
        clock[0] += 1.0
        link.beat()
        beats = peer.recv(4096).splitlines()
    assert [json.loads(beat)["seq"] for beat in beats] == [2, 2, 3]


def test_the_doors_state_is_the_last_that_was_said(link: ControllerLink, fake: FakeController) -> None:
    """The link knows the door by what was said of now, not by what is told of then, and forgets it with the line."""
    seen = [link.door]
    link.beat()
    now = DoorState(LockState.UNLOCKED, 9.5, "p2")
    with fake.accept() as peer:
        peer.sendall(encode(Now(state=as_state(now))) + said(1))
        link.beat()
        seen.append(link.door)
    link.beat()
    assert [*seen, link.door] == [None, now, None]


@pytest.mark.parametrize(
    "pulse", [Pulse(math.nan, "p1", 1.0), Pulse(0.0, "p1", 1.0), Pulse(5.0, "", 1.0), Pulse(5.0, "p\n1", 1.0)]
)
def test_a_pulse_that_cannot_be_said_is_not_sent(link: ControllerLink, fake: FakeController, pulse: Pulse) -> None:
    """A pulse without an honest time or name raises DoorError here and leaves the connection as it is."""
    link.beat()
    with pytest.raises(DoorError, match=r"^(for_s|presentation_id) is "):
        link.pulse(pulse)
    assert link.connected


def test_a_controller_that_does_not_read_cannot_block_beats(
    link: ControllerLink, fake: FakeController, clock: list[float]
) -> None:
    """When the controller reads nothing, beats go on without waiting until the connection is given up."""
    link.beat()
    with fake.accept():
        begun_s = time.monotonic()
        for _ in range(20_000):
            clock[0] += 0.3
            link.beat()
            if not link.connected:
                break
        assert not link.connected
        assert time.monotonic() - begun_s < 5
