"""How far a broker is trusted: brokers configured well and badly, and somebody who uses our place there."""

from __future__ import annotations

import getpass
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from appliance.attendant import Approved
from appliance.broker import private_broker
from appliance.broker_setup import password_line
from appliance.broker_trust import WORDS, BrokerWatch, Trust, checked, judge, on_this_machine
from appliance.clients import Registry
from appliance.config import MqttSettings
from appliance.contract import Role, Topic, topic
from appliance.drivers.mqtt import Incoming, MqttLink, Pace
from appliance.errors import BrokerError, RefusedError
from appliance.signing import new_key, read_key
from ostiary_client import Client
from tests.broker import QUICK, bystander, wait_for
from tests.doorway import doorway
from tests.secured import free_port, mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.broker import PrivateBroker

KNOWN = ("allow_anonymous false", "password_file {0}/users")
HASTY = Pace(first_s=0.05, most_s=0.1, keepalive_s=1, connect_s=1.0)
OWN = "user front\ntopic write ostiary/front/#\ntopic read ostiary/front/cmd/#\n"


@contextmanager
def configured(folder: Path, *lines: str, rights: str = "", port: int = 0) -> Iterator[MqttSettings]:
    """Run mosquitto with these lines, `{0}` being the folder, and give what the user `front` says in `[mqtt]`."""
    port = port or free_port()
    (folder / "users").write_text(password_line("front", "secret"))
    (folder / "password").write_text("secret")
    (folder / "rights").write_text(rights)
    conf = folder / "mosquitto.conf"
    own = [f"listener {port} 127.0.0.1", f"user {getpass.getuser()}"]
    conf.write_text("\n".join([*own, *(line.format(folder) for line in lines)]) + "\n")
    with mosquitto(conf, port):
        yield MqttSettings(
            enabled=True, host="127.0.0.1", port=port, username="front", password_file=str(folder / "password")
        )


@pytest.fixture(scope="module")
def amqtt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttSettings]:
    """Give a broker that is not mosquitto, and speaks MQTT 3.1.1 alone."""
    with private_broker(tmp_path_factory.mktemp("amqtt"), "amqtt") as running:
        yield running.settings


@pytest.mark.parametrize(
    ("lines", "rights", "found"),
    [
        (("allow_anonymous true",), "", Trust.OPEN_TO_ANYBODY),
        (("allow_anonymous true", KNOWN[1], "acl_file {0}/rights"), OWN, Trust.OPEN_TO_ANYBODY),
        (KNOWN, "", Trust.NO_ACCESS_CONTROL),
        ((*KNOWN, "acl_file {0}/rights"), "user front\ntopic readwrite ostiary/#\n", Trust.NO_ACCESS_CONTROL),
        ((*KNOWN, "acl_file {0}/rights"), OWN, Trust.GOOD),
    ],
)
def test_mosquitto_is_judged_by_what_it_does(tmp_path: Path, lines: tuple[str, ...], rights: str, found: Trust) -> None:
    """D2: guests, no access list, or one that gives each door every other's topics: told from a good one."""
    with configured(tmp_path, *lines, rights=rights) as settings:
        for version in ("5", "3.1.1"):
            assert judge(settings.model_copy(update={"version": version})) is found


def test_what_is_taken_though_nobody_hears_it_is_no_access_control_either(tmp_path: Path) -> None:
    """D2: a broker that lets us say what we may not hear lets others give orders in the name of Home Assistant."""
    with configured(tmp_path, *KNOWN, "acl_file {0}/rights", rights="user front\ntopic write #\n") as settings:
        assert judge(settings) is Trust.NO_ACCESS_CONTROL


def test_another_broker_is_judged_the_same(amqtt: MqttSettings) -> None:
    """D2: the check asks what a broker does, not what it is: amqtt with a password and no access list."""
    assert judge(amqtt) is Trust.NO_ACCESS_CONTROL


def test_a_good_broker_elsewhere_without_tls_is_told(tmp_path: Path) -> None:
    """D1, D2: passwords that pass in the clear to another machine are not good; to this one they are."""
    with configured(tmp_path, *KNOWN, "acl_file {0}/rights", rights=OWN) as settings:
        assert checked(settings).endswith(WORDS[Trust.GOOD])
        # No loopback address, though Linux leads it here: it stands for another machine.
        with pytest.raises(RefusedError, match="without TLS"):
            checked(settings.model_copy(update={"host": "0.0.0.0"}))  # noqa: S104 - connected to, not listened on


def test_a_broker_that_cannot_be_asked_is_not_judged(tmp_path: Path) -> None:
    """D2: silence, nobody there, or one that refuses ourselves is a fault and never an opinion."""
    with configured(tmp_path, *KNOWN, "acl_file {0}/rights", rights=OWN) as settings:
        (tmp_path / "password").write_text("wrong")
        with pytest.raises(BrokerError, match="refuses us"):
            judge(settings)
    with pytest.raises(BrokerError, match="Connection refused"):
        judge(settings)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BrokerError, match="does not answer"):
        judge(settings.model_copy(update={"port": silent.getsockname()[1]}), 0.2)


def test_this_machine_is_known_by_its_loopback_addresses_alone() -> None:
    """A name that leads anywhere else, or nowhere, is another machine."""
    assert on_this_machine("localhost")
    assert on_this_machine("127.0.0.9")
    assert on_this_machine("::1")
    assert not on_this_machine("192.0.2.1")
    assert not on_this_machine("0.0.0.0")  # noqa: S104 - asked about, not listened on
    assert not on_this_machine("nowhere.invalid")


def test_trust_follows_the_broker_that_we_are_connected_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """D2: none while there is no connection, none carried over to the next; what is wrong is told once, in one line."""
    caplog.set_level(logging.INFO)
    good = (*KNOWN, "acl_file {0}/rights")
    with configured(tmp_path, *good, rights=OWN) as settings, ExitStack() as leaving:
        link = leaving.enter_context(MqttLink(settings, "front", queue.Queue(), QUICK))
        watch = BrokerWatch(settings, link, apart_s=0.0)
        watch.start()
        leaving.callback(watch.close)
        assert watch.trust is Trust.UNCHECKED
        wait_for(lambda: watch.trust is Trust.GOOD)
        assert watch.news() == ()
        still = leaving.pop_all()
    with still:
        wait_for(lambda: not link.connected)
        assert watch.trust is Trust.UNCHECKED
        with configured(tmp_path, "allow_anonymous true", port=settings.port):
            wait_for(lambda: watch.trust is Trust.OPEN_TO_ANYBODY)
            (line,) = watch.news()
            assert line == f"broker 127.0.0.1:{settings.port} {WORDS[Trust.OPEN_TO_ANYBODY]}"
            assert watch.news() == ()
    assert caplog.text.count(WORDS[Trust.OPEN_TO_ANYBODY]) == caplog.text.count(WORDS[Trust.GOOD]) == 1


def test_a_broker_with_one_place_for_each_user_is_not_left_for_ever(tmp_path: Path) -> None:
    """D9: where our own check takes the link's place, the link is back at once and is not thrown out again."""
    lines = (*KNOWN, "acl_file {0}/rights", "use_username_as_clientid true")
    with (
        configured(tmp_path, *lines, rights=OWN) as settings,
        MqttLink(settings, "front", queue.Queue(), QUICK) as link,
        closing(BrokerWatch(settings, link, apart_s=0.0)) as watch,
    ):
        watch.start()
        wait_for(lambda: watch.trust is Trust.GOOD and link.connected)
        before = link.connects
        time.sleep(0.45)  # two looks at what is due
        assert link.connects == before <= 4  # on a busy machine the link may try while our check is still there
        assert watch.trust is Trust.GOOD


def test_another_client_under_our_id_is_told_and_no_command_is_lost(broker: PrivateBroker) -> None:
    """D9: both back off, an alarm says so, and a command that is said until it is answered arrives all the same."""
    inbox: queue.Queue[Incoming] = queue.Queue()
    with MqttLink(broker.settings, "twin", inbox, HASTY) as link, bystander(broker.settings, "mouth") as mouth:
        watch = BrokerWatch(broker.settings, link, lambda _settings: Trust.GOOD)
        watch.start()
        link.check(5)
        with MqttLink(broker.settings, "twin", queue.Queue(), HASTY):
            for number in range(3):
                wanted = b"%d" % number
                while True:
                    mouth.say("ostiary/twin/cmd/open", wanted)
                    with suppress(queue.Empty):
                        if inbox.get(timeout=0.05).payload == wanted:
                            break
            wait_for(lambda: watch.contested)
        (line,) = watch.news()
        assert "another client may use our id" in line
        wait_for(lambda: link.connected)
        watch.close()


READER = """
import queue, sys, time
from appliance.config import MqttSettings
from appliance.contract import Topic
from appliance.drivers.mqtt import MqttLink
link = MqttLink(MqttSettings.model_validate_json(sys.argv[1]), sys.argv[2], queue.Queue())
link.publish(Topic.LOCK_STATE, "LOCKED", retained=True)
link.start()
time.sleep(60)
"""


@contextmanager
def reader(settings: MqttSettings, device_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the link of a device in a process of its own, which is killed at the end at the latest."""
    started = subprocess.Popen([sys.executable, "-c", READER, settings.model_dump_json(), device_id])
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_availability_is_right_whatever_becomes_of_the_reader(broker: PrivateBroker) -> None:
    """D16: killed, hung with its line open and taken over, killed then, and stopped: the last word is the true one."""
    availability = topic("birth", Topic.AVAILABILITY)
    with bystander(broker.settings, "ear", availability) as ear:
        with reader(broker.settings, "birth"):
            ear.until(availability, b"online")
        ear.until(availability, b"offline")
        link = MqttLink(broker.settings, "birth", queue.Queue(), QUICK)
        with reader(broker.settings, "birth") as hung:
            ear.until(availability, b"online")
            os.kill(hung.pid, signal.SIGSTOP)
            link.start()
            ear.until(availability, b"online")
        link.publish(Topic.LOCK_STATE, "UNLOCKED", retained=True)
        wait_for(lambda: kept(broker, topic("birth", Topic.LOCK_STATE)) == b"UNLOCKED")
        assert kept(broker, availability) == b"online"
        link.close()
        ear.until(availability, b"stopped")
        assert kept(broker, availability) == b"stopped"


def kept(broker: PrivateBroker, name: str) -> bytes:
    """Return what the broker keeps under a topic, as a newcomer hears it."""
    with bystander(broker.settings, "late", name) as late:
        return late.next().payload


@pytest.fixture(params=["mosquitto", "amqtt"])
def old_broker(request: pytest.FixtureRequest, broker: PrivateBroker) -> MqttSettings:
    """Give a broker that is spoken to in MQTT 3.1.1."""
    if request.param == "mosquitto":
        return broker.settings.model_copy(update={"version": "3.1.1"})
    settings = request.getfixturevalue("amqtt")
    assert isinstance(settings, MqttSettings)
    return settings


def test_the_main_way_needs_no_more_than_mqtt_3_1_1(old_broker: MqttSettings, tmp_path: Path) -> None:
    """Ticket, approval, reply, retained state and the will, with MQTT 3.1.1 over mosquitto and over another broker."""
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, new_key(tmp_path / "guard.key"))
    with (
        doorway(old_broker, tmp_path / "clients.db") as door,
        Client(old_broker, "front", "guard", read_key(tmp_path / "guard.key"), pace=QUICK) as guard,
        bystander(old_broker, "ear", topic("lost", Topic.AVAILABILITY)) as ear,
        reader(old_broker, "lost") as lost,
    ):
        opened = door.ask("visit")
        ticket = guard.next_ticket(5)
        assert ticket is not None
        assert (ticket.ticket_id, ticket.image) == (opened.ticket_id, opened.view.crop)
        assert guard.approve(ticket.ticket_id).ok
        assert isinstance(door.verdicts[0], Approved)
        ear.until(topic("lost", Topic.AVAILABILITY), b"online")
        lost.kill()
        ear.until(topic("lost", Topic.AVAILABILITY), b"offline")
        with bystander(old_broker, "late", topic("front", Topic.AVAILABILITY)) as late:
            assert late.next() == Incoming(topic("front", Topic.AVAILABILITY), b"online", retained=True)
