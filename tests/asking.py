"""Asks the use-cases for something, as the switchboard does, and returns what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.envelope import Command
    from appliance.usecases import UseCases


class Answers:
    """Everything that was answered to one command."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, Any], str, bool]] = []

    def __call__(self, result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
        """Take one answer."""
        self.told.append((dict(result or {}), error, done))


def asked(cases: UseCases, command: Command) -> dict[str, Any]:
    """Return the only answer to a command that is carried out at once. What it raises passes through."""
    answers = Answers()
    cases.carry_out(command, answers)
    ((result, error, done),) = answers.told
    assert done
    assert not error
    return result
