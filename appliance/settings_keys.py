"""Every key of `appliance.toml` with what it may be, read off the settings themselves: for docs and pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from appliance.config import Section, Settings
from appliance.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from appliance.toml_text import Value

_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "pattern": "matching `{}`"}
_KINDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    section: str
    name: str
    kind: type  # str, int, float or bool
    choices: tuple[str, ...]  # () where it is not one of a few
    bounds: tuple[str, ...]  # in words
    default: Any

    @property
    def path(self) -> str:
        """Its whole name, such as `door.unlock_s`."""
        return f"{self.section}.{self.name}"

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return " or ".join(f"`{choice}`" for choice in self.choices)
        return ", ".join((_KINDS[self.kind.__name__], *self.bounds))


def keys() -> Iterator[Key]:
    """Give every key, section by section, in the order of the settings."""
    for section, found in Settings.model_fields.items():
        model = found.annotation
        if isinstance(model, type) and issubclass(model, Section):
            for name, info in model.model_fields.items():
                yield _key(section, name, info)


def value_of(key: Key, text: str) -> Value:
    """Return what somebody wrote, of the key's own type; whether it is in range is not looked at.

    Raises UsageError, one line.
    """
    try:
        if key.kind is bool:
            return {"true": True, "false": False}[text]
        if key.kind is int:
            return int(text)
        if key.kind is float:
            return _finite(text)
    except (ValueError, KeyError) as fault:
        raise UsageError(f"{key.path} is {text[:60]!r}; allowed: {key.allowed}") from fault
    return text


def title(section: str) -> str:
    """Return what a section is about, in one line; "" for none of that name."""
    found = Settings.model_fields.get(section)
    model = found.annotation if found is not None else None
    return (model.__doc__ or "").split("\n")[0] if isinstance(model, type) else ""


def _key(section: str, name: str, info: FieldInfo) -> Key:
    choices = get_args(info.annotation)
    bounds = tuple(
        phrase.format(getattr(rule, limit))
        for rule in info.metadata
        for limit, phrase in _BOUNDS.items()
        if getattr(rule, limit, None) is not None
    )
    kind = info.annotation if isinstance(info.annotation, type) else str
    return Key(section, name, kind, choices, bounds, info.default)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number
