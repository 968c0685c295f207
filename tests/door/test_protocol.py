"""What the parser makes of any bytes at all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.contract import Alarm, EventType, LockState, Mode, Phase
from appliance.door.lock import Cause, Hold
from appliance.door.protocol import (
    MAX_LINE_BYTES,
    Beat,
    FireTestRequest,
    Happened,
    HoldRequest,
    LeaseRequest,
    Lines,
    LockdownRequest,
    LockRequest,
    Notice,
    Now,
    OpenRequest,
    ProtocolError,
    PulseRequest,
    ReleaseRequest,
    Reply,
    Request,
    SignalRequest,
    StateRequest,
    as_state,
    encode,
    from_state,
    read_notice,
    read_request,
)
from appliance.door.signals import Signal
from appliance.records import DoorState

GOOD = {"v": 2, "kind": "pulse", "request_id": "r1", "presentation_id": "p1", "for_s": 5.0, "deadline_s": 10.5}
LONGEST = DoorState(
    LockState.UNLOCKED,
    1234567.1234567,
    "b" * 128,
    Mode.EMERGENCY,
    Phase.OPEN_WARNING,
    contact=False,
    alarms=frozenset(Alarm),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=2 * MAX_LINE_BYTES))
@example(b"[" * 1000)
@example(b"\xff\xfe{")
@example(b'{"v":2,"kind":"state","request_id":"r1","request_id":"r2"}')
@example(b'{"v":2,"kind":"pulse","for_s":' + b"9" * 900 + b"}")
def test_any_bytes_are_a_message_or_a_protocol_error(line: bytes) -> None:
    """Whatever arrives is a message or a ProtocolError of one printable line, and never a pulse by chance."""
    for read in (read_request, read_notice):
        try:
            message = read(line)
        except ProtocolError as fault:
            assert str(fault).isprintable()  # noqa: PT017 - both outcomes are right
        else:
            assert not isinstance(message, PulseRequest)


@given(field=st.sampled_from(sorted(GOOD)), value=ANYTHING)
@example(field="for_s", value=True)
@example(field="for_s", value="5")
@example(field="for_s", value=math.nan)
@example(field="for_s", value=math.inf)
@example(field="for_s", value=-1)
@example(field="for_s", value=10**400)
@example(field="v", value=True)
@example(field="v", value=1.0)
def test_a_wrong_field_is_never_a_pulse(field: str, value: object) -> None:
    """A pulse with one field replaced is refused unless the new value is as honest as the old."""
    line = json.dumps({**GOOD, field: value}).encode()
    try:
        request = read_request(line)
    except ProtocolError:
        return
    assert isinstance(request, PulseRequest)
    assert type(value) in {int, float, str}
    assert 0 < request.for_s < math.inf
    assert math.isfinite(request.deadline_s)
    assert request.request_id.isascii()


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_garbage(field: str) -> None:
    """No field of a pulse has a default: leave one out and it is garbage."""
    with pytest.raises(ProtocolError):
        read_request(json.dumps({key: value for key, value in GOOD.items() if key != field}).encode())


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":2,"kind":"beat","kind":"beat"}',
        b'{"v":1,"kind":"beat"}',
        b'{"v":2,"kind":"pulse","request_id":"r1","presentation_id":"p1","for_s":1e999,"deadline_s":1}',
        b'{"v":2,"kind":"pulse","request_id":"r1","presentation_id":"p1","for_s":5,"deadline_s":1e999}',
        b'{"v":2,"kind":"beat","more":1}',
        b'{"v":2,"kind":"open"}',
        b'{"v":2,"kind":"state","request_id":"r1\\n"}',
        b'{"v":2,"kind":"state","request_id":""}',
        b"{'v':1}",
        b"null",
        b"",
    ],
)
def test_nearly_right_is_garbage(line: bytes) -> None:
    """A key twice, another version, a number beyond a float, a key too many, an id with a newline: all garbage."""
    with pytest.raises(ProtocolError):
        read_request(line)


@pytest.mark.parametrize(
    "request_",
    [
        PulseRequest(request_id="r1", presentation_id="p1", for_s=5, deadline_s=1.5),
        PulseRequest(request_id="r1", presentation_id="p1", for_s=5, deadline_s=1.5, extended=True, bypass=True),
        OpenRequest(request_id="r1", by="client:phone", for_s=5, deadline_s=1.5),
        HoldRequest(request_id="r1", by="client:phone", hold=Hold.LOCKED, for_s=86_400),
        LeaseRequest(request_id="r1", for_s=0),
        LockdownRequest(request_id="r1", by="operator:root"),
        ReleaseRequest(request_id="r1", by="operator:root", of="forced"),
        FireTestRequest(request_id="r1", by="operator:root", for_s=5),
        SignalRequest(signal=Signal.ASKING),
        Beat(),
        Beat(run="0123abcd", seq=7),
        StateRequest(request_id="r2"),
        LockRequest(request_id="r3"),
    ],
)
def test_requests_survive_the_wire(request_: Request) -> None:
    """What a reader says is what the controller hears."""
    assert read_request(encode(request_).removesuffix(b"\n")) == request_


@pytest.mark.parametrize(
    "notice",
    [
        Reply(request_id="r" * 64, accepted=False, reason="x" * 64, reader=True, state=as_state(LONGEST)),
        Happened(
            run="0123abcd",
            seq=2**53,
            event_type=EventType.GRANTED_NOT_ENTERED,
            cause=Cause.READER_SILENT,
            by="p" * 128,
            at_s=1234567.1234567,
            state=as_state(LONGEST),
        ),
        Now(state=as_state(DoorState(LockState.LOCKED, None, ""))),
    ],
)
def test_notices_survive_the_wire(notice: Notice) -> None:
    """What the controller says is what a reader hears, and the longest of it fits a line."""
    line = encode(notice)
    assert len(line) <= MAX_LINE_BYTES
    assert read_notice(line.removesuffix(b"\n")) == notice
    assert as_state(from_state(notice.state)) == notice.state


REQUESTS: tuple[dict[str, object], ...] = (
    {"kind": "open", "by": "client:phone", "for_s": 5.0, "deadline_s": 1.5},
    {"kind": "hold", "by": "client:phone", "hold": "unlocked", "for_s": 60.0},
    {"kind": "lease", "for_s": 10.0},
    {"kind": "lockdown", "by": "client:phone"},
    {"kind": "release", "by": "client:phone", "of": "lockdown"},
    {"kind": "fire_test", "by": "client:phone", "for_s": 5.0},
)


@given(body=st.sampled_from(REQUESTS), pick=st.integers(0), value=ANYTHING)
@example(body=REQUESTS[0], pick=1, value="a b")
@example(body=REQUESTS[1], pick=2, value="open")
@example(body=REQUESTS[2], pick=1, value=-1)
@example(body=REQUESTS[4], pick=2, value="everything")
def test_a_wrong_field_of_any_request_is_garbage_or_honest(body: dict[str, object], pick: int, value: object) -> None:
    """Each request with one field replaced or left out is garbage, unless the new value is as honest as the old."""
    whole = {"v": 2, "request_id": "r1", **body}
    assert read_request(json.dumps(whole).encode()).kind == body["kind"]
    field = sorted(body)[pick % len(body)]
    with pytest.raises(ProtocolError):
        read_request(json.dumps({key: one for key, one in whole.items() if key != field}).encode())
    try:
        request = read_request(json.dumps({**whole, field: value}).encode())
    except ProtocolError:
        return
    told = getattr(request, field)
    assert told == value
    if field.endswith("_s"):
        assert math.isfinite(told)
        assert field == "deadline_s" or told > 0 or request.kind == "lease"


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line), max_size=20), st.integers(1, 64))
def test_lines_do_not_depend_on_how_bytes_arrive(lines: list[bytes], step: int) -> None:
    """However a stream is cut into chunks, the same lines come out, in order."""
    stream = b"".join(line + b"\n" for line in lines)
    cutter = Lines()
    chunks = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert [line for chunk in chunks for line in cutter.feed(chunk)] == lines


def test_an_endless_line_is_refused_early() -> None:
    """A line that passes the limit is refused before it ends, so that memory is bounded."""
    cutter = Lines()
    assert cutter.feed(b"x" * MAX_LINE_BYTES) == []
    with pytest.raises(ProtocolError):
        cutter.feed(b"x")
