"""The words that pages say for those of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.access.subject import FactorPolicy, Status
from appliance.contract import Alarm, EventType, Hint, LockState, Mode, Phase, Reason, Role
from appliance.people.person import Source
from appliance.records import Flaw, Grade
from appliance.web import wording

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum


@pytest.mark.parametrize(
    ("words", "of"),
    [
        (wording.EVENTS, EventType),
        (wording.REASONS, Reason),
        (wording.PHASES, Phase),
        (wording.PHASE_TONES, Phase),
        (wording.MODES, Mode),
        (wording.LOCKS, LockState),
        (wording.ALARMS, Alarm),
        (wording.HINTS, Hint),
        (wording.STATUSES, Status),
        (wording.STATUS_TONES, Status),
        (wording.FACTORS, FactorPolicy),
        (wording.GRADES, Grade),
        (wording.FLAWS, Flaw),
        (wording.SOURCES, Source),
        (wording.ROLES, Role),
    ],
)
def test_every_word_of_the_contract_is_said(words: Mapping[Enum, str], of: type[Enum]) -> None:
    """Nothing that can happen is shown as a word of a program: each has its own words, and no two the same."""
    assert set(words) == set(of)
    if set(words.values()) - {"good", "warn", "bad"}:
        assert len(set(words.values())) == len(words)
        assert all(text and text.strip() == text and "_" not in text for text in words.values())


def test_harm_is_never_shown_in_green() -> None:
    """What somebody must look into is shown as such, and a voice of the pages by its name."""
    assert wording.tone_of(EventType.DURESS) == wording.tone_of(EventType.FORCED_OPEN) == "bad"
    assert wording.tone_of(EventType.ACCESS_GRANTED) == "good"
    assert wording.tone_of(EventType.UPDATED) == ""
    assert wording.voice_in_words("web:ada") == "ada, on these pages"
    assert wording.voice_in_words("desk") == "desk"
    assert (wording.begun("wrong PIN"), wording.begun("")) == ("Wrong PIN", "")
