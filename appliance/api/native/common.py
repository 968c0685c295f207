"""What routes of this interface share: who acts, and whom an id names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.access.subject import Status
from appliance.api.native.problems import NotThereError
from appliance.contract import Role
from appliance.records import Actor, ActorKind
from appliance.web.guard import NotAllowedError

if TYPE_CHECKING:
    from appliance.people.person import Person
    from appliance.web.accounts import Who
    from appliance.web.books import Books

METHOD = "api"  # how it was done, in the audit log


def actor_of(who: Who) -> Actor:
    """Return who stands behind a request."""
    return Actor(ActorKind.OPERATOR, who.voice)


def known(books: Books, person_id: str) -> Person:
    """Return whom an id names. Raises NotThereError for nobody: here nobody is meant by a name."""
    found = books.gallery.person(person_id)
    if found is None:
        raise NotThereError(f"nobody is enrolled under the id {person_id}")
    return found


def changeable(books: Books, who: Who, person_id: str) -> Person:
    """Return whom an id names. Raises NotThereError, and NotAllowedError, but to admins, for who is deny-listed."""
    found = known(books, person_id)
    if found.status == Status.DENY_LISTED and who.role is not Role.ADMIN:
        raise NotAllowedError(f"person {person_id} is deny-listed; only an admin may change that, or erase them")
    return found
