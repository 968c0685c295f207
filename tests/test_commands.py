"""Commands at the switchboard, over a real broker: who may, once, and only as data."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import time
import tracemalloc
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest
from pydantic import BaseModel

from appliance import messages, replies
from appliance.clients import Registry
from appliance.contract import MAX_COMMAND_BYTES, VERB_ROLES, Role, Topic, topic
from appliance.drivers.mqtt import Connection, Incoming, MqttLink
from appliance.envelope import Command, sign
from appliance.errors import RefusedError
from appliance.replies import RecentReplies
from appliance.signing import new_key, public_text, read_key
from appliance.switchboard import PER_TURN, WAITING
from appliance.verbs import VERBS, read_args
from tests.broker import QUICK, bystander, wait_for
from tests.hall import Hall, hall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker import PrivateBroker
    from tests.broker import Bystander

CONSENTED = {"name": "Ada", "consent_by": "Ada", "external_id": "E1", "groups": ["staff"], "tags": ["vip"]}
SAMPLES: dict[str, dict[str, Any]] = {
    "approve": {"ticket_id": "t1"},
    "deny": {"ticket_id": "t1"},
    "again": {"ticket_id": "t1"},
    "say": {"ticket_id": "t1", "text": "one moment"},
    "open": {"for_s": 5},
    "unlock": {"for_s": 60},
    "lock": {"for_s": 60},
    "release": {"of": "operator"},
    "lockdown": {},
    "person.add": {**CONSENTED, "ticket_id": "t1", "language": "en", "consent_text": "1"},
    "person.update": {
        "person_id": "p1",
        "name": "Ada",
        "external_id": "E1",
        "notes": "left-handed",
        "tags": ["vip"],
        "cards": ["c1"],
        "groups": ["staff"],
        "valid_from": "2030-01-01T00:00:00Z",
        "valid_until": "2031-01-01T00:00:00Z",
    },
    "person.remove": {"person_id": "p1"},
    "person.list": {"after": 0, "limit": 10, "search": "ada"},
    "person.renew": {"offer_id": "o1"},
    "enrol.start": CONSENTED,
    "enrol.stop": {},
    "enrol.photo": {"upload_id": "u1", "data": "QUJDRA==", "person": CONSENTED},
    "feed": {"after": 0, "limit": 10},
    "audit.head": {},
    "config.get": {},
    "status": {},
}
HOSTILE = (
    "'; DROP TABLE client; --",
    '" OR ""="',
    "$(reboot)",
    "`reboot`",
    "; rm -rf / #",
    "%n%s%x%p",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "\0",
    "\x1b[2J",
    "\u202eevil",
    "a\nb\rc",
    "x" * 60_000,
    "+/#",
    "$SYS/broker",
)


@pytest.fixture
def front(broker: PrivateBroker, short_folder: Path) -> Iterator[Hall]:
    """Give the device `front`."""
    with hall(broker.settings, short_folder) as front:
        yield front
        assert front.faults == []


@pytest.fixture
def wire(front: Hall) -> Iterator[Bystander]:
    """Give somebody at the broker who hears the guard's replies and says what they like."""
    with bystander(front.installation.settings.mqtt, "wire", "ostiary/front/reply/guard") as wire:
        yield wire


NONCES = count(1)


def signed(front: Hall, verb: str, args: dict[str, Any], client_id: str = "guard") -> bytes:
    """Return a command of this client, whose key was made by `Hall.key`."""
    return sign(
        read_key(front.installation.state / f"{client_id}.key"),
        topic=topic("front", Topic.CMD, verb),
        device_id="front",
        client_id=client_id,
        verb=verb,
        args=args,
        now=time.time(),
        ttl_s=60,
        nonce=next(NONCES),
        request_id="r1",
    )


def command(verb: str, args: dict[str, Any]) -> Command:
    """Return what the envelope would."""
    return Command("guard", Role.ADMIN, verb, args, "r1")


def test_every_verb_is_for_its_roles_and_for_no_other(front: Hall) -> None:
    """Every verb by every role over a real broker: carried out where VERB_ROLES says so, else refused by name."""
    assert set(SAMPLES) == set(VERBS) == set(VERB_ROLES)
    allowed: dict[str, set[Role]] = {verb: set() for verb in SAMPLES}
    for role in Role:
        with front.client(role.value, role) as client:
            for verb, args in SAMPLES.items():
                reply = client.send(verb, args)
                assert reply.ok or reply.error == "verb_not_allowed", (verb, role, reply.error)
                if reply.ok:
                    allowed[verb].add(role)
    assert allowed == {verb: set(roles) for verb, roles in VERB_ROLES.items()}
    carried_out = {(one.verb, one.role) for one, _ in front.done}
    own = {"feed", "audit.head"}  # which the hall answers as the reader does
    assert carried_out == {(verb, role) for verb, roles in VERB_ROLES.items() for role in roles if verb not in own}


def test_a_command_that_comes_twice_is_done_once_and_answered_twice(front: Hall, wire: Bystander) -> None:
    """D12: a copy from the broker gets the first one's reply; in other words, or after a restart, it is a replay."""
    front.key("guard", Role.OPERATOR)
    payload, place = signed(front, "unlock", {"for_s": 60}), topic("front", Topic.CMD, "unlock")
    for _ in range(3):
        wire.say(place, payload)
    first, *others = (wire.next().payload for _ in range(3))
    assert json.loads(first)["result"] == {"for_s": 60}
    assert others == [first, first]
    wire.say(place, json.dumps(json.loads(payload), indent=1).encode())
    assert json.loads(wire.next().payload)["error"] == "replayed"
    assert [done.verb for done, _ in front.done] == ["unlock"]


def test_a_copy_after_a_restart_is_a_replay(broker: PrivateBroker, short_folder: Path) -> None:
    """D5, D12: what was answered is in memory alone, what was done is on the disk."""
    with hall(broker.settings, short_folder) as front:
        front.key("guard", Role.OPERATOR)
        payload = signed(front, "lockdown", {})
        with bystander(broker.settings, "wire", "ostiary/front/reply/guard") as wire:
            wire.say("ostiary/front/cmd/lockdown", payload)
            assert json.loads(wire.next().payload)["ok"]
    with (
        hall(broker.settings, short_folder) as again,
        bystander(broker.settings, "wire", "ostiary/front/reply/guard") as wire,
    ):
        wire.say("ostiary/front/cmd/lockdown", payload)
        assert json.loads(wire.next().payload)["error"] == "replayed"
        assert again.done == []


def test_a_retained_command_is_cleared_and_never_done(broker: PrivateBroker, short_folder: Path) -> None:
    """D3, D4: a true command that the broker kept until the door came is not done, and is gone from the broker."""
    front, place = Hall(broker.settings, short_folder), topic("front", Topic.CMD, "unlock")
    front.key("guard", Role.OPERATOR)
    with bystander(broker.settings, "wire", place) as wire:
        wire.say(place, signed(front, "unlock", {"for_s": 60}), retained=True)
        assert wire.next().payload
        with front.open():
            assert wire.next().payload == b""  # the door's own hand
            wire.say(place, signed(front, "unlock", {"for_s": 61}))
            wait_for(lambda: front.done)
    assert [args.model_dump() for _, args in front.done] == [{"for_s": 61}]


def test_a_revocation_holds_for_what_is_on_its_way(front: Hall, wire: Bystander) -> None:
    """D4: a command that has reached the door, and was not carried out yet, is nobody's once its client is revoked."""
    front.key("guard", Role.OPERATOR)
    front.key("boss", Role.ADMIN)
    with front.still:
        for verb in ("unlock", "open", "approve"):
            wire.say(topic("front", Topic.CMD, verb), signed(front, verb, SAMPLES[verb]))
        wire.say(topic("front", Topic.CMD, "status"), signed(front, "status", {}, "boss"))
        wait_for(lambda: front.waiting() == 4)
        with Registry(front.installation.clients_file) as registry:
            registry.revoke("guard")
    wait_for(lambda: front.done)
    assert [(done.client_id, done.verb) for done, _ in front.done] == [("boss", "status")]
    assert wire.heard.empty()  # and a revoked client gets no word


def test_another_key_or_role_under_the_same_id_takes_nothing_over(tmp_path: Path) -> None:
    """D4: between reading who somebody is and acting on it, they were revoked and came back as another."""
    with Registry(tmp_path / "clients.db") as registry, Registry(tmp_path / "clients.db") as device:
        device.add("guard", Role.ADMIN, new_key(tmp_path / "old.key"))
        before = registry.find("guard")
        assert before is not None
        device.revoke("guard")
        device.add("guard", Role.AUDITOR, new_key(tmp_path / "new.key"))
        now = registry.find("guard")
        assert now is not None
        assert not registry.advance(before, 7)
        assert registry.advance(now, 7)
        assert device.entries()[0].last_used_at is not None


def test_what_might_be_code_is_data_in_every_arg_of_every_verb(front: Hall) -> None:
    """D8: each text arrives letter by letter or is refused in one bounded line; the registry stands as it was."""
    admin = read_key(front.key("boss", Role.ADMIN))
    for verb, sample in SAMPLES.items():
        for path in _texts(sample):
            for text in HOSTILE:
                asked = command(verb, _with(sample, path, text))
                read = _read(asked)
                if isinstance(read, str):
                    assert len(read) < 400, verb
                    assert read.isprintable(), verb
                else:
                    assert _at(read, path) == text, (verb, path)
    with Registry(front.installation.clients_file) as registry:
        assert [entry.public_key for entry in registry.entries()] == [public_text(admin)]


def test_a_flood_waits_and_takes_no_more_than_its_share_of_a_turn(front: Hall, wire: Bystander) -> None:
    """D13: 400 orders at once: the inbox takes what it holds, the rest is counted, and a turn carries out eight."""
    front.key("guard", Role.OPERATOR)
    place = topic("front", Topic.CMD, "status")
    with front.still:
        for _ in range(400):
            wire.say(place, signed(front, "status", {}))
        wait_for(lambda: front.waiting() + front.dropped() == 400)
        assert front.waiting() == WAITING
    wait_for(lambda: len(front.done) == WAITING)
    assert front.most == PER_TURN


def test_a_flood_is_taken_in_slowly(broker: PrivateBroker) -> None:
    """D13: however fast it comes, no more than 500 messages a second are read: what is not read costs no time."""
    arrived: list[float] = []
    hearing = Connection(
        broker.settings, "hearing", ["flood"], lambda _incoming: arrived.append(time.monotonic()), pace=QUICK
    )
    with closing(hearing), bystander(broker.settings, "mouth") as mouth:
        hearing.start()
        hearing.check(5)
        for _ in range(400):
            mouth.say("flood", b"x")
        wait_for(lambda: len(arrived) == 400)
    assert all(later - first > 0.1 for first, later in zip(arrived, arrived[80:], strict=False))


# Says 256 MB to the topic that is named last, a piece at a time, and waits until the broker has all of it.
_HUGE = """
import socket, struct, sys

def text(raw):
    return struct.pack(">H", len(raw)) + raw

host, port, user, password, topic = sys.argv[1:]
fields = b"".join(text(one.encode()) for one in ("huge", user, password))
greeting = text(b"MQTT") + b"\\x04\\xc2\\x00\\x00" + fields
with socket.create_connection((host, int(port))) as wire:
    wire.sendall(b"\\x10" + bytes([len(greeting)]) + greeting)
    wire.recv(4)
    wire.sendall(b"\\x30\\xff\\xff\\xff\\x7f" + text(topic.encode()))
    left = 268_435_455 - 2 - len(topic)
    while left:
        left -= wire.send(bytes(min(left, 1 << 20)))
    wire.sendall(b"\\xc0\\x00")
    assert wire.recv(2) == b"\\xd0\\x00"
"""


@pytest.mark.parametrize(("version", "refused"), [("5", 0), ("3.1.1", 1)])
def test_the_largest_message_there_is_takes_no_memory(
    broker: PrivateBroker, version: Literal["5", "3.1.1"], refused: int
) -> None:
    """D6: of 256 MB to the command topic less than 1 MB is held, and the next message is heard on the same connection.

    A broker of MQTT 5 is told to keep it from us; what another one sends is thrown away as it comes, and counted.
    """
    settings = broker.settings.model_copy(update={"version": version})
    inbox: queue.Queue[Incoming] = queue.Queue()
    place, password = topic("large", Topic.CMD, "status"), Path(settings.password_file).read_text(encoding="utf-8")
    with MqttLink(settings, "large", inbox) as link, bystander(broker.settings, "mouth") as mouth:
        link.check(5)
        tracemalloc.start()
        try:
            words = [settings.host, str(settings.port), settings.username, password, place]
            subprocess.run([sys.executable, "-c", _HUGE, *words], check=True, timeout=60)
            mouth.say(place, b"next")
            assert inbox.get(timeout=60).payload == b"next"
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most < 1_000_000
    assert (link.refused_commands, link.connects) == (refused, 1)


def test_replies_are_bounded(front: Hall) -> None:
    """D6: whatever a known client sends, a refusal is short: nobody makes the door shout."""
    with front.client("boss", Role.ADMIN) as boss:
        for verb in ("say", "person.add", "enrol.photo"):
            for args in ({"x" * 60: "y" * 60_000}, {"text": "y" * 60_000}, SAMPLES[verb] | {"name": "y" * 60_000}):
                reply = boss.send(verb, args)
                assert not reply.ok
                assert len(reply.error) < 400
    assert front.done == []


def test_recent_replies_stay_few() -> None:
    """D6: memory is bounded by clients, commands of each, and bytes of a reply; the newest are there."""
    kept = RecentReplies()
    for client in range(2 * replies.CLIENTS):
        for number in range(2 * replies.KEPT):
            kept.note(f"c{client}", b"%d" % number, b"r" * (replies.MAX_BYTES + number % 2))
    assert len(kept._clients) == replies.CLIENTS
    assert all(len(one) == replies.KEPT for one in kept._clients.values())
    newest, last = f"c{2 * replies.CLIENTS - 1}", 2 * replies.KEPT - 1
    assert kept.find(newest, b"%d" % (last - 1)) == b"r" * replies.MAX_BYTES
    assert kept.find(newest, b"%d" % last) == b""  # too large to keep
    assert kept.find(newest, b"0") is None
    assert kept.find("c0", b"%d" % last) is None
    assert replies.CLIENTS * replies.KEPT * replies.MAX_BYTES <= 4 * 1024 * 1024
    assert replies.MAX_BYTES < MAX_COMMAND_BYTES


NUMBERS = {
    "liveness",  # of an event: how sure it is that the face is live
    "decision_ms",
    "frames",
    "seq",
    "first",
    "last",
    "round",
    "for_s",
    "approvals",
    "awaits",
    "schema_",
}


def test_no_word_of_the_contract_is_for_a_score() -> None:
    """B12, B13: every number that can leave is known by name, and none is a score; no verb compares a picture."""
    models = [one for one in vars(messages).values() if isinstance(one, type) and issubclass(one, BaseModel)]
    assert len(models) > 6
    numbers = {name for model in models for name, kind in _fields(model) if {int, float} & kind}
    assert numbers - NUMBERS == set()
    words = {name for model in [*models, *VERBS.values()] for name, _ in _fields(model)}
    assert [word for word in words if any(bad in word for bad in ("simil", "score", "cosine", "dist", "thresh"))] == []
    assert [verb for verb, model in VERBS.items() if "data" in model.model_fields] == ["enrol.photo"]


def _read(asked: Command) -> dict[str, Any] | str:
    """Return the args, or why there are none."""
    try:
        return read_args(asked).model_dump()
    except RefusedError as refusal:
        return str(refusal)


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, set[object]]]:
    """Give name and types of each field of a model."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        yield name, {kind, *get_args(kind)}


def _texts(sample: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give the place of each text in args."""
    if isinstance(sample, str):
        yield path
    elif isinstance(sample, dict | list):
        for name, value in sample.items() if isinstance(sample, dict) else enumerate(sample):
            yield from _texts(value, (*path, name))


def _with(sample: dict[str, Any], path: tuple[str | int, ...], text: str) -> dict[str, Any]:
    """Return the args with another text in this place."""
    args: dict[str, Any] = json.loads(json.dumps(sample))
    place: Any = args
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = text
    return args


def _at(args: Any, path: tuple[str | int, ...]) -> object:  # noqa: ANN401 - args of any verb
    for step in path:
        args = args[step]
    return args
