"""Who is let in once their face is known: real rules, gallery, ledger, PINs and passes, at times that the test sets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.access.attempts import PAUSE_S
from appliance.access.passes import new_pass, sign_pass
from appliance.access.pin import hash_pin
from appliance.access.schedule import Moment
from appliance.access.subject import FactorPolicy, Status
from appliance.contract import EventType, Hint, Reason
from appliance.door.signals import Signal
from appliance.pipeline import Step
from appliance.records import Candidate, Deny, Refer, Wait
from tests.stand import BEA, NOON, POINT, Stand, presentation, standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

PIN, DURESS, OTHER = "2580", "1479", "3690"
RULES = """
time_zone = "UTC"
[schedules.morning]
periods = ["Mon-Fri 07:00-11:00"]
[groups.early]
doors = ["front"]
schedule = "morning"
[groups.staff]
doors = ["front"]
extended = true
[groups.guards]
doors = ["front"]
lockdown_bypass = true
[groups.elsewhere]
doors = ["back"]
[groups.pairs]
doors = ["front"]
two_person = "pairs"
[doors.front]
passback = "hard"
"""


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception with real files and no rules."""
    with standing(tmp_path) as stand:
        yield stand


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Stand]:
    """Give a reception whose door has rules; nobody is in a group yet."""
    (tmp_path / "access.toml").write_text(RULES)
    with standing(tmp_path) as stand:
        yield stand


def know(stand: Stand, who: str, **facts: Any) -> None:  # noqa: ANN401 - whatever a subject has
    """Keep these facts of a person, and their PIN."""
    person_id = stand.ids[who]
    subject = stand.gallery.subject(person_id)
    assert subject is not None
    stand.gallery.set_access(replace(subject, **facts))


def give_pin(stand: Stand, who: str, pin: str = PIN, duress: str = DURESS) -> None:
    """Give a person a PIN and a duress PIN."""
    stand.gallery.set_pin(stand.ids[who], hash_pin(pin), hash_pin(duress))


def give_pass(stand: Stand, who: str) -> str:
    """Return the code of a pass that serves once."""
    made = new_pass(stand.ids[who], int(NOON.timestamp()), timedelta(hours=8), 1)
    with stand.book.transaction():
        stand.book.add(made)
    return sign_pass(made, stand.key, "ostiary", "front")


def later(stand: Stand, by_s: float = 0.5) -> None:
    """Let some time pass with the visitor in view."""
    stand.now_s += by_s
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    stand.reception.tick()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"status": Status.SUSPENDED}, Reason.SUSPENDED),
        ({"status": Status.DENY_LISTED}, Reason.DENY_LISTED),
        ({"valid_until": NOON}, Reason.EXPIRED),
        ({"valid_from": NOON + timedelta(days=1)}, Reason.NOT_YET_VALID),
        ({"groups": frozenset({"elsewhere"})}, Reason.NO_DOOR_RIGHT),
        ({"groups": frozenset()}, Reason.NO_DOOR_RIGHT),
        ({"groups": frozenset({"early"})}, Reason.OUTSIDE_SCHEDULE),
    ],
)
@pytest.mark.parametrize("commissioned", [True, False])
def test_a_perfect_score_does_not_open_for_who_may_not_enter(
    ruled: Stand, facts: dict[str, Any], reason: Reason, commissioned: bool
) -> None:
    """C14: expired, suspended, not yet valid, of another door, out of hours: denied, and nobody is asked."""
    know(ruled, "ada", **{"groups": frozenset({"staff"})} | facts)
    ruled.see(ruled.grant("ada") if commissioned else Refer(Reason.SECOND_FACTOR_REQUIRED))
    assert ruled.kinds() == [(EventType.ACCESS_DENIED, reason)]
    assert ruled.door.pulses == []
    assert ruled.asked == []


def test_rights_reach_the_door(ruled: Stand) -> None:
    """Whoever needs more time has more of it on the pulse."""
    know(ruled, "ada", groups=frozenset({"staff"}))
    ruled.see(ruled.grant("ada"))
    (pulse,) = ruled.door.pulses
    assert pulse.extended
    assert pulse.for_s == ruled.settings.door.unlock_s + ruled.settings.door.extended_s
    assert not pulse.bypass


def test_lockdown_opens_for_the_bypass_group_alone(ruled: Stand) -> None:
    """G12: in a lockdown a grant is refused with that reason, and the bypass group's pulse says that it is one."""
    ruled.admission.lockdown = True
    know(ruled, "ada", groups=frozenset({"staff"}))
    know(ruled, "bea", groups=frozenset({"guards"}))
    ruled.see(ruled.grant("ada"))
    ruled.see(ruled.grant("bea"), name="v2", probe=BEA)
    assert ruled.kinds()[0] == (EventType.ACCESS_DENIED, Reason.LOCKDOWN)
    assert [pulse.bypass for pulse in ruled.door.pulses] == [True]


def test_unset_clock_opens_for_always_alone(ruled: Stand) -> None:
    """H1: while the clock is not set, a schedule lets nobody in but people marked always."""
    ruled.moment = Moment(NOON.replace(year=1970), clock_set=False)
    know(ruled, "ada", groups=frozenset({"early"}))
    know(ruled, "bea", groups=frozenset({"early"}), always=True)
    ruled.see(ruled.grant("ada"))
    ruled.see(ruled.grant("bea"), name="v2", probe=BEA)
    assert ruled.kinds()[0] == (EventType.ACCESS_DENIED, Reason.DEGRADED_MODE)
    assert [pulse.presentation_id for pulse in ruled.door.pulses] == ["v2"]


@pytest.mark.parametrize("monitored", [True, False])
def test_passback_counts_who_went_in(ruled: Stand, monitored: bool) -> None:
    """Who went in may not go in again; who was granted and never opened the door has not, where that can be told."""
    ruled.admission.monitored = monitored
    know(ruled, "ada", groups=frozenset({"staff"}))
    ruled.see(ruled.grant("ada"))
    ruled.now_s += 60
    ruled.see(ruled.grant("ada"), name="v2")
    assert len(ruled.door.pulses) == (2 if monitored else 1)
    ruled.admission.passed("v2")
    ruled.now_s += 60
    ruled.see(ruled.grant("ada"), name="v3")
    assert ruled.kinds()[-1] == (EventType.ACCESS_DENIED, Reason.ANTI_PASSBACK)


def test_two_must_come(ruled: Stand) -> None:
    """The first of two waits and is told so; the second opens for both."""
    for who in ("ada", "bea"):
        know(ruled, who, groups=frozenset({"pairs"}))
    ruled.see(ruled.grant("ada"))
    assert ruled.reception.hint is Hint.NEXT_PERSON
    assert ruled.door.pulses == []
    ruled.now_s += 5
    ruled.see(ruled.grant("bea"), name="v2", probe=BEA)
    assert [pulse.presentation_id for pulse in ruled.door.pulses] == ["v2"]


def test_a_pin_completes_a_face(stand: Stand) -> None:
    """Somebody whose face is not enough is asked for a PIN, and the right one opens once, in their visit."""
    give_pin(stand, "ada")
    know(stand, "ada", factor=FactorPolicy.PIN)
    stand.see(stand.grant("ada"))
    assert stand.reception.hint is Hint.SECOND_FACTOR
    assert stand.events == []
    later(stand)
    assert stand.reception.enter_pin(PIN) == ""
    assert stand.kinds() == [(EventType.ACCESS_GRANTED, Reason.OK)]
    assert stand.events[0].method == "face+pin"
    assert stand.reception.enter_pin(PIN) == "nobody_asked"
    assert len(stand.door.pulses) == 1


def test_liveness_that_was_never_tried_here_asks_for_a_pin(stand: Stand) -> None:
    """Where a face alone may not open, a PIN beside it does, without a human."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    assert stand.asked == []
    assert stand.reception.enter_pin(PIN) == ""
    assert len(stand.door.pulses) == 1


def test_who_has_no_factor_is_for_a_human(stand: Stand) -> None:
    """Nobody is asked for what they do not have: a human is asked at once."""
    know(stand, "ada", factor=FactorPolicy.ANY)
    stand.see(stand.grant("ada"))
    assert [ticket.reason for ticket in stand.asked] == [Reason.SECOND_FACTOR_REQUIRED]
    assert stand.reception.enter_pin(PIN) == "nobody_asked"


def test_silence_after_a_question_is_for_a_human(stand: Stand) -> None:
    """Who shows nothing in time is referred while they stand there, and denied when they have left."""
    give_pin(stand, "ada")
    for name, there in (("v1", True), ("v2", False)):
        stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED), name=name)
        stand.now_s += stand.settings.access.factor_s
        if there:
            stand.see(Wait(), name=name)
        stand.reception.tick()
        stand.now_s += 60
    assert [ticket.presentation_id for ticket in stand.asked] == ["v1"]
    assert (EventType.ACCESS_DENIED, Reason.SECOND_FACTOR_REQUIRED) in stand.kinds()
    assert stand.door.pulses == []


def test_who_looks_down_at_the_keys_is_waited_for(stand: Stand) -> None:
    """B7: the right PIN opens only when the same person is seen, alive and recognised, in the very moment after it."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    stand.now_s += 0.5
    stand.see(Wait())
    assert stand.reception.enter_pin(PIN) == ""
    assert stand.reception.enter_pin(PIN) == "nobody_asked"
    assert stand.door.pulses == []
    for doubt in (Refer(Reason.UNKNOWN_FACE), Refer(Reason.LIVENESS_UNCERTAIN), stand.grant("bea")):
        stand.see(doubt)
        assert stand.door.pulses == []
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    assert len(stand.door.pulses) == 1


def test_an_attack_seen_while_a_pin_is_awaited_ends_it(stand: Stand) -> None:
    """B7: a picture held up once the question was asked is denied, and the right PIN after it opens nothing."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    stand.now_s += 0.5
    stand.see(Deny(Reason.LIVENESS_FAILED))
    assert stand.reception.enter_pin(PIN) == "nobody_asked"
    assert stand.kinds()[-1] == (EventType.ACCESS_DENIED, Reason.LIVENESS_FAILED)
    assert stand.door.pulses == []


def test_a_wrong_pin_opens_nothing_and_may_be_corrected(stand: Stand) -> None:
    """A wrong PIN is denied, said at the door, and the right one still serves in the same visit."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    assert stand.reception.enter_pin(OTHER) == "wrong_pin"
    assert stand.door.signals[-1] is Signal.DENIED
    assert stand.reception.enter_pin(PIN) == ""
    assert stand.kinds() == [(EventType.ACCESS_DENIED, Reason.WRONG_PIN), (EventType.ACCESS_GRANTED, Reason.OK)]


@pytest.mark.parametrize(
    "text", ["", "x" * 10_000, "\uff12\uff15\uff18\uff10", f"{PIN} ", f"{PIN}\n", f"'{PIN}'", "\0"]
)
def test_what_is_no_pin_is_a_wrong_one(stand: Stand, text: str) -> None:
    """E1: whatever is typed is data; only the very digits open."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    assert stand.reception.enter_pin(text) == "wrong_pin"
    assert stand.door.pulses == []


def test_guessing_is_slowed(stand: Stand) -> None:
    """B12: after five wrong PINs each further try waits half a minute, and even the right one has no effect before."""
    give_pin(stand, "ada")
    know(stand, "ada", factor=FactorPolicy.PIN)
    stand.see(stand.grant("ada"))
    assert [stand.reception.enter_pin(OTHER) for _ in range(6)] == ["wrong_pin"] * 5 + ["too_many_attempts"]
    assert stand.reception.enter_pin(PIN) == "too_many_attempts"
    stand.now_s += PAUSE_S
    stand.see(stand.grant("ada"), name="v2")
    assert stand.reception.enter_pin(PIN) == ""


def test_a_pin_without_the_visitor_is_nobodys(stand: Stand) -> None:
    """A PIN counts only while the one who was asked is before the camera."""
    give_pin(stand, "ada")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    stand.now_s += 1.5
    assert stand.reception.enter_pin(PIN) == "nobody_asked"
    stand.see(Wait(), name="v2", probe=BEA)
    assert stand.reception.enter_pin(PIN) == "nobody_asked"
    assert stand.door.pulses == []


def test_duress_opens_as_usual_and_tells_in_silence(stand: Stand) -> None:
    """G11: the duress PIN opens with the same pulse, words, lamp and entry; one event more is all that differs."""
    seen = []
    give_pin(stand, "ada")
    for pin in (PIN, DURESS):
        stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED), name=pin)
        said = stand.reception.enter_pin(pin)
        pulse = stand.door.pulses[-1]
        seen.append((said, pulse.for_s, stand.reception.hint, stand.door.signals[-1], stand.events[-1].method))
        stand.now_s += 60
    assert seen[0] == seen[1]
    assert [kind for kind, _ in stand.kinds()] == [
        EventType.ACCESS_GRANTED,
        EventType.DURESS,
        EventType.ACCESS_GRANTED,
    ]


def test_look_alikes_are_told_apart_by_their_pin(stand: Stand) -> None:
    """B10: of two people whom a face may be, the one whose PIN it is gets in; a PIN of neither opens nothing."""
    give_pin(stand, "ada")
    give_pin(stand, "bea", OTHER, "1590")
    visit = presentation("v1", BEA, stand.now_s)
    alike = tuple(Candidate(person_id, "r", 0.6) for person_id in stand.ids.values())
    refer = Step((visit.latest.detection,), visit, alike, Refer(Reason.AMBIGUOUS_MATCH))
    stand.reception.see(refer, POINT)
    assert stand.reception.enter_pin("9741") == "wrong_pin"
    assert stand.reception.enter_pin(OTHER) == ""
    actor = stand.events[-1].actor
    assert actor is not None
    assert actor.id == stand.ids["bea"]


def test_two_people_with_one_pin_are_not_told_apart_by_it(stand: Stand) -> None:
    """B10: where a face may be either of two and both have the PIN that was typed, nobody is let in."""
    give_pin(stand, "ada")
    give_pin(stand, "bea")
    visit = presentation("v1", BEA, stand.now_s)
    alike = tuple(Candidate(person_id, "r", 0.6) for person_id in stand.ids.values())
    stand.reception.see(Step((visit.latest.detection,), visit, alike, Refer(Reason.AMBIGUOUS_MATCH)), POINT)
    assert stand.reception.enter_pin(PIN) == "wrong_pin"
    assert stand.door.pulses == []


def test_a_pass_serves_once_and_only_its_person(stand: Stand) -> None:
    """E1: a pass opens beside the face it was made for, once; alone, used, or beside another face it is only data."""
    code = give_pass(stand, "ada")
    stand.codes = (code,)
    stand.see(Refer(Reason.UNKNOWN_FACE))
    assert stand.door.pulses == []
    stand.now_s += 60
    give_pass(stand, "bea")
    for _ in range(2):
        stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED), name="v2")
        stand.now_s += 0.5
    assert len(stand.door.pulses) == 1
    assert stand.events[-1].method == "face+pass"
    stand.now_s += 60
    for _ in range(2):
        stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED), name="v3")
        stand.now_s += 0.5
    assert len(stand.door.pulses) == 1


def test_hostile_codes_in_view_are_data(stand: Stand) -> None:
    """E1: whatever twenty codes say, the visitor is still asked and nothing opens."""
    give_pass(stand, "ada")
    stand.codes = ("' OR 1=1--", "\0" * 400, "OSTIARY1." + "A" * 156, "{{7*7}}")
    stand.see(Refer(Reason.SECOND_FACTOR_REQUIRED))
    later(stand)
    assert stand.reception.hint is Hint.SECOND_FACTOR
    assert stand.door.pulses == []


def test_a_face_that_fails_and_fails_waits_and_nobody_else_does(stand: Stand) -> None:
    """B19: after five attacks a face is told too_many_attempts; another, recognised, is let in at once."""
    for number in range(6):
        stand.see(Deny(Reason.LIVENESS_FAILED), name=f"try{number}", probe=BEA)
        stand.now_s += 11
    assert stand.kinds()[-1] == (EventType.ACCESS_DENIED, Reason.TOO_MANY_ATTEMPTS)
    stand.see(stand.grant("ada"), name="honest")
    assert len(stand.door.pulses) == 1
