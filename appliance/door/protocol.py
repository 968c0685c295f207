"""What reader and controller say to each other: one JSON object a line over a Unix socket, strict both ways.

Anything but exactly these messages is a ProtocolError: a wrong type, a key too many, missing or twice, NaN,
another version, a line too long. `docs/door.md` tells each message and when it is sent.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from appliance.contract import LockState  # noqa: TC001 - pydantic reads the annotation at run time
from appliance.door.lock import Cause  # noqa: TC001 - the same
from appliance.errors import DoorError

_Said = TypeVar("_Said")

VERSION = 1
MAX_LINE_BYTES = 1024  # the longest honest line is below 400


class ProtocolError(DoorError):
    """The other side sent something that is not a message."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]
Originator = Annotated[str, Field(pattern=r"^[!-~]{1,128}\z")]  # a presentation or operator id: visible ASCII


class PulseRequest(_Message):
    """Unlock for `for_s` seconds unless `deadline_s` has passed."""

    kind: Literal["pulse"] = "pulse"
    request_id: RequestId
    presentation_id: Originator
    for_s: Annotated[float, Field(gt=0)]  # clamped to 0.5..30 by the controller
    deadline_s: float  # CLOCK_MONOTONIC


class Beat(_Message):
    """The reader is alive."""

    kind: Literal["beat"] = "beat"


class StateRequest(_Message):
    """Tell the door's state."""

    kind: Literal["state"] = "state"
    request_id: RequestId


class LockRequest(_Message):
    """Lock now."""

    kind: Literal["lock"] = "lock"
    request_id: RequestId


class Reply(_Message):
    """The answer to the request of this id, with the door's state after it."""

    kind: Literal["reply"] = "reply"
    request_id: RequestId
    accepted: bool
    reason: Annotated[str, Field(max_length=64)] = ""  # a Refusal; empty when accepted
    lock: Annotated[LockState, Field(strict=False)]
    until_s: float | None
    by: Annotated[str, Field(max_length=128)]


class Changed(_Message):
    """The lock changed, asked for or not."""

    kind: Literal["changed"] = "changed"
    lock: Annotated[LockState, Field(strict=False)]
    until_s: float | None
    by: Annotated[str, Field(max_length=128)]
    at_s: float
    cause: Annotated[Cause, Field(strict=False)]


Request = PulseRequest | Beat | StateRequest | LockRequest
Notice = Reply | Changed

_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_NOTICES: TypeAdapter[Notice] = TypeAdapter(Annotated[Notice, Field(discriminator="kind")])


def encode(message: Request | Notice) -> bytes:
    """Return the line that says `message`, with its newline."""
    body = {"v": VERSION, **message.model_dump(mode="json")}
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read_request(line: bytes) -> Request:
    """Return what the reader said. Raises ProtocolError, whatever the bytes are."""
    return _read(_REQUESTS, line)


def read_notice(line: bytes) -> Notice:
    """Return what the controller said. Raises ProtocolError, whatever the bytes are."""
    return _read(_NOTICES, line)


class Lines:
    """Cuts a stream of bytes into lines; remembers at most one line's worth."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines completed by `chunk`, without newlines. Raises ProtocolError for a line over the limit."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if max(map(len, (*lines, self._rest))) > MAX_LINE_BYTES:
            msg = f"a line is longer than {MAX_LINE_BYTES} bytes"
            raise ProtocolError(msg)
        return lines


def _read(adapter: TypeAdapter[_Said], line: bytes) -> _Said:
    if len(line) > MAX_LINE_BYTES:
        msg = f"a line is longer than {MAX_LINE_BYTES} bytes"
        raise ProtocolError(msg)
    try:
        body = json.loads(line.decode("utf-8"), object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        msg = f"a line is not JSON: {_brief(fault)}"
        raise ProtocolError(msg) from fault
    if not isinstance(body, dict) or type(body.get("v")) is not int or body.pop("v") != VERSION:
        msg = f"a line is not a message of version {VERSION}"
        raise ProtocolError(msg)
    try:
        return adapter.validate_python(body)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
        msg = f"a message is wrong at {'.'.join(map(str, first['loc'])) or 'kind'!r}: {_brief(first['msg'])}"
        raise ProtocolError(msg) from fault


def _brief(text: object) -> str:
    return ascii(str(text))[1:81]  # what a stranger sent goes into our log: short and without control characters


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    body = dict(pairs)
    if len(body) != len(pairs):
        msg = "a key stands twice"
        raise ValueError(msg)
    return body


def _no_constant(word: str) -> NoReturn:
    msg = f"{word} is not a number"
    raise ValueError(msg)
