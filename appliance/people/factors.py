"""How a person is given a PIN or a pass and loses it, each time with an entry in the audit log; how a PIN is tried."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.access.passes import Pass, new_pass, sign_pass
from appliance.access.pin import PinWord, hash_pin, outdated, verify
from appliance.contract import EventType
from appliance.errors import RefusedError
from appliance.people.enrolment import CLI, only_one
from appliance.people.recorded import EventSink, recorded
from appliance.people.rights import subject_of
from appliance.records import Actor, Event

if TYPE_CHECKING:
    from datetime import timedelta

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.people.gallery import Gallery, Person
    from appliance.people.passes import PassBook


def set_pin(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    pin: str,
    *,
    duress: bool = False,
    actor: Actor = CLI,
    method: str = "cli",
) -> Person:
    """Give the one person of this name or id a PIN, or a duress PIN beside it, in place of what was.

    Raises RefusedError, without the PIN in it, for one that may not be one, for a duress PIN without a PIN, and where
    the two would be the same; StorageError where nothing was changed.
    """
    person = only_one(gallery, name_or_id)
    known = subject_of(gallery, person.person_id)
    if duress and not known.pin_hash:
        raise RefusedError(f"{person.person_id} has no PIN yet; a duress PIN stands beside one")
    made = hash_pin(pin)
    if verify(pin, "", known.pin_hash if duress else known.duress_hash) is PinWord.DURESS:
        raise RefusedError("the PIN and the duress PIN are the same; they must differ")
    hashes = (known.pin_hash, made) if duress else (made, known.duress_hash)
    _write(gallery, audit, person, hashes, _updated(f"person {person.person_id}, PIN changed", actor, method))
    return person


def remove_pin(
    gallery: Gallery,
    audit: EventSink,
    name_or_id: str,
    *,
    duress: bool = False,
    actor: Actor = CLI,
    method: str = "cli",
) -> Person:
    """Take the person's PIN and duress PIN away, or with `duress` that one alone. Raises as `set_pin`."""
    person = only_one(gallery, name_or_id)
    hashes = (subject_of(gallery, person.person_id).pin_hash, "") if duress else ("", "")
    # Nothing that can be read says who has a duress PIN.
    what = "PIN changed" if duress else "PIN removed"
    _write(gallery, audit, person, hashes, _updated(f"person {person.person_id}, {what}", actor, method))
    return person


def try_pin(gallery: Gallery, person_id: str, text: str) -> PinWord:
    """Return what the entered text is for this person, in the same time for everybody, nobody too.

    A hash of earlier parameters is made anew once its PIN was entered. Counting the tries is the caller's part.
    """
    known = gallery.subject(person_id)
    pin_hash, duress_hash = (known.pin_hash, known.duress_hash) if known is not None else ("", "")
    word = verify(text, pin_hash, duress_hash)
    if word is PinWord.RIGHT and outdated(pin_hash):
        gallery.set_pin(person_id, hash_pin(text), duress_hash)
    if word is PinWord.DURESS and outdated(duress_hash):
        gallery.set_pin(person_id, pin_hash, hash_pin(text))
    return word


def issue_pass(
    book: PassBook,
    audit: EventSink,
    person: Person,
    key: Ed25519PrivateKey,
    *,
    device_id: str,
    door: str,
    not_before: datetime,
    lifetime: timedelta,
    uses: int,
    actor: Actor = CLI,
    method: str = "cli",
) -> tuple[Pass, str]:
    """Return a new pass and its text, once it is in the book and in the audit log.

    Raises RefusedError for a lifetime or number of uses that no door takes and for a person who is not enrolled,
    StorageError where nothing was issued.
    """
    made = new_pass(person.person_id, int(not_before.timestamp()), lifetime, uses)
    text = sign_pass(made, key, device_id, door)
    until = datetime.fromtimestamp(made.until, UTC).isoformat()
    detail = f"person {made.person_id}, pass {made.pass_id} issued until {until}, uses {made.uses}"
    event = _updated(detail, actor, method)
    recorded(book, audit, lambda: book.add(made), lambda _: event, "no pass was issued")
    return made, text


def revoke_pass(book: PassBook, audit: EventSink, pass_id: str, *, actor: Actor = CLI, method: str = "cli") -> Pass:
    """Return the pass that serves no longer. Raises RefusedError for one that is not there, StorageError."""

    def say(gone: Pass) -> Event:
        return _updated(f"person {gone.person_id}, pass {gone.pass_id} revoked", actor, method)

    return recorded(book, audit, lambda: book.remove(pass_id), say, "no pass was revoked")


def _write(gallery: Gallery, audit: EventSink, person: Person, hashes: tuple[str, str], event: Event) -> None:
    recorded(gallery, audit, lambda: gallery.set_pin(person.person_id, *hashes), lambda _: event, "no PIN was changed")


def _updated(detail: str, actor: Actor, method: str) -> Event:
    return Event(EventType.UPDATED, datetime.now(UTC), actor, method, detail=detail)
