"""What the screen at the door says, in every language."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from appliance.config import Settings
from appliance.contract import Hint
from appliance.watch import State
from appliance.web.kiosk import spoken
from appliance.web.words import LANGUAGES, counted, words

WEB = Path(__file__).parents[2] / "appliance" / "web"
OTHERS = [language for language in LANGUAGES if language != "en"]
NARROW = "\u202f"  # before French : ; ? !


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_hint_and_state_is_said(language: str) -> None:
    """Each hint of the closed list and each state of the screen has words in each language, and no other."""
    said = words(language)
    assert {key.removeprefix("hint.") for key in said if key.startswith("hint.")} == set(Hint)
    states = {key.split(".")[1] for key in said if key.startswith("state.")}
    assert states == {*State, "away"}
    assert all(said[f"state.{state}.{part}"] for state in states for part in ("title", "text"))


@pytest.mark.parametrize("language", OTHERS)
def test_languages_have_the_same_keys_and_blanks(language: str) -> None:
    """No language lacks words, has some of its own, leaves them in English, or has other blanks to be filled in."""
    english, said = words("en"), words(language)
    assert list(said) == list(english)
    for key, text in said.items():
        assert {blank for _, blank, _, _ in Formatter().parse(text)} == {
            blank for _, blank, _, _ in Formatter().parse(english[key])
        }, key
        assert text != english[key] or text == "PIN", key


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_set_as_the_language_sets_them(language: str) -> None:
    """Spaces, quotes and stops are those of the language: French narrow spaces, Chinese full width, Spanish pairs."""
    for key, text in words(language).items():
        assert text == text.strip(), key
        assert "  " not in text, key
        assert "'" not in text, key  # nor a typewriter's apostrophe
        if language == "fr":
            assert not re.search(rf"[^{NARROW}][:;?!]", text), key
        elif language == "zh":
            assert not re.search(r"[\u4e00-\u9fff][,.:;?!]", text), key
        else:
            assert NARROW not in text, key
            assert not re.search(r" [:;?!,.]", text), key
        assert text.count("¿") == (text.count("?") if language == "es" else 0), key


def test_texts_end_as_sentences_and_titles_do_not() -> None:
    """What is said in small is whole sentences; what is said large is a line without a stop, in every language."""
    for language in LANGUAGES:
        for key, text in words(language).items():
            if key.endswith(".text"):
                assert text[-1] in ".。", key
            elif key.endswith(".title") or key.startswith("hint."):
                assert text[-1] not in ".。", key


def test_numbers_have_the_right_form() -> None:
    """One day is not days; French counts none as one; Chinese knows one form."""
    assert counted(words("en"), "notice.kept_days", 1).endswith("1 day.")
    assert counted(words("en"), "notice.kept_days", 30).endswith("30 days.")
    assert "0 chiffre tapé" in counted(words("fr"), "pin.digits", 0)
    assert counted(words("de"), "pin.digits", 0) == "0 Ziffern eingegeben"
    assert counted(words("zh"), "pin.digits", 1) == "已输入 1 位"


def test_the_notice_says_how_long_and_whom_to_ask() -> None:
    """J5: the notice has what this door's retention says, and whom to ask, in the language that is spoken."""
    settings = Settings.model_validate(
        {"retention": {"preset": "gdpr"}, "kiosk": {"contact": "privacy@example.org <b>"}}
    )
    assert "365 Tage" in spoken(settings, "de")["notice.kept"]
    assert "privacy@example.org <b>" in spoken(settings, "de")["notice.ask"]
    plain = spoken(Settings(), "de")
    assert "Tage" not in plain["notice.kept"]
    assert plain["notice.ask"] == words("de")["notice.ask_anybody"]


def test_every_word_of_the_page_is_there() -> None:
    """No page and no script names words that no language has."""
    page = (WEB / "templates" / "kiosk.html").read_text()
    script = "".join(path.read_text() for path in (WEB / "static").glob("kiosk*.js"))
    named = {
        *re.findall(r'said\["([a-z_.]+)"\]', page),
        *re.findall(r'(?:word\(|data-\w+=)"([a-z_]+\.[a-z_.]+)"', page),
    }
    named |= set(re.findall(r'(?:word|say)\("([a-z_.]+)"\)', script))
    assert len(named) > 20
    assert named <= set(words("en"))


def test_every_state_has_its_sign() -> None:
    """A state is told by an icon and words besides its colour."""
    drawn = set(re.findall(r'<symbol id="(\w+)"', (WEB / "static" / "kiosk.svg").read_text()))
    assert {*State, "away"} <= drawn
