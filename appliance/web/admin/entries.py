"""Entries of the audit log as pages show them: in words, with ids and never a name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from appliance.doorway import unmarked
from appliance.errors import UsageError
from appliance.records import ActorKind
from appliance.web.wording import EVENTS, REASONS, tone_of, voice_in_words

if TYPE_CHECKING:
    from appliance.records import Actor, AuditEvent


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry, ready to be shown."""

    seq: int
    at: datetime  # in the machine's own zone
    event: str  # in words
    kind: str  # the event type
    tone: str  # "good", "warn", "bad" or ""
    reason: str  # in words; "" for none
    who: str  # "" for nobody
    person_id: str  # "" where it was no enrolled person
    method: str
    detail: str
    visit: str  # id of the presentation; "" for none
    ticket: str  # "" for none


def shown(entry: AuditEvent) -> Shown:
    """Return an entry as pages show it."""
    event = entry.event
    person = event.actor is not None and event.actor.kind is ActorKind.PERSON
    return Shown(
        entry.seq,
        event.at.astimezone(),
        EVENTS[event.event_type],
        event.event_type.value,
        tone_of(event.event_type),
        REASONS[event.reason] if event.reason else "",
        _who(event.actor),
        event.actor.id if event.actor is not None and person else "",
        event.method,
        unmarked(event.detail),
        event.presentation_id,
        event.ticket_id,
    )


def _who(actor: Actor | None) -> str:
    match actor:
        case None:
            return ""
        case _ if actor.kind is ActorKind.DEVICE:
            return "the appliance"
        case _ if actor.kind is ActorKind.OPERATOR or actor.id.startswith(("web:", "key:")):
            return voice_in_words(actor.id)
    return f"{actor.kind} {actor.id}"


def day_bounds(text: str, name: str, *, ends: bool = False) -> datetime | None:
    """Return the beginning of a day here, in UTC; where it `ends` something, that of the next. None for "".

    Raises UsageError for what is no day.
    """
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        return datetime.combine(day + timedelta(days=ends), time()).astimezone(UTC)
    except (ValueError, OverflowError) as fault:
        raise UsageError(f"{name} is {text[:40]!r}; a day such as 2026-12-01 is wanted") from fault
