"""What the screen at the door says, in every language: one file a language, each with the same keys."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = ("en", "de", "es", "fr", "zh")


@functools.cache
def words(language: str) -> Mapping[str, str]:
    """Return the words of one of `LANGUAGES` by their keys, such as `hint.too_far`."""
    text = resources.files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return MappingProxyType(tomllib.loads(text))


def counted(said: Mapping[str, str], key: str, count: int) -> str:
    """Return the words for so many, 0 or more: `KEY_one` or `KEY_other`, as the language has it."""
    # Of our languages, French takes 0 as one (CLDR); Chinese has one form, which stands under both keys.
    singular = count == 1 or (count == 0 and said["language.name"] == "Français")
    return said[f"{key}_{'one' if singular else 'other'}"].format(count=count)
