"""Retention: who is due and when, by dates alone."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from appliance.access.subject import Status
from appliance.config import RetentionSettings
from appliance.privacy.retention import PRESETS, Due, Facts, Rules, Why, due, rules_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = Rules(never_seen_days=30, unseen_days=180, leaver_days=7, consent_days=365)
ADA = Facts("ada", NOON, NOON, NOON, Status.ACTIVE, None, None, None)

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone follows
SOMEBODY = st.builds(
    Facts,
    st.just("ada"),
    TIMES,
    TIMES,
    TIMES,
    st.sampled_from(Status),
    st.none() | TIMES,
    st.none() | TIMES,
    st.none() | st.dates(date(2020, 1, 1), date(2050, 1, 1)),
)
DAYS = st.integers(0, 36_500)
ANY_RULES = st.builds(Rules, DAYS, DAYS, DAYS, DAYS)


def in_days(days: int, since: datetime = NOON) -> date:
    """Return the day so many days on."""
    return (since + timedelta(days=days)).date()


def test_each_rule_by_itself() -> None:
    """J6: never seen, seen no more, left, suspended, and a consent that has grown old: each ends on its own day."""
    seen = replace(ADA, last_seen_on=in_days(10))
    assert due(ADA, RULES) == Due(in_days(30), Why.NEVER_SEEN)
    assert due(seen, RULES) == Due(in_days(190), Why.UNSEEN)
    assert due(replace(seen, valid_until=NOON + timedelta(days=20)), RULES) == Due(in_days(27), Why.LEFT)
    suspended = replace(seen, status=Status.SUSPENDED, changed_at=NOON + timedelta(days=15))
    assert due(suspended, RULES) == Due(in_days(22), Why.LEFT)
    often = replace(ADA, last_seen_on=in_days(364))
    assert due(often, RULES) == Due(in_days(365), Why.CONSENT_OLD)


def test_the_time_runs_from_when_somebody_could_first_come() -> None:
    """Somebody enrolled for a time to come, or who has just agreed again, has not been missing since before that."""
    starts = NOON + timedelta(days=100)
    assert due(replace(ADA, valid_from=starts), RULES) == Due(in_days(30, starts), Why.NEVER_SEEN)
    again = replace(ADA, last_seen_on=in_days(0), consent_at=NOON + timedelta(days=170))
    assert due(again, RULES) == Due(in_days(350), Why.UNSEEN)


def test_somebody_on_the_deny_list_is_not_expected_to_be_seen() -> None:
    """Whoever is kept out is never let in: that alone must not erase them, but the age of their consent does."""
    denied = replace(ADA, status=Status.DENY_LISTED)
    assert due(denied, RULES) == Due(in_days(365), Why.CONSENT_OLD)
    assert due(denied, replace(RULES, consent_days=0)) is None


def test_days_are_those_of_utc() -> None:
    """A moment in another zone counts as the day that it is in UTC."""
    late = datetime.fromisoformat("2026-03-01T23:30:00-05:00")
    assert due(replace(ADA, enrolled_at=late), RULES) == Due(date(2026, 4, 1), Why.NEVER_SEEN)


@given(facts=SOMEBODY)
def test_without_rules_nobody_is_due(facts: Facts) -> None:
    """The default erases nobody, whatever the dates are."""
    assert due(facts, Rules()) is None
    assert rules_of(RetentionSettings()) == Rules()


@given(facts=SOMEBODY, rules=ANY_RULES, days=st.integers(0, 5000))
@trials(max_examples=100, deadline=None)
def test_coming_in_never_hastens_the_end(facts: Facts, rules: Rules, days: int) -> None:
    """Somebody who is seen, and again later, is kept at least as long under the rule of those who are not."""
    rules = replace(rules, never_seen_days=rules.unseen_days)
    on = facts.last_seen_on or facts.enrolled_at.date()
    seen, later = (due(replace(facts, last_seen_on=day), rules) for day in (on, on + timedelta(days=days)))
    assert (later is None) == (seen is None)
    assert seen is None or later is None or seen.on <= later.on


@given(facts=SOMEBODY, rules=ANY_RULES, name=st.sampled_from([one.name for one in fields(Rules)]), days=st.integers(1))
@trials(max_examples=100, deadline=None)
def test_a_longer_time_never_ends_earlier(facts: Facts, rules: Rules, name: str, days: int) -> None:
    """Raising one rule never brings anybody's day nearer, and taking it away does not either."""
    now = due(facts, rules)
    set_to = getattr(rules, name)
    longer = [0] if set_to == 0 else [0, set_to + days % 1000]
    for value in longer:
        then = due(facts, replace(rules, **{name: value}))
        assert then is None or (now is not None and now.on <= then.on)


@given(facts=SOMEBODY, rules=ANY_RULES)
@trials(max_examples=100, deadline=None)
def test_nobody_is_due_before_they_came(facts: Facts, rules: Rules) -> None:
    """A day of erasure lies a rule's length after something that happened: never before all that is known."""
    found = due(facts, rules)
    if found is not None:
        known = [at.date() for at in astuple(facts) if isinstance(at, datetime)]
        least = min(days for days in astuple(rules) if days)
        assert found.on >= min(known) + timedelta(days=least)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_a_setting_goes_before_the_preset(name: str) -> None:
    """A preset is taken as it is, and one key of its own replaces one rule of it."""
    preset = RetentionSettings.model_validate({"preset": name})
    assert rules_of(preset) == PRESETS[name]
    assert rules_of(preset.model_copy(update={"leaver_days": 3})) == replace(PRESETS[name], leaver_days=3)


def test_the_end_of_time_is_no_error() -> None:
    """A date from which no day can be counted is never due, and nothing fails."""
    far = datetime(9999, 12, 31, tzinfo=UTC)
    assert due(replace(ADA, enrolled_at=far, consent_at=far), RULES) is None
