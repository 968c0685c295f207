"""Judging: counts by species with their bounds, and a pass only where the rules of this door are met."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commissioning.judging import LOWEST, MARGIN, judge, proposed_threshold, tally
from appliance.commissioning.report import page
from appliance.commissioning.trials import BONA_FIDE, Outcome, Trial
from appliance.config import CommissioningSettings
from appliance.contract import Reason
from tests.commissioning.made import GOOD, SETTINGS, attack, result, trial, unread

ASKED = SETTINGS.commissioning
SHARE = st.floats(0, 1)
TRIALS = st.lists(
    st.builds(
        trial,
        st.sampled_from([BONA_FIDE, "print", "phone"]),
        st.none() | SHARE,
        st.sampled_from([None, Reason.LIVENESS_FAILED, Reason.LIVENESS_UNCERTAIN, Reason.LOW_QUALITY]),
        read=st.booleans(),
    ),
    max_size=12,
)


def test_everything_good_passes() -> None:
    """Enough of everything read, no attack accepted and nobody refused: the rules can be met."""
    assert judge(GOOD, 0.5, ASKED).passed


@pytest.mark.parametrize(
    ("trials", "word"),
    [
        ((), "by people"),
        (GOOD[1:], "1 presentations by people"),
        (GOOD[:-1], "1 phone"),
        ((*GOOD, attack("print", 0.5)), "1 of 3 print"),
        ((*GOOD, attack("monitor", 0.7)), "1 of 1 monitor"),
        ((*GOOD, trial(passes_up_to=0.4)), "1 of 3 people"),
        ((*GOOD[:-1], unread("phone"), unread("phone")), "1 phone"),
    ],
    ids=["nothing", "few people", "few phones", "a print passed", "one not asked for passed", "refused", "unread"],
)
def test_what_is_missing_is_said(trials: tuple[Trial, ...], word: str) -> None:
    """B20: each way of not having shown it is a shortfall in words, and none is made up for by the others."""
    judged = judge(trials, 0.5, ASKED)
    assert not judged.passed
    assert any(word in line for line in judged.shortfalls)


def test_rates_are_of_what_was_read() -> None:
    """Three prints of which one could not be read, one passed: APCER one of two, non-response one of three."""
    counted = tally([attack("print"), attack("print", 0.8), unread("print"), trial()], "print", 0.5)
    assert (counted.presented, counted.errors.count, counted.errors.n) == (3, 1, 2)
    assert counted.not_read.value == pytest.approx(1 / 3)
    assert counted.upper95 == pytest.approx(math.sqrt(0.95))  # (1 - p^2) = 0.05


def test_five_without_a_pass_still_allow_45_per_cent() -> None:
    """None accepted of five is stated with the rate that it still allows."""
    counted = tally([attack("print")] * 5, "print", 0.5)
    assert counted.errors.value == 0
    assert counted.upper95 == pytest.approx(1 - 0.05 ** (1 / 5))
    assert round(100 * counted.upper95) == 45


def test_worst_species_counts_not_the_mean() -> None:
    """One phone that passed is not diluted by a hundred prints that did not."""
    judged = judge([*GOOD, *[attack("print")] * 100, attack("phone", 0.9)], 0.5, ASKED)
    assert judged.worst is not None
    assert judged.worst.species == "phone"
    assert not judged.passed


@given(trials=TRIALS, low=SHARE, high=SHARE)
def test_higher_threshold_never_lets_more_in(trials: list[Trial], low: float, high: float) -> None:
    """However the trials fell, a stricter threshold accepts no further attack and no further person."""
    low, high = sorted((low, high))
    for one in trials:
        if one.outcome(high) is Outcome.BONA_FIDE:
            assert one.outcome(low) is Outcome.BONA_FIDE


@given(trials=TRIALS)
def test_proposed_threshold_keeps_every_attack_out(trials: list[Trial]) -> None:
    """What is proposed lies the margin above every attack tried, and none is proposed where that is impossible."""
    proposed = proposed_threshold(trials)
    reached = [one.passes_up_to for one in trials if one.species != BONA_FIDE and one.passes_up_to is not None]
    if proposed is None:
        assert max(reached) + MARGIN > 0.99
    else:
        assert LOWEST <= proposed <= 1
        assert all(proposed >= one + MARGIN - 1e-9 for one in reached)
        assert all(one.outcome(proposed) is not Outcome.BONA_FIDE for one in trials if one.species != BONA_FIDE)


def test_share_of_people_is_the_installers() -> None:
    """One of five refused passes at 20 per cent and not below; the bound counts, not one's own people's number."""
    trials = [*GOOD, trial(), trial(), trial(passes_up_to=0.1)]
    assert judge(trials, 0.5, ASKED).passed
    assert not judge(trials, 0.5, CommissioningSettings(**{**ASKED.model_dump(), "max_bpcer": 0.19})).passed


def test_report_needs_nothing_beside_it() -> None:
    """The page loads nothing, runs nothing, and names every species with its counts and bound."""
    judged = judge(GOOD, 0.5, ASKED)
    text = page(result(), judged)
    assert "<script" not in text
    assert not any(word in text for word in ("http:", "https:", "src=", "@import", "url("))
    for word in ("print", "phone", "people", "0 of 2", "78%", "Masks: none was tried", "Passed"):
        assert word in text
    assert "$" not in text


def test_report_shows_text_as_text() -> None:
    """E14: whatever stands in a result is shown as it is and never becomes part of the page."""
    hostile = result().model_copy(update={"conditions": {"camera.device": "<script>alert(1)</script>&$device"}})
    text = page(hostile, judge(GOOD, 0.5, ASKED))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;$device" in text
