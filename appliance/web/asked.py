"""What the web asks of a running reader: a verb of the contract, in the name of an account or a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.contract import VERB_ROLES
from appliance.envelope import Command
from appliance.errors import RefusedError
from appliance.records import ActorKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.enrolment.requests import Do
    from appliance.local_socket import Caller
    from appliance.usecases import UseCases


def carry_out(use_cases: UseCases, caller: Caller, asked: Do) -> None:
    """Do what is asked, in the loop's thread, and tell the caller; several times where it takes a while.

    Each answer is `{"result", "error", "done"}`. Raises RefusedError where it has no effect, StorageError where it
    could not be written down.
    """
    if asked.role not in VERB_ROLES.get(asked.command, frozenset()):
        raise RefusedError(f"{asked.command} is not for the role {asked.role}")

    def answer(result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
        caller.say({"result": dict(result or {}), "error": error, "done": done})
        if done:
            caller.end()

    command = Command(
        asked.by, asked.role, asked.command, asked.args, "", method=asked.method, actor=ActorKind.OPERATOR
    )
    use_cases.carry_out(command, answer)
