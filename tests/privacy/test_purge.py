"""The purge: who is due goes, everybody else stays, and the log keeps ids alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.schedule import Moment
from appliance.access.subject import Status
from appliance.audit import AuditLog
from appliance.contract import EventType
from appliance.people.gallery import Consent, Gallery
from appliance.privacy.purge import DailyPurge, Outcome, Purge
from appliance.privacy.retention import Rules, Why
from appliance.records import Actor, ActorKind, Embedding, Event, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = Rules(never_seen_days=30, unseen_days=180, leaver_days=7)
DEVICE = Actor(ActorKind.DEVICE, "ostiary")
NOW = datetime.now(UTC)
TODAY = NOW.date()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    """Return an empty gallery."""
    with Gallery(tmp_path / "gallery.db") as opened:
        yield opened


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[AuditLog]:
    """Return an empty log."""
    with AuditLog(tmp_path / "audit.db", "ostiary", "front") as opened:
        yield opened


def enrol(gallery: Gallery, name: str, *, seen_days_ago: int | None = None) -> str:
    """Enrol somebody, and say when they were let in last."""
    vector = np.eye(8, dtype=np.float32)[0]
    person_id = gallery.add(name, Consent(name, NOW), [(Embedding(vector, "m"), Grade.HIGH)]).person_id
    if seen_days_ago is not None:
        gallery.seen(person_id, TODAY - timedelta(days=seen_days_ago))
    return person_id


def purged(gallery: Gallery, audit: AuditLog, in_days: int, *, dry: bool = False) -> Outcome:
    """Run the purge of a day to come."""
    return Purge(gallery, audit, RULES, TODAY + timedelta(days=in_days), DEVICE).run(dry=dry)


def names(gallery: Gallery) -> list[str]:
    """Return who is enrolled."""
    return [person.name for person in gallery.people()]


def events(audit: AuditLog) -> list[Event]:
    """Return everything in the log."""
    return [entry.event for entry in audit.read()]


def test_who_is_due_goes_and_nobody_else(gallery: Gallery, audit: AuditLog) -> None:
    """J6: on the day, and not the day before, who is due is erased; the log says who by id, why, with proof."""
    ada = enrol(gallery, "Ada")
    enrol(gallery, "Bea", seen_days_ago=0)
    assert purged(gallery, audit, 29).erased == ()
    outcome = purged(gallery, audit, 30)
    assert names(gallery) == ["Bea"]
    (erased,) = outcome.erased
    assert (erased.receipt.person_id, erased.due.why) == (ada, Why.NEVER_SEEN)
    assert gallery.tombstones()[0].person_id == ada
    kinds = [event.event_type for event in events(audit)]
    assert kinds == [EventType.PURGED, EventType.ERASED, EventType.PURGED]
    told = events(audit)[1]
    assert (told.actor, told.method) == (DEVICE, "retention")
    assert ada in told.detail
    assert erased.receipt.receipt_hash in told.detail
    assert "Ada" not in "".join(event.detail for event in events(audit))


def test_a_dry_run_looks_only(gallery: Gallery, audit: AuditLog) -> None:
    """A dry run says who would go, erases nobody and writes nothing."""
    ada = enrol(gallery, "Ada")
    outcome = purged(gallery, audit, 31, dry=True)
    assert [person_id for person_id, _ in outcome.due] == [ada]
    assert outcome.erased == ()
    assert names(gallery) == ["Ada"]
    assert audit.head().seq == 0


def test_leavers_and_the_suspended_go(gallery: Gallery, audit: AuditLog) -> None:
    """J6: whoever is past their validity or suspended for so long goes, however lately they were let in."""
    for name, facts in (("Ada", {"valid_until": NOW}), ("Bea", {"status": Status.SUSPENDED}), ("Cleo", {})):
        subject = gallery.subject(enrol(gallery, name, seen_days_ago=0))
        assert subject is not None
        gallery.set_access(replace(subject, **facts))
    assert [one.due.why for one in purged(gallery, audit, 7).erased] == [Why.LEFT, Why.LEFT]
    assert names(gallery) == ["Cleo"]


@pytest.mark.parametrize("edit", ["2001-01-01T00:00:00+00:00", "yesterday", "2001-01-01"])
def test_an_edited_date_erases_nobody(gallery: Gallery, audit: AuditLog, tmp_path: Path, edit: str) -> None:
    """J6 F6: a date that was edited in the file, or is none, is not believed: that person stays and is told of."""
    ada, bea = enrol(gallery, "Ada"), enrol(gallery, "Bea")
    with closing(sqlite3.connect(tmp_path / "gallery.db", isolation_level=None)) as raw:
        raw.execute("UPDATE person SET valid_until = ? WHERE person_id = ?", [edit, ada])
    assert purged(gallery, audit, 8).unclear == (ada,)
    outcome = purged(gallery, audit, 40)
    assert outcome.unclear == (ada,)
    assert [one.receipt.person_id for one in outcome.erased] == [bea]


def test_every_step_is_one_person_or_one_page(gallery: Gallery, audit: AuditLog) -> None:
    """The purge pauses after each person it erases, so that a door is read in between; broken off, it is taken up."""
    for name in ("Ada", "Bea", "Cleo"):
        enrol(gallery, name)
    steps = Purge(gallery, audit, RULES, TODAY + timedelta(days=40), DEVICE).steps()
    next(steps)
    for left in (2, 1):
        next(steps)
        assert len(gallery.people()) == left
    steps.close()
    assert len(purged(gallery, audit, 40).erased) == 1
    assert names(gallery) == []


class Days:
    """A wall clock that the test sets."""

    def __init__(self) -> None:
        self.in_days, self.clock_set = 0, True

    def __call__(self) -> Moment:
        """Return the moment."""
        return Moment(NOW + timedelta(days=self.in_days), self.clock_set)


def daily(gallery: Gallery, audit: AuditLog, days: Days, rules: Rules = RULES) -> DailyPurge:
    """Return the purge of a running reader."""
    return DailyPurge(gallery, audit, rules, actor=DEVICE, clock=days)


def turn(job: DailyPurge, *, from_s: float, times: int = 50) -> None:
    """Let the loop turn so many times, two minutes each."""
    for number in range(times):
        job.tend(from_s + 120.0 * number)


def test_once_a_day(gallery: Gallery, audit: AuditLog) -> None:
    """J6: a running reader purges once a day, at its next turns, and without rules never and writes nothing."""
    enrol(gallery, "Ada")
    days = Days()
    turn(daily(gallery, audit, days, Rules()), from_s=0)
    assert audit.head().seq == 0
    job = daily(gallery, audit, days)
    turn(job, from_s=0)
    assert audit.head().seq == 1
    days.in_days = 30
    turn(job, from_s=10_000)
    assert names(gallery) == []
    assert [event.event_type for event in events(audit)] == [EventType.PURGED, EventType.ERASED, EventType.PURGED]


def test_a_clock_that_nobody_has_set_erases_nobody(gallery: Gallery, audit: AuditLog) -> None:
    """H1 J6: while the time cannot be believed nobody is erased; once it can, the purge runs."""
    enrol(gallery, "Ada")
    days = Days()
    days.in_days, days.clock_set = 5000, False
    job = daily(gallery, audit, days)
    turn(job, from_s=0)
    assert (names(gallery), audit.head().seq) == (["Ada"], 0)
    days.in_days, days.clock_set = 30, True
    turn(job, from_s=10_000)
    assert names(gallery) == []


def test_a_clock_that_leaps_ahead_erases_nobody(gallery: Gallery, audit: AuditLog) -> None:
    """H3 J6: where more than a tenth, and more than ten, would go at once, nobody goes unasked, and the log says so."""
    for number in range(11):
        enrol(gallery, f"Person {number}", seen_days_ago=0)
    days = Days()
    days.in_days = 5000
    job = daily(gallery, audit, days)
    turn(job, from_s=0)
    assert len(names(gallery)) == 11
    assert "so many at once are not erased unasked" in events(audit)[-1].detail
    assert len(purged(gallery, audit, 5000).erased) == 11


def test_a_purge_that_cannot_be_written_is_tried_again(gallery: Gallery, audit: AuditLog, tmp_path: Path) -> None:
    """F3: a log that cannot be written stops the purge with nobody half erased; an hour later it goes on."""
    enrol(gallery, "Ada")
    days = Days()
    days.in_days = 30
    job = daily(gallery, audit, days)
    with closing(sqlite3.connect(tmp_path / "audit.db", isolation_level=None)) as raw:
        raw.execute("CREATE TRIGGER full BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        turn(job, from_s=0, times=5)
        assert names(gallery) == ["Ada"]
        raw.execute("DROP TRIGGER full")
    turn(job, from_s=700, times=5)
    assert names(gallery) == ["Ada"]
    turn(job, from_s=4000, times=5)
    assert names(gallery) == []
    job.close()
