"""What the pages about people share: who acts, whom an id names, and whether somebody else was quicker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from appliance.access.subject import Status
from appliance.contract import VERB_ROLES, Role
from appliance.doorway import unmarked
from appliance.errors import RefusedError, UsageError
from appliance.records import Actor, ActorKind
from appliance.web.guard import NotAllowedError
from appliance.web.wording import voice_in_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from appliance.people.gallery import Gallery
    from appliance.people.person import Person
    from appliance.web.accounts import Who
    from appliance.web.books import Books

METHOD = "web"  # how it was done, in the audit log
ENROLLERS = VERB_ROLES["person.add"]
_PERSON_ID = re.compile(r"[0-9a-f]{32}")


class ChangedMeanwhileError(RefusedError):
    """Somebody else has changed what a form was made from."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line that may name somebody."""

    text: str
    person_id: str = ""  # of whoever the text names; "" for plain text


def actor_of(who: Who) -> Actor:
    """Return who stands behind a request."""
    return Actor(ActorKind.OPERATOR, who.voice)


def known(books: Books, person_id: str) -> Person:
    """Return whom an id names: on these pages nobody is meant by a name. Raises HTTPException 404 for nobody."""
    found = books.gallery.person(person_id)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return found


def changeable(books: Books, who: Who, person_id: str) -> Person:
    """Return whom an id names. Raises as `known`, and NotAllowedError, but to admins, for who is deny-listed."""
    found = known(books, person_id)
    if found.status == Status.DENY_LISTED and who.role is not Role.ADMIN:
        raise NotAllowedError(f"{found.name} is deny-listed; only an administrator may change that, or erase them")
    return found


def demand_unchanged(gallery: Gallery, person_id: str, seen: str) -> None:
    """Raise ChangedMeanwhileError where a person is not as they were at the time `seen`, to be asked in the change."""
    if gallery.details(person_id).changed_at.isoformat() != seen:
        raise ChangedMeanwhileError("this was changed meanwhile")


def in_parts(gallery: Gallery, line: str) -> tuple[Part, ...]:
    """Return a line in which people stand by their ids as parts, with the name of each who is enrolled."""
    parts, at = [], 0
    for found in _PERSON_ID.finditer(line):
        person = gallery.person(found[0])
        if person is not None:
            parts += [Part(line[at : found.start()]), Part(person.name, person.person_id)]
            at = found.end()
    return (*parts, Part(line[at:]))


def zone_of(books: Books) -> ZoneInfo | None:
    """Return the zone of the access rules; None for the machine's own. Raises ConfigError."""
    rules = books.installation.open_rules().rules
    return rules.time_zone if rules is not None else None


def static_groups(books: Books) -> list[str]:
    """Return the groups that people can be put into: those there are, and those that the access rules know."""
    rules = books.installation.open_rules().rules
    there = books.gallery.groups()
    dynamic = {one.name for one in there if one.dynamic}
    known_to_rules = set(rules.groups) if rules is not None else set()
    return sorted(({one.name for one in there} | known_to_rules) - dynamic)


def words_of(text: str) -> list[str]:
    """Return what a field holds that lists words, with commas between."""
    return [word for part in text.replace("\n", ",").split(",") if (word := part.strip())]


def tried(books: Books, change: Callable[[Books], None], person_id: str = "") -> str:
    """Return "" once a change is made, or why it was not; of the person of this id, who has changed them meanwhile."""
    try:
        change(books)
    except ChangedMeanwhileError:
        return (
            f"Somebody else changed this meanwhile ({_who_changed(books, person_id)}). Nothing of yours is saved yet: "
            "it stands below, beside what is new. Look at both, and save again"
        )
    except (RefusedError, UsageError) as refusal:
        return str(refusal)
    return ""


def _who_changed(books: Books, person_id: str) -> str:
    """Return who changed a person last, and what, as the audit log has it; "" where it tells of nobody."""
    entries = [entry for entry in books.audit.naming(person_id) if entry.event.actor is not None]
    if not entries:
        return ""
    event = entries[-1].event
    actor = voice_in_words(event.actor.id) if event.actor is not None else ""
    return f"{actor}: {unmarked(event.detail).removeprefix(f'person {person_id}, ')}"
