"""The ear that listens for people at the broker hears what it should."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from appliance.drivers.mqtt import Incoming
from tests.eavesdropping import findings

VECTOR = np.random.default_rng(7).standard_normal(512).astype(np.float32)
JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.mark.parametrize(
    ("level", "payload", "what"),
    [
        ("event", VECTOR.tobytes(), "embedding"),
        ("event", VECTOR[100:300].astype(">f8").tobytes(), "embedding"),
        ("approval/image", JPEG + VECTOR.tobytes(), "embedding"),
        ("event", json.dumps({"detail": base64.b64encode(VECTOR.tobytes()).decode()}).encode(), "embedding"),
        ("reply/guard", json.dumps({"result": VECTOR.astype("<f2").tobytes().hex()}).encode(), "embedding"),
        ("reply/guard", json.dumps({"result": VECTOR.tolist()}).encode(), "fractions"),
        ("event", json.dumps({"detail": " ".join(f"{one:.3f}" for one in VECTOR)}).encode(), "fractions"),
        ("event", JPEG, "picture"),
        ("reply/guard", json.dumps({"result": base64.b64encode(JPEG).decode()}).encode(), "picture"),
        ("event", json.dumps({"detail": "x" * 700}).encode(), "long text"),
        ("event", b'{"detail": "Ada Lovelace came"}', "name"),
        ("reply/guard", b'{"result": {"candidates": [{"likeness": 0.43}]}}', "likeness"),
        ("approval/request", b'{"candidates": ["a"], "similarities": [0.43]}', "similarities"),
    ],
)
def test_each_leak_is_found(level: str, payload: bytes, what: str) -> None:
    """J2, B13: a planted embedding, score, picture or name is found in each spelling."""
    (found,) = findings([Incoming(f"ostiary/a/{level}", payload, retained=False)], [VECTOR], ["Ada"], "ostiary/a/")[:1]
    assert what in found


def test_what_may_be_heard_is_no_finding() -> None:
    """J2: the ticket's picture, ids, numbers of an event, and the name where the enroller asked for it."""
    heard = [
        ("approval/image", JPEG),
        ("event", b'{"seq": 1, "decision_ms": 12.5, "liveness": 0.98, "hash": "' + b"ab" * 32 + b'"}'),
        ("reply/desk", b'{"result": {"people": [{"name": "Ada"}]}}'),
    ]
    messages = [Incoming(f"ostiary/a/{level}", payload, retained=False) for level, payload in heard]
    assert findings(messages, [VECTOR], ["Ada"], "ostiary/a/") == []
