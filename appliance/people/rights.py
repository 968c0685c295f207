"""How what a person may do is changed, each time with an entry in the audit log."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI, only_one
from appliance.people.recorded import EventSink, recorded
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.subject import Subject
    from appliance.people.gallery import Gallery

_UNSAID = {"person_id", "name", "pin_hash", "duress_hash"}


def subject_of(gallery: Gallery, name_or_id: str) -> Subject:
    """Return what is known of the one person of this name or id. Raises RefusedError for nobody or several."""
    person_id = only_one(gallery, name_or_id).person_id
    subject = gallery.subject(person_id)
    if subject is None:  # erased a moment ago by another process
        raise RefusedError(f"nobody is enrolled under the id {person_id}")
    return subject


def change_access(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    change: Callable[[Subject], Subject],
    *,
    actor: Actor = CLI,
    method: str = "cli",
) -> Subject:
    """Return the one person of this name or id as `change` makes them; the audit log keeps what is different.

    Raises RefusedError for nobody, for several, and for bounds that leave no time, StorageError where nothing was
    changed.
    """
    said: list[str] = []

    def say(subject: Subject) -> Event:
        detail = f"person {subject.person_id}, access: {'; '.join(said) or 'as before'}"
        return Event(EventType.UPDATED, datetime.now(UTC), actor, method, detail=detail)

    return recorded(gallery, audit, lambda: altered(gallery, name_or_id, change, said), say, "nothing was changed")


def altered(gallery: Gallery, name_or_id: str, change: Callable[[Subject], Subject], said: list[str]) -> Subject:
    """Return the person as `change` makes them, without an entry in the log; `said` is told what is different.

    Raises as `change_access`.
    """
    before = subject_of(gallery, name_or_id)
    after = change(before)
    first, end = after.valid_from, after.valid_until
    if first is not None and end is not None and not first < end:
        raise RefusedError(f"{_text(end)} is not after {_text(first)}; no time would be left")
    said.extend(_differences(before, after))
    gallery.set_access(after)
    return after


def facts(subject: Subject) -> dict[str, str]:
    """Return what is known of a person's access, by name, in words; no PIN."""
    return {one.name: _text(getattr(subject, one.name)) for one in fields(subject) if one.name not in _UNSAID}


def _differences(before: Subject, after: Subject) -> list[str]:
    old, new = facts(before), facts(after)
    return [f"{name} {new[name]}" for name in new if old[name] != new[name]]


def _text(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
        case Enum():
            return str(value.value)
        case frozenset():
            return ", ".join(sorted(value)) or "none"
    return str(value)
