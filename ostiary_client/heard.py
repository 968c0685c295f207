"""What a door says, read from its payloads: tickets, outcomes, replies and events.

A name that is not known here is passed over, so that a client may be older than its door.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from appliance.contract import Reason, is_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a payload that is not of the contract can make these readers raise.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Availability(StrEnum):
    """Whether the door hears us."""

    ONLINE = "online"
    OFFLINE = "offline"  # the broker lost it
    STOPPED = "stopped"  # it was stopped in good order
    UNKNOWN = "unknown"  # the broker has not said, or we have lost the broker


@dataclass(frozen=True, slots=True)
class Ticket:
    """A question of the door: whether this visitor may enter."""

    ticket_id: str
    presentation_id: str
    reason: Reason
    candidates: tuple[str, ...]  # person ids, most alike first
    liveness: str
    quality: str
    expires_at: datetime  # UTC
    image: bytes | None = field(repr=False)  # JPEG; None where none came
    fields: Mapping[str, Any] = field(repr=False)  # all that the door said, by its name in docs/mqtt.md

    def seconds_left(self) -> float:
        """Return how long an answer may still take, by this machine's clock; below 0 when it is too late."""
        return (self.expires_at - datetime.now(UTC)).total_seconds()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a ticket ended, whoever answered it."""

    ticket_id: str
    approved: bool
    reason: Reason
    by: str  # client id; "" for nobody


# What else than the door's own words an error can be, and what it means.
UNANSWERED: Mapping[str, str] = MappingProxyType(
    {
        "no_reply": "the door did not answer: it is away, or does not know this client with this key",
        "broker_refuses": "the broker does not let this client say that; ostiary broker setup gives it its rights",
    }
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the door says to a command."""

    ok: bool
    error: str  # "" when ok; one of `UNANSWERED` when the door did not answer in time
    result: Mapping[str, Any]
    done: bool = True  # False for progress: another reply follows


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the door's audit log."""

    seq: int  # 1 and up, without a gap
    event_type: str  # one of contract.EventType, or a word of a newer door
    at: datetime  # UTC
    fields: Mapping[str, Any] = field(repr=False)  # all of it, by its name in docs/mqtt.md


def read_ticket(payload: bytes, images: Mapping[str, bytes]) -> Ticket:
    """Return the ticket in a message; `images` are JPEGs by SHA-256. Raises one of `UNREADABLE`."""
    fields = _fields(payload)
    if not is_identifier(fields["ticket_id"]):  # it names a file where pictures are saved
        msg = "a ticket id is no identifier"
        raise ValueError(msg)
    image = fields["image"]
    return Ticket(
        ticket_id=fields["ticket_id"],
        presentation_id=str(fields["presentation_id"]),
        reason=Reason(fields["reason"]),
        candidates=tuple(str(one) for one in fields["candidates"]),
        liveness=str(fields["liveness"]),
        quality=str(fields["quality"]),
        expires_at=datetime.fromisoformat(fields["expires_at"]).astimezone(UTC),
        image=images.get(image["sha256"]) if image else None,
        fields=fields,
    )


def read_outcome(payload: bytes) -> Outcome:
    """Return the outcome in a message. Raises one of `UNREADABLE`."""
    fields = _fields(payload)
    return Outcome(str(fields["ticket_id"]), fields["approved"] is True, Reason(fields["reason"]), str(fields["by"]))


def read_reply(payload: bytes) -> tuple[str, Reply]:
    """Return the id of the request and the reply to it. Raises one of `UNREADABLE`."""
    fields = _fields(payload)
    done = fields.get("done", True) is not False
    return str(fields["request_id"]), Reply(fields["ok"] is True, str(fields["error"]), dict(fields["result"]), done)


def read_event(payload: bytes) -> Event:
    """Return the event in a message. Raises one of `UNREADABLE`."""
    return event_of(_fields(payload))


def event_of(fields: Mapping[str, Any]) -> Event:
    """Return the event with these fields. Raises one of `UNREADABLE`."""
    at = datetime.fromisoformat(fields["at"]).astimezone(UTC)
    return Event(int(fields["seq"]), str(fields["event_type"]), at, fields)


def _fields(payload: bytes) -> dict[str, Any]:
    fields = json.loads(payload)
    if not isinstance(fields, dict):
        msg = "a payload is no object"
        raise TypeError(msg)
    return fields
