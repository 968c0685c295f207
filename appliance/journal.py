"""The journal: an event is sealed in the audit chain first, and only then told to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.audit import AuditLog
    from appliance.records import AuditEvent, Event


class Journal:
    """Where every event of the reader goes. Belongs to the loop's thread."""

    def __init__(self, audit: AuditLog, listeners: tuple[Callable[[AuditEvent], None], ...]) -> None:
        self._audit = audit
        self._listeners = listeners

    def append(self, event: Event) -> AuditEvent:
        """Return the event as sealed. Raises StorageError where it could not be; then nobody heard of it."""
        return self.append_all((event,))[0]

    def append_all(self, events: Sequence[Event]) -> tuple[AuditEvent, ...]:
        """Return the events as sealed, all in one change: where that raises StorageError, none was written."""
        sealed = self._audit.append_all(events)
        for one in sealed:
            for listener in self._listeners:
                listener(one)
        return sealed
