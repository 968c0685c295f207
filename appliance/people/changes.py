"""How what is known of a person is changed, besides their access, each time with an entry in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI, checked_name, only_one
from appliance.people.recorded import EventSink, recorded
from appliance.people.rights import altered
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from appliance.access.subject import Subject
    from appliance.people.gallery import Gallery
    from appliance.people.person import Details

MAX_TAG = 63
MAX_NOTES = 4000
MAX_ENTRIES = 32  # tags, or cards, of one person


class Change(NamedTuple):
    """What is said anew of a person; None leaves it as it is."""

    name: str | None = None
    external_id: str | None = None
    notes: str | None = None
    tags: Iterable[str] | None = None
    cards: Sequence[str] | None = None
    max_fpir: float | None = 0.0  # 0 leaves it, None takes it away


def change_details(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    change: Callable[[Details], Change],
    *,
    actor: Actor = CLI,
    method: str = "cli",
) -> Details:
    """Return the one person of this name or id as `change` makes them; the audit log tells what, and no value.

    Raises RefusedError for nobody, for several, for a text that is too long or holds a control character, and for an
    external id or card of somebody else's; StorageError where nothing was changed.
    """
    person_id = only_one(gallery, name_or_id).person_id
    told: list[str] = []

    def say(_: Details) -> Event:
        return _updated(f"person {person_id}, changed: {', '.join(told) or 'nothing'}", actor, method)

    return recorded(gallery, audit, lambda: _altered(gallery, person_id, change, told), say, "nothing was changed")


def revise(
    gallery: Gallery,
    audit: EventSink,
    person_id: str,
    change: Change,
    access: Callable[[Subject], Subject],
    *,
    check: Callable[[], object] = lambda: None,
    actor: Actor = CLI,
    method: str = "cli",
) -> Details:
    """Change what is known of a person and what they may do, all of it or nothing, with one entry in the audit log.

    `check` is called first, inside the same change: nobody else changes anything between. What it raises passes
    through, and nothing was changed. Raises as `change_details` and `rights.change_access`.
    """
    told: list[str] = []
    rights: list[str] = []

    def carry_out() -> Details:
        check()
        _altered(gallery, person_id, lambda _before: change, told)
        altered(gallery, person_id, access, rights)
        return gallery.details(person_id)

    def say(_: Details) -> Event:
        said = [f"changed: {', '.join(told)}"] * bool(told) + [f"access: {'; '.join(rights)}"] * bool(rights)
        return _updated(f"person {person_id}, {', '.join(said) or 'nothing changed'}", actor, method)

    return recorded(gallery, audit, carry_out, say, "nothing was changed")


def _altered(gallery: Gallery, person_id: str, change: Callable[[Details], Change], told: list[str]) -> Details:
    before = gallery.details(person_id)
    after = gallery.set_details(person_id, **_checked(change(before))._asdict())
    names = ("name", "external_id", "notes", "tags", "cards", "max_fpir")
    told.extend(name for name in names if getattr(before, name) != getattr(after, name))
    return after


def withdraw(gallery: Gallery, audit: EventSink, name_or_id: str, *, actor: Actor = CLI, method: str = "cli") -> str:
    """Erase the face of the one person of this name or id, who no longer consents to it, and return the id.

    Name, rights, PIN and passes stay, but the door knows them no more. Raises RefusedError for nobody, for
    several and where it was withdrawn before, StorageError where nothing was erased.
    """
    person = only_one(gallery, name_or_id)
    if person.withdrawn:
        raise RefusedError(f"person {person.person_id} has withdrawn their consent before; nothing of the face is kept")
    event = _updated(
        f"person {person.person_id}, consent withdrawn, {person.references} references erased", actor, method
    )
    at = event.at
    recorded(gallery, audit, lambda: gallery.withdraw(person.person_id, at), lambda _: event, "nothing was erased")
    return person.person_id


def forget_reference(
    gallery: Gallery, audit: EventSink, reference_id: str, *, actor: Actor = CLI, method: str = "cli"
) -> None:
    """Erase one reference. Raises RefusedError where there is none, and for a person's last; StorageError."""
    event = _updated(f"reference {reference_id} erased", actor, method)
    recorded(gallery, audit, lambda: gallery.remove_reference(reference_id), lambda _: event, "nothing was erased")


def checked_text(text: str, what: str, most: int) -> str:
    """Return one line of text as it may be stored; "" for none. Raises RefusedError as `checked_name`."""
    if len(text) > most:
        raise RefusedError(f"{what} has {len(text)} characters; at most {most} are allowed")
    return checked_name(text, what) if text.strip() else ""


def _checked(change: Change) -> Change:
    name, external, notes, tags, cards, max_fpir = change
    return Change(
        None if name is None else checked_name(name, "name"),
        None if external is None else checked_text(external, "external id", 200),
        None if notes is None else _checked_notes(notes),
        None if tags is None else checked_texts(tags, "tag"),
        None if cards is None else checked_texts(cards, "card"),
        max_fpir,
    )


def checked_texts(texts: Iterable[str], what: str) -> list[str]:
    """Return tags or cards as they may be stored. Raises RefusedError."""
    found = list(dict.fromkeys(texts))
    if len(found) > MAX_ENTRIES:
        raise RefusedError(f"{len(found)} {what}s are too many of one person; {MAX_ENTRIES} are allowed")
    if any(not text.strip() for text in found):
        raise RefusedError(f"a {what} is empty; 1 to {MAX_TAG} characters are allowed")
    return [checked_text(text, what, MAX_TAG) for text in found]


def _checked_notes(notes: str) -> str:
    if len(notes) > MAX_NOTES:
        raise RefusedError(f"the notes have {len(notes)} characters; at most {MAX_NOTES} are allowed")
    for line in notes.splitlines():
        if line.strip():
            checked_text(line, "notes", MAX_NOTES)
    return notes


def _updated(detail: str, actor: Actor, method: str) -> Event:
    return Event(EventType.UPDATED, datetime.now(UTC), actor, method, detail=detail)
