"""The appliance's place at the broker, against a real mosquitto."""

from __future__ import annotations

import os
import queue
import random
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.config import MqttSettings
from appliance.contract import MAX_COMMAND_BYTES, Topic, topic
from appliance.drivers.mqtt import Incoming, MqttLink, Pace, check_broker
from appliance.errors import BrokerError, ConfigError
from tests.broker import QUICK, bystander, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker

APPROVE = topic("front", Topic.CMD, "approve")
AVAILABILITY = topic("front", Topic.AVAILABILITY)
EVENT = topic("front", Topic.EVENT)
EVERYTHING = "ostiary/front/#"


@pytest.fixture
def inbox() -> queue.Queue[Incoming]:
    """Give an inbox of three places."""
    return queue.Queue(maxsize=3)


@pytest.fixture
def link(broker: PrivateBroker, inbox: queue.Queue[Incoming]) -> Iterator[MqttLink]:
    """Give a connected link of the device `front`."""
    with MqttLink(broker.settings, "front", inbox, QUICK) as link:
        link.check(5)
        yield link


def test_what_is_published_is_heard(link: MqttLink, broker: PrivateBroker) -> None:
    """Events go out once, unretained and in order; a state is retained for whoever comes later."""
    with bystander(broker.settings, "ear", EVERYTHING) as ear:
        for number in range(50):
            link.publish(Topic.EVENT, f"event {number}")
        link.publish(Topic.LOCK_STATE, "LOCKED", retained=True)
        link.publish(Topic.REPLY, b"{}", leaf="guard")
        heard = [ear.next()]
        while heard[-1].topic != topic("front", Topic.REPLY, "guard"):  # how it was before may be heard first
            heard.append(ear.next())
    assert [one.payload for one in heard if one.topic == EVENT] == [b"event %d" % number for number in range(50)]
    assert {one.topic for one in heard} == {
        EVENT,
        AVAILABILITY,
        topic("front", Topic.LOCK_STATE),
        topic("front", Topic.REPLY, "guard"),
    }
    with bystander(broker.settings, "late", EVERYTHING) as late:
        kept = [late.next() for _ in range(2)]
    assert {(one.payload, one.retained) for one in kept} == {(b"online", True), (b"LOCKED", True)}


def test_availability_tells_a_stop_from_a_loss(broker: PrivateBroker) -> None:
    """D16: online, then `stopped` on a clean end; what the broker keeps is the last of them."""
    with bystander(broker.settings, "ear", AVAILABILITY) as ear:
        with MqttLink(broker.settings, "front", queue.Queue(), QUICK) as link:
            link.check(5)
            ear.until(AVAILABILITY, b"online")
        ear.until(AVAILABILITY, b"stopped", 3)
        with pytest.raises(queue.Empty):
            ear.until(AVAILABILITY, b"offline", 0.3)


def test_a_command_arrives_unread(link: MqttLink, broker: PrivateBroker, inbox: queue.Queue[Incoming]) -> None:
    """Any bytes under a verb's topic reach the loop as they are; the link judges nothing but their size."""
    with bystander(broker.settings, "mouth") as mouth:
        mouth.say(APPROVE, b"\xff not json")
        mouth.say(topic("front", Topic.CMD, "person.add"), b"{}")
        assert inbox.get(timeout=5) == Incoming(APPROVE, b"\xff not json", retained=False)
        assert inbox.get(timeout=5) == Incoming("ostiary/front/cmd/person.add", b"{}", retained=False)


def test_a_retained_command_is_told_and_cleared(broker: PrivateBroker, inbox: queue.Queue[Incoming]) -> None:
    """D3: one that waits at the broker arrives marked as retained, once, and is gone for the next start."""
    with bystander(broker.settings, "mouth") as mouth:
        mouth.say(APPROVE, b"old", retained=True)
        wait_for(lambda: not mouth.connection._outbox and not mouth.connection._waiting)  # the broker has it
    with MqttLink(broker.settings, "front", inbox, QUICK):
        assert inbox.get(timeout=5) == Incoming(APPROVE, b"old", retained=True)
    with MqttLink(broker.settings, "front", inbox, QUICK) as link, bystander(broker.settings, "ear", APPROVE) as ear:
        link.check(5)
        with pytest.raises(queue.Empty):
            inbox.get(timeout=0.3)
        assert ear.heard.empty()


def test_a_flood_is_dropped_and_counted(link: MqttLink, broker: PrivateBroker, inbox: queue.Queue[Incoming]) -> None:
    """D13: the inbox holds what it holds; the rest is counted, and nothing waits for anything."""
    with bystander(broker.settings, "mouth") as mouth:
        for number in range(500):
            mouth.say(APPROVE, b"%d" % number)
        wait_for(lambda: link.dropped_commands == 497)
    assert [inbox.get_nowait().payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_overlong_and_misplaced_commands_are_refused(
    link: MqttLink, broker: PrivateBroker, inbox: queue.Queue[Incoming]
) -> None:
    """D6, D7: over 64 KiB is not kept, far over it never comes; a topic that no verb can have is left alone."""
    with bystander(broker.settings, "mouth") as mouth:
        mouth.say(APPROVE, b"x" * (MAX_COMMAND_BYTES + 1))
        mouth.say("ostiary/front/cmd/$(reboot)", b"x")
        mouth.say("ostiary/front/cmd/..", b"x")
        mouth.say(APPROVE, b"x" * (1024 * 1024))
        mouth.say(APPROVE, b"x" * MAX_COMMAND_BYTES)
        assert len(inbox.get(timeout=5).payload) == MAX_COMMAND_BYTES
    assert inbox.empty()
    assert link.refused_commands == 3
    assert link.connected


def test_an_id_that_could_name_other_topics_is_refused(broker: PrivateBroker) -> None:
    """D7: device ids and leaves are checked before a topic is built from them."""
    for device_id in ("+", "#", "a/b", "$SYS", "a\0", "", "../x"):
        with pytest.raises(ValueError, match="topic level"):
            MqttLink(broker.settings, device_id, queue.Queue())


def test_two_clients_with_one_id_back_off(broker: PrivateBroker) -> None:
    """D9: they take the place from each other ever more slowly, it is seen in `connects`, and neither gives up."""
    with MqttLink(broker.settings, "twin", queue.Queue(), QUICK) as one:
        one.check(5)
        with MqttLink(broker.settings, "twin", queue.Queue(), QUICK) as other:
            wait_for(lambda: one.connects + other.connects >= 5)
            before, began_s = one.connects + other.connects, time.monotonic()
            time.sleep(1.5)
            rate = (one.connects + other.connects - before) / (time.monotonic() - began_s)
            assert 0 < rate < 12  # each waits at least 0.2 s by now
        wait_for(lambda: one.connected)


def test_the_wrong_password_is_one_clear_line(broker: PrivateBroker, tmp_path: Path) -> None:
    """D1: refused, named, and at once; the right one passes, and a running link is not disturbed by the check."""
    (tmp_path / "password").write_text("wrong\n")
    with pytest.raises(BrokerError, match=rf"broker 127.0.0.1:{broker.port} refuses us: Not authorized"):
        check_broker(broker.settings.model_copy(update={"password_file": str(tmp_path / "password")}), 5)
    check_broker(broker.settings, 5)


def test_a_missing_broker_is_one_clear_line() -> None:
    """Nobody there, no such name: BrokerError from check alone, and only after its time."""
    for host, port, said in (("127.0.0.1", 1, "Connection refused"), ("a..b", 1883, "broker a..b:1883 ")):
        with pytest.raises(BrokerError, match=said):
            check_broker(MqttSettings(host=host, port=port), 1)


def test_settings_that_cannot_work_stop_the_start(tmp_path: Path) -> None:
    """An unreadable password, a CA that is none, or a CA without TLS is never passed over in silence."""
    (tmp_path / "ca.pem").write_text("no certificate")
    for settings, said in (
        (MqttSettings(password_file=str(tmp_path / "none")), "password_file"),
        (MqttSettings(tls=True, ca_file=str(tmp_path / "none")), "ca_file"),
        (MqttSettings(tls=True, ca_file=str(tmp_path / "ca.pem")), "ca_file"),
        (MqttSettings(tls=False, ca_file=str(tmp_path / "ca.pem")), r"mqtt\.tls is false"),
    ):
        with pytest.raises(ConfigError, match=said):
            MqttLink(settings, "front", queue.Queue())


def test_publishing_never_waits(broker: PrivateBroker) -> None:
    """D10, D11: with nobody at the broker's port a publish takes microseconds, and the queue stays bounded."""
    link = MqttLink(broker.settings.model_copy(update={"port": 1}), "front", queue.Queue(), QUICK)
    with link:
        assert _publish(link, 3000) < 0.02
        assert link.dropped == 2000
        assert not link.connected


def _publish(link: MqttLink, count: int) -> float:
    """Publish and return within which time, in seconds, nine of ten calls came back: a busy machine may hold up one."""
    spent_s = []
    for number in range(count):
        began_s = time.perf_counter()
        link.publish(Topic.EVENT, f"event {number}")
        spent_s.append(time.perf_counter() - began_s)
    return sorted(spent_s)[count * 9 // 10]


def test_garbage_from_a_broker_ends_the_connection_only() -> None:
    """D10: whatever bytes a port answers with, no thread dies and every call still returns at once."""
    chance = random.Random(7)  # noqa: S311 - a repeatable test, no secret
    server = socket.create_server(("127.0.0.1", 0))
    answered = []

    def babble() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller:
                greeting = b"\x20\x03\x00\x00\x00" if chance.random() < 0.7 else b""
                answered.append(caller.recv(1000))
                caller.sendall(greeting + chance.randbytes(chance.randrange(60)))

    thread = threading.Thread(target=babble, name="babbler")
    thread.start()
    settings = MqttSettings(host="127.0.0.1", port=server.getsockname()[1])
    pace = Pace(first_s=0.001, most_s=0.001, keepalive_s=1, connect_s=0.2)
    with MqttLink(settings, "front", queue.Queue(), pace) as link:
        wait_for(lambda: len(answered) > 150, 20)
        assert _publish(link, 100) < 0.02
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def test_a_message_does_not_wait_for_the_one_before(broker: PrivateBroker, link: MqttLink) -> None:
    """An alert follows its picture at once: with Nagle's wait for the acknowledgement it came 40 ms later."""
    assert link.connected
    undelayed: list[int] = []
    for entry in Path("/proc/self/fd").iterdir():
        if not entry.is_socket():
            continue
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as held:
            if held.getpeername()[1:2] == (broker.port,):
                undelayed.append(held.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert undelayed
    assert all(undelayed)
