"""What somebody who hears everything at the broker could learn of people."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from appliance.drivers.mqtt import Incoming

_RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")  # may be base64 or hexadecimal
_DECIMALS = re.compile(rb"(?:-?\d+\.\d+(?:e-?\d+)?[\s,;]+){4}")
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"RIFF")
_NUMBERS = {"liveness", "decision_ms", "for_s"}  # fractions that an event or a state has
_PIECE = 3  # components of an embedding that no chance brings together
_LONGEST = 600  # letters of a text that is meant to be read


def findings(
    heard: Iterable[Incoming], vectors: Sequence[NDArray[np.float32]], names: Sequence[str], root: str
) -> list[str]:
    """Return what was heard under `root` that nobody should hear, one line each; [] is as it should be.

    That is: a piece of one of the `vectors` in any spelling, a row of fractions, a fraction that is no time and not the
    liveness (B13), a picture outside of the ticket's, a text too long to be read, and a name anywhere but in the
    enroller's own command and its reply.
    """
    pieces = set(_pieces(vectors))
    found = []
    for incoming in heard:
        level, payload = incoming.topic.removeprefix(root), incoming.payload
        picture = level in {"approval/image", "ha/image"}
        readings = [payload, *_decoded(payload)]
        said = [
            "a piece of an embedding" if any(piece in text for text in readings for piece in pieces) else "",
            "a row of fractions" if _DECIMALS.search(payload) else "",
            *(f"a number called {name}, perhaps a score" for name in _numbers(payload) - _NUMBERS),
            "a picture" if not picture and any(kind in text for text in readings for kind in _PICTURES) else "",
            "a long text" if not picture and any(len(text) > _LONGEST for text in _texts(payload)) else "",
            "" if picture or level.startswith(("cmd/person.", "reply/")) else _named(payload, names),
        ]
        found += [f"{incoming.topic} holds {what}" for what in said if what]
    return found


def _pieces(vectors: Sequence[NDArray[np.float32]]) -> Iterator[bytes]:
    for vector in vectors:
        for start in range(0, len(vector) - _PIECE, len(vector) // 16):
            for kind in ("<f4", ">f4", "<f8", ">f8", "<f2", ">f2"):
                yield vector[start : start + _PIECE].astype(kind).tobytes()


def _decoded(payload: bytes) -> Iterator[bytes]:
    for run in _RUN.findall(payload):
        for alphabet in (None, b"-_"):
            try:
                yield base64.b64decode(run + b"=" * (-len(run) % 4), alphabet, validate=True)
            except binascii.Error:
                continue
        try:
            yield bytes.fromhex(run.decode())
        except ValueError:
            continue


def _texts(payload: bytes) -> Iterator[str]:
    yield from (one for _, one in _values(payload) if isinstance(one, str))


def _numbers(payload: bytes) -> set[str]:
    """Return the names under which fractions stand."""
    return {name for name, one in _values(payload) if isinstance(one, float)}


def _values(payload: bytes) -> Iterator[tuple[str, Any]]:
    """Give everything in a JSON payload, names too, with the name that it stands under."""
    try:
        waiting: list[tuple[str, Any]] = [("", json.loads(payload))]
    except ValueError:
        return
    while waiting:
        name, one = waiting.pop()
        yield name, one
        if isinstance(one, dict):
            waiting += [*((key, key) for key in one), *one.items()]
        elif isinstance(one, list):
            waiting += [(name, part) for part in one]


def _named(payload: bytes, names: Sequence[str]) -> str:
    return next((f"the name {name}" for name in names if name.encode() in payload), "")
