"""A change of the gallery and its entry in the audit log: both, or neither."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.contract import EventType
from appliance.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from appliance.records import AuditEvent, Event

_Made = TypeVar("_Made")


class Changeable(Protocol):
    """What is changed: the gallery, or the passes in its file."""

    def transaction(self) -> AbstractContextManager[None]:
        """Make every change inside one change, which is kept only when the block ends without raising."""
        ...


class EventSink(Protocol):
    """Where an event is sealed: the audit log, or the journal over it."""

    def append(self, event: Event, /) -> AuditEvent:
        """Return the event as sealed, durable. Raises StorageError."""
        ...


def recorded(
    gallery: Changeable,
    audit: EventSink,
    change: Callable[[], _Made],
    say: Callable[[_Made], Event],
    undone: str,
) -> _Made:
    """Return what `change` of the gallery gives, once both it and the entry that `say` makes of it are durable.

    Raises StorageError, which begins with `undone`, where either cannot be written; then neither is. The gallery is
    written first and kept last: where the entry cannot be written, nothing has to be undone.
    """
    entry = None
    try:
        with gallery.transaction():
            made = change()
            entry = audit.append(say(made))
    except StorageError as fault:
        if entry is not None:  # the gallery failed at the very last step: the log must not claim more than is so
            undoing = f"entry {entry.seq} was not carried out"
            audit.append(replace(entry.event, event_type=EventType.FAULT, detail=undoing))
        raise StorageError(f"{undone}: {fault}") from fault
    return made
