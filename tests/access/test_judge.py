"""The judge: each reason has its case, the order is fixed, and only a whole chain of yes lets anybody in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.explain import explain
from appliance.access.judge import CHECKS, judge, local
from appliance.access.passback import Passage, Side
from appliance.access.rules import Rules, parse
from appliance.access.schedule import Moment
from appliance.access.subject import Factor, FactorPolicy, Status, Subject
from appliance.access.verdict import Allowed, CompanionNeeded, FactorNeeded, Refused, Standing, Verdict
from appliance.contract import Reason

RULES = parse(
    """
    time_zone = "Europe/Lisbon"
    [holidays]
    Christmas = "12-25"
    [schedules.office]
    periods = ["Mon-Fri 07:00-19:00"]
    [schedules.night]
    periods = ["Mon-Sun 22:00-06:00"]
    holidays = "ignored"
    [groups.staff]
    doors = ["front", "side"]
    schedule = "office"
    [groups.cleaners]
    doors = ["front"]
    schedule = "night"
    factor = "pin"
    [groups.managers]
    doors = ["*"]
    factor = "any"
    factor_outside = "office"
    lockdown_bypass = true
    passback_exempt = true
    extended = true
    [groups.vault]
    doors = ["front", "vault"]
    two_person = "managers"
    two_person_inside = "office"
    [doors.side]
    passback = "hard"
    [doors.soft]
    passback = "soft"
    [doors.timed]
    passback = "timed"
    passback_minutes = 10
    [doors.vault]
    two_person = "*"
    [doors.lab]
    factor = "pass"
    factor_inside = "office"
    """,
    "access.toml",
)
FRONT = Standing("front")
TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)  # in office hours
NIGHT = TUESDAY.replace(hour=23)
SUNDAY = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CHRISTMAS = datetime(2026, 12, 25, 10, 0, tzinfo=UTC)  # a Friday
PIN, PASS, NONE = frozenset({Factor.PIN}), frozenset({Factor.PASS}), frozenset[Factor]()
AT = {"tuesday": TUESDAY, "night": NIGHT, "sunday": SUNDAY, "christmas": CHRISTMAS}


def ada(*groups: str, **known: object) -> Subject:
    """Return Ada, in these groups."""
    return replace(Subject("ada", "Ada", groups=frozenset(groups)), **known)  # type: ignore[arg-type]


def verdict(
    subject: Subject,
    at: datetime = TUESDAY,
    *,
    rules: Rules | None = RULES,
    clock_set: bool = True,
    standing: Standing = FRONT,
) -> Verdict:
    """Return what the judge says."""
    return judge(subject, rules, Moment(at, clock_set), standing)


def answer(said: Verdict) -> str:
    """Return the verdict in one word: ok, the reason, the factors, or two."""
    match said:
        case Allowed():
            return "ok"
        case Refused(reason=reason):
            return reason.value
        case FactorNeeded(kinds=kinds):
            return "+".join(sorted(kinds))
        case CompanionNeeded():
            return "two"


@pytest.mark.parametrize(
    ("groups", "door", "at", "expected"),
    [
        ("staff", "front", "tuesday", "ok"),
        ("staff", "front", "night", "outside_schedule"),
        ("staff", "front", "sunday", "outside_schedule"),
        ("staff", "front", "christmas", "outside_schedule"),
        ("staff", "vault", "tuesday", "no_door_right"),
        ("", "front", "tuesday", "no_door_right"),
        ("stafff", "front", "tuesday", "no_door_right"),  # a group that is not in the rules
        ("cleaners", "front", "tuesday", "outside_schedule"),
        ("cleaners", "front", "night", "pin"),
        ("staff cleaners", "front", "tuesday", "ok"),  # the cleaners' demand binds only when they let in
        ("staff cleaners", "front", "night", "pin"),
        ("managers", "anywhere", "tuesday", "ok"),
        ("managers", "front", "sunday", "pass+pin"),
        ("managers cleaners", "front", "night", "pin"),  # both demands hold: a PIN meets both
        ("managers", "lab", "tuesday", "pass"),
        ("managers", "lab", "night", "pass+pin"),
        ("vault", "front", "tuesday", "two"),
        ("vault", "front", "sunday", "ok"),
        ("vault", "vault", "sunday", "two"),
    ],
)
def test_groups_doors_and_schedules(groups: str, door: str, at: str, expected: str) -> None:
    """C14: wrong door, wrong schedule, no group: each with its reason, however well the face was recognised."""
    said = verdict(ada(*groups.split()), AT[at], standing=Standing(door))
    assert answer(said) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"status": Status.DENY_LISTED}, Reason.DENY_LISTED),
        ({"status": Status.SUSPENDED}, Reason.SUSPENDED),
        ({"valid_from": TUESDAY + timedelta(microseconds=1)}, Reason.NOT_YET_VALID),
        ({"valid_until": TUESDAY}, Reason.EXPIRED),
        ({"valid_from": TUESDAY, "valid_until": TUESDAY + timedelta(microseconds=1)}, None),
        ({"status": Status.SUSPENDED, "always": True}, Reason.SUSPENDED),
        ({"valid_until": TUESDAY, "always": True}, Reason.EXPIRED),
    ],
)
@pytest.mark.parametrize("rules", [RULES, None])
def test_persons_own_bounds(known: dict[str, object], expected: Reason | None, rules: Rules | None) -> None:
    """C14: deny list, suspension and bounds hold with and without rules, and for those marked always."""
    said = verdict(ada("staff", **known), rules=rules)
    assert (said.reason if isinstance(said, Refused) else None) is expected
    assert isinstance(said, Allowed) is (expected is None)


def test_without_rules_whoever_is_enrolled_may_enter() -> None:
    """No access.toml means what it meant before there was one: any enrolled person, any group, at any time."""
    for at in AT.values():
        assert answer(verdict(ada(), at, rules=None)) == "ok"
        assert answer(verdict(ada("staff", factor=FactorPolicy.PIN), at, rules=None)) == "pin"
        assert answer(verdict(ada(), at, rules=None, standing=Standing("front", lockdown=True))) == "lockdown"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (ada("staff"), "degraded_mode"),
        (ada("staff", always=True), "ok"),
        (ada("cleaners", always=True), "pin"),
        (ada("managers"), "pass+pin"),  # bound to no schedule; what is asked outside one is asked
        (ada("vault"), "two"),  # and so is what is asked inside one
        (ada("staff", valid_until=TUESDAY + timedelta(days=9)), "degraded_mode"),
        (ada("staff", valid_from=TUESDAY - timedelta(days=9), always=True), "ok"),
        (ada(always=True), "no_door_right"),
        (ada("staff", always=True, status=Status.SUSPENDED), "suspended"),
    ],
)
def test_clock_that_is_not_set(subject: Subject, expected: str) -> None:
    """Clock unset, H1: no schedule and no bound holds, except for those marked always; every demand is made."""
    for at in (datetime(1970, 1, 1, tzinfo=UTC), TUESDAY, datetime(2099, 1, 1, tzinfo=UTC)):
        assert answer(verdict(subject, at, clock_set=False)) == expected


def test_always_is_bound_to_no_schedule() -> None:
    """Somebody marked always enters at night and on holidays, through the doors of their groups and no others."""
    for at in AT.values():
        assert answer(verdict(ada("staff", always=True), at)) == "ok"
        assert answer(verdict(ada("staff", always=True), at, standing=Standing("vault"))) == "no_door_right"


def test_lockdown_stops_all_but_the_bypass() -> None:
    """G12: in a lockdown only a group that may pass it is let in, and somebody marked always is not."""
    locked = Standing("front", lockdown=True)
    assert answer(verdict(ada("staff", always=True), standing=locked)) == "lockdown"
    assert answer(verdict(ada("managers"), standing=locked)) == "ok"
    assert answer(verdict(ada("managers", "staff"), standing=locked)) == "ok"


@pytest.mark.parametrize(
    ("person", "group", "shown", "expected"),
    [
        (FactorPolicy.NONE, "staff", NONE, "ok"),
        (FactorPolicy.PIN, "staff", NONE, "pin"),
        (FactorPolicy.PIN, "staff", PASS, "pin"),
        (FactorPolicy.PIN, "staff", PIN, "ok"),
        (FactorPolicy.PASS, "staff", PIN, "pass"),
        (FactorPolicy.ANY, "staff", PASS, "ok"),
        (FactorPolicy.ANY, "staff", PIN, "ok"),
    ],
)
def test_persons_own_factor(person: FactorPolicy, group: str, shown: frozenset[Factor], expected: str) -> None:
    """What a person is asked for besides the face is asked until that kind is shown; another kind will not do."""
    said = verdict(ada(group, factor=person), standing=Standing("front", shown))
    assert answer(said) == expected


def test_every_demand_is_met_on_its_own() -> None:
    """Where the door wants a pass and the person a PIN, both are needed, one after the other."""
    subject = ada("managers", factor=FactorPolicy.PIN)
    told = [answer(verdict(subject, standing=Standing("lab", shown))) for shown in (NONE, PASS, PIN, PIN | PASS)]
    assert told == ["pass", "pin", "pass", "ok"]


def test_doubt_asks_for_any_factor() -> None:
    """B4, B10: where a face alone will not do, because of a look-alike or too many attempts, any factor will."""
    doubtful = Standing("front", doubt="somebody is very alike")
    said = verdict(ada("staff"), standing=doubtful)
    assert isinstance(said, FactorNeeded)
    assert said.kinds == PIN | PASS
    assert said.words == "somebody is very alike; pin or pass is needed besides the face"
    assert answer(verdict(ada("staff"), standing=replace(doubtful, factors=PASS))) == "ok"


EVE = Subject("eve", "Eve", groups=frozenset({"managers"}))
BOB = Subject("bob", "Bob", groups=frozenset({"vault"}))


@pytest.mark.parametrize(
    ("door", "others", "expected", "beside"),
    [
        ("front", (), "two", ()),
        ("front", (BOB,), "two", ()),  # of the wrong group
        ("front", (EVE,), "ok", ("eve",)),
        ("front", (BOB, EVE), "ok", ("eve",)),
        ("vault", (BOB,), "two", ()),  # the door takes anybody, the group does not
        ("vault", (EVE,), "ok", ("eve",)),
        ("vault", (EVE, BOB), "ok", ("eve",)),
        ("front", (Subject("ada", "Ada", groups=frozenset({"managers"})),), "two", ()),  # nobody is two
    ],
)
def test_two_person_rule(door: str, others: tuple[Subject, ...], expected: str, beside: tuple[str, ...]) -> None:
    """A second person of the right group who has passed every check opens for both; nobody is their own companion."""
    said = verdict(ada("vault"), standing=Standing(door, companions=others))
    assert answer(said) == expected
    assert (said.companions if isinstance(said, Allowed) else ()) == beside


@pytest.mark.parametrize(
    ("door", "passage", "groups", "expected", "told"),
    [
        ("side", Passage(Side.ENTRY, TUESDAY - timedelta(hours=2)), "staff", "anti_passback", False),
        ("side", Passage(Side.EXIT, TUESDAY - timedelta(hours=2)), "staff", "ok", False),
        ("side", None, "staff", "ok", False),
        ("side", Passage(Side.ENTRY, TUESDAY - timedelta(hours=2)), "staff managers", "ok", False),  # exempt
        ("front", Passage(Side.ENTRY, TUESDAY - timedelta(hours=2)), "staff", "ok", False),  # none at this door
        ("side", Passage(Side.ENTRY, TUESDAY.replace(hour=3, minute=59)), "staff", "ok", False),  # before the reset
        ("side", Passage(Side.ENTRY, TUESDAY.replace(hour=4, minute=0)), "staff", "anti_passback", False),
        ("soft", Passage(Side.ENTRY, TUESDAY - timedelta(hours=2)), "guards", "ok", True),
        ("timed", Passage(Side.ENTRY, TUESDAY - timedelta(minutes=10)), "guards", "ok", False),
        ("timed", Passage(Side.ENTRY, TUESDAY - timedelta(minutes=9, seconds=59)), "guards", "anti_passback", False),
        ("timed", Passage(Side.EXIT, TUESDAY - timedelta(minutes=1)), "guards", "ok", False),
    ],
)
def test_anti_passback(door: str, passage: Passage | None, groups: str, expected: str, told: bool) -> None:
    """Going the same way twice is refused, told, or refused for some minutes; not after the reset, nor if exempt."""
    guards = parse('time_zone = "UTC"\n[groups.guards]\ndoors = ["*"]\n', "x").groups["guards"]
    rules = RULES.model_copy(update={"groups": {**RULES.groups, "guards": guards}})
    said = verdict(ada(*groups.split()), rules=rules, standing=Standing(door, passage=passage))
    assert answer(said) == expected
    assert (isinstance(said, Allowed) and said.passback_broken) is told


def test_passage_without_a_clock_binds() -> None:
    """H1: while the clock is not set, whoever went in last may not go in again, however long ago it seems to be."""
    passage = Passage(Side.ENTRY, TUESDAY - timedelta(days=400))
    standing = Standing("side", passage=passage)
    assert answer(verdict(ada("staff", always=True), clock_set=False, standing=standing)) == "anti_passback"
    assert answer(verdict(ada("staff", always=True), standing=standing)) == "ok"


def test_extended_is_the_persons_or_a_groups() -> None:
    """The longer time is given to whoever is marked so, and to a group that lets in now."""
    for subject, extended in (
        (ada("staff"), False),
        (ada("staff", extended=True), True),
        (ada("staff", "managers"), True),
    ):
        said = verdict(subject)
        assert isinstance(said, Allowed)
        assert said.extended is extended


def test_order_of_the_checks_is_fixed() -> None:
    """Where everything is wrong at once, the reasons come in their order as one after the other is put right."""
    subject = Subject(
        "ada", "Ada", Status.DENY_LISTED, valid_until=TUESDAY - timedelta(days=1), factor=FactorPolicy.PIN
    )
    standing = Standing("vault", lockdown=True, passage=Passage(Side.ENTRY, TUESDAY - timedelta(minutes=1)))
    rules = parse(
        """
        time_zone = "UTC"
        [schedules.day]
        periods = ["Mon 00:00-01:00"]
        [schedules.all]
        periods = ["Mon-Sun 00:00-24:00"]
        [groups.late]
        doors = ["vault"]
        schedule = "day"
        [groups.now]
        doors = ["vault"]
        schedule = "all"
        [groups.bypass]
        doors = ["vault"]
        schedule = "all"
        lockdown_bypass = true
        [doors.vault]
        passback = "hard"
        two_person = "*"
        """,
        "x",
    )
    told = []
    steps: list[tuple[dict[str, object], dict[str, object]]] = [
        ({}, {}),
        ({"status": Status.SUSPENDED}, {}),
        ({"status": Status.ACTIVE}, {}),
        ({"valid_until": None}, {}),
        ({"groups": frozenset({"late"})}, {}),
        ({"groups": frozenset({"now"})}, {}),
        ({"groups": frozenset({"bypass"})}, {}),
        ({}, {"passage": None}),
        ({}, {"factors": PIN}),
        ({}, {"companions": (EVE,)}),
    ]
    for known, seen in steps:
        subject, standing = replace(subject, **known), replace(standing, **seen)  # type: ignore[arg-type]
        told.append(answer(verdict(subject, rules=rules, standing=standing)))
    assert told == [
        "deny_listed",
        "suspended",
        "expired",
        "no_door_right",
        "outside_schedule",
        "lockdown",
        "anti_passback",
        "pin",
        "two",
        "ok",
    ]
    assert len(CHECKS) == len(told) - 1


def test_explanation_holds_every_check() -> None:
    """An explanation says the answer, then each check in its order, passed and failed, in plain words."""
    lines = explain(ada("staff"), RULES, Moment(SUNDAY, clock_set=True), Standing("front"))
    assert lines == [
        "Ada at door front, 2026-11-22 10:00 WET: may not enter (outside_schedule)",
        "  yes   Ada is not on the deny list",
        "  yes   Ada is not suspended",
        "  yes   Ada is valid without bounds",
        "  yes   Ada is in group staff; group staff may use door front",
        "  no    group staff has schedule office: Mon-Fri 07:00-19:00; 2026-11-22 is a Sunday, 10:00: no",
        "  yes   there is no lockdown",
        "  yes   the door has no anti-passback",
        "  yes   a face alone is enough",
        "  yes   nobody else has to come along",
    ]


@pytest.mark.parametrize(
    ("subject", "door", "at", "head", "line"),
    [
        (ada("managers"), "front", NIGHT, "may enter with a second factor", "  asks  group managers asks for a factor"),
        (ada("vault"), "front", TUESDAY, "may enter with a second person", "of group managers: nobody came yet"),
        (ada("staff"), "front", TUESDAY, "may enter", "2026-11-24 is a Tuesday, 10:00: yes"),
        (ada("staff"), "front", CHRISTMAS, "(outside_schedule)", "2026-12-25 is the holiday Christmas, 10:00: no"),
        (ada(), "front", TUESDAY, "(no_door_right)", "  no    Ada is in no group"),
        (ada("staff"), "vault", TUESDAY, "(no_door_right)", "Ada is in group staff; none of these may use door vault"),
        (ada("staff", valid_until=TUESDAY), "front", TUESDAY, "(expired)", "until 2026-11-24 10:00 WET: no longer"),
    ],
)
def test_explanation_says_why(subject: Subject, door: str, at: datetime, head: str, line: str) -> None:
    """The first line ends in the answer, and one of the others says what it rests on."""
    lines = explain(subject, RULES, Moment(at, clock_set=True), Standing(door))
    assert lines[0].endswith(head)
    assert [one for one in lines[1:] if line in one], lines


SUBJECTS = st.builds(
    Subject,
    person_id=st.just("ada"),
    name=st.just("Ada"),
    status=st.sampled_from(Status),
    valid_from=st.none() | st.datetimes(timezones=st.just(UTC)),
    valid_until=st.none() | st.datetimes(timezones=st.just(UTC)),
    groups=st.frozensets(st.sampled_from([*RULES.groups, "unknown"])),
    always=st.booleans(),
    factor=st.sampled_from(FactorPolicy),
)
STANDINGS = st.builds(
    Standing,
    door=st.sampled_from([*RULES.doors, "front", "elsewhere"]),
    factors=st.frozensets(st.sampled_from(Factor)),
    lockdown=st.booleans(),
    doubt=st.sampled_from(["", "a look-alike"]),
    passage=st.none() | st.builds(Passage, st.sampled_from(Side), st.datetimes(timezones=st.just(UTC))),
    companions=st.lists(st.sampled_from([EVE, BOB]), unique=True).map(tuple),
)
MOMENTS = st.builds(
    Moment,
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - st's way
    st.booleans(),
)


@given(subject=SUBJECTS, moment=MOMENTS, standing=STANDINGS)
def test_only_a_whole_chain_of_yes_opens(subject: Subject, moment: Moment, standing: Standing) -> None:
    """C14: whoever is let in is active, within their bounds, entitled, and every check says so."""
    said = judge(subject, RULES, moment, standing)
    lines = explain(subject, RULES, moment, standing)
    assert isinstance(said, Allowed) is all(line.startswith("  yes") for line in lines[1:])
    if not isinstance(said, Allowed):
        return
    groups = [RULES.groups[name] for name in subject.groups & RULES.groups.keys()]
    mine = [group for group in groups if group.opens(standing.door)]
    assert subject.status is Status.ACTIVE
    assert mine
    if moment.clock_set:
        assert subject.valid_from is None or subject.valid_from <= moment.at
        assert subject.valid_until is None or moment.at < subject.valid_until
    else:
        assert subject.always or (subject.valid_from is None and subject.valid_until is None)
        assert subject.always or any(not group.schedule for group in mine)
    assert not standing.lockdown or any(group.lockdown_bypass for group in mine)
    assert not standing.doubt or standing.factors
    assert not subject.factor.kinds or subject.factor.kinds & standing.factors


@given(subject=SUBJECTS, moment=MOMENTS, standing=STANDINGS)
def test_what_is_worse_never_opens(subject: Subject, moment: Moment, standing: Standing) -> None:
    """Who is not let in is not let in with less either: without a factor or companion, or in a lockdown."""
    if isinstance(judge(subject, RULES, moment, standing), Allowed):
        return
    for worse in (
        replace(standing, factors=NONE),
        replace(standing, companions=()),
        replace(standing, lockdown=True),
        replace(standing, doubt="a look-alike", factors=NONE),
    ):
        assert not isinstance(judge(subject, RULES, moment, worse), Allowed)


@pytest.mark.parametrize(("zone", "at"), [("Europe/Lisbon", "0001-01-01T00:00"), ("Asia/Tokyo", "9999-12-31T23:59")])
def test_bound_at_the_end_of_time_is_told(zone: str, at: str) -> None:
    """H2: a bound on the first or the last day that there is, which the zone would put outside, is said in UTC."""
    rules = RULES.model_copy(update={"time_zone": ZoneInfo(zone)})
    assert local(rules, datetime.fromisoformat(f"{at}+00:00")) == f"{at.replace('T', ' ')} UTC".lstrip("0")
