"""What the parser makes of any bytes at all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.contract import LockState
from appliance.door.lock import Cause
from appliance.door.protocol import (
    MAX_LINE_BYTES,
    Beat,
    Changed,
    Lines,
    LockRequest,
    Notice,
    ProtocolError,
    PulseRequest,
    Reply,
    Request,
    StateRequest,
    encode,
    read_notice,
    read_request,
)

GOOD = {"v": 1, "kind": "pulse", "request_id": "r1", "presentation_id": "p1", "for_s": 5.0, "deadline_s": 10.5}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=2 * MAX_LINE_BYTES))
@example(b"[" * 1000)
@example(b"\xff\xfe{")
@example(b'{"v":1,"kind":"state","request_id":"r1","request_id":"r2"}')
@example(b'{"v":1,"kind":"pulse","for_s":' + b"9" * 900 + b"}")
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
        b'{"v":1,"kind":"beat","kind":"beat"}',
        b'{"v":2,"kind":"beat"}',
        b'{"v":1,"kind":"pulse","request_id":"r1","presentation_id":"p1","for_s":1e999,"deadline_s":1}',
        b'{"v":1,"kind":"pulse","request_id":"r1","presentation_id":"p1","for_s":5,"deadline_s":1e999}',
        b'{"v":1,"kind":"beat","more":1}',
        b'{"v":1,"kind":"open"}',
        b'{"v":1,"kind":"state","request_id":"r1\\n"}',
        b'{"v":1,"kind":"state","request_id":""}',
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
        Beat(),
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
        Reply(request_id="r1", accepted=False, reason="stale", lock=LockState.LOCKED, until_s=None, by=""),
        Changed(lock=LockState.UNLOCKED, until_s=9.5, by="p1", at_s=4.5, cause=Cause.PULSE),
    ],
)
def test_notices_survive_the_wire(notice: Notice) -> None:
    """What the controller says is what a reader hears."""
    assert read_notice(encode(notice).removesuffix(b"\n")) == notice


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
