"""The command envelope: what a client signed, for this device and verb, now and once; or why it is refused.

docs/mqtt.md describes the bytes for other languages.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from cryptography.exceptions import InvalidSignature

from appliance.contract import JOIN, MAX_COMMAND_BYTES, VERB_ROLES, Role, Topic, is_identifier
from appliance.contract import topic as topic_of
from appliance.errors import UsageError
from appliance.records import ActorKind
from appliance.signing import read_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VERSION = 1
MAX_LIFETIME_S = 300
MAX_INTEGER = 2**53 - 1  # the largest that every JSON reader keeps exact (RFC 8259, section 6)
MAX_DEPTH = 8  # of args

_FIELDS: Mapping[str, type] = MappingProxyType(
    {
        "v": int,
        "request_id": str,
        "client_id": str,
        "verb": str,
        "args": dict,
        "iat": int,
        "exp": int,
        "nonce": int,
        "sig": str,
    }
)
_SIGNATURE = re.compile(r"[0-9a-f]{128}")  # lower-case hex has one spelling only; base64 has spare bits
_PROOF = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Fault(StrEnum):
    """Why an envelope is refused; the closed list of `error` in a reply to one."""

    RETAINED = "retained"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"  # also duplicate keys, fractions, NaN, huge numbers and deep nesting
    WRONG_FIELDS = "wrong_fields"  # missing, unknown, or of the wrong type
    WRONG_VERSION = "wrong_version"
    WRONG_TOPIC = "wrong_topic"
    UNKNOWN_CLIENT = "unknown_client"  # or revoked
    BAD_SIGNATURE = "bad_signature"
    LIFETIME = "lifetime"  # none, or over 300 s
    EXPIRED = "expired"
    FUTURE = "future"
    VERB_NOT_ALLOWED = "verb_not_allowed"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may send commands: a key and what it is for."""

    client_id: str
    key: Ed25519PublicKey
    role: Role


class Nonces(Protocol):
    """The highest nonce of each client, which outlives a power cut."""

    def advance(self, client: Client, nonce: int) -> bool:
        """Store the nonce durably and return True where it lies above the client's last; else False.

        Also False for a client that is unknown or revoked by now, or has another key or role.
        """


@dataclass(frozen=True, slots=True)
class Command:
    """What a known client asks for, here, now and for the first time. It may be acted on."""

    client_id: str
    role: Role
    verb: str
    args: Mapping[str, Any]
    request_id: str
    method: str = "mqtt"  # the way it came, as the audit log names it
    actor: ActorKind = ActorKind.CLIENT  # what `client_id` is the id of


@dataclass(frozen=True, slots=True)
class Joining:
    """Somebody who is not known yet, and holds the private key of the one they would be known by."""

    client_id: str
    key: Ed25519PublicKey
    proof: str  # 64 hexadecimal digits, to be compared: appliance/pairing.py
    request_id: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is done. The ids are "" where none could be read."""

    why: Fault
    client_id: str = ""
    request_id: str = ""
    authentic: bool = False  # the signature held: the ids are true, and an answer goes to whoever asked


def sign(
    key: Ed25519PrivateKey,
    *,
    topic: str,
    device_id: str,
    client_id: str,
    verb: str,
    args: Mapping[str, Any],
    now: float,
    ttl_s: int,
    nonce: int,
    request_id: str,
) -> bytes:
    """Return the payload of a command, signed; `now` in Unix seconds.

    Raises ValueError for args or ids that no device would take (`open_envelope` says which).
    """
    fields: dict[str, Any] = {
        "v": VERSION,
        "request_id": request_id,
        "client_id": client_id,
        "verb": verb,
        "args": dict(args),
        "iat": int(now),
        "exp": int(now) + ttl_s,
        "nonce": nonce,
    }
    fields["sig"] = key.sign(signed_bytes(fields, topic, device_id)).hex()
    payload = _compact(fields)
    if len(payload) > MAX_COMMAND_BYTES or not _well_formed(fields):
        msg = f"the command {verb} ({len(payload)} bytes) cannot be sent: its ids, args or size are out of range"
        raise ValueError(msg)
    return payload


def signed_bytes(fields: Mapping[str, Any], topic: str, device_id: str) -> bytes:
    """Return the bytes that a signature covers: all but `sig`, with where the command goes.

    For the values that an envelope may hold, these are the bytes of RFC 8785.
    """
    covered = {name: value for name, value in fields.items() if name != "sig"}
    return _compact(covered | {"topic": topic, "device_id": device_id})


def open_envelope(
    payload: bytes,
    *,
    topic: str,
    device_id: str,
    retained: bool,
    now: float,
    keys: Callable[[str], Client | None],
    nonces: Nonces,
    skew_s: float = 5,
) -> Command | Refusal:
    """Return the command in `payload`, with its nonce durable already, or why there is none.

    No payload raises. `now` is in Unix seconds; `skew_s` is how far ahead a client's clock may run. What
    `keys` and `nonces` raise (StorageError) passes through: what cannot be noted is not done.
    """
    fields = _addressed(payload, topic, device_id, retained=retained)
    if isinstance(fields, Refusal):
        return fields
    ids = (fields["client_id"], fields["request_id"])
    client = keys(fields["client_id"])
    if client is None:
        return Refusal(Fault.UNKNOWN_CLIENT, *ids)
    if not _authentic(client.key, fields, topic, device_id):
        return Refusal(Fault.BAD_SIGNATURE, *ids)
    fault = _untimely(fields, now, skew_s) or _not_allowed(client, fields["verb"])
    if fault is None and not nonces.advance(client, fields["nonce"]):
        fault = Fault.REPLAYED
    if fault is not None:
        return Refusal(fault, *ids, authentic=True)
    return Command(client.client_id, client.role, fields["verb"], MappingProxyType(fields["args"]), ids[1])


def open_joining(
    payload: bytes, *, topic: str, device_id: str, retained: bool, now: float, skew_s: float = 5
) -> Joining | Refusal:
    """Return who would join, or why nobody would. No payload raises; otherwise as `open_envelope`.

    The envelope is signed with the very key that is in it: whoever joins has it, for this device, now.
    """
    fields = _addressed(payload, topic, device_id, retained=retained)
    if isinstance(fields, Refusal):
        return fields
    ids = (fields["client_id"], fields["request_id"])
    if fields["verb"] != JOIN:
        return Refusal(Fault.VERB_NOT_ALLOWED, *ids)
    try:
        key, proof = read_public_key(str(fields["args"].get("public_key"))), str(fields["args"].get("proof"))
    except UsageError:
        return Refusal(Fault.WRONG_FIELDS, *ids)
    if len(fields["args"]) != 2 or _PROOF.fullmatch(proof) is None:
        return Refusal(Fault.WRONG_FIELDS, *ids)
    if not _authentic(key, fields, topic, device_id):
        return Refusal(Fault.BAD_SIGNATURE, *ids)
    fault = _untimely(fields, now, skew_s)
    return Joining(ids[0], key, proof, ids[1]) if fault is None else Refusal(fault, *ids)


def _addressed(payload: bytes, topic: str, device_id: str, *, retained: bool) -> dict[str, Any] | Refusal:
    """Return the fields of a well-formed envelope that came where it says; nothing in it is trusted yet."""
    fields = Fault.RETAINED if retained else _read(payload)
    if isinstance(fields, Fault):
        return Refusal(fields)
    if topic != topic_of(device_id, Topic.CMD, fields["verb"]):
        return Refusal(Fault.WRONG_TOPIC, fields["client_id"], fields["request_id"])
    return fields


def _read(payload: bytes) -> dict[str, Any] | Fault:
    """Return the fields of a well-formed envelope; nothing in it is trusted yet."""
    if len(payload) > MAX_COMMAND_BYTES:
        return Fault.TOO_LARGE
    try:
        text = payload.decode("utf-8")  # json.loads would guess UTF-16 and UTF-32 from bytes
    except UnicodeDecodeError:
        return Fault.NOT_UTF8
    try:
        fields = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
        )
    except (ValueError, RecursionError):
        return Fault.NOT_JSON
    if not isinstance(fields, dict) or not _well_formed(fields):
        return Fault.WRONG_FIELDS
    return fields if fields["v"] == VERSION else Fault.WRONG_VERSION


def _well_formed(fields: Mapping[str, Any]) -> bool:
    if fields.keys() != _FIELDS.keys() or any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
        return False
    return (
        is_identifier(fields["client_id"])
        and is_identifier(fields["request_id"])
        and all(is_identifier(part) for part in fields["verb"].split("."))
        and all(0 <= fields[name] <= MAX_INTEGER for name in ("iat", "exp", "nonce"))
        and _SIGNATURE.fullmatch(fields["sig"]) is not None
        and _plain(fields["args"], MAX_DEPTH)
    )


def _plain(value: object, depth: int) -> bool:
    """Tell whether every JSON writer would spell this value the same way."""
    if value is None or type(value) is bool:
        return True
    if type(value) is int:
        return abs(value) <= MAX_INTEGER
    if type(value) is str:
        return not any("\ud800" <= char <= "\udfff" for char in value)  # half a character, from an escape
    if type(value) is list:
        return depth > 0 and all(_plain(one, depth - 1) for one in value)
    if type(value) is dict:
        named = all(type(name) is str and _NAME.fullmatch(name) for name in value)
        return depth > 0 and named and all(_plain(one, depth - 1) for one in value.values())
    return False


def _authentic(key: Ed25519PublicKey, fields: Mapping[str, Any], topic: str, device_id: str) -> bool:
    try:
        key.verify(bytes.fromhex(fields["sig"]), signed_bytes(fields, topic, device_id))
    except InvalidSignature:
        return False
    return True


def _untimely(fields: Mapping[str, Any], now: float, skew_s: float) -> Fault | None:
    if not 0 < fields["exp"] - fields["iat"] <= MAX_LIFETIME_S:
        return Fault.LIFETIME
    if not fields["iat"] <= now + skew_s:  # this way round, a clock that is NaN refuses
        return Fault.FUTURE
    if not now < fields["exp"]:
        return Fault.EXPIRED
    return None


def _not_allowed(client: Client, verb: str) -> Fault | None:
    return None if client.role in VERB_ROLES.get(verb, ()) else Fault.VERB_NOT_ALLOWED


def _compact(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        msg = "a key stands twice"
        raise ValueError(msg)
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 17:  # reading thousands of digits costs their square
        raise ValueError("a number is too long")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    msg = f"{text[:20]} is not an integer"
    raise ValueError(msg)
