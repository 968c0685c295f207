"""The purge: everybody whose time is over is erased, one by one, each with an entry in the audit log.

It is done in short steps, so that a door that works meanwhile is not delayed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from appliance.contract import EventType
from appliance.errors import RefusedError, StorageError
from appliance.people.recorded import recorded
from appliance.privacy.lifetimes import Lifetimes
from appliance.privacy.retention import Due, Rules, due, facts_of
from appliance.records import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from appliance.access.schedule import Moment
    from appliance.people.gallery import Gallery
    from appliance.people.person import Receipt
    from appliance.people.recorded import EventSink
    from appliance.privacy.retention import Facts
    from appliance.records import Actor

_log = logging.getLogger(__name__)

METHOD = "retention"
MOST_UNASKED = 10  # people, or a tenth of all; more at once is rather a clock that is wrong than people who have left
AGAIN_S = 3600.0  # after a run that failed


@dataclass(frozen=True, slots=True)
class Erased:
    """Somebody who was erased, and why."""

    due: Due
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to."""

    looked_at: int
    due: tuple[tuple[str, Due], ...]  # by person id
    erased: tuple[Erased, ...]
    unclear: tuple[str, ...]  # ids of people whose dates cannot be read, or are not believed; they stay
    held_back: bool  # so many were due that nobody was erased


@dataclass(frozen=True, slots=True)
class Purge:
    """One run on one day, in UTC. Belongs to the thread of the gallery."""

    gallery: Gallery
    audit: EventSink
    rules: Rules
    today: date
    actor: Actor

    def steps(self, *, most: int | None = None, dry: bool = False) -> Generator[None, None, Outcome]:
        """Erase everybody who is due; each `next` is one short step, and the last gives the outcome.

        More than `most` erases nobody and says so in the log; `dry` only looks. Raises StorageError where a database
        cannot be read or written; who was erased until then is.
        """
        found: list[tuple[str, Due]] = []
        unclear: list[str] = []
        number = looked_at = 0
        with Lifetimes(self.gallery.path) as lifetimes:
            while page := lifetimes.page(number):
                number, looked_at = page[-1][0], looked_at + len(page)
                unclear += [person_id for _, person_id, facts in page if facts is None]
                found += [one for _, _, facts in page if facts is not None for one in self._due(facts)]
                yield
        held_back = most is not None and len(found) > most
        erased: list[Erased] = []
        for person_id, _ in () if dry or held_back else found:
            done = self._erase(person_id)
            if done is None:
                unclear.append(person_id)
            else:
                erased += done
            yield
        outcome = Outcome(looked_at, tuple(found), tuple(erased), tuple(unclear), held_back)
        if not dry:
            self.audit.append(_said(outcome, self.actor))
        return outcome

    def run(self, *, most: int | None = None, dry: bool = False) -> Outcome:
        """Do all of it at once and return the outcome. Raises as `steps`."""
        steps = self.steps(most=most, dry=dry)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome

    def _due(self, facts: Facts) -> list[tuple[str, Due]]:
        end = due(facts, self.rules)
        return [(facts.person_id, end)] if end is not None and end.on <= self.today else []

    def _erase(self, person_id: str) -> list[Erased] | None:
        """Erase somebody who is due by what is sealed too; [] for nobody any more, None where it is not believed."""
        try:
            ends = self._due(facts_of(self.gallery.details(person_id)))
        except RefusedError:  # erased meanwhile by somebody else
            return []
        except StorageError as fault:
            _log.warning("%s", fault)
            return None
        return [Erased(end, self._removed(person_id, end)) for _, end in ends]

    def _removed(self, person_id: str, end: Due) -> Receipt:
        def say(receipt: Receipt) -> Event:
            counted = f"person {person_id}, {receipt.references} references, {receipt.photos} photos"
            detail = f"{counted}; {end.why}, due on {end.on}; receipt {receipt.receipt_hash}"
            return Event(EventType.ERASED, datetime.now(UTC), self.actor, METHOD, detail=detail)

        return recorded(self.gallery, self.audit, lambda: self.gallery.remove(person_id), say, "nobody was erased")


class DailyPurge:
    """Runs the purge once a day while the door works. Belongs to the loop's thread; without rules it does nothing.

    `clock` says whether the time can be believed: nobody is erased by a clock that nobody has set.
    """

    def __init__(
        self, gallery: Gallery, audit: EventSink, rules: Rules, *, actor: Actor, clock: Callable[[], Moment]
    ) -> None:
        self._gallery = gallery
        self._audit = audit
        self._rules = rules
        self._actor = actor
        self._clock = clock
        self._steps: Generator[None, None, Outcome] | None = None
        self._done_on: date | None = None
        self._wait_until_s = 0.0

    def tend(self, now_s: float) -> None:
        """Do what one short step does, where anything is due; `now_s` is monotonic."""
        if self._rules == Rules() or now_s < self._wait_until_s:
            return
        if self._steps is None and not self._begin(now_s):
            return
        try:
            if self._steps is not None:
                next(self._steps)
        except StopIteration:
            self._steps = None
        except StorageError as fault:
            _log.error("the purge stopped: %s", fault)
            self._steps, self._done_on, self._wait_until_s = None, None, now_s + AGAIN_S

    def close(self) -> None:
        """Leave today's run where it is; the next one takes it up."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _begin(self, now_s: float) -> bool:
        """Begin today's run; tell whether there is one."""
        self._wait_until_s = now_s + 60.0  # the day need not be asked for more often
        moment = self._clock()
        today = moment.at.astimezone(UTC).date()
        if not moment.clock_set or self._done_on == today:
            return False
        self._done_on, self._wait_until_s = today, 0.0
        run = Purge(self._gallery, self._audit, self._rules, today, self._actor)
        self._steps = run.steps(most=most_unasked(self._gallery))
        return True


def most_unasked(gallery: Gallery) -> int:
    """Return how many people may be erased in one run that nobody asked for."""
    return max(MOST_UNASKED, gallery.size() // 10)


def _said(outcome: Outcome, actor: Actor) -> Event:
    counted = f"looked at {outcome.looked_at}, due {len(outcome.due)}, erased {len(outcome.erased)}"
    detail = f"{counted}, unclear {len(outcome.unclear)}"
    if outcome.held_back:
        detail += "; so many at once are not erased unasked: look at ostiary privacy purge --dry-run"
    return Event(EventType.PURGED, datetime.now(UTC), actor, METHOD, detail=detail)
