"""The judge: may this person enter here and now, and if not, why not, in words.

The checks stand in the order in which they count; docs/access.md says the same to people. Whoever is let in by several
groups has the rights of all of them and meets the demands of all of them; a group that does not let in at the moment
counts for nothing.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple

from appliance.access.case import Case
from appliance.access.passback import Passback
from appliance.access.subject import Factor, Status
from appliance.access.verdict import CompanionNeeded, FactorNeeded, Refused
from appliance.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from appliance.access.rules import GroupRules, Rules
    from appliance.access.schedule import Moment
    from appliance.access.subject import Subject
    from appliance.access.verdict import Standing, Verdict


class Check(NamedTuple):
    """What one check came to."""

    words: str
    verdict: Verdict | None = None  # None where nothing stands against it


def judge(subject: Subject, rules: Rules | None, moment: Moment, standing: Standing) -> Verdict:
    """Return what the first check says that does not pass; Allowed where all do.

    Without rules whoever is enrolled may enter at any time, within what is said of the person.
    """
    case = Case(subject, rules, moment, standing)
    for check in CHECKS:
        verdict = check(case).verdict
        if verdict is not None:
            return verdict
    return case.allowed


def _deny_list(case: Case) -> Check:
    if case.subject.status is Status.DENY_LISTED:
        return _no(Reason.DENY_LISTED, f"{case.name} is on the deny list")
    return Check(f"{case.name} is not on the deny list")


def _suspension(case: Case) -> Check:
    if case.subject.status is Status.SUSPENDED:
        return _no(Reason.SUSPENDED, f"{case.name} is suspended")
    return Check(f"{case.name} is not suspended")


def _validity(case: Case) -> Check:
    first, end, at = case.subject.valid_from, case.subject.valid_until, case.moment.at
    if first is None and end is None:
        return Check(f"{case.name} is valid without bounds")
    words = f"{case.name} is valid {_span(case)}"
    if not case.moment.clock_set:
        if case.subject.always:
            return Check(f"{words}; the clock is not set, and {case.name} is marked always")
        return _no(Reason.DEGRADED_MODE, f"{words}; the clock is not set, so that nobody knows")
    if first is not None and at < first:
        return _no(Reason.NOT_YET_VALID, f"{words}: not yet")
    if end is not None and not at < end:
        return _no(Reason.EXPIRED, f"{words}: no longer")
    return Check(words)


def _door_right(case: Case) -> Check:
    if case.rules is None:
        return Check("there are no access rules: whoever is enrolled may use the door")
    groups, door = sorted(case.subject.groups), case.standing.door
    mine = f"{case.name} is in {_listed('group', groups)}" if groups else f"{case.name} is in no group"
    if not case.entitled:
        return _no(Reason.NO_DOOR_RIGHT, f"{mine}; none of these may use door {door}" if groups else mine)
    return Check(f"{mine}; {_listed('group', case.entitled)} may use door {door}")


def _schedule(case: Case) -> Check:
    if case.rules is None:
        return Check("there are no access rules: no schedule binds")
    if case.subject.always:
        return Check(f"{case.name} is marked always: no schedule binds")
    if not case.granting and not case.moment.clock_set:
        return _no(Reason.DEGRADED_MODE, "the clock is not set, so that no schedule holds")
    words = "; ".join(_hours(case, name, group) for name, group in (case.granting or case.entitled).items())
    return Check(words) if case.granting else _no(Reason.OUTSIDE_SCHEDULE, words)


def _lockdown(case: Case) -> Check:
    if not case.standing.lockdown:
        return Check("there is no lockdown")
    bypass = [name for name, group in case.granting.items() if group.lockdown_bypass]
    if not bypass:
        return _no(Reason.LOCKDOWN, f"there is a lockdown, and no group of {case.name} may pass it")
    return Check(f"there is a lockdown, and {_listed('group', bypass)} may pass it")


def _passback(case: Case) -> Check:
    policy = case.door.passback
    if policy is Passback.OFF:
        return Check("the door has no anti-passback")
    if not case.went_the_same_way:
        return Check(f"{policy} anti-passback: nothing stands against it")
    words = f"{policy} anti-passback: {case.name} has gone the same way ({case.door.side}) before"
    return Check(f"{words}, which is told") if policy is Passback.SOFT else _no(Reason.ANTI_PASSBACK, words)


def _factor(case: Case) -> Check:
    shown = [kind for kind in Factor if kind in case.standing.factors]
    asked = list(case.factors())
    for words, kinds in asked:
        if kinds.isdisjoint(shown):
            needed = f"{words}; {' or '.join(kind for kind in Factor if kind in kinds)} is needed besides the face"
            return Check(needed, FactorNeeded(kinds, needed))
    if asked:
        return Check(f"{'; '.join(words for words, _ in asked)}: shown, {' and '.join(shown)}")
    return Check("a face alone is enough")


def _companion(case: Case) -> Check:
    asked = list(case.companions())
    missing = [words for words, companion in asked if companion is None]
    if missing:
        return Check(missing[0], CompanionNeeded(missing[0]))
    return Check("; ".join(words for words, _ in asked) or "nobody else has to come along")


# In the order in which they count. A companion comes last: only who has passed everything else can be one.
CHECKS: tuple[Callable[[Case], Check], ...] = (
    _deny_list,
    _suspension,
    _validity,
    _door_right,
    _schedule,
    _lockdown,
    _passback,
    _factor,
    _companion,
)


def _no(reason: Reason, words: str) -> Check:
    return Check(words, Refused(reason, words))


def _span(case: Case) -> str:
    bounds = (("from", case.subject.valid_from), ("until", case.subject.valid_until))
    return " ".join(f"{word} {local(case.rules, at)}" for word, at in bounds if at is not None)


def local(rules: Rules | None, at: datetime) -> str:
    """Return the moment in the rules' time zone, or in UTC, with the zone."""
    zone = rules.time_zone if rules is not None else UTC
    with suppress(OverflowError):  # the first and the last day that there is, in a zone that is behind or ahead
        at = at.astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M %Z}"


def _hours(case: Case, name: str, group: GroupRules) -> str:
    if case.rules is None or not group.schedule:
        return f"group {name} may enter at any time"
    held = "yes" if case.holds(group.schedule) else "no"
    return f"group {name} has schedule {case.rules.schedule(group.schedule).words(case.moment.at)}: {held}"


def _listed(noun: str, names: Iterable[str]) -> str:
    listed = list(names)
    return f"{noun}{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
