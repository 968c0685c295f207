"""How groups are made, filled and given up, each time with an entry in the audit log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.subject import Status
from appliance.contract import EventType, is_identifier
from appliance.errors import RefusedError, UsageError
from appliance.people.changes import checked_texts
from appliance.people.enrolment import CLI
from appliance.people.recorded import EventSink, recorded
from appliance.people.register import Rule
from appliance.people.rights import change_access
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.access.subject import Subject
    from appliance.people.gallery import Gallery
    from appliance.people.person import Group


def rule_of(all_tags: Iterable[str], any_tags: Iterable[str], statuses: Iterable[str]) -> Rule | None:
    """Return the rule of a dynamic group; None where nothing is asked for. Raises RefusedError for what cannot be."""
    rule = Rule(
        tuple(checked_texts(all_tags, "tag")),
        tuple(checked_texts(any_tags, "tag")),
        tuple(dict.fromkeys(_status(one) for one in statuses)),
    )
    return None if rule == Rule() else rule


def add_group(
    gallery: Gallery, audit: EventSink, name: str, rule: Rule | None, *, actor: Actor = CLI, method: str = "cli"
) -> None:
    """Make a group: with a rule, of whomever it takes; without one, of whoever is put into it.

    Raises UsageError for what is no name, RefusedError where there is one of this name, StorageError.
    """
    if not is_identifier(name):
        raise UsageError(f"group {name!r} is no name; allowed are 1 to 63 of A-Z a-z 0-9 _ -")
    kind = "static" if rule is None else f"dynamic, rule {rule.written()}"
    event = _updated(f"group {name} made, {kind}", actor, method)
    recorded(gallery, audit, lambda: gallery.make_group(name, rule), lambda _: event, "no group was made")


def remove_group(gallery: Gallery, audit: EventSink, name: str, *, actor: Actor = CLI, method: str = "cli") -> int:
    """Give a group up and return how many people were put into it. Raises RefusedError where there is none."""

    def say(people: int) -> Event:
        return _updated(f"group {name} removed, {people} people were in it", actor, method)

    return recorded(gallery, audit, lambda: gallery.drop_group(name), say, "no group was removed")


def join(
    gallery: Gallery, audit: EventSink, name: str, name_or_id: str, *, actor: Actor = CLI, method: str = "cli"
) -> Subject:
    """Put the one person of this name or id into a group.

    Raises RefusedError for nobody, for several, where there is no such group, and for one that a rule fills.
    """
    _static(gallery, name)

    def change(subject: Subject) -> Subject:
        return replace(subject, groups=subject.groups | {name})

    return change_access(gallery, audit, name_or_id, change, actor=actor, method=method)


def leave(
    gallery: Gallery, audit: EventSink, name: str, name_or_id: str, *, actor: Actor = CLI, method: str = "cli"
) -> Subject:
    """Take the one person of this name or id out of a group. Raises as `join`."""
    _static(gallery, name)

    def change(subject: Subject) -> Subject:
        return replace(subject, groups=subject.groups - {name})

    return change_access(gallery, audit, name_or_id, change, actor=actor, method=method)


def group_of(gallery: Gallery, name: str) -> Group:
    """Return the group of this name. Raises RefusedError where there is none."""
    for group in gallery.groups():
        if group.name == name:
            return group
    raise RefusedError(f"there is no group {name!r}; ostiary group list shows all")


def _static(gallery: Gallery, name: str) -> None:
    if group_of(gallery, name).dynamic:
        raise RefusedError(f"who is in group {name} is for its rule to say; change the tags of people instead")


def _status(text: str) -> str:
    if text not in set(Status):
        raise RefusedError(f"status {text!r} is none; {', '.join(Status)} are")
    return text


def _updated(detail: str, actor: Actor, method: str) -> Event:
    return Event(EventType.UPDATED, datetime.now(UTC), actor, method, detail=detail)
