"""What a broker can do to the appliance: nothing. Each with a real mosquitto that dies, stalls or lies."""

from __future__ import annotations

import ipaddress
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.broker import PrivateBroker, find_mosquitto, private_broker
from appliance.config import MqttSettings
from appliance.contract import Topic, topic
from appliance.drivers.mqtt import Incoming, MqttLink, Pace, check_broker
from appliance.drivers.mqtt_outbox import MAX_PAYLOAD_BYTES, MAX_WAITING, MAX_WAITING_BYTES, Message, Outbox
from appliance.errors import BrokerError
from tests.broker import QUICK, bystander, wait_for
from tests.line import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paho.mqtt.client import MQTTMessage

LOCK = topic("front", Topic.LOCK_STATE)
EVENT = topic("front", Topic.EVENT)
AT_MOST_S = 0.02  # for one publish, on two shared cores; microseconds are usual


def usual_publish_s(link: MqttLink, count: int) -> float:
    """Publish and return within which time, in seconds, nine of ten calls came back: a busy machine may hold up one."""
    spent_s = []
    for number in range(count):
        began_s = time.perf_counter()
        link.publish(Topic.EVENT, f"event {number}")
        spent_s.append(time.perf_counter() - began_s)
    return sorted(spent_s)[count * 9 // 10]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def heard_state(broker: PrivateBroker) -> bytes:
    """Return the lock state that the broker keeps, as a newcomer hears it."""
    with bystander(broker.settings, "ear", LOCK) as ear:
        return ear.next().payload


def test_a_broker_that_comes_late_hears_everything(tmp_path: Path) -> None:
    """D10: absent at start, the link waits for it; events of that time and the newest state arrive."""
    port = free_port()
    password = tmp_path / "broker.password"
    password.write_text("secret")
    settings = MqttSettings(port=port, host="127.0.0.1", username="ostiary", password_file=str(password))
    with MqttLink(settings, "front", queue.Queue(), QUICK) as link:
        link.publish(Topic.LOCK_STATE, "UNLOCKED", retained=True)
        link.publish(Topic.LOCK_STATE, "LOCKED", retained=True)
        assert usual_publish_s(link, 100) < AT_MOST_S
        with private_broker(tmp_path, "mosquitto", port) as broker:
            wait_for(lambda: link.connected)
            assert heard_state(broker) == b"LOCKED"
    assert link.dropped == 0


def test_a_broker_that_is_killed_and_comes_back_empty_is_told_anew(tmp_path: Path) -> None:
    """D10, D16: it forgot everything; the states are there again, and no event of the outage is lost."""
    with private_broker(tmp_path, "mosquitto") as first:
        link = MqttLink(first.settings, "front", queue.Queue(), QUICK)
        link.start()
        link.publish(Topic.LOCK_STATE, "LOCKED", retained=True)
        link.check(5)
        os.kill(first.process_id, signal.SIGKILL)
        wait_for(lambda: not link.connected)
        assert usual_publish_s(link, 200) < AT_MOST_S
    began_s = time.monotonic()
    with private_broker(tmp_path, "mosquitto", first.port) as second:
        with bystander(second.settings, "ear", EVENT) as ear:
            # Whoever listens before the link is back hears all of the outage, in order.
            heard = [ear.next() for _ in range(200)] if not link.connected else []
        wait_for(lambda: link.connected)
        assert time.monotonic() - began_s < 5
        assert heard_state(second) == b"LOCKED"
        assert [one.payload for one in heard] in ([], [b"event %d" % number for number in range(200)])
        link.close()
    assert link.connects == 2


def test_a_stalled_broker_is_left_and_found_again(tmp_path: Path) -> None:
    """D10: stopped in its tracks, the line half open; publishing stays quick, the loss is seen, the link recovers."""
    inbox: queue.Queue[Incoming] = queue.Queue()
    with private_broker(tmp_path, "mosquitto") as broker, MqttLink(broker.settings, "front", inbox, QUICK) as link:
        link.check(5)
        os.kill(broker.process_id, signal.SIGSTOP)
        try:
            assert usual_publish_s(link, 3000) < AT_MOST_S
            link.publish(Topic.LOCK_STATE, "JAMMED", retained=True)
            wait_for(lambda: not link.connected)
            assert usual_publish_s(link, 100) < AT_MOST_S
        finally:
            os.kill(broker.process_id, signal.SIGCONT)
        wait_for(lambda: link.connected)
        assert heard_state(broker) == b"JAMMED"
        assert link.dropped > 0


def test_closing_does_not_wait_for_a_stalled_broker(tmp_path: Path) -> None:
    """D10: the appliance ends in time whatever the broker does."""
    with private_broker(tmp_path, "mosquitto") as broker:
        link = MqttLink(broker.settings, "front", queue.Queue(), QUICK)
        link.start()
        link.check(5)
        os.kill(broker.process_id, signal.SIGSTOP)
        began_s = time.monotonic()
        link.close()
        assert time.monotonic() - began_s < 3
        os.kill(broker.process_id, signal.SIGCONT)


def test_a_greeting_that_drips_is_not_waited_for() -> None:
    """D10: a slow-loris CONNACK is left after its deadline and tried again."""
    server = socket.create_server(("127.0.0.1", 0))
    callers: list[socket.socket] = []

    def drip() -> None:
        while True:
            try:
                callers.append(server.accept()[0])
            except OSError:
                return
            callers[-1].sendall(b"\x20")

    thread = threading.Thread(target=drip, name="slow loris")
    thread.start()
    settings = MqttSettings(host="127.0.0.1", port=server.getsockname()[1])
    with MqttLink(settings, "front", queue.Queue(), QUICK) as link:
        wait_for(lambda: len(callers) >= 2)
        assert usual_publish_s(link, 100) < AT_MOST_S
        with pytest.raises(BrokerError, match=r"does not (greet|answer)"):
            link.check(0.1)
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for caller in callers:
        caller.close()


def test_the_outbox_drops_the_oldest_event_and_never_a_state() -> None:
    """D11: bounded in number and size; what was given back goes first; an emptied topic is not told again."""
    outbox = Outbox()
    outbox.put(Message("lock", b"LOCKED", retained=True))
    outbox.put(Message("cmd", b"", retained=True))
    outbox.put(Message("event", b"x" * (MAX_PAYLOAD_BYTES + 1)))
    for number in range(MAX_WAITING):
        outbox.put(Message("event", b"%d" % number))
    assert outbox.dropped == 2
    outbox.put(Message("lock", b"UNLOCKED", retained=True))
    assert outbox.take() == Message("lock", b"UNLOCKED", retained=True)
    first, second = outbox.take(), outbox.take()
    assert first == Message("event", b"0")
    assert second == Message("event", b"1")
    outbox.give_back([first, second])
    assert outbox.take() == first
    outbox.state_again()
    assert outbox.take() == Message("lock", b"UNLOCKED", retained=True)


def test_the_outbox_sends_nothing_late_and_holds_so_many_bytes() -> None:
    """D10, D11, D13: what serves nobody any more is counted and not sent, and what waits has a bound in bytes too."""
    now_s = 100.0
    outbox = Outbox(lambda: now_s)
    outbox.put(Message("event", b"live", until_s=110.0))
    outbox.put(Message("lock", b"LOCKED", retained=True))
    outbox.put(Message("reply", b"later", until_s=160.0))
    now_s = 110.0
    assert [outbox.take(), outbox.take(), outbox.take()] == [
        Message("lock", b"LOCKED", retained=True),
        Message("reply", b"later", until_s=160.0),
        None,
    ]
    assert (outbox.expired, outbox.dropped) == (1, 0)
    picture = b"x" * MAX_PAYLOAD_BYTES
    most = MAX_WAITING_BYTES // MAX_PAYLOAD_BYTES
    for number in range(most + 3):
        outbox.put(Message("image", picture, until_s=200.0 + number))
    first = outbox.take()
    assert first is not None
    assert (first.until_s, outbox.dropped) == (203.0, 3)
    now_s = 300.0
    outbox.give_back([first])
    assert outbox.take() is None
    assert outbox.expired == 1 + most
    assert not outbox


def test_broker_delivers_nothing_late(broker: PrivateBroker) -> None:
    """D10: with MQTT 5 a client that comes back to its session hears what still serves it, and nothing else."""
    heard: queue.Queue[bytes] = queue.Queue()
    topic_name = topic("front", Topic.REPLY, "sleeper")
    with sleeper(broker.settings, topic_name, heard):
        pass
    with MqttLink(broker.settings, "front", queue.Queue(), QUICK) as link:
        link.check(5)
        link.publish(Topic.REPLY, "late", leaf="sleeper", within_s=0.5)
        link.publish(Topic.REPLY, "in time", leaf="sleeper", within_s=60)
        time.sleep(2.1)  # the broker counts in whole seconds
    with sleeper(broker.settings, topic_name, heard):
        assert heard.get(timeout=5) == b"in time"
    assert heard.empty()


@contextmanager
def sleeper(settings: MqttSettings, topic_name: str, heard: queue.Queue[bytes]) -> Iterator[None]:
    """Hear a topic in a session that the broker keeps for five minutes, while the block runs."""
    client = Client(CallbackAPIVersion.VERSION2, "sleeper", protocol=MQTTv5)
    client.username_pw_set(settings.username, Path(settings.password_file).read_text())
    subscribed = threading.Event()

    @client.connect_callback()
    def _subscribe(*_: object) -> None:
        client.subscribe(topic_name, 1)

    @client.subscribe_callback()
    def _note(*_: object) -> None:
        subscribed.set()

    @client.message_callback()
    def _hear(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        heard.put(bytes(message.payload))

    terms = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    terms.SessionExpiryInterval = 300
    client.connect(settings.host, settings.port, clean_start=False, properties=terms)
    client.loop_start()
    try:
        assert subscribed.wait(5)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def test_message_too_large_for_the_broker_is_not_sent(tmp_path: Path) -> None:
    """D10, D11: one that the broker would hang up on is dropped and counted; the connection and the next one live."""
    port, program = free_port(), find_mosquitto()
    assert program
    conf = f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 2000\nuser root\n"
    (tmp_path / "conf").write_text(conf)
    settings = MqttSettings(host="127.0.0.1", port=port)
    with subprocess.Popen([program, "-c", str(tmp_path / "conf")], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: not _refused(port))
        with bystander(settings, "ear", EVENT) as ear, MqttLink(settings, "front", queue.Queue(), QUICK) as link:
            link.check(5)
            for payload in (b"x" * 2000, b"x" * 1900, b"small"):
                link.publish(Topic.EVENT, payload)
            assert [len(ear.next().payload) for _ in range(2)] == [1900, 5]
            assert (link.dropped, link.connects) == (1, 1)
        process.terminate()


def test_hundred_reconnections_a_minute_cost_no_event(broker: PrivateBroker) -> None:
    """D10: a line that breaks again and again: every event of that time arrives, in order, and no call waits."""
    pace = Pace(first_s=0.02, most_s=0.05, keepalive_s=1, connect_s=1.0)
    seen: list[bytes] = []
    with bystander(broker.settings, "ear", EVENT) as ear, Line(broker.host, broker.port) as line:
        settings = broker.settings.model_copy(update={"port": line.port})
        link = MqttLink(settings, "front", queue.Queue(), pace)
        link.start()
        for number in range(12):
            wait_for(lambda number=number: link.connects > number)  # type: ignore[misc]
            link.publish(Topic.EVENT, f"event {number}")
            line.hang_up()
        while len(set(seen)) < 12:
            seen.append(ear.next().payload)
        link.close()
    assert list(dict.fromkeys(seen)) == [b"event %d" % number for number in range(12)]


# A certificate authority, and what can be wrong with a certificate of it.


def certified(folder: Path, name: str, address: str, days: int, issuer: str = "") -> None:
    """Write `name`.pem and `name`.key: a certificate for an address that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca_key, ca_name = key, subject
    if issuer:
        loaded = serialization.load_pem_private_key((folder / f"{issuer}.key").read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        ca_key, ca_name = loaded, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(ca_name, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@contextmanager
def tls_broker(folder: Path, name: str, *extra: str) -> Iterator[int]:
    """Run mosquitto with TLS under the certificate `name` and yield its port; bound to this machine."""
    port, program = free_port(), find_mosquitto()
    assert program
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", f"certfile {folder / name}.pem"]
    lines += [f"keyfile {folder / name}.key", "user root", *extra]
    (folder / f"{name}.conf").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([program, "-c", str(folder / f"{name}.conf")], stdout=log, stderr=log)
    try:
        wait_for(lambda: not _refused(port))
        yield port
    finally:
        process.terminate()
        process.wait(5)


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two authorities and certificates of the first: good, expired, and another machine's."""
    folder = tmp_path_factory.mktemp("tls")
    certified(folder, "ca", "127.0.0.1", 10)
    certified(folder, "stranger", "127.0.0.1", 10)
    certified(folder, "good", "127.0.0.1", 10, "ca")
    certified(folder, "expired", "127.0.0.1", -1, "ca")
    certified(folder, "elsewhere", "192.0.2.1", 10, "ca")
    return folder


def test_tls_carries_messages(authority: Path) -> None:
    """With the right authority everything works as without TLS, large messages too."""
    with tls_broker(authority, "good") as port:
        settings = MqttSettings(host="127.0.0.1", port=port, tls=True, ca_file=str(authority / "ca.pem"))
        with bystander(settings, "ear", "ostiary/#") as ear, MqttLink(settings, "front", queue.Queue(), QUICK) as link:
            link.check(5)
            image = os.urandom(100_000)
            for _ in range(5):
                link.publish(Topic.APPROVAL_IMAGE, image)
            link.publish(Topic.EVENT, "after")
            heard = [ear.next().payload for _ in range(7)]
            assert heard == [b"online", *[image] * 5, b"after"]


@pytest.mark.parametrize(
    ("name", "ca", "said"),
    [
        ("good", "stranger", "unable to get local issuer|self.signed"),
        ("stranger", "ca", "self.signed"),
        ("expired", "ca", "expired"),
        ("elsewhere", "ca", "IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(authority: Path, name: str, ca: str, said: str) -> None:
    """D1: wrong authority, self-signed, expired or another machine's: refused, named, never plaintext instead."""
    with tls_broker(authority, name) as port:
        settings = MqttSettings(host="127.0.0.1", port=port, tls=True, ca_file=str(authority / f"{ca}.pem"))
        with pytest.raises(BrokerError, match=said):
            check_broker(settings, 2)


def test_tls_and_plaintext_never_meet(authority: Path, broker: PrivateBroker) -> None:
    """D1: TLS at a plaintext port is refused, not lowered; so is plaintext at a TLS port."""
    settings = broker.settings.model_copy(update={"tls": True, "ca_file": str(authority / "ca.pem")})
    with pytest.raises(BrokerError):
        check_broker(settings, 0.5)
    with tls_broker(authority, "good") as port, pytest.raises(BrokerError):
        check_broker(MqttSettings(host="127.0.0.1", port=port), 0.5)
