"""The second factor: who is asked for one before the door, and what was shown. A face alone came first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.access.passes import Pass
from appliance.access.pin import PinWord
from appliance.access.subject import Factor
from appliance.people.factors import try_pin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.people.gallery import Gallery
    from appliance.people.passes import PassBook, PassDesk


@dataclass(frozen=True, slots=True)
class Awaited:
    """Somebody stands before the door and is asked for one of these."""

    presentation_id: str
    person_ids: tuple[str, ...]  # who the face may be, most alike first
    kinds: frozenset[Factor]
    until_s: float  # the frames' clock


@dataclass(frozen=True, slots=True)
class Shown:
    """A factor that is good, and whose it is."""

    person_id: str
    factor: Factor
    duress: bool = False


class FactorDesk:
    """Asks one visitor at a time. Belongs to the loop's thread; a fault of a database is raised as StorageError."""

    def __init__(
        self,
        gallery: Gallery,
        book: PassBook,
        passes: PassDesk,
        wait_s: float,
        *,
        unix_now: Callable[[], float] = time.time,
    ) -> None:
        self._gallery = gallery
        self._book = book
        self._passes = passes
        self._wait_s = wait_s
        self._unix_now = unix_now
        self.awaited: Awaited | None = None

    def ask(self, presentation_id: str, person_ids: Sequence[str], kinds: frozenset[Factor], now_s: float) -> bool:
        """Ask this visitor, and tell whether any of these people has one of these to show; else nothing is asked."""
        owned = {kind for person_id in person_ids for kind in self._owned(person_id)} & kinds
        if not owned:
            return False
        self.awaited = Awaited(presentation_id, tuple(person_ids), frozenset(owned), now_s + self._wait_s)
        return True

    def any_of(self, person_ids: Sequence[str]) -> bool:
        """Tell whether any of these people has a factor to show."""
        return any(self._owned(person_id) for person_id in person_ids)

    def pin(self, text: str) -> Shown | None:
        """Return whose PIN this is, of those whom the awaited face may be; None for nobody's, or for two."""
        if self.awaited is None or Factor.PIN not in self.awaited.kinds:
            return None
        words = {person_id: try_pin(self._gallery, person_id, text) for person_id in self.awaited.person_ids}
        fitting = [person_id for person_id, word in words.items() if word is not PinWord.WRONG]
        if len(fitting) != 1:
            return None
        return Shown(fitting[0], Factor.PIN, duress=words[fitting[0]] is PinWord.DURESS)

    def code(self, text: str) -> Shown | None:
        """Return whose pass this code is; one use of it is gone then. None for anything else, which is only data."""
        if self.awaited is None or Factor.PASS not in self.awaited.kinds:
            return None
        now = self._unix_now()
        taken = ((one, self._passes.take(text, one, now)) for one in self.awaited.person_ids)
        owner = next((person_id for person_id, answer in taken if isinstance(answer, Pass)), None)
        return None if owner is None else Shown(owner, Factor.PASS)

    def forget(self) -> None:
        """Ask nobody any more."""
        self.awaited = None

    def _owned(self, person_id: str) -> set[Factor]:
        subject = self._gallery.subject(person_id)
        if subject is None:
            return set()
        has_pass = any(one.person_id == person_id for one in self._book.passes())
        return ({Factor.PIN} if subject.pin_hash else set()) | ({Factor.PASS} if has_pass else set())
