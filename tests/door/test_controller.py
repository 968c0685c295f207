"""Real processes, real sockets, a simulated line: whatever becomes of the reader, the door locks in time."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contract import EventType
from appliance.door.lock import REST_S, SILENCE_S
from appliance.door.protocol import MAX_LINE_BYTES
from appliance.errors import DoorError
from appliance.records import Pulse
from tests.door.running import RunningController, end, pulse_line, reply_on, written

if TYPE_CHECKING:
    import socket

# What the shell may add to any limit: G4 allows 100 ms on top of it.
SLACK_S = 0.1

BEAT = b'{"v":2,"kind":"beat"}\n'
NONSENSE = (
    b"hello\n",
    b'{"v":2,"kind":"beat","kind":"beat"}\n',
    b'{"v":2,"kind":"pulse","request_id":"x","presentation_id":"p1","for_s":NaN,"deadline_s":1e9}\n',
    b'{"v":2,"kind":"pulse","request_id":"x","presentation_id":"p1","for_s":"5","deadline_s":1e9}\n',
    b'{"v":2,"kind":"pulse","request_id":"x","presentation_id":"p1","for_s":true,"deadline_s":1e9}\n',
    b'{"v":2,"kind":"pulse","request_id":"x","presentation_id":"p1","deadline_s":1e9}\n',
    b"\x00" * (MAX_LINE_BYTES + 1),
    b"[" * 900 + b"\n",
    b"\xff\xfe\n",
)


def rest() -> None:
    """Let the lock rest, so that the next pulse is not refused for coming too soon."""
    time.sleep(REST_S + 0.02)


def unlocked_by(controller: RunningController, for_s: float = 5.0) -> socket.socket:
    """Return a bare reader that has just unlocked the door."""
    rest()
    peer = controller.raw()
    peer.sendall(pulse_line(for_s=for_s))
    peer.recv(4096)
    assert controller.observer.level() == 1
    return peer


def last_lock(controller: RunningController) -> float:
    """Wait until the line is low and return when it was driven so."""
    low_s = controller.low_at_s(within_s=5)
    while controller.levels()[-1] != 0:  # the line moves first, its history is written next
        assert time.monotonic() < low_s + SLACK_S
    return controller.observer.history()[-1][0]


@pytest.mark.parametrize("trial", range(17))
def test_a_reader_that_dies_or_raves_loses_the_lock_at_once(controller: RunningController, trial: int) -> None:
    """A reader that is killed, hangs up or sends garbage at any moment of a pulse leaves the line low within 100 ms."""
    moment_s = random.Random(trial).uniform(0.0, 0.25)  # noqa: S311 - a moment, not a secret
    if trial % 3 == 0:
        rest()
        reader = controller.reader(for_s=5.0)
        time.sleep(moment_s)
        fault_s = time.monotonic()
        end(reader)
    else:
        peer = unlocked_by(controller)
        time.sleep(moment_s)
        fault_s = time.monotonic()
        with peer:
            if trial % 3 == 1:
                peer.sendall(NONSENSE[trial % len(NONSENSE)])
                assert last_lock(controller) - fault_s < SLACK_S
    assert last_lock(controller) - fault_s < SLACK_S


@pytest.mark.parametrize("trial", range(6))
def test_a_reader_that_hangs_loses_the_lock_after_a_second(controller: RunningController, trial: int) -> None:
    """A reader that is stopped or says nothing more, at any moment, leaves the line low 1.0 s later, within 100 ms."""
    moment_s = random.Random(trial).uniform(0.0, 0.2)  # noqa: S311 - a moment, not a secret
    if trial % 2 == 0:
        rest()
        reader = controller.reader(for_s=20.0)
        time.sleep(moment_s)
        reader.send_signal(signal.SIGSTOP)
        fault_s = time.monotonic()
        locked_s = last_lock(controller)
        end(reader)
    else:
        with unlocked_by(controller, for_s=20.0) as peer:
            time.sleep(moment_s)
            peer.sendall(BEAT)
            fault_s = time.monotonic()
            locked_s = last_lock(controller)
            heard = b"".join(iter(lambda: peer.recv(4096), b""))  # to the end: a silent reader is hung up on
            assert b'"cause":"reader_silent"' in heard
    assert SILENCE_S - SLACK_S < locked_s - fault_s < SILENCE_S + SLACK_S


def test_a_reader_that_beats_keeps_the_lock_for_its_time(controller: RunningController) -> None:
    """A healthy reader's pulse lasts as long as asked, longer than a silent one's could, and ends by itself."""
    rest()
    link = controller.link()
    pulsed_s = time.monotonic()
    link.pulse(Pulse(1.4, "p7", pulsed_s + 1))
    told: list[tuple[EventType, str, str]] = []
    while controller.observer.level():
        told += written(link)
        time.sleep(0.02)
    locked_s = last_lock(controller)
    time.sleep(0.05)
    told += written(link)
    link.close()
    assert 1.4 <= locked_s - pulsed_s < 1.4 + SLACK_S
    assert [one for one in told if one[2] == "p7"] == [
        (EventType.DOOR_UNLOCKED, "pulse", "p7"),
        (EventType.DOOR_LOCKED, "timeout", "p7"),
    ]


def test_storm_is_one_pulse(controller: RunningController) -> None:
    """G5: 1,000 pulses as fast as they can be said move the relay once up and once down."""
    before = len(controller.levels())
    peer = unlocked_by(controller, for_s=0.5)
    with peer:
        for _ in range(1000):
            peer.sendall(pulse_line(for_s=0.5))
            peer.recv(4096)
        last_s = time.monotonic()
        locked_s = last_lock(controller)
    assert controller.levels()[before:] == [1, 0]
    assert locked_s - last_s < 0.5 + SLACK_S


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=3000))
def test_noise_never_unlocks(controller: RunningController, noise: bytes) -> None:
    """No bytes that are not a pulse move the line, and the controller serves the next reader all the same."""
    before = controller.levels()
    with controller.raw() as peer, contextlib.suppress(OSError):  # dropped while still talking
        peer.sendall(noise + b"\n")
    assert controller.levels() == before
    link = controller.link()
    link.close()


def test_a_stale_pulse_is_refused(controller: RunningController) -> None:
    """A pulse that arrives after its deadline is refused as stale and moves nothing."""
    before = controller.levels()
    link = controller.link()
    with pytest.raises(DoorError, match=r"stale$"):
        link.pulse(Pulse(5.0, "p1", time.monotonic() - 0.01))
    link.close()
    assert controller.levels() == before


def test_a_repeated_request_unlocks_once(controller: RunningController) -> None:
    """The same line sent again after the door has locked is answered and moves nothing."""
    line = pulse_line(for_s=0.5)
    before = len(controller.levels())
    rest()
    with controller.raw() as peer:
        peer.sendall(line)
        reply_on(peer)
        last_lock_seen = last_lock(controller)
        rest()
        peer.sendall(line)
        reply = reply_on(peer)
    assert reply["accepted"] is True
    assert reply["state"]["lock"] == "LOCKED"
    assert controller.levels()[before:] == [1, 0]
    assert controller.observer.history()[-1][0] == last_lock_seen


def test_one_reader_at_a_time(controller: RunningController) -> None:
    """While a reader lives, another may ask for the state and lock the door, but not unlock it; after it, it may."""
    rest()
    first, second = controller.link(), controller.link()
    first.beat()
    first.state()  # answered, so the beat has been heard
    with pytest.raises(DoorError, match=r"other_reader$"):
        second.pulse(Pulse(5.0, "p2", time.monotonic() + 1))
    assert second.state().lock == "LOCKED"
    first.pulse(Pulse(5.0, "p1", time.monotonic() + 1))
    assert second.lock().lock == "LOCKED"
    assert controller.observer.level() == 0
    first.close()
    rest()
    assert second.pulse(Pulse(0.5, "p2", time.monotonic() + 1)).by == "p2"
    second.close()


def test_a_hung_reader_gives_up_its_place(controller: RunningController) -> None:
    """A reader silent for 1.0 s does not keep its successor out, though its connection is still open."""
    rest()
    hung, fresh = controller.link(), controller.link()
    hung.beat()
    hung.state()
    time.sleep(SILENCE_S + 0.05)
    assert fresh.pulse(Pulse(0.5, "p2", time.monotonic() + 1)).lock == "UNLOCKED"
    fresh.close()
    hung.close()


def test_too_many_peers_are_turned_away(controller: RunningController) -> None:
    """However many connect, the reader that is there keeps its connection, and the rest are hung up on."""
    first = controller.link()
    crowd = [controller.raw() for _ in range(20)]
    assert first.state().lock == "LOCKED"
    assert sum(_hung_up(peer) for peer in crowd) >= 12
    for peer in crowd:
        peer.close()
    first.close()


def _hung_up(peer: socket.socket) -> bool:
    peer.settimeout(0.02)
    try:
        return peer.recv(1) == b""
    except TimeoutError:
        return False


def test_a_peer_that_does_not_read_is_dropped(controller: RunningController) -> None:
    """A reader that asks without end and reads no answer is dropped; it cannot make the controller wait."""
    with controller.raw() as peer:
        peer.settimeout(5)
        with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
            peer.sendall(b'{"v":2,"kind":"state","request_id":"r"}\n' * 100_000)
    link = controller.link()
    link.close()
