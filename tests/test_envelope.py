"""The command envelope: nothing but a fresh, true, first-time command of a known client gets through."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.attendant import NotTaken
from appliance.clients import Registry
from appliance.contract import MAX_COMMAND_BYTES, VERB_ROLES, Role, Topic, topic
from appliance.envelope import (
    Client,
    Command,
    Fault,
    Refusal,
    open_envelope,
    sign,
    signed_bytes,
)
from appliance.signing import public_text

NOW = 1_800_000_000.5
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
GUARD = Client("guard", KEY.public_key(), Role.OPERATOR)
APPROVE = topic("front", Topic.CMD, "approve")
ARGS = {"ticket_id": "0123456789abcdef" * 2, "note": "grüß Gott \u0007"}
Fields = dict[str, Any]


class Counter:
    """Nonces kept in memory."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def advance(self, client: Client, nonce: int) -> bool:
        """As promised by Nonces."""
        if nonce <= self.last.get(client.client_id, -1):
            return False
        self.last[client.client_id] = nonce
        return True


def envelope(**changes: Any) -> bytes:  # noqa: ANN401 - any field of any type
    """Sign an approval by the guard, with some of it changed before it is signed."""
    given_: Fields = {
        "topic": APPROVE,
        "device_id": "front",
        "client_id": "guard",
        "verb": "approve",
        "args": ARGS,
        "now": NOW,
        "ttl_s": 30,
        "nonce": 7,
        "request_id": "r1",
    }
    key = changes.pop("key", KEY)
    return sign(key, **(given_ | changes))


def receive(payload: bytes, **changes: Any) -> Command | Refusal:  # noqa: ANN401 - any argument
    """Open the payload at the device `front`, which knows the guard only and has seen nothing yet."""
    given_: Fields = {
        "topic": APPROVE,
        "device_id": "front",
        "retained": False,
        "now": NOW,
        "keys": {"guard": GUARD}.get,
        "nonces": Counter(),
    }
    return open_envelope(payload, **(given_ | changes))


def why(payload: bytes, **changes: Any) -> Fault | None:  # noqa: ANN401 - any argument
    """Tell why the payload is refused; None when it is not."""
    opened = receive(payload, **changes)
    return opened.why if isinstance(opened, Refusal) else None


def altered(**changes: object) -> bytes:
    """Change fields of a signed envelope; None takes one out."""
    fields = json.loads(envelope()) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def resigned(**changes: object) -> bytes:
    """Change fields and sign again, as a hostile client with a key of its own would."""
    fields = json.loads(envelope()) | changes
    fields["sig"] = KEY.sign(signed_bytes(fields, APPROVE, "front")).hex()
    return json.dumps(fields).encode()


def test_a_true_command_comes_through_whole() -> None:
    """What was asked arrives as it was asked, under the client's own name and role."""
    assert receive(envelope()) == Command("guard", Role.OPERATOR, "approve", ARGS, "r1")


def test_the_signed_bytes_are_the_documented_ones() -> None:
    """docs/mqtt.md, known answer: another language can be held to these very bytes."""
    fields = json.loads(envelope(args={"ticket_id": "t", "n": [1, True, None], "s": 'é"\n'}))
    assert signed_bytes(fields, APPROVE, "front").decode() == (
        '{"args":{"n":[1,true,null],"s":"é\\"\\n","ticket_id":"t"},"client_id":"guard","device_id":"front",'
        '"exp":1800000030,"iat":1800000000,"nonce":7,"request_id":"r1","topic":"ostiary/front/cmd/approve","v":1,'
        '"verb":"approve"}'
    )


def test_a_retained_command_is_refused() -> None:
    """D3: what the broker kept was not said now."""
    assert receive(envelope(), retained=True) == Refusal(Fault.RETAINED)


def test_another_device_or_topic_refuses() -> None:
    """D5: a command for one door or verb has no meaning at another."""
    assert why(envelope(), topic=topic("back", Topic.CMD, "approve"), device_id="back") is Fault.BAD_SIGNATURE
    assert why(envelope(), topic=topic("front", Topic.CMD, "deny")) is Fault.WRONG_TOPIC
    assert why(envelope(device_id="back")) is Fault.BAD_SIGNATURE
    assert why(envelope(topic=topic("front", Topic.CMD, "deny"))) is Fault.BAD_SIGNATURE


def test_an_unknown_client_or_a_foreign_key_is_refused() -> None:
    """D6: only the key that was registered under this id counts."""
    assert why(envelope(client_id="nobody")) is Fault.UNKNOWN_CLIENT
    assert why(envelope(key=Ed25519PrivateKey.generate())) is Fault.BAD_SIGNATURE
    assert receive(envelope(client_id="nobody")) == Refusal(Fault.UNKNOWN_CLIENT, "nobody", "r1")


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        (NOW - 5, None),  # the client's clock runs ahead by the skew that is allowed
        (NOW - 6, Fault.FUTURE),
        (NOW + 29, None),
        (NOW + 29.5, Fault.EXPIRED),
        (NOW + 1e9, Fault.EXPIRED),
        (math.nan, Fault.FUTURE),
        (math.inf, Fault.EXPIRED),
        (-math.inf, Fault.FUTURE),
    ],
)
def test_a_command_holds_from_its_time_to_its_end(now: float, fault: Fault | None) -> None:
    """D6: expired or from the future is refused, and so is everything by a clock that is no number."""
    assert why(envelope(), now=now) is fault


@pytest.mark.parametrize(("ttl_s", "fault"), [(300, None), (301, Fault.LIFETIME), (0, Fault.LIFETIME)])
def test_no_command_lives_long(ttl_s: int, fault: Fault | None) -> None:
    """D5: a captured command is worthless after 300 s, whatever its client wrote."""
    assert why(envelope(ttl_s=ttl_s)) is fault


def test_a_role_has_its_verbs_and_no_other() -> None:
    """Every role may use the verbs of the table, and nothing beyond them."""
    for role in Role:
        keys = {"guard": Client("guard", KEY.public_key(), role)}.get
        for verb, roles in VERB_ROLES.items():
            place = topic("front", Topic.CMD, verb)
            fault = why(envelope(verb=verb, topic=place), topic=place, keys=keys)
            assert fault is (None if role in roles else Fault.VERB_NOT_ALLOWED)
    place = topic("front", Topic.CMD, "unbolt")
    assert why(envelope(verb="unbolt", topic=place), topic=place) is Fault.VERB_NOT_ALLOWED


def test_a_refusal_of_a_true_envelope_says_so() -> None:
    """Whether the ids can be believed is told, so that nobody is answered in another's name."""
    assert receive(envelope(), now=NOW + 60) == Refusal(Fault.EXPIRED, "guard", "r1", authentic=True)


_DEEP = b"[" * 30_000 + b"]" * 30_000
_SIGNED = envelope()
_NO_LEVELS = ("", "+", "#", "a/b", "$SYS", "a\0", "a" * 64, "../x", "approve.", "'; DROP", "$(reboot)", "é")


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b"", Fault.NOT_JSON),
        (b" " * (MAX_COMMAND_BYTES + 1), Fault.TOO_LARGE),
        (b"\0" * 10_000_000, Fault.TOO_LARGE),
        (_SIGNED[:-1], Fault.NOT_JSON),
        (_SIGNED + b"{}", Fault.NOT_JSON),
        (b"\xef\xbb\xbf" + _SIGNED, Fault.NOT_JSON),
        (_SIGNED.decode().encode("utf-16"), Fault.NOT_UTF8),
        (_SIGNED.decode().encode("utf-32-le"), Fault.NOT_UTF8),
        ("{}".encode("utf-16-le"), Fault.NOT_JSON),
        (_SIGNED.replace(b"guard", b"gu\xc0\xa1rd"), Fault.NOT_UTF8),  # overlong
        (_SIGNED.replace(b"guard", b"gu\xed\xa0\x80rd"), Fault.NOT_UTF8),  # a surrogate
        (_SIGNED.replace(b'"v":1', b'"v":1,"v":1'), Fault.NOT_JSON),
        (_SIGNED.replace(b'{"note"', b'{"note":"x","note"'), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":NaN'), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":Infinity'), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":7.0'), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":1e400'), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":' + b"9" * 60_000), Fault.NOT_JSON),
        (_SIGNED.replace(b'"nonce":7', b'"nonce":9007199254740992'), Fault.WRONG_FIELDS),
        (_DEEP, Fault.NOT_JSON),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, Fault.NOT_JSON),
        (b"[" * 60_000, Fault.NOT_JSON),
        (b"[]", Fault.WRONG_FIELDS),
        (b"null", Fault.WRONG_FIELDS),
        (b"{}", Fault.WRONG_FIELDS),
        (altered(extra=1), Fault.WRONG_FIELDS),
        (altered(sig=None), Fault.WRONG_FIELDS),
        (altered(sig="0" * 128), Fault.BAD_SIGNATURE),
        (altered(sig=json.loads(_SIGNED)["sig"].upper()), Fault.WRONG_FIELDS),
        (altered(v=2), Fault.WRONG_VERSION),
        (altered(v=True), Fault.WRONG_FIELDS),
        (altered(v="1"), Fault.WRONG_FIELDS),
        (altered(nonce=True), Fault.WRONG_FIELDS),
        (altered(nonce=-1), Fault.WRONG_FIELDS),
        (altered(args=[]), Fault.WRONG_FIELDS),
        (altered(args={"A": 1}), Fault.WRONG_FIELDS),
        (altered(args={"a": 2**53}), Fault.WRONG_FIELDS),
        (altered(args={"a": "\ud800"}), Fault.WRONG_FIELDS),
        (altered(args={"a": [[[[[[[[1]]]]]]]]}), Fault.WRONG_FIELDS),
        (altered(args={"ticket_id": "x"}), Fault.BAD_SIGNATURE),
        *((altered(client_id=bad), Fault.WRONG_FIELDS) for bad in _NO_LEVELS),
        *((altered(verb=bad), Fault.WRONG_FIELDS) for bad in _NO_LEVELS),
        (altered(request_id="a/#"), Fault.WRONG_FIELDS),
        (resigned(), None),
    ],
)
def test_malformed_envelopes_are_refused_by_name(payload: bytes, fault: Fault | None) -> None:
    """D6, D7: broken encodings, doubled keys, numbers and nesting out of range, ids that could name a topic."""
    assert why(payload) is fault


def test_text_that_looks_like_code_is_only_text() -> None:
    """D8: what another program might run comes through as the characters it is."""
    for text in ("'; DROP TABLE client; --", "$(reboot)", "%n%s", "{{7*7}}", "\u202e", "\0"):
        opened = receive(envelope(args={"note": text}))
        assert isinstance(opened, Command)
        assert opened.args["note"] == text


def test_a_second_copy_is_refused() -> None:
    """D5, D12: the same command again, or an older one, has no effect."""
    nonces = Counter()
    assert why(envelope(nonce=7), nonces=nonces) is None
    assert why(envelope(nonce=7), nonces=nonces) is Fault.REPLAYED
    assert why(envelope(nonce=6), nonces=nonces) is Fault.REPLAYED
    assert why(envelope(nonce=8), nonces=nonces) is None


def test_a_replay_after_a_restart_is_refused(tmp_path: Path) -> None:
    """D5: the nonce is on disk before the command is there, so a power cut gives no second chance."""
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, public_text(KEY))
        assert why(envelope(), keys=registry.find, nonces=registry) is None
    with Registry(tmp_path / "clients.db") as registry:
        assert why(envelope(), keys=registry.find, nonces=registry) is Fault.REPLAYED
        assert why(envelope(nonce=8), keys=registry.find, nonces=registry) is None


def test_a_revoked_client_is_unknown(tmp_path: Path) -> None:
    """D4: from the moment of revocation nothing of this client counts."""
    with Registry(tmp_path / "clients.db") as registry:
        registry.add("guard", Role.OPERATOR, public_text(KEY))
        registry.revoke("guard")
        assert why(envelope(), keys=registry.find, nonces=registry) is Fault.UNKNOWN_CLIENT


def test_a_refused_command_does_not_use_its_nonce_up() -> None:
    """Somebody who cannot sign cannot move a client's nonce either."""
    nonces = Counter()
    assert why(envelope(nonce=9, key=Ed25519PrivateKey.generate()), nonces=nonces) is Fault.BAD_SIGNATURE
    assert nonces.last == {}


@pytest.mark.parametrize("args", [{"a": 1.5}, {"a": math.nan}, {"A": 1}, {"a": "x" * 70_000}, {"a": 2**60}])
def test_a_client_cannot_sign_what_no_device_takes(args: Fields) -> None:
    """A mistake shows where it is made, not as silence from the door."""
    with pytest.raises(ValueError):  # noqa: PT011 - json and we word it differently
        envelope(args=args)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_refused_quietly(payload: bytes) -> None:
    """D6: nothing that can arrive raises or is taken for a command."""
    assert isinstance(receive(payload), Refusal)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(json.loads(_SIGNED))), _json)
def test_any_value_in_any_field_is_refused(name: str, value: object) -> None:
    """D6: whatever stands in a field that was not signed so, nothing raises and nothing gets through."""
    fields = json.loads(_SIGNED)
    if fields[name] != value or type(fields[name]) is not type(value):
        assert isinstance(receive(json.dumps(fields | {name: value}).encode()), Refusal)


_plain_args = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=40),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(_plain_args)
def test_whatever_a_client_may_sign_arrives_as_it_was(args: Fields) -> None:
    """Every text and number within the bounds survives signing, sending and reading."""
    opened = receive(envelope(args=args))
    assert isinstance(opened, Command)
    assert opened.args == args


def test_every_flip_of_one_bit_is_refused() -> None:
    """D6: all of them, one after the other."""
    for place in range(len(_SIGNED) * 8):
        payload = bytearray(_SIGNED)
        payload[place // 8] ^= 1 << place % 8
        assert isinstance(receive(bytes(payload)), Refusal), f"bit {place} can be flipped"


def test_the_document_knows_every_word_and_its_example_is_true() -> None:
    """docs/mqtt.md: each verb, role and refusal stands there, and the known answer opens and verifies."""
    text = (Path(__file__).parent.parent / "docs" / "mqtt.md").read_text()
    for verb, roles in VERB_ROLES.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{verb}`"))
        assert {role for role in Role if role.value in row} == roles
    assert [word for word in [*Fault, *NotTaken] if f"`{word}`" not in text] == []
    shown = dict(line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("signed {", "sent   {")))
    assert public_text(KEY) in text
    assert signed_bytes(json.loads(shown["sent"]), APPROVE, "front").decode() == shown["signed"]
    assert isinstance(receive(shown["sent"].encode(), now=1_800_000_001), Command)
