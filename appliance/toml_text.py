"""TOML text: one value of it changed, and every comment left as a human wrote it; and what two texts differ in.

The lines are found by their looks, and what comes out is read again: where it does not say exactly what was wanted, it
is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from appliance.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = str | int | float | bool | list[str]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_MOST_LINES = 200  # of one value


class Difference(NamedTuple):
    """One key that two texts do not say the same of; None is for not at all."""

    key: str  # such as `door.unlock_s`
    before: Any
    after: Any


class _Statement(NamedTuple):
    begin: int  # its first line
    end: int  # the line after its last
    table: tuple[str, ...]  # that it opens or stands in
    key: str  # "" for the line that opens a table


def read_table(text: str, name: str) -> dict[str, Any]:
    """Return what the text says; `name` is what messages call it. Raises ConfigError, one line."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{name} is not TOML: {fault}") from fault


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> tuple[Difference, ...]:
    """Return every key that is not the same in two tables, in the order of the first, then of the second."""
    found: list[Difference] = []
    for key in dict.fromkeys((*before, *after)):
        old, new = before.get(key), after.get(key)
        if {type(old), type(new)} <= {dict, type(None)}:
            found += differences(old or {}, new or {}, f"{prefix}{key}.")
        elif old != new or type(old) is not type(new):
            found.append(Difference(f"{prefix}{key}", old, new))
    return tuple(found)


def with_value(text: str, table: tuple[str, ...], key: str, value: Value | None) -> str:
    """Return TOML text in which the key of that table has this value, or with None is gone.

    Raises ConfigError where the text is no TOML, and RefusedError where it writes this in a way that is not understood.
    """
    lines, wanted = text.split("\n"), read_table(text, "the file")
    found = list(_statements(lines))
    here = next((one for one in found if one.key == key and one.table == table), None)
    ends = [one.end for one in found if one.table == table]
    if value is None:
        _within(wanted, table).pop(key, None)
        lines[slice(here.begin, here.end) if here else slice(0)] = []
    else:
        _within(wanted, table)[key] = value
        if here is not None:
            lines[here.begin : here.end] = [_line(key, value) + _comment(lines[here.begin : here.end])]
        elif ends or not table:
            lines.insert(max(ends, default=0), _line(key, value))
        else:
            lines = [*text.rstrip("\n").split("\n"), "", _head(table), _line(key, value), ""]
    return _checked("\n".join(lines), wanted, ".".join((*table, key)))


def without(text: str, table: tuple[str, ...]) -> str:
    """Return TOML text in which that table is gone. Raises as `with_value`."""
    wanted = read_table(text, "the file")
    _within(wanted, table[:-1]).pop(table[-1], None)
    lines = text.split("\n")
    mine = [one for one in _statements(lines) if one.table == table]
    if mine:
        begin = min(one.begin for one in mine)
        lines[begin - 1 if begin and not lines[begin - 1].strip() else begin : max(one.end for one in mine)] = []
    return _checked("\n".join(lines), wanted, ".".join(table))


def comments(text: str) -> dict[str, str]:
    """Return what stands behind each value, by the value's key such as `door.unlock_s`; nothing for one without."""
    lines = text.split("\n")
    said = {
        ".".join((*one.table, one.key)): _comment(lines[one.begin : one.end]).strip(" #")
        for one in _statements(lines)
        if one.key
    }
    return {key: words for key, words in said.items() if words}


def _statements(lines: list[str]) -> Iterator[_Statement]:
    """Give every line that opens a table, and every value with the lines that it takes, in order."""
    at = 0
    table: tuple[str, ...] = ()
    while at < len(lines):
        end, said = _statement(lines, at)
        if lines[at].lstrip().startswith("["):
            table = _path(said)
            yield _Statement(at, end, table, "")
        elif len(said) == 1:
            yield _Statement(at, end, table, next(iter(said)))
        at = end


def _statement(lines: list[str], at: int) -> tuple[int, dict[str, Any]]:
    """Return the line after the fewest lines from this one on that are TOML, and what they say."""
    for end in range(at + 1, min(at + _MOST_LINES, len(lines)) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[at:end]))
        except ValueError:
            continue
    raise RefusedError(f"line {at + 1} begins a value of more than {_MOST_LINES} lines; change the text instead")


def _path(said: dict[str, Any]) -> tuple[str, ...]:
    """Return the name of the table that a line alone opens; of one of an array of tables, a name that none has."""
    path: list[str] = []
    inner: Any = said
    while isinstance(inner, dict) and inner:
        name, inner = next(iter(inner.items()))
        path.append(name)
    return (*path, "") if isinstance(inner, list) else tuple(path)


def _comment(lines: list[str]) -> str:
    """Return the comment behind a value, with the blanks before it; "" for none."""
    said, last = tomllib.loads("\n".join(lines)), lines[-1]
    for found in re.finditer(r"\s*#", last):
        try:
            if tomllib.loads("\n".join([*lines[:-1], last[: found.start()]])) == said:
                return last[found.start() :]
        except ValueError:  # that one stands within a text
            continue
    return ""


def _head(table: tuple[str, ...]) -> str:
    return f"[{'.'.join(map(_name, table))}]"


def _line(key: str, value: Value) -> str:
    shown = f"[{', '.join(map(_literal, value))}]" if isinstance(value, list) else _literal(value)
    return f"{_name(key)} = {shown}"


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _literal(key)


def _literal(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False)  # but for DEL, what JSON writes is TOML; reading it again tells


def _within(wanted: dict[str, Any], table: tuple[str, ...]) -> dict[str, Any]:
    for name in table:
        wanted = wanted.setdefault(name, {})
        if not isinstance(wanted, dict):
            raise RefusedError(f"{name} is no table; only the text itself can change it")
    return wanted


def _checked(text: str, wanted: dict[str, Any], key: str) -> str:
    try:
        if tomllib.loads(text) == wanted:
            return text
    except ValueError:
        pass
    raise RefusedError(f"{key} is written in a way that only the text itself can change")
