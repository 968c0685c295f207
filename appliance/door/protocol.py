"""What reader and controller say to each other: one JSON object a line over a Unix socket, strict both ways.

Anything but exactly these messages is a ProtocolError: a wrong type, a key too many, missing or twice, NaN,
another version, a line too long. `docs/door.md` tells each message and when it is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from appliance.contract import Alarm, EventType, LockState, Mode, Phase  # noqa: TC001 - pydantic reads annotations
from appliance.door.lock import Cause, Hold  # noqa: TC001 - the same
from appliance.door.signals import Signal  # noqa: TC001 - the same
from appliance.errors import DoorError
from appliance.records import DoorState

_Said = TypeVar("_Said")

VERSION = 2
MAX_LINE_BYTES = 1024  # the longest honest line is below 600


class ProtocolError(DoorError):
    """The other side sent something that is not a message."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}\z")]
Originator = Annotated[str, Field(pattern=r"^[!-~]{1,128}\z")]  # a presentation or operator id: visible ASCII


Ruling = Literal["operator", "lockdown", "fire", "forced"]
Positive = Annotated[float, Field(gt=0)]


class _Request(_Message):
    request_id: RequestId


class PulseRequest(_Request):
    """Let the visitor of this presentation in, unless `deadline_s` has passed; only the reader may."""

    kind: Literal["pulse"] = "pulse"
    presentation_id: Originator
    for_s: Positive  # clamped to 0.5..30 by the controller
    deadline_s: float  # CLOCK_MONOTONIC
    extended: bool = False
    bypass: bool = False


class OpenRequest(_Request):
    """Let somebody in on an operator's word, unless `deadline_s` has passed."""

    kind: Literal["open"] = "open"
    by: Originator
    for_s: Positive  # clamped to 0.5..30
    deadline_s: float  # CLOCK_MONOTONIC


class HoldRequest(_Request):
    """Set how the door stands, on an operator's word."""

    kind: Literal["hold"] = "hold"
    by: Originator
    hold: Annotated[Hold, Field(strict=False)]
    for_s: Positive  # clamped to 1..86,400


class LeaseRequest(_Request):
    """The schedule holds the door unlocked for so long, 0 for no longer; only the reader may say so."""

    kind: Literal["lease"] = "lease"
    for_s: Annotated[float, Field(ge=0)]  # clamped to 60


class LockdownRequest(_Request):
    """Refuse entry."""

    kind: Literal["lockdown"] = "lockdown"
    by: Originator


class ReleaseRequest(_Request):
    """End the operator's hold, a lockdown or a fire that is over, or acknowledge a forced opening."""

    kind: Literal["release"] = "release"
    by: Originator
    of: Ruling


class FireTestRequest(_Request):
    """Do what a fire would do, for a moment."""

    kind: Literal["fire_test"] = "fire_test"
    by: Originator
    for_s: Positive  # clamped to 60


class SignalRequest(_Message):
    """Show this on the door's lamps for a moment; only the reader's is shown. Not answered."""

    kind: Literal["signal"] = "signal"
    signal: Annotated[Signal, Field(strict=False)]


class Beat(_Message):
    """The reader is alive, and has written down what happened up to `seq` of the controller's `run`. Not answered."""

    kind: Literal["beat"] = "beat"
    run: Annotated[str, Field(max_length=16)] = ""
    seq: Annotated[int, Field(ge=0)] = 0


class StateRequest(_Request):
    """Tell the door's state."""

    kind: Literal["state"] = "state"


class LockRequest(_Request):
    """End what was released for a moment."""

    kind: Literal["lock"] = "lock"


class State(_Message):
    """The door: `records.DoorState` on the wire."""

    lock: Annotated[LockState, Field(strict=False)]
    until_s: float | None
    by: Annotated[str, Field(max_length=128)]
    mode: Annotated[Mode, Field(strict=False)]
    phase: Annotated[Phase, Field(strict=False)]
    contact: bool | None
    alarms: Annotated[frozenset[Annotated[Alarm, Field(strict=False)]], Field(strict=False)]


class Reply(_Message):
    """The answer to the request of this id, with the door's state after it."""

    kind: Literal["reply"] = "reply"
    request_id: RequestId
    accepted: bool
    reason: Annotated[str, Field(max_length=64)] = ""  # a Refusal; empty when accepted
    reader: bool  # whether a reader is there and beats
    state: State


class Happened(_Message):
    """Something happened at the door, asked for or not; `run` and `seq` name it once and for all."""

    kind: Literal["happened"] = "happened"
    run: Annotated[str, Field(max_length=16)]  # random, new with each start of the controller
    seq: Annotated[int, Field(ge=1)]  # 1, 2, 3, ... without a gap
    event_type: Annotated[EventType, Field(strict=False)]
    cause: Annotated[Cause, Field(strict=False)]
    by: Annotated[str, Field(max_length=128)]
    at_s: float  # CLOCK_MONOTONIC
    state: State  # after it


class Now(_Message):
    """How the door is; said to everybody whenever it is another way than it was said to be."""

    kind: Literal["now"] = "now"
    state: State


Asked = (
    PulseRequest
    | OpenRequest
    | HoldRequest
    | LeaseRequest
    | LockdownRequest
    | ReleaseRequest
    | FireTestRequest
    | StateRequest
    | LockRequest
)
Request = Asked | SignalRequest | Beat
Notice = Reply | Happened | Now

_REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
_NOTICES: TypeAdapter[Notice] = TypeAdapter(Annotated[Notice, Field(discriminator="kind")])


def encode(message: Request | Notice) -> bytes:
    """Return the line that says `message`, with its newline."""
    body = {"v": VERSION, **message.model_dump(mode="json")}
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def as_state(state: DoorState) -> State:
    """Return the state as it goes over the wire."""
    return State.model_construct(**asdict(state))


def from_state(state: State) -> DoorState:
    """Return the state as it came over the wire."""
    return DoorState(**dict(state))


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
