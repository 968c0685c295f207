"""A question of the set-up: what it asks, what Enter takes, and what an answer makes of the draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import ConfigError, RefusedError, UsageError
from appliance.settings_keys import keys, value_of
from appliance.setup import words
from appliance.setup.draft import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.setup.draft import Draft
    from appliance.toml_text import Value

NONE = "none"  # how an empty text is written and shown
YES_NO = (("yes", ""), ("no", ""))
_WORDS = {"yes": "true", "no": "false"}
_KEYS = {key.path: key for key in keys()}
_PATTERN = "; String should match pattern"
_LISTED = {"true": "yes", "false": "no"}


@dataclass(frozen=True, slots=True)
class Question:
    """One question: one screen, and one key of an answers file."""

    key: str  # of the settings, or a word of its own
    title: str
    look: str  # what it is about, and what to look at on the board
    now: Callable[[Draft], str]  # what Enter takes
    take: Callable[[Draft, str], Draft]  # raises UsageError, one line, for an answer that cannot be
    choices: Callable[[Draft], tuple[tuple[str, str], ...]]  # what may be answered, with what it means; () for free
    asked: Callable[[Draft], bool]
    trial: str = ""  # a word that tries it out instead of answering it
    unasked: str | None = None  # what holds where an answers file is silent, if that is not what Enter takes

    def answer(self, draft: Draft, text: str) -> Draft:
        """Return the draft after this answer; "" is what Enter takes.

        Raises UsageError, one line with the key, for an answer that cannot be.
        """
        try:
            return self.take(draft, text.strip() or self.now(draft))
        except (ConfigError, RefusedError) as fault:
            said = str(fault).removeprefix(f"configuration {NAME}: ")
            if self.key in words.FORMS and _PATTERN in said:  # which is no plain word
                said = f"{said.partition(_PATTERN)[0]}; {words.FORMS[self.key]}"
            raise UsageError(said if said.startswith(self.key) else f"{self.key}: {said}") from fault

    def chosen(self, draft: Draft, typed: str) -> str:
        """Return the choice whose number was typed; what was typed where it is none's."""
        names = {str(number): name for number, (name, _) in enumerate(self.choices(draft), start=1)}
        return names.get(typed, typed)


def interview(draft: Draft, questions: tuple[Question, ...], ask: Callable[[Question, Draft], Draft | None]) -> Draft:
    """Return the draft after every question that is to be asked; where `ask` gives None, the one before comes again."""
    before: list[tuple[int, Draft]] = []
    at = 0
    while at < len(questions):
        if not questions[at].asked(draft):
            at += 1
            continue
        answered = ask(questions[at], draft)
        if answered is not None:
            before.append((at, draft))
            at, draft = at + 1, answered
        elif before:
            at, draft = before.pop()
    return draft


def always(_draft: Draft) -> bool:
    """Tell that it is asked in any case."""
    return True


def free(_draft: Draft) -> tuple[tuple[str, str], ...]:
    """Return no choices: anything may be answered."""
    return ()


def _shown(draft: Draft, path: str) -> str:
    section, _, name = path.partition(".")
    value = getattr(getattr(draft.settings, section), name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value) or NONE


def _value(path: str, text: str) -> Value:
    key = _KEYS[path]
    if key.kind is bool:
        text = _WORDS.get(text, text)
    if text == NONE and NONE not in key.choices:
        text = "" if key.kind is str else "0"  # 0 is the pin of what is not fitted
    return value_of(key, text)


def setting(
    path: str,
    title: str,
    look: str,
    *,
    asked: Callable[[Draft], bool] = always,
    trial: str = "",
    now: Callable[[Draft], str] | None = None,
    choices: Callable[[Draft], tuple[tuple[str, str], ...]] | None = None,
) -> Question:
    """Return the question for one key of the settings."""
    key = _KEYS[path]
    few = tuple((_LISTED.get(one, one), words.MEANING.get((path, one), "")) for one in _allowed(path))
    return Question(
        path,
        title,
        look,
        now or (lambda draft: _shown(draft, path)),
        lambda draft, text: draft.with_settings({key.path: _value(path, text)}),
        choices or (lambda _draft: few),
        asked,
        trial,
    )


def _allowed(path: str) -> tuple[str, ...]:
    key = _KEYS[path]
    return ("true", "false") if key.kind is bool else key.choices


def own(
    key: str,
    title: str,
    look: str,
    *,
    now: Callable[[Draft], str],
    choices: tuple[tuple[str, str], ...],
    take: Callable[[Draft, str], Draft] | None = None,
    asked: Callable[[Draft], bool] = always,
    unasked: str | None = None,
) -> Question:
    """Return a question that is about no one key of the settings."""
    names = tuple(name for name, _ in choices)

    def checked(draft: Draft, text: str) -> Draft:
        if text not in names:
            raise UsageError(f"{key} is {text[:60]!r}; allowed: {', '.join(names)}")
        return take(draft, text) if take else draft.with_own(key, text)

    return Question(key, title, look, now, checked, lambda _draft: choices, asked, unasked=unasked)
