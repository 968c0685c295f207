"""Passkeys: challenges, and answers that no browser gives."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from starlette.requests import Request

from appliance.errors import RefusedError
from appliance.web.factors import Passkey
from appliance.web.passkeys import OPEN_AT_ONCE, OPEN_S, Passkeys, credential_id_of, possible

KNOWN = Passkey(b"\0", "ada", "telephone", b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + bytes(32), 0, 0.0, None)


class Clock:
    """A clock that stands still until it is told."""

    now_s = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


def called(host: str = "localhost:8480", scheme: str = "http") -> Request:
    """Return a request that called us by this name."""
    headers = [(b"host", host.encode())]
    return Request({"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "headers": headers})


def encoded(raw: bytes) -> str:
    """Return bytes as WebAuthn's JSON has them."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def answer_to(options: str, **response: object) -> dict[str, Any]:
    """Return what a browser might answer, with these fields."""
    said = {
        "type": "webauthn.get" if "rpId" in options else "webauthn.create",
        "challenge": json.loads(options)["challenge"],
        "origin": "http://localhost:8480",
    }
    parts = {"clientDataJSON": encoded(json.dumps(said).encode()), **response}
    return {"id": "AA", "rawId": "AA", "type": "public-key", "response": parts}


JUNK: list[object] = ["", "AA", "!", "é", None, 5, [], {}, encoded(b"\xff"), encoded(b"\x9f" * 200), encoded(bytes(37))]
JUNK += [encoded(random.Random(number).randbytes(20 * number)) for number in range(1, 9)]  # noqa: S311 - no secrets
# Maps of CBOR with a format, no statement, and data of an authenticator that end early or hold no point of the curve.
JUNK += [
    encoded(b"\xa3cfmtdnonegattStmt\xa0hauthData" + data)
    for data in (b"\x41\0", b"\x58\x25" + bytes(32) + b"\x45" + bytes(4), b"\x05", b"\xe1", b"\x58\x37" + bytes(55))
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_an_answer_that_is_none_is_refused(junk: object) -> None:
    """E9: whatever stands in an answer's fields, it is a refusal in one line and no fault of the web."""
    passkeys = Passkeys()
    request = called()
    for field in ("attestationObject", "authenticatorData", "signature", "clientDataJSON"):
        fields = {"attestationObject": "AA", "authenticatorData": "AA", "signature": "AA", field: junk}
        with pytest.raises(RefusedError):
            passkeys.registered(request, "ada", "x", answer_to(passkeys.to_register(request, "ada", []), **fields), 0.0)
        with pytest.raises(RefusedError):
            passkeys.signed(request, KNOWN, answer_to(passkeys.to_sign_in(request), **fields))


@pytest.mark.parametrize("answer", [{}, {"rawId": 5}, {"rawId": "é"}])
def test_an_answer_without_a_name_is_refused(answer: dict[str, Any]) -> None:
    """E9: an answer that does not say which passkey it is of is refused in one line."""
    with pytest.raises(RefusedError):
        credential_id_of(answer)


def test_a_challenge_is_for_one_answer_one_purpose_and_two_minutes() -> None:
    """E9: one that was answered, is too old, was for another account or for registering is not open."""
    clock, request = Clock(), called()
    passkeys = Passkeys(clock)

    def refusal(answer: dict[str, Any]) -> str:
        with pytest.raises(RefusedError) as refused:
            passkeys.signed(request, KNOWN, answer)
        return str(refused.value)

    answer = answer_to(passkeys.to_sign_in(request), authenticatorData="AA", signature="AA")
    assert "was not accepted" in refusal(answer)
    assert "took too long" in refusal(answer)
    answer = answer_to(passkeys.to_sign_in(request))
    clock.now_s += OPEN_S
    assert "took too long" in refusal(answer)
    assert "took too long" in refusal(answer_to(passkeys.to_register(request, "ada", [])))
    first = answer_to(passkeys.to_sign_in(request))
    for _ in range(OPEN_AT_ONCE):
        passkeys.to_sign_in(request)
    assert "took too long" in refusal(first)


@pytest.mark.parametrize(
    ("host", "scheme", "can"),
    [
        ("localhost:8480", "http", True),
        ("door.local", "https", True),
        ("door.local", "http", False),
        ("127.0.0.1:8480", "http", False),
        ("192.168.7.3", "https", False),
        ("[::1]:8480", "https", False),
    ],
)
def test_passkeys_need_a_name(host: str, scheme: str, *, can: bool) -> None:
    """E9: WebAuthn binds passkeys to a host name over TLS, or to this machine; elsewhere none is asked for."""
    assert possible(called(host, scheme)) is can
    if not can:
        with pytest.raises(RefusedError, match="host name"):
            Passkeys().to_sign_in(called(host, scheme))
