"""Judging: error rates by species, never their mean, and whether they are good enough; ISO/IEC 30107-3's words.

A presentation that could not be read is a non-response. It is counted apart, because a print held too far away
shows nothing of the liveness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.commissioning.trials import BONA_FIDE, Outcome
from appliance.rates import Rate, upper_bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.commissioning.trials import Trial
    from appliance.config import CommissioningSettings

LOWEST = 0.5  # no lower threshold is proposed: below it the model itself says that an attack is likelier
MARGIN = 0.05  # above the attack that came nearest to passing; chosen, not measured


@dataclass(frozen=True, slots=True)
class Tally:
    """The presentations of one species, or of people."""

    species: str  # BONA_FIDE for people
    presented: int
    errors: Rate  # of those read: attacks that passed (APCER), or people who did not (BPCER)
    attacks_called: int  # how many were called an attack

    @property
    def not_read(self) -> Rate:
        """The non-response rate."""
        return Rate(self.presented - self.errors.n, self.presented)

    @property
    def upper95(self) -> float:
        """The largest rate under which so few errors still come up once in twenty times."""
        return upper_bound(self.errors.count, self.errors.n)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the trials show at one threshold."""

    threshold: float  # of bona fide, 0..1
    people: Tally
    attacks: tuple[Tally, ...]  # by species, those asked for first
    shortfalls: tuple[str, ...]  # why it has not passed, in words; () where it has

    @property
    def passed(self) -> bool:
        """Whether a face alone may open."""
        return self.shortfalls == ()

    @property
    def worst(self) -> Tally | None:
        """The species with the highest bound; None where no attack was tried."""
        return max(self.attacks, key=lambda one: (one.errors.count, one.upper95), default=None)


def tally(trials: Sequence[Trial], species: str, threshold: float) -> Tally:
    """Return the counts of one species, or of people."""
    outcomes = [trial.outcome(threshold) for trial in trials if trial.species == species]
    read = [one for one in outcomes if one is not Outcome.NOT_READ]
    passed = read.count(Outcome.BONA_FIDE)
    errors = Rate(len(read) - passed if species == BONA_FIDE else passed, len(read))
    return Tally(species, len(outcomes), errors, read.count(Outcome.ATTACK))


def judge(trials: Sequence[Trial], threshold: float, asked: CommissioningSettings) -> Judgement:
    """Return what the trials show where `liveness.min_bona_fide` is `threshold`, by the rules in `asked`."""
    species = dict.fromkeys([*asked.species_names, *sorted({trial.species for trial in trials} - {BONA_FIDE})])
    people = tally(trials, BONA_FIDE, threshold)
    attacks = tuple(tally(trials, name, threshold) for name in species)
    shortfalls = [*_of_people(people, asked)]
    for one in attacks:
        wanted = asked.attacks if one.species in asked.species_names else 0
        shortfalls += _of_attacks(one, wanted)
    return Judgement(threshold, people, attacks, tuple(shortfalls))


def _of_people(people: Tally, asked: CommissioningSettings) -> list[str]:
    refused = people.errors
    if refused.n < asked.bona_fide:
        return [f"{refused.n} presentations by people were read; {asked.bona_fide} are needed"]
    if not refused.value <= asked.max_bpcer:
        return [f"{refused.count} of {refused.n} people were refused; at most {asked.max_bpcer:.0%} may be"]
    return []


def _of_attacks(attacks: Tally, wanted: int) -> list[str]:
    accepted = attacks.errors
    if accepted.count:
        return [f"{accepted.count} of {accepted.n} {attacks.species} presentations passed for live; none may"]
    if accepted.n < wanted:
        return [f"{accepted.n} {attacks.species} presentations were read; {wanted} are needed"]
    return []


def in_short(judged: Judgement) -> str:
    """Return one line of counts: people refused, and what passed of each species."""
    parts = [f"{judged.people.errors.count} of {judged.people.errors.n} people refused"]
    parts += [f"{one.errors.count} of {one.errors.n} {one.species} accepted" for one in judged.attacks]
    return f"{', '.join(parts)} at {judged.threshold:g}"


def proposed_threshold(trials: Sequence[Trial]) -> float | None:
    """Return the lowest threshold, in hundredths, that no attack reaches within the margin; None where there is none.

    It is chosen on the very trials that it is judged by, so it flatters: a second run shows what it is worth.
    """
    reached = [one.passes_up_to for one in trials if one.species != BONA_FIDE and one.passes_up_to is not None]
    threshold = max(LOWEST, math.ceil(100 * (max(reached, default=0.0) + MARGIN)) / 100)
    return threshold if threshold <= 1 else None
