"""Access control of one door: the rules, and all they have to remember. Belongs to the loop's thread."""

from __future__ import annotations

import logging
import time
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from appliance.access.case import Case
from appliance.access.companions import Companions
from appliance.access.judge import judge
from appliance.access.passback import Passage, Passback, last_reset
from appliance.access.rules import DoorRules
from appliance.access.verdict import Allowed, CompanionNeeded, Judged, Refused, Standing
from appliance.contract import EventType, Reason
from appliance.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from appliance.access.attempts import Attempts
    from appliance.access.ledger import Ledger
    from appliance.access.rules_file import RulesFile
    from appliance.access.schedule import Moment
    from appliance.access.subject import Factor, Subject
    from appliance.access.verdict import Verdict
    from appliance.config import Settings
    from appliance.people.gallery import Gallery
    from appliance.records import Embedding

_log = logging.getLogger(__name__)

_AHEAD = timedelta(minutes=1)  # a passage that lies further ahead was noted by a clock that was wrong


class AccessControl:
    """Who may enter at this door now. `clock` tells the time of day, `now` is monotonic, `told` hears every verdict.

    Nothing here opens anything, and a fault of a database is a refusal.
    """

    def __init__(
        self,
        settings: Settings,
        file: RulesFile,
        gallery: Gallery,
        ledger: Ledger,
        *,
        attempts: Attempts,
        clock: Callable[[], Moment],
        now: Callable[[], float] = time.monotonic,
        told: Callable[[Judged], None] = lambda _judged: None,
    ) -> None:
        self._door = settings.device.door
        self._told = told
        self._file = file
        self._gallery = gallery
        self._ledger = ledger
        self._attempts = attempts
        self._clock = clock
        self._now = now
        self._companions = Companions(settings.access.two_person_s)
        self._beside: dict[str, tuple[str, ...]] = {}  # with whom somebody was let in
        self._tidied: tuple[int, datetime | None] | None = None  # what of gallery and clock the ledger was tidied by

    def judge(
        self,
        person_id: str,
        factors: frozenset[Factor] = frozenset(),
        *,
        lockdown: bool = False,
        probe: Embedding | None = None,
        doubt: str = "",
    ) -> Verdict:
        """Return whether the person, recognised with this `probe`, may enter now with the factors they have shown.

        `doubt` says why a face alone will not do this time, such as a look-alike; "" where nothing is amiss.
        """
        moment, now_s = self._clock(), self._now()
        try:
            subject = self._gallery.subject(person_id)
            passage = self._passage(person_id, moment)
        except StorageError as fault:
            _log.error("%s", fault)
            return Refused(Reason.DEGRADED_MODE, str(fault))
        if subject is None:
            return Refused(Reason.UNKNOWN_FACE, f"nobody is enrolled under the id {person_id}")
        doubt = doubt or self._doubt(probe, now_s)
        others = self._companions.others(person_id, now_s)
        standing = Standing(self._door, factors, lockdown, doubt, passage, others)
        verdict = judge(subject, self._file.rules, moment, standing)
        self._told(Judged(subject, moment, standing, verdict))
        if isinstance(verdict, Allowed | CompanionNeeded):
            self._companions.note(subject, now_s)
        if isinstance(verdict, Allowed):
            self._beside[person_id] = verdict.companions
        return verdict

    def went_in(self, person_id: str) -> None:
        """Note that the person, and who was let in beside them, has gone through. Raises StorageError."""
        moment = self._clock()
        together = (person_id, *self._beside.pop(person_id, ()))
        self._companions.forget(together)
        for one in together:
            subject = self._gallery.subject(one)
            if subject is not None:
                self._note(subject, moment)

    def seen(self, person_ids: Iterable[str]) -> None:
        """Note that these people were let in today, in UTC, where the date can be believed. Raises StorageError."""
        moment = self._clock()
        if moment.clock_set:
            for person_id in person_ids:
                self._gallery.seen(person_id, moment.at.astimezone(UTC).date())

    def failed(self, probe: Embedding | None) -> None:
        """Count an attempt that failed: by this face, and at the door."""
        self._attempts.failed(probe, self._now())

    def succeeded(self, probe: Embedding | None, *, by_factor: bool) -> None:
        """Count an attempt that did not fail; `by_factor` where more than a face has shown it, or an operator has."""
        self._attempts.succeeded(probe, self._now(), by_factor=by_factor)

    def pause(self, probe: Embedding | None, *, recognised: bool = False) -> Reason | None:
        """Return why this face is not to be tried now; None where nothing speaks against it.

        A face that has used up its attempts but is `recognised` may be tried: `judge` asks it for a factor.
        """
        if probe is None:
            return None
        now_s = self._now()
        over = self._attempts.waits(probe, now_s) or (not recognised and self._attempts.stopped(probe, now_s))
        return Reason.TOO_MANY_ATTEMPTS if over else None

    def reset_attempts(self) -> None:
        """Forget every failed attempt, as an operator may."""
        self._attempts.reset()

    def local_time(self) -> datetime | None:
        """Return the time of day here: in the rules' zone, else the machine's; None where the clock is not believed."""
        moment, rules = self._clock(), self._file.rules
        if not moment.clock_set:
            return None
        return moment.at.astimezone(rules.time_zone if rules is not None else None)

    def unlocked_by_schedule(self) -> bool:
        """Tell whether the door is to be held unlocked now. Raises StorageError."""
        period = self._unlock_period(self._clock())
        return bool(period) and (not self._rules.first_person_in or self._ledger.begun() == period)

    def tend(self) -> tuple[EventType, str] | None:
        """Take in changed rules and forget what is to be forgotten; call it once a turn.

        Returns what is to be told of changed rules. Raises StorageError.
        """
        self._attempts.forget(self._now())
        self._tidy(self._clock())
        fault = self._file.refresh()
        if fault is None:
            return None
        return (EventType.FAULT, fault) if fault else (EventType.CONFIG_CHANGED, "access rules were read anew")

    @property
    def _rules(self) -> DoorRules:
        """What holds at this door for everybody."""
        return self._file.rules.door(self._door) if self._file.rules is not None else DoorRules()

    def _doubt(self, probe: Embedding | None, now_s: float) -> str:
        if self._attempts.strained:
            return "too many attempts have failed at this door"
        if probe is not None and self._attempts.stopped(probe, now_s):
            return "too many attempts of this face have failed"
        return ""

    def _unlock_period(self, moment: Moment) -> str:
        """Return a name of the period in which the door is to be unlocked now, "" outside of all."""
        rules, schedule = self._file.rules, self._rules.unlock_schedule
        if rules is None or not schedule or not moment.clock_set:
            return ""
        begun = rules.schedule(schedule).begun(moment.at)
        return f"{schedule} {begun.isoformat()}" if begun is not None else ""

    def _passage(self, person_id: str, moment: Moment) -> Passage | None:
        """Return when and how the person last went through; one that lies ahead of a clock that was set back is now."""
        passage = self._ledger.passage(person_id)
        if passage is not None and moment.clock_set and passage.at > moment.at + _AHEAD:
            passage = Passage(passage.side, moment.at)
            self._ledger.passed(person_id, passage)
        return passage

    def _note(self, subject: Subject, moment: Moment) -> None:
        groups = Case(subject, self._file.rules, moment, Standing(self._door)).granting.values()
        if self._rules.passback is not Passback.OFF and not any(group.passback_exempt for group in groups):
            self._ledger.passed(subject.person_id, Passage(self._rules.side, moment.at))
        period = self._unlock_period(moment)
        if period and self._rules.first_person_in and any(group.first_in for group in groups):
            self._ledger.begin_day(period)

    def _tidy(self, moment: Moment) -> None:
        """Forget who passed before the latest reset, who is no longer enrolled, and everybody where nothing asks."""
        rules = self._file.rules
        revision, reset = -1, None
        if rules is not None and self._rules.passback is not Passback.OFF:
            revision = self._gallery.revision()
            reset = last_reset(moment.at, rules.time_zone, self._rules.reset) if moment.clock_set else None
        if (revision, reset) == self._tidied:
            return
        known = [one for one in self._ledger.people() if revision >= 0 and self._gallery.subject(one) is not None]
        self._ledger.forget_all_but(known)
        if reset is not None:
            self._ledger.forget_before(reset)
        self._tidied = (revision, reset)
