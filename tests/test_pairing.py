"""Pairing: a client is let in by a code that the device shows, and by nothing that passes over the broker."""

from __future__ import annotations

import json
import math
import queue
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit import AuditLog
from appliance.clients import Registry
from appliance.contract import JOIN, VERB_ROLES, EventType, Role, Topic, topic
from appliance.drivers.mqtt import Incoming
from appliance.envelope import Fault, Joining, Refusal, open_joining, sign
from appliance.errors import RefusedError, StorageError, UsageError
from appliance.journal import Journal
from appliance.local_socket import Call, Caller, answer, ask
from appliance.messages import reply
from appliance.pairing import joined_proof, joining_proof, new_code, pairing_key, same
from appliance.pairing_desk import Pair, PairingDesk
from appliance.signing import public_text
from ostiary_client import join
from tests.broker import bystander, wait_for
from tests.hall import Hall, hall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker
    from appliance.config import MqttSettings

CODE = "7K3M-Q9TX-2HVB"
KEY = pairing_key(CODE, "front") or b""
OTHER = pairing_key("0000-0000-0000", "front") or b""
ME = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLACE = topic("front", Topic.CMD, JOIN)


@pytest.fixture
def front(broker: PrivateBroker, short_folder: Path) -> Iterator[Hall]:
    """Give the device `front`, which nobody may command yet."""
    with hall(broker.settings, short_folder) as front:
        yield front


@contextmanager
def window(front: Hall, for_s: float = 20.0, role: Role = Role.OPERATOR) -> Iterator[Call]:
    """Have the device show the code; leaving takes it back."""
    asked = Pair(role=role, for_s=for_s, key=KEY.hex()).model_dump(mode="json")
    call = ask(front.installation.reader_socket, asked, 10.0)
    assert call is not None
    with call:
        assert next(iter(call)) == {"open": for_s}
        yield call


def envelope(key: Ed25519PrivateKey = ME, shared: bytes = KEY, **changes: Any) -> bytes:  # noqa: ANN401 - any field
    """Return what a joiner sends, with some of it changed before it is signed."""
    named = {"device_id": "front", "client_id": "guard", "public_key": public_text(key)}
    given: dict[str, Any] = {
        "topic": PLACE,
        "device_id": "front",
        "client_id": "guard",
        "verb": JOIN,
        "args": {"public_key": named["public_key"], "proof": joining_proof(shared, **named)},
        "now": time.time(),
        "ttl_s": 30,
        "nonce": 1,
        "request_id": "r1",
    }
    return sign(key, **(given | changes))


def known(front: Hall) -> list[tuple[str, Role]]:
    """Return who may send commands."""
    with Registry(front.installation.clients_file) as registry:
        return [(entry.client_id, entry.role) for entry in registry.entries()]


def ostiary(*words: str) -> list[str]:
    """Return the command line of `ostiary client`."""
    return [sys.executable, "-m", "appliance", "client", *words]


def test_a_client_joins_by_the_code_that_the_device_shows(front: Hall, short_folder: Path) -> None:
    """D5: the two commands of docs/client.md: the role is the device's, both show one key, and it is written down."""
    mqtt = front.installation.settings.mqtt
    lines = [
        f'{name} = "{value}"' for name, value in mqtt.model_dump(include={"host", "username", "password_file"}).items()
    ]
    config = short_folder / "appliance.toml"
    config.write_text("\n".join(['[device]\nid = "front"\n[mqtt]\nenabled = true', f"port = {mqtt.port}", *lines]))
    device = ["--config", str(config), "--state", str(short_folder)]
    pairing = subprocess.Popen(
        ostiary("pair", "--role", "auditor", *device), stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert pairing.stdout is not None
    shown = re.match(r"code (\S+)  for one auditor", pairing.stdout.readline())
    assert shown is not None
    key_file = short_folder / "guard.key"
    joining = ostiary("join", "guard", "--key", str(key_file), "--code", shown[1].lower().replace("-", " "))
    joined = subprocess.run(
        [*joining, "--config", str(config), "--state", str(short_folder / "elsewhere")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = pairing.communicate(timeout=10)[0]
    assert pairing.returncode == 0
    assert "guard may now act as auditor" in told
    assert "guard may now act as auditor at front" in joined.stdout
    (key,) = set(re.findall(r"(?:[0-9a-f]{4} ){7}[0-9a-f]{4}", told + joined.stdout))
    assert known(front) == [("guard", Role.AUDITOR)]
    (event,) = [one.event for one in front.events]
    assert (event.event_type, event.detail) == (EventType.CONFIG_CHANGED, f"client guard joined as auditor, key {key}")
    with pytest.raises(RefusedError, match="does not answer"):  # the code is used up
        join(mqtt, "front", "eve", Ed25519PrivateKey.generate(), shown[1], timeout_s=0.3)


def test_three_wrong_codes_close_the_window(front: Hall) -> None:
    """D6: whoever guesses has three tries, whoever they say they are; then the right code is worth nothing either."""
    settings = front.installation.settings.mqtt
    with window(front) as call:
        for number, code in enumerate(("0000-0000-0000", "7K3M-Q9TX-2HVC", "zzzzzzzzzzzz")):
            with pytest.raises(RefusedError, match="not the code that it shows"):
                join(settings, "front", f"eve-{number}", Ed25519PrivateKey.generate(), code)
        told = list(call)
        assert [one.get("left") for one in told] == [2, 1, 0, None]
        assert "refused 3 times" in told[-1]["error"]
    with pytest.raises(RefusedError, match="does not answer"):
        join(settings, "front", "guard", ME, CODE, timeout_s=0.3)
    assert known(front) == []
    assert front.events == []


def test_a_window_ends_with_whoever_opened_it(front: Hall) -> None:
    """Nobody has to remember to close it: who hangs up takes the code back, and there is one window at a time."""
    settings, path = front.installation.settings.mqtt, front.installation.reader_socket
    with window(front):
        with pytest.raises(RefusedError, match="a pairing is going on already"):
            answer(path, Pair(role=Role.ADMIN, for_s=10, key="0" * 64).model_dump(mode="json"), 5.0)
        assert known(front) == []
    with pytest.raises(RefusedError, match="does not answer"):
        join(settings, "front", "guard", ME, CODE, timeout_s=0.3)
    assert known(front) == []


def test_a_window_ends_with_its_time(tmp_path: Path) -> None:
    """D6: at its last moment the right code still counts, then no more; a clock that is no number shuts it."""
    for number, (late_s, taken) in enumerate(((9.9, True), (10.0, False), (math.nan, False))):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        times = iter([100.0, 100.0 + late_s])
        with (
            Registry(tmp_path / f"clients-{number}.db") as registry,
            AuditLog(tmp_path / f"audit-{number}.db", "front", "front") as audit,
        ):
            tell = partial(_put, answers)
            desk = PairingDesk("front", registry, Journal(audit, ()), tell, partial(next, times))
            desk.begin(Caller(ours), Pair(role=Role.OPERATOR, for_s=10, key=KEY.hex()))
            desk.hear(Incoming(PLACE, envelope(), retained=False))
            assert [entry.client_id for entry in registry.entries()] == ["guard"] * taken
            assert answers.qsize() == taken
        said = [json.loads(theirs.recv(4096)) for _ in range(2)]
        assert [name for one in said for name in one] == ["open", "joined" if taken else "error"]
        assert theirs.recv(1) == b""
        theirs.close()


def _forgeries() -> Iterator[bytes]:
    """Give what somebody at the broker can make of a true joining, and what a joiner cannot ask for."""
    args = json.loads(envelope())["args"]
    thief = Ed25519PrivateKey.generate()
    yield from (envelope(shared=OTHER), envelope(shared=b""), b"", b"{}", envelope()[:-1])
    yield envelope(client_id="eve")  # another name under the proof of guard
    yield envelope(device_id="back", topic=topic("back", Topic.CMD, JOIN))
    yield envelope(verb="approve", topic=topic("front", Topic.CMD, "approve"))
    for other in (args | {"role": "admin"}, {"public_key": public_text(ME)}, {"proof": "0" * 64}, {}):
        yield envelope(args=other)
    for changes in ({"now": time.time() - 400}, {"now": time.time() + 400}, {"ttl_s": 301}):
        yield envelope(**changes)
    yield envelope(key=thief, args=args)  # signed with a key of its own
    yield envelope(key=thief, args=args | {"public_key": public_text(thief)})  # which it also names


def test_what_a_broker_can_make_of_it_lets_nobody_in(front: Hall) -> None:
    """D5, D6: another key, name, device, role or time under a true proof is refused; the true one is taken."""
    boss = front.client("boss", Role.ADMIN)
    with bystander(front.installation.settings.mqtt, "mouth") as mouth, boss as boss_client:
        for payload in _forgeries():
            with window(front):
                mouth.say(PLACE, payload)
                wait_for(lambda: not mouth.connection._outbox and not mouth.connection._waiting)
                assert boss_client.send("status").ok  # the door has taken what came before
                assert known(front) == [("boss", Role.ADMIN)]
        with window(front) as call:
            mouth.say(PLACE, envelope())
            assert "joined" in list(call)[-1]
    assert known(front) == [("boss", Role.ADMIN), ("guard", Role.OPERATOR)]


def test_a_retained_joining_is_refused(front: Hall) -> None:
    """D3: what the broker kept was not said now, and it is taken from the broker."""
    assert open_joining(envelope(), topic=PLACE, device_id="front", retained=True, now=time.time()) == Refusal(
        Fault.RETAINED
    )
    opened = open_joining(envelope(), topic=PLACE, device_id="front", retained=False, now=time.time())
    assert isinstance(opened, Joining)
    assert opened.client_id == "guard"


def test_without_a_window_nobody_gets_a_word(front: Hall) -> None:
    """D6: joining is no verb of any role; an admin who asks for it is not answered either."""
    assert JOIN not in VERB_ROLES
    with front.client("boss", Role.ADMIN) as boss:
        assert boss.send(JOIN, {"public_key": public_text(ME), "proof": "0" * 64}, 0.3).error == "no_reply"
    assert known(front) == [("boss", Role.ADMIN)]


def test_a_feigned_success_is_seen_through(front: Hall) -> None:
    """A broker that says "you are in", or in another role, is not believed: it cannot make the door's proof."""
    settings = front.installation.settings.mqtt
    named = {"device_id": "front", "client_id": "guard", "public_key": public_text(ME)}
    true = joined_proof(KEY, role="auditor", **named)
    with bystander(settings, "liar", PLACE) as liar:
        for result in ({"role": "admin", "proof": true}, {"role": "admin", "proof": "0" * 64}, {}):
            answers: queue.Queue[BaseException | Role] = queue.Queue()
            with suppress(queue.Empty):
                while True:
                    liar.heard.get_nowait()
            _join_beside(settings, answers)
            asked = json.loads(liar.next().payload)
            liar.say("ostiary/front/reply/guard", reply(asked["request_id"], "", result).json_bytes())
            end = answers.get(timeout=5)
            assert isinstance(end, RefusedError)
            assert "not the door's" in str(end)


def test_an_id_that_is_taken_is_refused_in_words(front: Hall) -> None:
    """A code does not give anybody another one's name; and a wrong one is not answered in that name."""
    front.key("guard", Role.ADMIN)
    settings = front.installation.settings.mqtt
    with window(front) as call:
        with pytest.raises(RefusedError, match="the client guard is known already"):
            join(settings, "front", "guard", ME, CODE)
        with pytest.raises(RefusedError, match="does not answer"):
            join(settings, "front", "guard", ME, "0000-0000-0000", timeout_s=0.3)
        assert join(settings, "front", "desk", ME, CODE) is Role.OPERATOR
        assert [one.get("left", one.get("joined", {}).get("client_id")) for one in call] == [2, 1, "desk"]
    assert known(front) == [("desk", Role.OPERATOR), ("guard", Role.ADMIN)]


def test_who_cannot_be_written_down_is_not_let_in(front: Hall) -> None:
    """J8: with a log that takes nothing, nobody joins, and whoever waits at the device is told."""
    settings = front.installation.settings.mqtt
    with sqlite3.connect(front.installation.audit_file) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.close()
    with window(front) as call:
        with pytest.raises(RefusedError, match="does not answer"):
            join(settings, "front", "guard", ME, CODE, timeout_s=0.5)
        assert "disk full" in list(call)[-1]["error"]
    assert known(front) == []
    assert [type(fault) for fault in front.faults] == [StorageError]


def test_codes_are_random_and_read_kindly() -> None:
    """60 bits, no letter that looks like another; typing it in small letters, with blanks or O for 0, does no harm."""
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(re.fullmatch(r"(?:[0-9A-HJKMNP-TV-Z]{4}-){2}[0-9A-HJKMNP-TV-Z]{4}", code) for code in codes)
    assert pairing_key(" 7k3m q9tx 2hvb", "front") == KEY
    assert pairing_key("OIL0-0000-0000", "front") == pairing_key("0110-0000-0000", "front")
    assert pairing_key(CODE, "back") != KEY
    assert [pairing_key(bad, "front") for bad in ("", "7K3M", CODE + "0", "U" * 12, "7K3M-Q9TX-2HV!")] == [None] * 5
    with pytest.raises(UsageError, match="12 letters"):
        join(None, "front", "guard", ME, "7K3M")  # type: ignore[arg-type]


def test_the_document_tells_another_language_how_to_join() -> None:
    """docs/mqtt.md: the known answer there is what the door would compare with."""
    text = (Path(__file__).parents[1] / "docs" / "mqtt.md").read_text()
    named = {"device_id": "front", "client_id": "guard", "public_key": public_text(ME)}
    assert f"With the code {CODE} that is\n`{joining_proof(KEY, **named)}`" in text
    assert json.dumps(named | {"says": "joining"}, sort_keys=True, separators=(",", ":")) in text


def test_every_word_of_a_proof_counts() -> None:
    """D5: a proof for one device, client, key or role is none for another, and the two directions differ."""
    named = {"device_id": "front", "client_id": "guard", "public_key": public_text(ME)}
    proofs = {joining_proof(KEY, **(named | {name: "other"})) for name in named}
    proofs |= {joining_proof(KEY, **named), joining_proof(OTHER, **named)}
    proofs |= {joined_proof(KEY, role=role, **named) for role in Role}
    assert len(proofs) == 3 + 2 + len(Role)
    assert same(joining_proof(KEY, **named), joining_proof(KEY, **named))
    assert not any(same(one, "") for one in proofs)


def _put(answers: queue.Queue[tuple[str, bytes]], client_id: str, payload: bytes) -> None:
    answers.put((client_id, payload))


def _join_beside(settings: MqttSettings, answers: queue.Queue[BaseException | Role]) -> None:
    def work() -> None:
        try:
            answers.put(join(settings, "front", "guard", ME, CODE, timeout_s=5.0))
        except RefusedError as refusal:
            answers.put(refusal)

    threading.Thread(target=work, daemon=True).start()
