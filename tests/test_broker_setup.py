"""The broker that is set up for a house: who gets in, and who may say and hear what. With a real mosquitto."""

from __future__ import annotations

import json
import queue
import signal
import socket
import ssl
import stat
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from appliance.broker_rights import rights
from appliance.broker_setup import ACL, CONF, PASSWD, PASSWORDS, access_list, write
from appliance.broker_trust import Trust, judge
from appliance.cli import root
from appliance.clients import Registry
from appliance.config import MqttSettings
from appliance.contract import VERB_ROLES, Role, Topic
from appliance.drivers.mqtt import Incoming, MqttLink, check_broker
from appliance.errors import ApplianceError, BrokerError, ConfigError, RefusedError
from tests.broker import QUICK, wait_for
from tests.secured import CLIENTS, DEVICE, NOW, authority, configured, free_port, mosquitto, secured_broker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paho.mqtt.reasoncodes import ReasonCode

    from tests.secured import SecuredBroker

# Who hears what the door says, in words of the contract, not taken from the code that writes the access list.
HEARD = {
    "availability": {"recogniser", "operator", "enroller", "auditor", "admin", "home-assistant"},
    "lock/state": {"operator", "auditor", "admin", "home-assistant"},
    "door/contact": {"operator", "auditor", "admin", "home-assistant"},
    "door/state": {"operator", "auditor", "admin", "home-assistant"},
    "alarm/tamper": {"operator", "auditor", "admin", "home-assistant"},
    "event": {"operator", "enroller", "auditor", "admin"},
    "event/feed": {"auditor", "admin"},
    "approval/request": {"operator", "enroller", "admin"},
    "approval/result": {"operator", "enroller", "admin"},
    "approval/image": {"operator", "admin"},
    "ha/event": {"home-assistant"},
    "ha/image": {"home-assistant"},
    "ha/access": {"home-assistant"},
    **{f"reply/{user}": {user} for user in (*CLIENTS, "nobody")},
}
EVERYBODY = (DEVICE, *CLIENTS, "home-assistant", "nobody")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """Give a running broker of the door `front`."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        yield running


class User:
    """Somebody at the broker who keeps what they hear, and whether they were let say what they said."""

    def __init__(self, broker: SecuredBroker, name: str) -> None:
        self.heard: set[str] = set()
        self.let: dict[int, bool] = {}
        self.ready = threading.Event()
        settings = broker.settings(name)
        self.client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5)
        self.client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)
        self.client.on_message = self._on_message
        self.client.on_publish = self._on_publish
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.connect(settings.host, settings.port)
        self.client.subscribe("#", 1)
        self.client.loop_start()
        assert self.ready.wait(5)

    def heard_here(self) -> set[str]:
        """Return the topics that were heard, those of the door without its name."""
        return {one.removeprefix(f"ostiary/{DEVICE}/") for one in self.heard}

    def catch_up(self) -> None:
        """Return once the broker has answered: what it had for us before has come."""
        self.ready.clear()
        self.client.subscribe("done", 1)
        assert self.ready.wait(5)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.add(message.topic)

    def _on_publish(self, _client: Client, _userdata: object, mid: int, code: ReasonCode, _properties: object) -> None:
        self.let[mid] = not code.is_failure

    def leave(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def users(broker: SecuredBroker) -> Iterator[dict[str, User]]:
    """Connect everybody."""
    with ExitStack() as leaving:
        found = {name: User(broker, name) for name in EVERYBODY}
        for user in found.values():
            leaving.callback(user.leave)
        yield found


def let_say(people: dict[str, User], topic: str) -> set[str]:
    """Have everybody say something under the topic; return whom the broker let."""
    sent = {name: user.client.publish(topic, b"x", qos=1) for name, user in people.items()}
    for one in sent.values():
        one.wait_for_publish(5)
    return {name for name, one in sent.items() if people[name].let[one.mid]}


def test_each_role_says_and_hears_what_the_contract_gives_it_and_nothing_else(secured: SecuredBroker) -> None:
    """D2, J2: every user tries every topic of the door; verbs by role, pictures for operators, events not for HA."""
    commands = {f"cmd/{verb}": {role.value for role in roles} for verb, roles in VERB_ROLES.items()}
    orders = {"ha/lock": {"home-assistant"}, "ha/answer": {"home-assistant"}}
    said = {**{one: set[str]() for one in HEARD}, **commands, **orders}
    with users(secured) as people:
        for topic, allowed in said.items():
            assert let_say(people, f"ostiary/{DEVICE}/{topic}") == allowed | {DEVICE}, topic
        assert let_say(people, f"ostiary/{DEVICE}/cmd/join") == set(people)
        assert let_say(people, "ostiary/other/cmd/open") == let_say(people, "elsewhere") == set()
        assert let_say(people, "homeassistant/status") == {"home-assistant"}
        assert let_say(people, f"homeassistant/device/{DEVICE}/config") == {DEVICE}
        hears = {name: {topic for topic, ears in HEARD.items() if name in ears} for name in people}
        hears[DEVICE] = {*commands, *orders, "cmd/join", "homeassistant/status"}
        hears["home-assistant"] |= {"homeassistant/status", f"homeassistant/device/{DEVICE}/config"}
        wait_for(lambda: all(user.heard_here() >= hears[name] for name, user in people.items()))
        for user in people.values():
            user.catch_up()
        assert {name: user.heard_here() for name, user in people.items()} == hears


def test_a_retained_command_is_cleared_under_these_rights(secured: SecuredBroker) -> None:
    """D3: the door may take a retained command from the broker, so that the next start does not find it."""
    user, inbox = User(secured, "operator"), queue.Queue[Incoming]()
    user.client.publish(f"ostiary/{DEVICE}/cmd/open", b"old", qos=1, retain=True).wait_for_publish(5)
    user.leave()
    with MqttLink(secured.settings(DEVICE), DEVICE, inbox):
        assert inbox.get(timeout=5).retained
    with MqttLink(secured.settings(DEVICE), DEVICE, inbox) as link:
        link.check(5)
        with pytest.raises(queue.Empty):
            inbox.get(timeout=0.1)


def test_nobody_gets_in_without_a_certificate_for_clients_of_this_house(secured: SecuredBroker, tmp_path: Path) -> None:
    """D1: no certificate, a revoked one, another authority's, the broker's own, or plaintext: refused."""
    check_broker(secured.settings("operator"), 5)
    stranger = authority(tmp_path / "other").issue_client("operator", NOW)
    server = secured.pki / "server" / "localhost.pem"
    good = secured.settings("operator")
    shown = [stranger, server, secured.pki / "client" / "thief.pem"]
    wrong: list[Mapping[str, object]] = [
        *({"cert_file": str(one), "key_file": str(one.with_suffix(".key"))} for one in shown),
        {"cert_file": "", "key_file": ""},
        {"cert_file": "", "key_file": "", "username": "operator"},
        {"cert_file": "", "key_file": "", "tls": False, "ca_file": ""},
        {"ca_file": str(tmp_path / "other" / "ca.pem")},
    ]
    with ThreadPoolExecutor(len(wrong)) as at_once:
        tried = at_once.map(lambda changed: takes_us(good.model_copy(update=changed)), wrong)
    assert list(tried) == [False] * len(wrong)


def test_the_revoked_are_out_once_the_broker_has_the_list(secured: SecuredBroker) -> None:
    """D1: a certificate that got in is refused after revoking, setup and a reload of the broker; others stay in."""
    signs = authority(secured.pki)
    signs.issue_client("leaver", NOW)
    check_broker(secured.settings("leaver"), 5)
    signs.revoke("leaver", NOW)
    (changed,) = write(secured.folder, secured.pki, configured(secured.folder, secured.port))
    assert changed.path.name == "crl.pem"
    secured.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not takes_us(secured.settings("leaver")))
    check_broker(secured.settings("operator"), 5)


def takes_us(settings: MqttSettings) -> bool:
    """Tell whether the broker takes this user."""
    try:
        check_broker(settings, 0.3)
    except BrokerError:
        return False
    return True


def test_old_tls_is_spoken_by_neither_side(secured: SecuredBroker) -> None:
    """D1: a broker that knows no more than TLS 1.1 is left, and one of ours answers no client that does."""
    key = secured.pki / "server" / "localhost"
    with old_tls_server(key) as port:
        assert handshake(port) in {"TLSv1", "TLSv1.1"}  # the old protocol works here, where somebody wants it
        with pytest.raises(BrokerError, match=r"(?i)protocol|version|alert"):
            check_broker(secured.settings("operator").model_copy(update={"port": port}), 1.5)
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol|version|alert"):
        handshake(secured.port)


def handshake(port: int) -> str | None:
    """Return which TLS a client that knows no more than 1.1 agrees upon with the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _allow_old(context)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain) as agreed,
    ):
        return agreed.version()


def _allow_old(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that these are old is the point
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1


@contextmanager
def old_tls_server(key: Path) -> Iterator[int]:
    """Answer on a port with TLS up to 1.1 and a certificate that holds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(key.with_name("localhost.pem"), key.with_name("localhost.key"))
    _allow_old(context)
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller, suppress(OSError), context.wrap_socket(caller, server_side=True) as agreed:
                agreed.recv(1)

    thread = threading.Thread(target=answer, name="old server")
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def test_a_handshake_that_never_comes_holds_nothing_up(secured: SecuredBroker) -> None:
    """D10: a port that takes the call and says nothing: publishing stays quick, the attempt ends, so does the link."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = secured.settings(DEVICE).model_copy(update={"port": silent.getsockname()[1]})
        link = MqttLink(settings, DEVICE, queue.Queue(), QUICK)
        link.start()
        silent.settimeout(5)
        with silent.accept()[0] as caller:
            link.publish(Topic.EVENT, "x")
            caller.settimeout(5)
            while caller.recv(1000):  # until it hangs up
                pass
        silent.accept()[0].close()  # and tries again
        assert not link.connected
        link.close()


def test_a_certificate_of_ours_that_cannot_work_stops_the_start(secured: SecuredBroker, tmp_path: Path) -> None:
    """D1: half of it, another one's key, a key under a passphrase or no TLS: one line, and no prompt at a terminal."""
    good = secured.settings("operator")
    key = serialization.load_pem_private_key(Path(good.key_file).read_bytes(), None)
    locked = tmp_path / "locked.key"
    cipher = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher))
    for changed, said in (
        ({"key_file": ""}, "key_file is missing"),
        ({"cert_file": ""}, "cert_file is missing"),
        ({"key_file": str(secured.pki / "client" / "admin.key")}, "cannot be used together"),
        ({"key_file": str(tmp_path / "none")}, "cannot be used together"),
        ({"key_file": str(locked)}, "under a passphrase"),
        ({"tls": False, "ca_file": ""}, "tls is false"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_broker(good.model_copy(update=changed), 0.1)


def test_the_broker_that_is_set_up_is_good(secured: SecuredBroker, tmp_path: Path) -> None:
    """D2: the check of the appliance finds nothing wrong with what `ostiary broker setup` writes."""
    settings = secured.settings(DEVICE)
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings if value != getattr(MqttSettings(), key))
    (tmp_path / "appliance.toml").write_text(f"[mqtt]\n{keys}\n")
    places = ["--config", str(tmp_path / "appliance.toml"), "--state", str(tmp_path / "state")]
    checked = CliRunner().invoke(root, ["broker", "check", *places])
    assert "takes nobody unknown and keeps its users apart" in checked.output
    assert "our certificate holds until" in checked.output
    assert "ok      broker" in CliRunner().invoke(root, ["check", "--edge", "broker", *places]).output


def test_with_passwords_each_user_has_one_of_its_own(tmp_path: Path) -> None:
    """D1, D2: every user gets a random password once, which the broker knows only as a hash; the broker is good."""
    signs, port = authority(tmp_path / "pki"), free_port()
    signs.issue_server(["localhost", "127.0.0.1"], NOW)
    folder, wanted = tmp_path / "broker", configured(tmp_path / "broker", port, "passwords")
    write(folder, tmp_path / "pki", wanted)
    given = {path.name: path.read_text().strip() for path in (folder / PASSWORDS).iterdir()}
    assert set(given) == set(wanted.rights)
    assert len({*given.values()}) == len(given)
    assert not any(password in (folder / PASSWD).read_text() for password in given.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert write(folder, tmp_path / "pki", wanted) == ()
    settings = MqttSettings(
        host="127.0.0.1",
        port=port,
        tls=True,
        ca_file=str(folder / "ca.pem"),
        username=DEVICE,
        password_file=str(folder / PASSWORDS / DEVICE),
    )
    with mosquitto(folder / CONF, port):
        assert judge(settings) is Trust.GOOD
        with pytest.raises(BrokerError, match="refuses us"):
            check_broker(settings.model_copy(update={"password_file": str(folder / PASSWORDS / "admin")}), 5)


def test_doors_share_a_broker_without_touching_each_others_rights(tmp_path: Path) -> None:
    """A second door adds its part and changes no other; a client that two doors know has the rights of both."""
    authority(tmp_path / "pki").issue_server(["localhost"], NOW)
    front = configured(tmp_path / "broker", 8883)
    back = replace(front, device_id="back", rights=rights("back", {"operator": Role.OPERATOR}))
    write(tmp_path / "broker", tmp_path / "pki", front)
    alone = (tmp_path / "broker" / ACL).read_text()
    write(tmp_path / "broker", tmp_path / "pki", back)
    both = (tmp_path / "broker" / ACL).read_text()
    assert access_list(front) in both
    assert access_list(back) in both
    (changed,) = write(tmp_path / "broker", tmp_path / "pki", replace(back, rights=rights("back", {})))
    assert "-user operator" in changed.lines
    assert not any(line.startswith("+") for line in changed.lines)
    assert access_list(front) in (tmp_path / "broker" / ACL).read_text()
    assert alone.replace(access_list(front), "") in both


def test_a_client_cannot_have_the_doors_name() -> None:
    """D7: at the broker names are rights: a client called as the door or Home Assistant would have theirs."""
    for name in (DEVICE, "home-assistant"):
        with pytest.raises(RefusedError, match="has the name"):
            rights(DEVICE, {name: Role.OPERATOR}, "homeassistant")
    with pytest.raises(ValueError, match="topic level"):
        rights("a/b", {})
    with pytest.raises(ValueError, match="topic level"):
        rights(DEVICE, {"+": Role.OPERATOR})


@pytest.mark.parametrize(
    "option",
    [
        ("--address", "127.0.0.1\nallow_anonymous true"),
        ("--as", "mosquitto\nallow_anonymous true"),
        ("--at", "/etc/x\nallow_anonymous true"),
        ("--server", "../../client/front"),
    ],
)
def test_an_option_is_never_another_line_of_the_configuration(tmp_path: Path, option: tuple[str, str]) -> None:
    """D8: what an option holds stands in the configuration as one word, or nothing is written."""
    assert ostiary(tmp_path, "broker", "setup", str(tmp_path / "broker"), *option)[0] == 2
    assert not (tmp_path / "broker").exists()


def ostiary(folder: Path, *words: str) -> tuple[int, str]:
    """Run the command; return its exit code and all that it said."""
    (folder / "appliance.toml").write_text('[device]\nid = "front"\n[access]\nclock = "trusted"\n')
    done = CliRunner().invoke(
        root, [*words, "--config", str(folder / "appliance.toml"), "--state", str(folder / "state")]
    )
    if isinstance(done.exception, ApplianceError):
        return done.exception.exit_code, f"{done.output}{done.exception}"
    return done.exit_code, done.output


def test_setup_follows_the_clients_and_says_what_it_changed(tmp_path: Path) -> None:
    """The way of docs/broker.md: what is missing is named; run again, it changes what has changed and says so."""
    at = str(tmp_path / "broker")
    assert "ostiary pki init makes one" in ostiary(tmp_path, "broker", "setup", at)[1]
    assert ostiary(tmp_path, "pki", "init")[0] == 0
    assert "ostiary pki issue server localhost makes one" in ostiary(tmp_path, "broker", "setup", at)[1]
    assert not (tmp_path / "broker").exists()
    assert ostiary(tmp_path, "pki", "issue", "server", "localhost")[0] == 0
    code, said = ostiary(tmp_path, "broker", "setup", at)
    assert code == 0
    assert "written: " + str(tmp_path / "broker" / "mosquitto.conf") in said
    assert "ostiary pki issue client front" in said
    with Registry(tmp_path / "state" / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=")
    assert "+topic write ostiary/front/cmd/approve" in ostiary(tmp_path, "broker", "setup", at)[1]
    assert "nothing has changed" in ostiary(tmp_path, "broker", "setup", at)[1]
    with Registry(tmp_path / "state" / "clients.db") as registry:
        registry.revoke("guard")
    assert "-user guard" in ostiary(tmp_path, "broker", "setup", at)[1]
    assert ostiary(tmp_path, "pki", "revoke", "localhost")[0] == 0
    assert "is revoked" in ostiary(tmp_path, "broker", "setup", at)[1]
