"""Retention: from which day on somebody is not to be kept any longer, and why. Dates in, a date out.

The presets are starting points for whoever has to decide, no legal advice; docs/privacy.md gives the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from appliance.access.subject import Status

if TYPE_CHECKING:
    from appliance.config import RetentionSettings
    from appliance.people.gallery import Details


class Why(StrEnum):
    """Why somebody is no longer to be kept."""

    NEVER_SEEN = "never seen since they were enrolled"
    UNSEEN = "not seen any more"
    LEFT = "no longer let in"
    CONSENT_OLD = "the consent has not been renewed"


@dataclass(frozen=True, slots=True)
class Rules:
    """After how many days of each; 0 for never."""

    never_seen_days: int = 0
    unseen_days: int = 0
    leaver_days: int = 0
    consent_days: int = 0


PRESETS = {
    "none": Rules(),
    "conservative": Rules(never_seen_days=30, unseen_days=180, leaver_days=7, consent_days=365),
    "gdpr": Rules(never_seen_days=90, unseen_days=365, leaver_days=30, consent_days=730),
    "bipa": Rules(never_seen_days=365, unseen_days=1095, leaver_days=30),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What retention must know of one person; times are aware."""

    person_id: str
    enrolled_at: datetime
    changed_at: datetime  # of anything that is known of them
    consent_at: datetime
    status: Status
    valid_from: datetime | None
    valid_until: datetime | None
    last_seen_on: date | None  # None for never


@dataclass(frozen=True, slots=True)
class Due:
    """The first day on which somebody is not to be kept any longer."""

    on: date
    why: Why


def rules_of(settings: RetentionSettings) -> Rules:
    """Return the rules of the preset, each replaced by the setting of its name where that is not 0."""
    preset = PRESETS[settings.preset]
    return Rules(
        settings.never_seen_days or preset.never_seen_days,
        settings.unseen_days or preset.unseen_days,
        settings.leaver_days or preset.leaver_days,
        settings.consent_days or preset.consent_days,
    )


def facts_of(details: Details) -> Facts:
    """Return what retention must know of somebody."""
    subject = details.subject
    return Facts(
        details.person_id,
        details.enrolled_at,
        details.changed_at,
        details.consent.given_at,
        subject.status,
        subject.valid_from,
        subject.valid_until,
        details.last_seen_on,
    )


def due(facts: Facts, rules: Rules) -> Due | None:
    """Return the earliest day on which a rule ends the keeping of this person, in UTC; None where none ever does.

    Somebody on the deny list is kept to be told apart, and is never seen to come in: they go by the end of their
    validity or with their consent. A suspension counts from the latest change of anything that is known of them.
    """
    began = max(_day(at) for at in (facts.enrolled_at, facts.consent_at, facts.valid_from) if at is not None)
    found = [_after(_day(facts.consent_at), rules.consent_days, Why.CONSENT_OLD)]
    if facts.valid_until is not None:
        found.append(_after(_day(facts.valid_until), rules.leaver_days, Why.LEFT))
    if facts.status is Status.SUSPENDED:
        found.append(_after(_day(facts.changed_at), rules.leaver_days, Why.LEFT))
    if facts.status is not Status.DENY_LISTED:
        if facts.last_seen_on is None:
            found.append(_after(began, rules.never_seen_days, Why.NEVER_SEEN))
        else:
            found.append(_after(max(began, facts.last_seen_on), rules.unseen_days, Why.UNSEEN))
    return min((one for one in found if one is not None), key=lambda one: one.on, default=None)


def _after(day: date, days: int, why: Why) -> Due | None:
    if not days or day.toordinal() + days > date.max.toordinal():
        return None
    return Due(date.fromordinal(day.toordinal() + days), why)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()
