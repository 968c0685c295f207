"""The payloads that leave over MQTT, each a frozen model; from them the published schema is written.

No message but an event holds a number about a face, and no message holds a name unless an enroller asked for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from appliance.contract import SCHEMA, Alarm, EventType, LockState, Mode, Phase, Reason
from appliance.records import ActorKind, Flaw  # noqa: TC001 - pydantic reads them


def utc_text(at: datetime) -> str:
    """Return the time as `2026-01-31T08:15:30.123Z`; `at` has a zone."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[AwareDatetime, PlainSerializer(utc_text, when_used="json")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Message(BaseModel):
    """A JSON payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_: Literal[1] = Field(default=SCHEMA, alias="schema", description="version of the payloads")

    def json_bytes(self) -> bytes:
        """Return the payload in UTF-8."""
        return self.model_dump_json().encode()


class TicketImage(BaseModel):
    """Where the picture of a ticket is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Annotated[str, Field(description="on which it was sent, just before")]
    sha256: Annotated[Sha256, Field(description="of the message's bytes")]


class TicketMessage(Message):
    """`approval/request`: somebody must decide about one visit."""

    device_id: str
    ticket_id: str
    presentation_id: str
    reason: Reason
    candidates: Annotated[tuple[str, ...], Field(max_length=3, description="person ids, most alike first")]
    liveness: Literal["live", "uncertain", "attack"]
    quality: Annotated[Literal["low", "medium", "high"], Field(description="of what was seen last")]
    flaws: Annotated[tuple[Flaw, ...], Field(description="what is wrong with that view, worst first")] = ()
    round: Annotated[int, Field(ge=1, le=3, description="one more each time the visitor showed themselves again")] = 1
    approvals: Annotated[int, Field(ge=1, le=2, description="how many different attendants must approve")] = 1
    approved_by: Annotated[tuple[str, ...], Field(description="clients that have, in this round")] = ()
    to: Annotated[tuple[str, ...], Field(description="clients that are rung; none is everybody")] = ()
    expires_at: Instant
    image: TicketImage | None = None


class TicketResult(Message):
    """`approval/result`: how a ticket ended."""

    ticket_id: str
    presentation_id: str
    approved: bool
    reason: Annotated[Reason, Field(description="ok lets in, any other keeps out")]
    by: Annotated[str, Field(description="the client that answered; empty for nobody")]
    approved_by: Annotated[tuple[str, ...], Field(description="clients that approved in the last round")] = ()
    at: Instant


class TicketState(BaseModel):
    """`result` of approve, deny, again and say: how the ticket stands now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket_id: str
    round: int
    awaits: Annotated[int, Field(description="approvals of others that an approval still needs")] = 0
    expires_at: Instant


class TicketEnded(BaseModel):
    """`result` beside `already_answered` and `ticket_expired`: who was first, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket_id: str
    reason: Annotated[Reason, Field(description="ok for let in")]
    by: Annotated[str, Field(description="a client; empty for nobody")]


class Reply(Message):
    """`reply/<client_id>`: what became of a command."""

    request_id: str
    ok: bool
    error: Annotated[str, Field(description="empty when it was done, else why it was not")] = ""
    result: dict[str, Any] = {}
    done: Annotated[bool, Field(description="false for progress: another reply to the same request follows")] = True


class EventActor(BaseModel):
    """Who did it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ActorKind
    id: str


class EventMessage(Message):
    """`event` and `event/feed`: one entry of the audit log."""

    seq: Annotated[int, Field(ge=1)]
    id: str
    event_type: EventType
    at: AwareDatetime
    device_id: str
    door: str
    actor: EventActor | None
    method: str
    reason: Reason | None
    presentation_id: str
    ticket_id: str
    liveness: Annotated[float | None, Field(description="how sure it is that the face is live, 0 to 1")]
    quality: str
    frames: int | None
    decision_ms: float | None
    policy: str
    detail: str
    prev_hash: Sha256
    hash: Sha256


class FeedGap(Message):
    """`event/feed`: these entries are not sent; the verb `feed` tells them where they are there."""

    first: Annotated[int, Field(ge=1, description="sequence number of the first that is passed over")]
    last: Annotated[int, Field(ge=1, description="sequence number of the last")]
    why: Annotated[Literal["backlog", "missing"], Field(description="beyond mqtt.backlog, or not in the log")]


class DoorStateMessage(BaseModel):
    """`door/state`: the door as a whole, and the result of every verb that moves it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode
    phase: Phase
    lock: LockState
    contact: Literal["open", "closed", "unmonitored"]
    held: bool
    forced: bool
    alarms: tuple[Alarm, ...]
    by: str
    for_s: Annotated[float | None, Field(description="seconds until it ends by itself; none for never")]


class HomeEvent(Message):
    """`ha/event`: one event as Home Assistant may keep and show it: no number, no text, and never one of duress.

    It has no sequence number: a gap would tell that something is kept from it.
    """

    event_type: EventType
    at: Instant
    device_id: str
    door: str
    actor: EventActor | None
    method: str
    reason: Reason | None
    presentation_id: str
    ticket_id: str
    # Of approval_requested alone:
    expires_at: Instant | None = None
    liveness: Literal["live", "uncertain", "attack", ""] = ""
    quality: Annotated[str, Field(description="grade, in a word")] = ""


class HomeAccess(Message):
    """`ha/access`: who was let in last, and when."""

    at: Instant
    door: str
    person_id: Annotated[str, Field(description="empty where an attendant vouched for a visitor")]
    method: str


def reply(request_id: str, error: str = "", result: dict[str, Any] | None = None, *, done: bool = True) -> Reply:
    """Return the reply to a request; `error` "" means done."""
    return Reply(request_id=request_id, ok=not error, error=error, result=result or {}, done=done)
