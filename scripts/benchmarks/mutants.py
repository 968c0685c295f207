"""What somebody who has captured a true command, or has a key of their own, can make of it; each must be refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.contract import VERB_ROLES, Role, Topic, topic
from appliance.envelope import sign

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group: S + this is the same point (RFC 8032)
_APPROVE = topic("front", Topic.CMD, "approve")
_NOT_INTEGERS = ("7.0", "7e0", "1e400", "NaN", "Infinity", "-1", "07", "+7", "true", "null", '"7"', "[7]", "9" * 500)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One message as it arrives."""

    payload: bytes
    topic: str = _APPROVE
    retained: bool = False


@dataclass(slots=True)
class Scene:
    """What there is to work with; `fresh` has not been sent, and is sent unchanged when it has served."""

    chance: random.Random
    keys: dict[str, Ed25519PrivateKey]
    now: float = 1_800_000_000.0
    nonce: int = 1_000  # of the newest true command
    fresh: bytes = b""
    sent: bytes = b""  # the last that was accepted
    elsewhere: bytes = b""  # for the door `back`, by the same client

    def signed(self, **changes: Any) -> bytes:  # noqa: ANN401 - any field of any type
        """Return an approval by the guard, with some of it changed before it is signed."""
        given: dict[str, Any] = {
            "topic": _APPROVE,
            "device_id": "front",
            "client_id": "guard",
            "verb": "approve",
            "args": {
                "ticket_id": f"{self.chance.getrandbits(128):032x}",
                "note": 'é"\n\u0007',
                "list": [1, True, None],
            },
            "now": self.now,
            "ttl_s": 20,
            "nonce": self.nonce + 1,
            "request_id": f"r-{self.chance.getrandbits(32)}",
        }
        key = changes.pop("key", self.keys["guard"])
        return sign(key, **(given | changes))

    def next(self) -> None:
        """Take the next true command in hand."""
        self.now += 0.5
        self.nonce += 2
        self.fresh = self.signed()
        self.elsewhere = self.signed(device_id="back", topic=topic("back", Topic.CMD, "approve"))


def attempt(scene: Scene) -> tuple[str, Attempt]:
    """Return one more attempt, and what kind it is."""
    name = scene.chance.choice(KINDS)
    while True:
        made = _MAKERS[name](scene)
        if made.topic != _APPROVE or made.retained or not _means(made.payload, scene.fresh):
            return name, made


def respelled(scene: Scene) -> bytes:
    """Return the true command in hand in other words: another order, blanks, escapes. A door takes it."""
    fields = list(json.loads(scene.fresh).items())
    scene.chance.shuffle(fields)
    return json.dumps(dict(fields), ensure_ascii=True, indent=scene.chance.choice((None, 1, 3))).encode()


def _means(payload: bytes, other: bytes) -> bool:
    """Tell whether both are the same command, whatever the spelling."""
    try:
        return bool(json.loads(payload.decode()) == json.loads(other)) and payload.count(b'"sig"') == 1
    except (ValueError, RecursionError):
        return False


def _bits(scene: Scene) -> Attempt:
    payload = bytearray(scene.fresh)
    for _ in range(scene.chance.randint(1, 3)):
        payload[scene.chance.randrange(len(payload))] ^= 1 << scene.chance.randrange(8)
    return Attempt(bytes(payload))


def _bytes(scene: Scene) -> Attempt:
    payload, chance = bytearray(scene.fresh), scene.chance
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(payload) + 1)
        end = min(len(payload), start + chance.randint(0, 12))
        piece = (b"", bytes(payload[end - 5 : end]), chance.randbytes(end - start), b'{"', b"9", b"\\u0000")
        payload[start:end] = chance.choice(piece)
    return Attempt(bytes(payload))


def _cut(scene: Scene) -> Attempt:
    where = scene.chance.randrange(len(scene.fresh))
    return Attempt(scene.chance.choice((scene.fresh[:where], scene.fresh[where:])))


def _lengthened(scene: Scene) -> Attempt:
    more = scene.chance.choice((b"{}", b"\0", b"}", b",", b"x", scene.fresh, b"\xff"))
    return Attempt(scene.chance.choice((scene.fresh + more, more + scene.fresh)))


def _spliced(scene: Scene) -> Attempt:
    other = scene.chance.choice((scene.sent, scene.elsewhere))
    where = scene.chance.randrange(len(scene.fresh))
    return Attempt(scene.fresh[:where] + other[where:])


def _encoded(scene: Scene) -> Attempt:
    text = scene.fresh.decode()
    coded = [
        text.encode(code) for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "latin-1")
    ]
    where = scene.chance.randrange(len(scene.fresh))
    byte = scene.fresh[where]
    overlong = scene.fresh[:where] + bytes((0xC0 | byte >> 6, 0x80 | byte & 0x3F)) + scene.fresh[where + 1 :]
    return Attempt(scene.chance.choice([*coded, overlong]))


def _changed(payload: bytes, **fields: object) -> Attempt:
    """Return the payload with fields changed and the signature as it was; None takes a field out."""
    changed = json.loads(payload) | fields
    kept = {name: value for name, value in changed.items() if value is not None}
    return Attempt(json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode())


def _field_swapped(scene: Scene) -> Attempt:
    fields = json.loads(scene.fresh)
    one, other = scene.chance.sample(sorted(fields), 2)
    return _changed(scene.fresh, **{one: fields[other], other: fields[one]})


def _field_of_another(scene: Scene) -> Attempt:
    others = json.loads(scene.chance.choice((scene.sent, scene.elsewhere)))
    name = scene.chance.choice(sorted(others))
    return _changed(scene.fresh, **{name: others[name]})


def _field_lost(scene: Scene) -> Attempt:
    return _changed(scene.fresh, **{scene.chance.choice(sorted(json.loads(scene.fresh))): None})


def _field_added(scene: Scene) -> Attempt:
    name = scene.chance.choice(("role", "door", "device_id", "topic", "V", "sig2", "", "__proto__"))
    return _changed(scene.fresh, **{name: scene.chance.choice(("admin", 1, [], {}))})


def _doubled(scene: Scene) -> Attempt:
    fields = json.loads(scene.fresh)
    name = scene.chance.choice(sorted(fields))
    other = json.dumps({name: scene.chance.choice(("eve", 7, fields[name]))})[1:-1].encode()
    inside = scene.fresh.replace(b'"args":{', b'"args":{"note":"x",', 1)
    first, last = b"{" + other + b"," + scene.fresh[1:], scene.fresh[:-1] + b"," + other + b"}"
    return Attempt(scene.chance.choice((first, last, inside)))


def _number(scene: Scene) -> Attempt:
    fields = json.loads(scene.fresh)
    name = scene.chance.choice(("v", "iat", "exp", "nonce"))
    true, other = f'"{name}":{fields[name]}', f'"{name}":{scene.chance.choice(_NOT_INTEGERS)}'
    return Attempt(scene.fresh.replace(true.encode(), other.encode()))


def _nested(scene: Scene) -> Attempt:
    depth = scene.chance.choice((9, 100, 10_000))
    value = b"[" * depth + b"]" * depth
    return Attempt(scene.fresh.replace(b'"list":[', b'"list":' + value + b',"more":[', 1))


def _args(scene: Scene) -> Attempt:
    args = json.loads(scene.fresh)["args"]
    other = scene.chance.choice(({}, {"ticket_id": "0" * 32}, args | {"role": "admin"}, args | {"list": [1, True]}))
    return _changed(scene.fresh, args=other)


def _signature(scene: Scene) -> Attempt:
    sig = json.loads(scene.fresh)["sig"]
    high = int.from_bytes(bytes.fromhex(sig[64:]), "little") + _ORDER  # the malleable twin, which RFC 8032 refuses
    twin = sig[:64] + high.to_bytes(32, "little").hex()
    other = json.loads(scene.elsewhere)["sig"]
    identity = "01" + "0" * 126  # the neutral point with S = 0: true under any small-order key
    forged = (twin, sig.upper(), "0" * 128, identity, sig[64:] + sig[:64], other, sig[:64] + other[64:], sig[:-2], "")
    return _changed(scene.fresh, sig=scene.chance.choice(forged))


def _renewed(scene: Scene) -> Attempt:
    nonce, now = scene.nonce + scene.chance.randint(1, 1000), int(scene.now)
    return _changed(scene.sent, nonce=nonce, iat=now, exp=now + 20)


def _replayed(scene: Scene) -> Attempt:
    return Attempt(scene.sent)


def _reordered(scene: Scene) -> Attempt:
    return Attempt(scene.signed(nonce=scene.nonce - scene.chance.randint(2, 900)))


def _expired(scene: Scene) -> Attempt:
    return Attempt(scene.signed(now=scene.now - scene.chance.randint(21, 100_000)))


def _future(scene: Scene) -> Attempt:
    return Attempt(scene.signed(now=scene.now + scene.chance.randint(7, 100_000)))


def _long_lived(scene: Scene) -> Attempt:
    return Attempt(scene.signed(ttl_s=scene.chance.choice((301, 3600, 10**9, 0, -5))))


def _wrong_device(scene: Scene) -> Attempt:
    door, place = scene.chance.choice(
        (("back", _APPROVE), ("Front", _APPROVE), ("front", topic("back", Topic.CMD, "approve")))
    )
    return Attempt(scene.chance.choice((scene.signed(device_id=door, topic=place), scene.elsewhere)))


def _wrong_topic(scene: Scene) -> Attempt:
    verb = scene.chance.choice([one for one in VERB_ROLES if one != "approve"])
    elsewhere = scene.signed(verb=verb, topic=topic("front", Topic.CMD, verb))
    return scene.chance.choice((Attempt(scene.fresh, topic("front", Topic.CMD, verb)), Attempt(elsewhere)))


def _retained(scene: Scene) -> Attempt:
    return Attempt(scene.chance.choice((scene.fresh, scene.sent)), retained=True)


def _wrong_key(scene: Scene) -> Attempt:
    return Attempt(scene.signed(key=scene.keys[scene.chance.choice(("book", "gone", "eve"))]))


def _unknown(scene: Scene) -> Attempt:
    name = scene.chance.choice(("eve", "Guard", "guard_", "guard-1"))
    return Attempt(scene.signed(client_id=name, key=scene.keys[scene.chance.choice(("eve", "guard"))]))


def _revoked(scene: Scene) -> Attempt:
    return Attempt(scene.signed(client_id="gone", key=scene.keys["gone"], nonce=scene.nonce * 1000))


def _role(scene: Scene) -> Attempt:
    """Return what a client asks that its role may not: an auditor an operator's verb, an admin one that is none."""
    own = {"client_id": "book", "key": scene.keys["book"], "nonce": scene.nonce * 1000}
    theirs = [verb for verb, roles in VERB_ROLES.items() if Role.AUDITOR not in roles]
    verb = scene.chance.choice([*theirs, "join", "unbolt"])
    place = topic("front", Topic.CMD, verb)
    return Attempt(scene.signed(verb=verb, topic=place, args={"role": "admin"}, **own), place)


_MAKERS: dict[str, Callable[[Scene], Attempt]] = {
    "bits flipped": _bits,
    "bytes changed": _bytes,
    "cut short": _cut,
    "lengthened": _lengthened,
    "two spliced": _spliced,
    "encoded otherwise": _encoded,
    "fields swapped": _field_swapped,
    "field of another": _field_of_another,
    "field lost": _field_lost,
    "field added": _field_added,
    "key twice": _doubled,
    "no integer": _number,
    "nested": _nested,
    "other args": _args,
    "other signature": _signature,
    "replayed, renewed": _renewed,
    "replayed": _replayed,
    "out of order": _reordered,
    "expired": _expired,
    "from the future": _future,
    "wrong lifetime": _long_lived,
    "for another device": _wrong_device,
    "on another topic": _wrong_topic,
    "retained": _retained,
    "another's key": _wrong_key,
    "unknown client": _unknown,
    "revoked client": _revoked,
    "beyond the role": _role,
}
KINDS = tuple(_MAKERS)
