"""An answers file: the set-up of a device that nobody sits at. TOML, keyed as the questions are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance import config
from appliance.errors import UsageError
from appliance.setup.question import Question, interview
from appliance.toml_text import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.setup.draft import Draft


def read_answers(path: Path, questions: tuple[Question, ...]) -> dict[str, str]:
    """Return what the file answers, by the question's key.

    Raises ConfigError where it cannot be read, and UsageError, one line with the key, for a key that no question has.
    """
    found = dict(_flat(read_table(config.read(path), str(path))))
    known = {question.key for question in questions}
    for key in found:
        if key not in known:
            raise UsageError(f"{path}: {key} is not asked; docs/setup.md lists what is")
    return found


def answered(draft: Draft, questions: tuple[Question, ...], given: Mapping[str, str]) -> Draft:
    """Return the draft after these answers; where there is none, what stands already is kept.

    Raises UsageError, one line with the key, for an answer that cannot be, and for one to a question that the other
    answers leave no room for.
    """
    asked = set()

    def answer(question: Question, so_far: Draft) -> Draft:
        asked.add(question.key)
        return question.answer(so_far, given.get(question.key, question.unasked or ""))

    done = interview(draft, questions, answer)
    for key in given:
        if key not in asked:
            raise UsageError(f"{key} is answered, but with the other answers it is not asked")
    return done


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        else:
            shown = ("no", "yes")[value] if isinstance(value, bool) else str(value)
            found.append((f"{prefix}{name}", shown or "none"))
    return found
