"""Access control of one door, with a real gallery, ledger and file: what it remembers, and what it forgets."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.access.attempts import Attempts
from appliance.access.control import AccessControl
from appliance.access.ledger import Ledger
from appliance.access.passback import Passage, Side
from appliance.access.rules_file import RulesFile
from appliance.access.schedule import Moment
from appliance.access.subject import Factor, Status, Subject
from appliance.access.verdict import Allowed, CompanionNeeded, FactorNeeded, Refused, Verdict
from appliance.config import Settings
from appliance.contract import EventType, Reason
from appliance.people.gallery import Consent, Gallery
from appliance.records import Embedding, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
PIN = frozenset({Factor.PIN})
HEAD = """
time_zone = "Europe/Lisbon"
[schedules.office]
periods = ["Mon-Fri 07:00-19:00"]
[groups.staff]
doors = ["front"]
[groups.first]
doors = ["front"]
first_in = true
[groups.exempt]
doors = ["front"]
passback_exempt = true
[doors.front]
"""


def face(number: int) -> Embedding:
    """Return a face that has nothing in common with those of other numbers."""
    return Embedding(np.eye(1, 64, number, dtype=np.float32)[0], "m")


class Door:
    """The front door of an installation, at times that the test sets."""

    def __init__(self, folder: Path, opening: ExitStack) -> None:
        self.folder = folder
        self.moment = Moment(TUESDAY, clock_set=True)
        self.now_s = 1000.0
        self.rules = folder / "access.toml"
        self.gallery = opening.enter_context(Gallery(folder / "gallery.db"))
        self.ledger = opening.enter_context(Ledger(folder / "ledger.db"))
        self.ada, self.bob = (self.enrol(name, number) for number, name in enumerate(("Ada", "Bob")))
        self.control = self.restarted()

    def enrol(self, name: str, number: int) -> str:
        """Enrol somebody of the group staff; return the id."""
        made = self.gallery.add(name, Consent(name, TUESDAY), [(face(number), Grade.HIGH)])
        self.gallery.set_access(Subject(made.person_id, name, groups=frozenset({"staff"})))
        return made.person_id

    def say(self, door: str) -> None:
        """Write rules in which this holds at the door, and start anew with them."""
        self.rules.write_text(HEAD + door)
        self.control = self.restarted()

    def restarted(self) -> AccessControl:
        """Return what a reader that starts now makes of the same files."""
        return AccessControl(
            Settings(),
            RulesFile(self.rules),
            self.gallery,
            self.ledger,
            attempts=Attempts(liveness=False),
            clock=lambda: self.moment,
            now=lambda: self.now_s,
        )

    def wait(self, **passed: float) -> None:
        """Let both clocks go on."""
        step = timedelta(**passed)
        self.moment = replace(self.moment, at=self.moment.at + step)
        self.now_s += step.total_seconds()

    def change(self, person_id: str, *groups: str, status: Status = Status.ACTIVE) -> None:
        """Put somebody in these groups alone."""
        self.gallery.set_access(Subject(person_id, "", status, groups=frozenset(groups)))

    def comes(self, person_id: str, factors: frozenset[Factor] = frozenset()) -> Verdict:
        """Let somebody come and, where they may, go in."""
        verdict = self.control.judge(person_id, factors)
        if isinstance(verdict, Allowed):
            self.control.went_in(person_id)
        return verdict

    def files(self) -> bytes:
        """Return everything that lies in the ledger's files."""
        return b"".join(file.read_bytes() for file in self.folder.glob("ledger*"))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Return a door without rules at which Ada and Bob are enrolled."""
    with ExitStack() as opening:
        yield Door(tmp_path, opening)


def reason(verdict: Verdict) -> Reason | None:
    """Return why somebody is refused; None where they are not."""
    return verdict.reason if isinstance(verdict, Refused) else None


def test_what_is_said_of_a_person_holds_at_once(door: Door) -> None:
    """C14: a suspension or a new group, by whichever process, holds for the next visit; an erased person is nobody."""
    door.say("")
    assert isinstance(door.comes(door.ada), Allowed)
    with Gallery(door.gallery.path) as other:
        other.set_access(Subject(door.ada, "", Status.SUSPENDED, groups=frozenset({"staff"})))
    assert reason(door.comes(door.ada)) is Reason.SUSPENDED
    door.change(door.ada)
    assert reason(door.comes(door.ada)) is Reason.NO_DOOR_RIGHT
    door.gallery.remove(door.ada)
    assert reason(door.comes(door.ada)) is Reason.UNKNOWN_FACE


def test_damaged_facts_refuse_one_person(door: Door) -> None:
    """F6: somebody whose rights or passage cannot be read is refused, and everybody else is let in."""
    door.say('passback = "hard"')
    door.gallery._db.execute("UPDATE person SET status = 'suspended' WHERE person_id = ?", [door.ada])
    assert reason(door.comes(door.ada)) is Reason.DEGRADED_MODE
    assert isinstance(door.comes(door.bob), Allowed)
    door.ledger._db.execute("UPDATE passage SET at = 'never'")
    assert reason(door.comes(door.bob)) is Reason.DEGRADED_MODE


def test_hard_passback_outlasts_a_restart_and_ends_with_the_reset(door: Door) -> None:
    """Who has gone in may not go in again, also after a restart, until the reset; somebody else and the exempt may."""
    door.say('passback = "hard"')
    assert isinstance(door.comes(door.ada), Allowed)
    door.control = door.restarted()
    assert reason(door.comes(door.ada)) is Reason.ANTI_PASSBACK
    assert isinstance(door.comes(door.bob), Allowed)
    door.wait(hours=17, minutes=59)
    assert reason(door.comes(door.ada)) is Reason.ANTI_PASSBACK
    door.wait(minutes=1)
    assert isinstance(door.comes(door.ada), Allowed)
    door.change(door.ada, "exempt")
    assert isinstance(door.comes(door.ada), Allowed)


def test_soft_and_timed_passback(door: Door) -> None:
    """A soft one lets through and tells; a timed one refuses for its minutes."""
    door.say('passback = "soft"')
    told = [door.comes(door.ada), door.comes(door.ada)]
    assert [isinstance(one, Allowed) and one.passback_broken for one in told] == [False, True]
    door.say('passback = "timed"\npassback_minutes = 5')
    assert reason(door.comes(door.ada)) is Reason.ANTI_PASSBACK
    door.wait(minutes=5)
    assert isinstance(door.comes(door.ada), Allowed)


def test_allowed_is_not_gone_in(door: Door) -> None:
    """Somebody who was let in and did not go through may come again: only going in counts."""
    door.say('passback = "hard"')
    for _ in range(3):
        assert isinstance(door.control.judge(door.ada), Allowed)
    door.control.went_in(door.ada)
    assert reason(door.control.judge(door.ada)) is Reason.ANTI_PASSBACK


def test_clock_that_was_ahead_does_not_bind_for_years(door: Door) -> None:
    """H2: a passage noted by a clock ten years ahead binds from now on as one of now does, not for ten years."""
    door.say('passback = "timed"\npassback_minutes = 5')
    door.moment = Moment(TUESDAY + timedelta(days=3650), clock_set=True)
    assert isinstance(door.comes(door.ada), Allowed)
    door.moment = Moment(TUESDAY, clock_set=True)
    assert reason(door.comes(door.ada)) is Reason.ANTI_PASSBACK
    door.wait(minutes=5)
    assert isinstance(door.comes(door.ada), Allowed)


def test_passages_are_kept_only_while_they_are_asked_for(door: Door) -> None:
    """J6: a passage goes with the reset, with the person, and when anti-passback is switched off; no byte stays."""
    door.say("")
    door.comes(door.ada)
    assert door.ada.encode() not in door.files()
    for forget in ("reset", "erased", "off"):
        door.say('passback = "hard"')
        person_id = door.enrol(forget, 9)
        door.comes(person_id)
        door.control.tend()
        assert person_id.encode() in door.files()
        if forget == "reset":
            door.wait(hours=24)
        elif forget == "erased":
            door.gallery.remove(person_id)
        else:
            door.say("")
        door.control.tend()
        assert person_id.encode() not in door.files(), forget
        assert forget == "erased" or door.gallery.subject(person_id) is not None


def test_first_person_in_begins_the_day(door: Door) -> None:
    """The door is held unlocked in its hours once somebody of the right group has come in them; each day anew."""
    door.say('unlock_schedule = "office"\nfirst_person_in = true')
    assert not door.control.unlocked_by_schedule()
    door.comes(door.ada)
    assert not door.control.unlocked_by_schedule()
    door.change(door.bob, "first")
    assert isinstance(door.control.judge(door.bob), Allowed)
    assert not door.control.unlocked_by_schedule()  # let in, not gone in
    door.control.went_in(door.bob)
    assert door.control.unlocked_by_schedule()
    assert door.restarted().unlocked_by_schedule()
    door.wait(hours=9)
    assert not door.control.unlocked_by_schedule()
    door.comes(door.bob)  # after hours: begins nothing
    door.wait(hours=13)
    assert not door.control.unlocked_by_schedule()
    door.comes(door.bob)
    assert door.control.unlocked_by_schedule()


def test_unlock_schedule_needs_a_clock(door: Door) -> None:
    """H1: without first_person_in the hours are enough, and without a clock the door stays locked."""
    assert not door.control.unlocked_by_schedule()
    door.say('unlock_schedule = "office"')
    assert door.control.unlocked_by_schedule()
    door.moment = Moment(TUESDAY, clock_set=False)
    assert not door.control.unlocked_by_schedule()
    door.moment = Moment(TUESDAY + timedelta(days=5), clock_set=True)  # a Sunday
    assert not door.control.unlocked_by_schedule()


def test_two_come_together(door: Door) -> None:
    """The second of two who both may enter opens for both within half a minute; each counts once."""
    door.say('two_person = "*"\npassback = "hard"')
    assert isinstance(door.comes(door.ada), CompanionNeeded)
    assert isinstance(door.comes(door.ada), CompanionNeeded)
    door.wait(seconds=30)
    verdict = door.comes(door.bob)
    assert isinstance(verdict, Allowed)
    assert verdict.companions == (door.ada,)
    assert [door.ledger.passage(one) for one in (door.ada, door.bob)] == [Passage(Side.ENTRY, door.moment.at)] * 2
    eve, joe = door.enrol("Eve", 5), door.enrol("Joe", 6)
    assert isinstance(door.comes(eve), CompanionNeeded)
    assert isinstance(door.comes(joe), Allowed)  # at the same moment


def test_second_comes_too_late_or_may_not(door: Door) -> None:
    """Somebody who came longer ago, or who may not enter themselves, is nobody's companion."""
    door.say('two_person = "*"\nfactor = "pin"')
    assert isinstance(door.comes(door.ada, PIN), CompanionNeeded)
    door.wait(seconds=31)
    assert isinstance(door.comes(door.bob, PIN), CompanionNeeded)
    eve = door.enrol("Eve", 5)
    door.change(door.bob, "staff")
    door.wait(seconds=31)
    assert isinstance(door.comes(eve), FactorNeeded)  # has shown nothing: does not count
    assert isinstance(door.comes(door.bob, PIN), CompanionNeeded)
    door.change(eve, "staff", status=Status.SUSPENDED)
    door.wait(seconds=31)
    assert reason(door.comes(eve, PIN)) is Reason.SUSPENDED
    assert isinstance(door.comes(door.bob, PIN), CompanionNeeded)


def test_failures_pause_a_face_and_ask_a_factor_of_the_recognised(door: Door) -> None:
    """B12, B19: a face that fails has to wait; once it has used up its attempts, only a factor opens for it."""
    for _ in range(5):
        assert door.control.pause(face(0)) is None
        door.control.failed(face(0))
    assert door.control.pause(face(0), recognised=True) is Reason.TOO_MANY_ATTEMPTS
    assert door.control.pause(face(1)) is None
    assert door.control.pause(None) is None
    for _ in range(45):
        door.wait(seconds=30)
        door.control.failed(face(0))
    door.control.succeeded(face(1), by_factor=True)  # somebody else, which ends the row at the door
    door.wait(seconds=30)
    assert door.control.pause(face(0)) is Reason.TOO_MANY_ATTEMPTS
    assert door.control.pause(face(0), recognised=True) is None
    assert isinstance(door.control.judge(door.ada, probe=face(0)), FactorNeeded)
    assert isinstance(door.control.judge(door.bob, probe=face(1)), Allowed)
    assert isinstance(door.control.judge(door.ada, PIN, probe=face(0)), Allowed)
    door.control.succeeded(face(0), by_factor=True)
    assert isinstance(door.control.judge(door.ada, probe=face(0)), Allowed)


def test_door_that_many_have_failed_at_asks_everybody_for_a_factor(door: Door) -> None:
    """B12, B19: after fifty failures in a row a face alone opens for nobody, and nobody is locked out."""
    for number in range(50):
        door.control.failed(face(number))
    assert isinstance(door.control.judge(door.ada, probe=face(60)), FactorNeeded)
    assert isinstance(door.control.judge(door.ada, PIN, probe=face(60)), Allowed)
    door.control.reset_attempts()
    assert isinstance(door.control.judge(door.ada, probe=face(60)), Allowed)


def test_doubt_of_the_caller_asks_a_factor(door: Door) -> None:
    """B4, B10: where the caller doubts a face alone, a factor is needed even without any rules."""
    assert isinstance(door.control.judge(door.ada, doubt="somebody is very alike"), FactorNeeded)
    assert isinstance(door.control.judge(door.ada, PIN, doubt="somebody is very alike"), Allowed)


def test_changed_rules_hold_and_are_told_once(door: Door) -> None:
    """A good edit holds with the next turn and is told; a bad one is told once and changes nothing."""
    door.say("")
    assert door.control.tend() is None
    door.rules.write_text(HEAD.replace('doors = ["front"]', 'doors = ["side"]'))
    assert door.control.tend() == (EventType.CONFIG_CHANGED, "access rules were read anew")
    assert reason(door.comes(door.ada)) is Reason.NO_DOOR_RIGHT
    door.rules.write_text(HEAD + "colour = 1")
    told = door.control.tend()
    assert told is not None
    assert told[0] is EventType.FAULT
    assert "doors.front.colour is not a known key" in told[1]
    assert door.control.tend() is None
    assert reason(door.comes(door.ada)) is Reason.NO_DOOR_RIGHT


def test_idle_door_writes_nothing(door: Door) -> None:
    """F13: a door at which nobody comes leaves the ledger alone, turn after turn."""
    door.say('passback = "hard"\nunlock_schedule = "office"\nfirst_person_in = true')
    door.comes(door.ada)
    door.control.tend()
    before = {file.name: (file.stat().st_mtime_ns, file.stat().st_size) for file in door.folder.glob("ledger*")}
    for _ in range(100):
        door.wait(seconds=1)
        door.control.tend()
        door.control.unlocked_by_schedule()
    assert {file.name: (file.stat().st_mtime_ns, file.stat().st_size) for file in door.folder.glob("ledger*")} == before
