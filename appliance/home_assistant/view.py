"""What Home Assistant is shown: the device, what happens at the door, who waits before it, and who was let in last."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from appliance.contract import EventType, Topic
from appliance.drivers.photo import encode_jpeg
from appliance.home_assistant import CLIENT_ID
from appliance.home_assistant.discovery import HIDDEN, birth_topic, config_topic, discovery
from appliance.messages import EventActor, HomeAccess, HomeEvent
from appliance.records import ActorKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.config import Settings
    from appliance.drivers.mqtt import Incoming
    from appliance.records import AuditEvent, Event
    from appliance.ticket import Ticket

STIR_S = 2.0  # after a birth: every device of a house announces itself then
_OF_TICKET = frozenset(
    {
        EventType.APPROVAL_GRANTED,
        EventType.APPROVAL_DENIED,
        EventType.APPROVAL_EXPIRED,
        EventType.ACCESS_DENIED,
        EventType.ACCESS_GRANTED,
    }
)  # each ends the ticket that it names


class Line(Protocol):
    """The reader's connection to the broker; no call waits or raises."""

    @property
    def connects(self) -> int:
        """How often the broker was reached; 0 before the first time."""

    def listen(self, topic: str, hear: Callable[[Incoming], None]) -> None:
        """Have `hear` called in the loop's thread with every message of this topic."""

    def publish(self, level: Topic, payload: bytes) -> None:
        """Send to one of our topics, not retained."""

    def publish_at(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Send to a full topic."""


class View:
    """Belongs to the loop's thread. Nothing it sends is retained but the description of the device."""

    def __init__(self, settings: Settings, line: Line, clock: Callable[[], float]) -> None:
        self._line = line
        self._clock = clock
        self._described = (config_topic(settings), discovery(settings))
        self._asked: dict[str, AuditEvent] = {}  # by ticket id: that somebody waits, and we were not rung yet
        self._waiting: dict[str, bytes] = {}  # pictures by ticket id, oldest first; memory only
        self._last: HomeAccess | None = None
        self._connects = 0
        self._due_s: float | None = None  # when to describe ourselves again
        line.listen(birth_topic(settings), self._born)

    def hear(self, sealed: AuditEvent) -> None:
        """Show one event of the audit log, where it is one that may be seen."""
        event = sealed.event
        if event.event_type in HIDDEN:
            return
        if event.event_type is EventType.APPROVAL_REQUESTED:
            self._asked[event.ticket_id] = sealed  # shown behind its picture
            return
        self._show(sealed)
        if event.event_type in _OF_TICKET:
            self._asked.pop(event.ticket_id, None)
            if self._waiting.pop(event.ticket_id, None) is not None:
                self._show_visitor()
        if event.event_type is EventType.ACCESS_GRANTED:
            self._last = _access(sealed)
            self._show_access()

    def ask(self, ticket: Ticket) -> None:
        """Show who waits, then that they do; or nothing, while `attendant.order` has others rung and not us."""
        if ticket.to and CLIENT_ID not in ticket.to:
            return
        self._waiting[ticket.ticket_id] = ticket.view.crop
        self._show_visitor()
        asked = self._asked.pop(ticket.ticket_id, None)
        if asked is not None:
            self._show(asked, ticket)

    def tend(self) -> None:
        """Describe the device anew where it is due: after every connection, and when Home Assistant was born."""
        if self._line.connects != self._connects:
            self._connects = self._line.connects
            self._due_s = self._clock()
        if self._due_s is not None and self._clock() >= self._due_s:
            self._due_s = None
            described, message = self._described
            self._line.publish_at(described, message, retained=True)
            self._show_visitor()
            self._show_access()

    def close(self) -> None:
        """Leave nobody's picture behind."""
        self._waiting.clear()
        self._show_visitor()

    def _born(self, incoming: Incoming) -> None:
        # What the broker kept for us of a birth is answered by our own connection.
        if incoming.payload == b"online" and not incoming.retained and self._due_s is None:
            self._due_s = self._clock() + random.uniform(0, STIR_S)  # noqa: S311 - no secret

    def _show(self, sealed: AuditEvent, ticket: Ticket | None = None) -> None:
        self._line.publish(Topic.HA_EVENT, _as_shown(sealed, ticket).json_bytes())

    def _show_visitor(self) -> None:
        """Show who came last of those who wait; where nobody does, a blank picture in place of whoever was there."""
        pictures = [picture for picture in self._waiting.values() if picture]
        self._line.publish(Topic.HA_IMAGE, pictures[-1] if pictures else blank())

    def _show_access(self) -> None:
        if self._last is not None:
            self._line.publish(Topic.HA_ACCESS, self._last.json_bytes())


@cache
def blank() -> bytes:
    """Return a small grey JPEG."""
    return encode_jpeg(np.full((48, 48, 3), 128, np.uint8))


def _as_shown(sealed: AuditEvent, ticket: Ticket | None) -> HomeEvent:
    event = sealed.event
    return HomeEvent(
        event_type=event.event_type,
        at=event.at,
        device_id=sealed.device_id,
        door=sealed.door,
        actor=None if event.actor is None else EventActor(kind=event.actor.kind, id=event.actor.id),
        method=event.method,
        reason=event.reason,
        presentation_id=event.presentation_id,
        ticket_id=event.ticket_id,
        expires_at=None if ticket is None else ticket.expires_at,
        liveness="" if ticket is None else ticket.view.liveness,
        quality="" if ticket is None else ticket.view.quality,
    )


def _access(sealed: AuditEvent) -> HomeAccess:
    return HomeAccess(at=sealed.event.at, door=sealed.door, person_id=_person(sealed.event), method=sealed.event.method)


def _person(event: Event) -> str:
    return event.actor.id if event.actor is not None and event.actor.kind is ActorKind.PERSON else ""
