"""Plain text: nothing that steers a terminal or turns the direction of text is shown to anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.plain_text import cleaned, is_plain


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("one moment, please", "one moment, please"),
        ("  two\nlines\tand  gaps ", "two lines and gaps"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("right\u202etfel\u2066", "right tfel"),
        (
            "Zoe\u0308 \u95e8 \u0645\u0631\u062d\u0628\u0627 \U0001f6aa",
            "Zo\u00eb \u95e8 \u0645\u0631\u062d\u0628\u0627 \U0001f6aa",
        ),
        ("<b>{{7*7}}</b> '; DROP TABLE", "<b>{{7*7}}</b> '; DROP TABLE"),
        ("\u2028\x00\ud800\u202e", ""),
        ("", ""),
    ],
)
def test_a_line_keeps_its_words_and_loses_what_steers(said: str, shown: str) -> None:
    """D8, E18: letters of any script stay as they are, markup is text, control and direction characters are spaces."""
    assert cleaned(said) == shown


@given(st.text())
def test_what_was_cleaned_is_plain(said: str) -> None:
    """Whatever was said, the line is plain, on one line, and cleaning it again changes nothing."""
    line = cleaned(said)
    assert is_plain(line)
    assert line == line.strip()
    assert cleaned(line) == line
