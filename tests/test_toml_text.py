"""TOML text with one value changed: what a human wrote stays, and what is not understood is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ConfigError, RefusedError
from appliance.toml_text import Difference, differences, read_table, with_value, without

SHIPPED = (Path(__file__).parents[1] / "firmware_config" / "access.toml").read_text(encoding="utf-8")


def lines_changed(before: str, after: str) -> list[str]:
    """Return the lines that only one of two texts has."""
    return sorted(set(before.split("\n")) ^ set(after.split("\n")))


def test_comments_stay() -> None:
    """Whoever changes one value on a page finds every comment of theirs where it was, behind that very value too."""
    after = with_value(SHIPPED, ("schedules", "office"), "holidays", "ignored")
    changed = lines_changed(SHIPPED, after)
    assert [line.partition("#")[0].strip() for line in changed] == ['holidays = "closed"', 'holidays = "ignored"']
    assert {line.partition("#")[2] for line in changed} == {
        ' or "as_sunday", "ignored", or a list of periods without days: ["09:00-12:00"]'
    }


def test_value_of_several_lines_is_replaced_whole() -> None:
    """A list over many lines, with a comment and a bracket in it, is one value."""
    text = '[a]\nkeep = 1\nlong = [\n  "x]",  # one ]\n  "y",\n]  # behind\nlast = 2\n'
    assert with_value(text, ("a",), "long", ["z"]) == '[a]\nkeep = 1\nlong = ["z"]  # behind\nlast = 2\n'


def test_missing_key_and_table_are_added() -> None:
    """What the file did not say yet is said in its table, or in one of its own at the end."""
    assert with_value("[a]\nb = 1\n\n# of c\n[c]\nd = 2\n", ("a",), "e", value=False) == (
        "[a]\nb = 1\ne = false\n\n# of c\n[c]\nd = 2\n"
    )
    assert tomllib.loads(with_value("", ("a", "b"), "c d", "#")) == {"a": {"b": {"c d": "#"}}}


def test_key_and_table_are_taken_out() -> None:
    """What is taken out is gone, and nothing besides."""
    after = with_value(SHIPPED, ("holidays",), "New Year", None)
    assert lines_changed(SHIPPED, after) == ['"New Year" = "01-01"']
    after = without(SHIPPED, ("schedules", "night"))
    assert "night" not in tomllib.loads(after)["schedules"]
    assert [line for line in lines_changed(SHIPPED, after) if "#" in line] == []


@pytest.mark.parametrize(
    "text",
    [
        "a = { b = 1 }\n",
        "a.b = 1\n",
        "[[a]]\nb = 1\n",
        "[a]\nb = [\n" + '"x",\n' * 300 + "]\n",
    ],
)
def test_unusual_writing_is_refused(text: str) -> None:
    """E13: a file that is not written as this understands it is refused in one line, never bent."""
    with pytest.raises(RefusedError):
        with_value(text, ("a",), "b", 2)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_data(key: str, value: str) -> None:
    """E13: whatever a key or a value is called, the file says just that, or the change is refused."""
    try:
        after = with_value(SHIPPED, ("holidays",), key, value)
    except RefusedError:
        return
    wanted = tomllib.loads(SHIPPED)
    wanted["holidays"][key] = value
    assert tomllib.loads(after) == wanted


def test_differences_name_every_key_once() -> None:
    """What a change is about is told key by key, types too, and nothing of what stays."""
    before = {"a": {"b": 1, "c": 2}, "d": True}
    after = {"a": {"b": 1, "c": 3}, "d": 1, "e": {"f": "x"}}
    assert differences(before, after) == (
        Difference("a.c", 2, 3),
        Difference("d", before=True, after=1),
        Difference("e.f", None, "x"),
    )
    assert differences({"a": 1}, {"a": {"b": 2}}) == (Difference("a", 1, {"b": 2}),)


def test_text_that_is_no_toml_is_one_line() -> None:
    """E13: YAML tags, includes and brackets without end are not TOML, and one line says so."""
    for text in ("!!python/object:os.system [ls]", "include: /etc/passwd", "a = " + "[" * 5000):
        with pytest.raises(ConfigError, match="not TOML") as told:
            read_table(text, "access.toml")
        assert "\n" not in str(told.value)
